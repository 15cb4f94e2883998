#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare servers by paired rounds on one machine; call no difference that the noise doesn't allow.

All servers are started once, pinned to one core, and stopped (SIGSTOP) except while they are
measured; the load client (load.c) runs on another core. A round measures every server once, in an
order that turns from round to round (A B C, C B A, B C A, A C B, ...), so drift of the machine hits
all alike. Each round gives one ratio to the first server; the figure is the median ratio with its
bootstrap confidence interval. Only the standard library.

    paired.py --server 'uring=build/release/bench/limit-uring --port {port}' \\
              --server 'epoll=build/release/bench/limit-epoll --port {port}' \\
              echo:conns=64,depth=1 echo:conns=64,depth=16

Workloads: echo:conns=,depth=,payload=[,rate=[,burst=]]
           resp:conns=,depth=,value=,keys=,ratio=SETS:GETS[,rate=[,burst=]][,check=1]
A command that begins with memcached: or memcached-meta: is of a server that is spoken to in that
protocol where the workload says resp.
"""
import argparse
import contextlib
import ctypes
import json
import os
import platform
import random
import shlex
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

LOAD_OPTIONS = {'conns': '--connections', 'depth': '--depth', 'payload': '--payload',
                'value': '--value', 'keys': '--keys', 'ratio': '--ratio', 'rate': '--rate',
                'burst': '--burst'}
DIALECTS = ('memcached', 'memcached-meta')
SCHED_SETATTR = {'x86_64': 314, 'aarch64': 274}
SLICE_NS = 100_000
BOOTSTRAP_SAMPLES = 4000
READY_SECONDS = 10


class Failure(Exception):
    """Something the user must know; printed without a traceback."""


class Interrupted(Failure):
    """The user wants it to end."""


def set_slice():
    """A 0.1 ms slice for this process and its children: a wake-up preempts batch jobs at once.

    It takes no priority. Returns False where the kernel refuses.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if number is None:
        return False
    # struct sched_attr: size, policy SCHED_OTHER, flags, nice, priority, runtime (the slice),
    # deadline, period
    attributes = struct.pack('IIQiIQQQ', 48, 0, 0, 0, 0, SLICE_NS, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(number, 0, attributes, 0) == 0


def split_dialect(command):
    """The protocol a command's server speaks instead of RESP, or None, and the command itself."""
    first, colon, rest = command.partition(':')
    return (first, rest) if colon and first in DIALECTS else (None, command)


class Server:
    def __init__(self, name, command, port, cpus):
        self.name, self.port, self.prefilled = name, port, None
        self.dialect, command = split_dialect(command)
        words = shlex.split(command.replace('{port}', str(port)))
        if not words:
            raise Failure(f'{name}: empty command')
        if answers(port):
            raise Failure(f'{name}: something already listens on port {port}')

        def before_exec():
            os.setpgid(0, 0)        # Ctrl-C reaches us only; we end the servers ourselves
            os.sched_setaffinity(0, cpus)

        self.log = open(os.devnull, 'w')
        try:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log,
                                            preexec_fn=before_exec)
        except OSError as error:
            raise Failure(f'{name}: {words[0]}: {error.strerror}') from None

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while not answers(self.port):
            if self.process.poll() is not None:
                raise Failure(f'{self.name}: ended with status {self.process.returncode} '
                              f'before it was ready')
            if time.monotonic() > deadline:
                raise Failure(f'{self.name}: nothing listens on port {self.port} '
                              f'after {READY_SECONDS} s')
            time.sleep(0.02)

    def signal(self, number):
        if self.process.poll() is not None:
            raise Failure(f'{self.name}: has ended with status {self.process.returncode}')
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def answers(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(('127.0.0.1', port)) == 0


class Workload:
    def __init__(self, text):
        self.text = text
        self.protocol, _, rest = text.partition(':')
        if self.protocol not in ('echo', 'resp'):
            raise Failure(f'workload {text!r}: must begin with echo: or resp:')
        fields = dict(field.partition('=')[::2] for field in rest.split(',') if field)
        self.check = fields.pop('check', '0') != '0'
        unknown = set(fields) - set(LOAD_OPTIONS)
        if unknown:
            raise Failure(f'workload {text!r}: unknown {", ".join(sorted(unknown))}')
        self.options = [word for key, value in fields.items()
                        for word in (LOAD_OPTIONS[key], value)]
        self.data = (fields.get('keys'), fields.get('value'))      # what prefill depends on

    def run(self, load, server, cpu, seconds, warmup):
        """One measurement; returns the client's figures."""
        keyed = self.protocol == 'resp'
        protocol = server.dialect or self.protocol if keyed else self.protocol
        words = [load, '--json', '--protocol', protocol, '--port', str(server.port),
                 '--cpu', str(cpu), '--pid', str(server.process.pid), *self.options]
        if keyed and server.prefilled != self.data:
            self.call(words + ['--prefill', '--duration', '0'], server, 600)
            server.prefilled = self.data
        if self.check:
            words.append('--check-value')
        words += ['--duration', str(seconds), '--warmup', str(warmup)]
        return json.loads(self.call(words, server, seconds + warmup + 30))

    def call(self, words, server, seconds_max):
        client = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True)
        try:
            out, err = client.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            raise Failure(f'{self.text} on {server.name}: '
                          f'no end after {seconds_max} s') from None
        finally:
            if client.poll() is None:
                client.kill()
                client.wait()
        if client.returncode:
            raise Failure(f'{self.text} on {server.name}: {err.strip() or out.strip()}')
        return out


def order(servers, round_number):
    """Every second round runs backwards, and each pair of rounds begins one server later."""
    turn = round_number // 2 % len(servers)
    turned = servers[turn:] + servers[:turn]
    return turned[::-1] if round_number % 2 else turned


def interval(ratios, confidence, seed=1):
    """Percentile bootstrap of the median; seeded, so the same figures give the same interval."""
    chooser = random.Random(seed)
    medians = sorted(statistics.median(chooser.choices(ratios, k=len(ratios)))
                     for _ in range(BOOTSTRAP_SAMPLES))
    tail = (1 - confidence) / 2
    last = BOOTSTRAP_SAMPLES - 1
    return medians[int(tail * last)], medians[int((1 - tail) * last)]


def verdict(low, high, margin):
    if low > 1 + margin:
        return 'costs more'
    if high < 1 - margin:
        return 'costs less'
    return 'no difference found'


def summarize(workload, servers, rounds, arguments):
    first = [figures['server_us'] for figures in rounds[servers[0].name]]
    rows = []
    for server in servers:
        figures = rounds[server.name]
        cost = [one['server_us'] for one in figures]
        row = {'workload': workload.text, 'server': server.name, 'rounds': len(cost),
               'rounds_us': cost}
        for key in ('p99_us', 'p999_us'):
            row[f'rounds_{key}'] = [one[key] for one in figures]
        for key in figures[0]:
            row[key] = statistics.median(one[key] for one in figures)
        row['server_us_low'], row['server_us_high'] = statistics.quantiles(cost, n=10)[::8] \
            if len(cost) > 1 else (cost[0], cost[0])
        row['steal_percent'] = max(one['steal_percent'] for one in figures)
        if server is not servers[0]:
            ratios = [mine / base for mine, base in zip(cost, first)]
            low, high = interval(ratios, arguments.confidence)
            row.update(ratio=statistics.median(ratios), ratio_low=low, ratio_high=high,
                       verdict=verdict(low, high, arguments.margin))
        rows.append(row)
    return rows


def print_rows(rows):
    print(f'\n{rows[0]["workload"]}  ({rows[0]["rounds"]} rounds, '
          f'{rows[0]["discarded_rounds"]} more discarded)')
    print(f'  {"server":<12} {"us/request":>10} {"p10..p90":>17} {"busy":>5} {"requests/s":>11} '
          f'{"p50":>7} {"p99":>7} {"p99.9":>8} {"client us":>9} {"steal":>6}  '
          f'ratio to first [interval]')
    for row in rows:
        spread = f'{row["server_us_low"]:.4f}..{row["server_us_high"]:.4f}'
        ratio = '1'
        if 'ratio' in row:
            ratio = (f'{row["ratio"]:.3f} [{row["ratio_low"]:.3f}, {row["ratio_high"]:.3f}] '
                     f'{row["verdict"]}')
        print(f'  {row["server"]:<12} {row["server_us"]:10.4f} {spread:>17} '
              f'{row["server_busy_percent"]:4.0f}% {row["requests_per_second"]:11.0f} '
              f'{row["p50_us"]:7.0f} {row["p99_us"]:7.0f} {row["p999_us"]:8.0f} '
              f'{row["client_us"]:9.4f} {row["steal_percent"]:5.1f}%  {ratio}')
    if 'rate=' not in rows[0]['workload'] and \
            any(row['server_busy_percent'] < 95 for row in rows):
        print('  note: closed loop with a server below 95 % busy; '
              'the faster one is made to look worse')
    sys.stdout.flush()


def measure_round(workload, servers, arguments):
    figures = {}
    for server in servers:
        server.signal(signal.SIGCONT)
        figures[server.name] = workload.run(arguments.load, server, arguments.load_cpu,
                                            arguments.seconds, arguments.warmup)
        server.signal(signal.SIGSTOP)
    return figures


def measure(servers, workloads, arguments):
    rows = []
    for workload in workloads:
        kept, discarded = [], 0
        while len(kept) < arguments.rounds:
            figures = measure_round(workload, order(servers, len(kept)), arguments)
            # A round the host interrupted says nothing about servers, nor does one in which a
            # reading lagged so much that nothing was counted. As many may be repeated as were
            # asked for.
            stolen = max(one['steal_percent'] for one in figures.values()) > arguments.steal_max
            uncounted = min(one['server_us'] for one in figures.values()) <= 0
            if (stolen or uncounted) and discarded < arguments.rounds:
                discarded += 1
            elif uncounted:
                raise Failure(f'{workload.text}: a server seems to use no CPU time; '
                              f'rounds of {arguments.seconds} s are too short here')
            else:
                kept.append(figures)
        rounds = {server.name: [figures[server.name] for figures in kept] for server in servers}
        summary = summarize(workload, servers, rounds, arguments)
        for row in summary:
            row['discarded_rounds'] = discarded
        rows += summary
        if not arguments.json:
            print_rows(summary)
    return rows


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--server', action='append', required=True,
                        metavar="'NAME=COMMAND with {port}'")
    parser.add_argument('--load', default='build/release/bench/limit-load',
                        help='the load client')
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--seconds', type=float, default=1.0,
                        help='measured span of a round')
    parser.add_argument('--warmup', type=float, default=0.2)
    parser.add_argument('--server-cpus', default='0', help='e.g. 0 or 0,2')
    parser.add_argument('--load-cpu', type=int, default=1, help='-1: not pinned')
    parser.add_argument('--port', type=int, default=21000,
                        help='the first server gets it, the next one more, ...')
    parser.add_argument('--confidence', type=float, default=0.95)
    parser.add_argument('--margin', type=float, default=0.0,
                        help='differences within it are not called')
    parser.add_argument('--steal-max', type=float, default=5.0,
                        help='a round with more steal, in percent of one CPU, is repeated')
    parser.add_argument('--json', action='store_true')
    parser.add_argument('workload', nargs='+')
    return parser.parse_args()


def named_commands(texts):
    commands = {}
    for text in texts:
        name, equals, command = text.partition('=')
        if not equals or not name or name in commands:
            raise Failure(f'{text!r}: wants a NAME of its own, =, and a COMMAND')
        commands[name] = command
    return commands


@contextlib.contextmanager
def started(commands, arguments):
    """Every server of `commands` (name: command), ready and stopped; ended afterwards."""
    cpus = {int(cpu) for cpu in arguments.server_cpus.split(',')}
    servers = []
    try:
        for position, (name, command) in enumerate(commands.items()):
            servers.append(Server(name, command, arguments.port + position, cpus))
            servers[-1].wait_ready()
            servers[-1].signal(signal.SIGSTOP)
        yield servers
    finally:
        for server in servers:
            server.end()


def end_by_signals():
    """SIGTERM and SIGINT become an exception, so that no server outlives us."""
    def interrupted(number, _frame):
        raise Interrupted(f'ended by signal {number}')

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)


def main():
    arguments = parse_arguments()
    workloads = [Workload(text) for text in arguments.workload]
    end_by_signals()
    sliced = set_slice()
    with started(named_commands(arguments.server), arguments) as servers:
        rows = measure(servers, workloads, arguments)
    if arguments.json:
        print(json.dumps({'kernel': platform.release(), 'date': time.strftime('%Y-%m-%d'),
                          'slice_set': sliced, 'seconds': arguments.seconds, 'rows': rows},
                         indent=1))
    elif not sliced:
        print('note: the kernel refused the 0.1 ms slice; latencies include batch jobs')


if __name__ == '__main__':
    try:
        main()
    except Failure as failure:
        sys.exit(f'paired: {failure}')
