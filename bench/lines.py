#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many cache lines a server touches in user space for a request: data and code.

    bench/lines.py [--load '-c 1000 --rate 100'] [--seconds 2] COMMAND...

COMMAND, in which {port} is filled in, runs under valgrind's lackey, which writes down every address
that it touches. What lies between two waits for the kernel counts each line once: the kernel has
run in between, so this is what comes from further away than the first level. Exact and the same
each time, but that a server which finds more requests in a turn touches less for each: how many
turns there were is said as well. docs/design/0028-cache-lines.md.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import probes

LINE_BYTES = 64
# What a server calls to wait, in whatever library.
WAITS = {'epoll_wait', 'epoll_pwait2', 'io_uring_enter2', 'io_uring_submit_and_wait'}
SETTLE_SECONDS = 4          # until a thousand connections have been accepted under valgrind


def addresses_of_waits(pid):
    """Where the functions in WAITS begin in the process."""
    addresses, seen = set(), set()
    with open(f'/proc/{pid}/maps') as maps:
        for row in maps:
            span, _, offset, _, _, *path = row.split()
            if not path or '.so' not in path[0] or path[0] in seen:
                continue
            seen.add(path[0])
            base = int(span.split('-')[0], 16) - int(offset, 16)
            names = subprocess.run(['nm', '-D', path[0]], capture_output=True, text=True,
                                   check=False).stdout
            for words in map(str.split, names.splitlines()):
                if len(words) == 3 and words[2].partition('@')[0] in WAITS:
                    addresses.add(base + int(words[0], 16))
    return addresses


def lines_per_turn(trace, begin, end, waits):
    """(data lines, code lines) of each turn in that part of the trace: lines 'I  ADDRESS,SIZE' of
    instructions, each before those of the loads, stores and modifications that it makes.
    """
    data, code = set(), set()
    has_begun = False
    trace.seek(begin)
    trace.readline()
    while trace.tell() < end:
        line = trace.readline()
        if line[:1] not in (b'I', b' '):
            continue
        address, size = line[3:].split(b',')
        address, size = int(address, 16), int(size)
        if line[:1] == b'I' and address in waits:
            if has_begun:
                yield len(data), len(code)
            data, code = set(), set()
            has_begun = True
        touched = code if line[:1] == b'I' else data
        touched.add(address // LINE_BYTES)
        touched.add((address + size - 1) // LINE_BYTES)


def measure(words, options, seconds):
    """(requests, turns, data lines, code lines), all sums."""
    with tempfile.NamedTemporaryFile() as trace:
        with probes.running(['valgrind', '--quiet', '--tool=lackey', '--trace-mem=yes',
                             f'--log-file={trace.name}', *words]) as (process, port):
            load = subprocess.Popen([probes.servers.CLIENT, '--quiet', '--steered', '--timeout',
                                     '60', *options, f'127.0.0.1:{port}'],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            with probes.rounds.ended(load):
                load.stdout.readline()      # it is ready
                time.sleep(SETTLE_SECONDS)
                waits = addresses_of_waits(process.pid)
                begin = os.path.getsize(trace.name)
                load.stdin.write(f'go {seconds}\n')
                load.stdin.flush()
                requests = json.loads(load.stdout.readline())['requests']
                end = os.path.getsize(trace.name)
        turns = list(lines_per_turn(trace, begin, end, waits))
    return requests, len(turns), sum(data for data, _ in turns), sum(code for _, code in turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--load', default='-c 1000 --rate 100', help="rota-load's options")
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('command', nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    requests, turns, data, code = measure(asked.command, shlex.split(asked.load), asked.seconds)
    print(f'{requests} requests in {turns} turns; for each '
          f'{data / requests:.1f} lines of data, {code / requests:.1f} of code')


if __name__ == '__main__':
    sys.exit(main())
