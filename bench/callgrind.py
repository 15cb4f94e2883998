# SPDX-License-Identifier: MIT
"""What a server does in user space for one request, counted by callgrind: instructions, calls of
the allocator, system calls per turn, and the functions that the instructions are in.

Everything is a slope: the same program under the same load for a short and for a long time, the
difference over the difference in requests. So start-up, connecting and prefilling do not count, and
what is left does not depend on how busy the machine is, except that a server which finds more
requests in a turn does less per request.
"""
import collections
import os
import re
import shutil
import subprocess
import tempfile

import probes

SHORT_SECONDS, LONG_SECONDS = 1, 4
TOP = 12            # functions of a profile
ALLOCATORS = {'malloc', 'calloc', 'realloc', 'memalign', 'posix_memalign', 'aligned_alloc',
              'mallocx', 'rallocx'}
TURN, ENTER = 'rota_reactor_run_once', 'io_uring_enter2'


class Counts:
    """What one run counted: per function its own instructions, those below it, its calls."""

    def __init__(self):
        self.own = collections.Counter()
        self.below = collections.Counter()
        self.calls = collections.Counter()
        self.requests = 0


def read_counts(path):
    """Read a callgrind file. A line of costs belongs to the last fn=, or, right after calls=, is
    what that call of cfn= cost in all. Names are written out once and then numbered.
    """
    counts, names, objects = Counts(), {}, {}
    function = called = folder = None
    is_call = False

    def named(table, text):
        number, _, name = text.partition(' ')
        if name:
            table[number] = name
        return table.get(number, number)

    def label(name):
        program = os.path.basename(folder or '')
        return f'{name} in {program}' if name.startswith(('0x', '???', '(')) else name

    with open(path) as file:
        for line in file:
            line = line.rstrip('\n')
            if line.startswith('fn='):
                function = label(named(names, line[3:]))
            elif line.startswith('cfn='):
                called = label(named(names, line[4:]))
            elif line.startswith('ob='):
                folder = named(objects, line[3:])
            elif line.startswith('cob='):
                named(objects, line[4:])
            elif line.startswith('calls='):
                counts.calls[called] += int(line[6:].split()[0])
                is_call = True
            elif function and line[:1] in '0123456789+-*' and line:
                words = line.split()
                cost = int(words[1]) if len(words) > 1 else 0
                (counts.below if is_call else counts.own)[function] += cost
                is_call = False
    return counts


def count_once(words, port, client, options, seconds):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        with probes.running(['valgrind', '--quiet', '--tool=callgrind',
                             f'--callgrind-out-file={out}', *words], port):
            requests = probes.load(client, port, options, seconds)['requests']
        counts = read_counts(out)
    counts.requests = requests
    return counts


def per_request(short, long):
    """Figures of one request out of two runs."""
    requests = long.requests - short.requests

    def slope(of, name):
        return (of(long)[name] - of(short)[name]) / requests

    def calls(name):
        return slope(lambda counts: counts.calls, name)

    own = {name: slope(lambda counts: counts.own, name) for name in long.own}
    top = sorted(own, key=own.get, reverse=True)[:TOP]
    return {'instructions': sum(own.values()),
            'allocations': sum(calls(name) for name in ALLOCATORS),
            'calls_per_turn': calls(ENTER) / calls(TURN) if calls(TURN) and calls(ENTER) else None,
            'functions': [[name, own[name],
                           own[name] + slope(lambda counts: counts.below, name)]
                          for name in top if own[name] > 0]}


def measure(words, port, client, options):
    """Figures of one request to the server that `words` start, under load with `options`."""
    if not shutil.which('valgrind'):
        raise probes.Unavailable('no valgrind')
    short = count_once(words, port, client, options, SHORT_SECONDS)
    long = count_once(words, port, client, options, LONG_SECONDS)
    if long.requests <= short.requests:
        raise probes.Unavailable('the long run served no more than the short one')
    return per_request(short, long)


def profile_of_program(words):
    """The functions of a program that ends by itself: [name, own, with what they call], shares of
    all instructions.
    """
    if not shutil.which('valgrind'):
        raise probes.Unavailable('no valgrind')
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        done = subprocess.run(['valgrind', '--quiet', '--tool=callgrind',
                               f'--callgrind-out-file={out}', *words],
                              capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise probes.Unavailable(f'{words[0]} ended with status {done.returncode}')
        counts = read_counts(out)
    total = sum(counts.own.values())
    return [[name, own / total, (own + counts.below[name]) / total]
            for name, own in counts.own.most_common(TOP)]
