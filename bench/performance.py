#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure rota against its targets and write docs/performance.md, all of it.

    ninja performance                               everything, in 40 minutes
    bench/performance.py --list                     the sections, with how long each may take
    bench/performance.py --only kv,micro            these sections anew, the others as they were
    bench/performance.py --only none                only write the page again
    bench/performance.py --only echo --scale 3      with three times the time: narrower intervals
    bench/performance.py --peer 'Valkey=src/valkey-server --port {port} --save ""'
    bench/performance.py --peer 'pogocache=pogocache -p {port} --threads {threads}'
    bench/performance.py --peer 'Seastar=echo:seastar-echo --port {port}'
                                                    one more server, or this one for that of
                                                    bench/peers/peers.tsv; in front of the command
                                                    what it speaks, if that is not resp: echo or
                                                    memcached-meta; with {threads} in it also beside
                                                    two reactors. bench/targets.tsv has targets for
                                                    these three, by their names in small letters

Servers are compared by rota-compare; what one server does alone, by probes. What was measured is
kept in build/measured.json. Servers that are not installed are left out, and the page says so. Only
the standard library; nothing else should run on the machine meanwhile.
"""
import argparse
import collections
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, name) for name in ('micro', 'primitives')]

import callgrind   # noqa: E402
import compare     # noqa: E402
import probes      # noqa: E402
import ratios      # noqa: E402
import report      # noqa: E402
import rounds      # noqa: E402
import servers     # noqa: E402
import verdicts    # noqa: E402

RESULTS = 'build/measured.json'
FORMAT = 2          # of that file; another one is not read
PAGE = 'docs/performance.md'
TARGETS = 'bench/targets.tsv'
REPETITIONS = 6     # of a micro-benchmark: fewer give no interval at 95 %
LONG_PROGRAMS = ('mailbox_bench', 'task_bench')
PRIMITIVE_ROUNDS = 3
# A request and how its answer begins.
ECHO_EXCHANGE = (b'x', b'x')
RESP_EXCHANGE = (b'*1\r\n$4\r\nPING\r\n', b'+PONG')
MEMCACHED_EXCHANGE = (b'version\r\n', b'VERSION')
# What ends a probe or a section, and not all of them.
FAILURES = (rounds.Failure, probes.Unavailable, OSError, subprocess.SubprocessError, ValueError)


# ---- rows: servers compared ----

def echo_load(connections, depth):
    return f'echo:connections={connections},depth={depth},payload=64'


def key_load(name, depth, keys=10_000, reactors=1):
    return f'{name}:connections=64,depth={depth},payload=64,reactors={reactors},keys={keys}'


ECHO_LOADS = ((64, 1), (64, 16), (1000, 1))
KEY_DEPTHS = (1, 16, 64)


def echo_rows(peers, notes):
    commands = {**servers.ENGINES, **servers.LIMIT_URING, **servers.TASKS,
                **servers.echo_peers(peers, notes)}
    return [rounds.Row(f'echo {connections}x{depth}', echo_load(connections, depth), commands)
            for connections, depth in ECHO_LOADS]


def echo_epoll_rows(peers, notes):
    commands = {'epoll': None, **servers.LIMIT_EPOLL}
    return [rounds.Row(f'echo epoll {connections}x{depth}', echo_load(connections, depth),
                       commands, reference='epoll') for connections, depth in ECHO_LOADS]


def echo_slow_rows(peers, notes):
    commands = {'uring': None, **servers.echo_peers(peers, notes, are_fast=False)}
    return [rounds.Row('echo, others 64x1', echo_load(64, 1), commands)]


def key_rows(name, keys):
    def rows(peers, notes):
        commands = {**servers.ENGINES, **servers.LIMIT_KEYS, **servers.key_peers(peers, notes)}
        return [rounds.Row(f'{name} P={depth}', key_load('kv', depth, keys), commands)
                for depth in KEY_DEPTHS]

    return rows


def reactor_rows(peers, notes):
    several = {name: command for name, command in servers.key_peers(peers, notes).items()
               if '{threads}' in command}
    cpus = ','.join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
    # With four cores, rota-compare gives each side two of its own.
    shared = ('--server-cpus', cpus, '--load-cpus', cpus) if cpus.count(',') < 3 else ()
    return [rounds.Row(f'reactors P={depth}', key_load('kv', depth, reactors=2),
                       {'uring': None, **servers.ONE_THREAD, **servers.LIMITS_OF_TWO, **several},
                       shared)
            for depth in KEY_DEPTHS]


def latency_echo_rows(peers, notes):
    commands = {**servers.ENGINES, **servers.LIMIT_URING, **servers.echo_peers(peers, notes)}
    return [rounds.Row('latency echo', echo_load(64, 1), commands)]


def latency_key_rows(peers, notes):
    commands = {**servers.ENGINES, **servers.key_peers(peers, notes)}
    return [rounds.Row('latency kv', key_load('kv', 1), commands)]


def compared(make_rows, measure):
    """A section of rows, each with its share of the time; one that fails leaves the others."""
    def measure_rows(arguments, clock):
        notes, measured = [], {}
        rows = make_rows(arguments.peers, notes)
        for number, row in enumerate(rows):
            print(f'  {row.name}: {row.workload}', flush=True)
            share, before = rounds.Clock(clock.left() / (len(rows) - number)), machine()
            try:
                measured[row.name] = {**measure(row, share), 'machine': before}
            except FAILURES as failure:
                complain(f'{row.name}: {failure}', notes)
                continue
            for name, why in measured[row.name]['failed'].items():
                complain(f'{row.name}, {name}: {why}', notes)
            print(report.brief(measured[row.name]), end='', flush=True)
        if not measured:
            raise rounds.Failure('; '.join(notes) or 'nothing was measured')
        return {'rows': measured, 'notes': notes,
                'commands': list(dict.fromkeys(servers.shown(name, command) for row in rows
                                               for name, command in row.servers.items()
                                               if command is not None))}

    return measure_rows


def complain(text, notes):
    notes.append(text)
    print(f'  {text}', file=sys.stderr, flush=True)


# ---- one server at a time ----

def probe_each(commands, probe, notes, clock):
    """{name: probe(name, words)} for every server that is here; why not, in `notes`."""
    found = {}
    for name, command in servers.available(commands, notes).items():
        if not clock.left():
            complain(f'{name}: left out, the time was over', notes)
            continue
        try:
            found[name] = probe(name, servers.split(command))
        except FAILURES as reason:
            complain(f'{name}: {reason}', notes)
        print(f'  {name}: {report.brief_figure(found.get(name))}', flush=True)
    return found


# What callgrind looks at: a load, and the programs under it.
USER_SPACE = {
    'echo 64x1': (echo_load(64, 1), servers.ECHO_PROGRAMS, list(servers.ECHO_PROGRAMS)),
    'GET P=1': (key_load('get', 1), servers.KEY_PROGRAMS, ['limit-uring', 'rota-kv, uring']),
    'SET P=1': (key_load('set', 1), servers.KEY_PROGRAMS, ['limit-uring', 'rota-kv, uring']),
    'kv P=16': (key_load('kv', 16), servers.KEY_PROGRAMS, ['limit-uring', 'rota-kv, uring']),
    'kv P=64': (key_load('kv', 64), servers.KEY_PROGRAMS, ['limit-uring', 'rota-kv, uring']),
}


def measure_user_space(arguments, clock):
    notes, figures = [], {}
    for row, (workload, programs, names) in USER_SPACE.items():
        options = probes.load_options(workload)
        print(f'  {row}: {workload}')
        figures[row] = probe_each({name: programs[name] for name in names},
                                  lambda _, words: callgrind.measure(words, options), notes, clock)
    return {'figures': figures, 'notes': notes}


def measure_calls(arguments, clock):
    notes, figures = [], {}
    commands = {**servers.ECHO_PROGRAMS, **servers.echo_peers(arguments.peers, notes)}
    chosen = {name: command for name, command in commands.items()
              if name == 'libuv' or name in servers.ECHO_PROGRAMS and 'task' not in name}
    for depth in (1, 16):
        options = probes.load_options(echo_load(4, depth))
        figures[f'echo 4x{depth}'] = probe_each(
            chosen, lambda _, words: probes.system_calls(words, options), notes, clock)
    return {'figures': figures, 'notes': list(dict.fromkeys(notes))}


def measure_idle(arguments, clock):
    notes = []
    keys = {name: command for name, command in servers.KEY_PROGRAMS.items() if 'rota' in name}
    keys.update(servers.key_peers(arguments.peers, notes))
    echo = {'rota task, uring': servers.ECHO_PROGRAMS['rota task, uring'],
            **{name: command for name, command in servers.echo_peers(arguments.peers, []).items()
               if name == 'libuv'}}

    def exchange(name):
        if name in echo:
            return ECHO_EXCHANGE
        return MEMCACHED_EXCHANGE if keys[name].startswith('memcached') else RESP_EXCHANGE

    return {'figures': probe_each({**keys, **echo}, lambda name, words: probes.idle_connection(
        words, exchange(name)), notes, clock), 'notes': notes}


def measure_key(arguments, clock):
    notes = []
    ours = servers.KEY_PROGRAMS['rota-kv, uring']
    commands = {'rota-kv': ours, 'rota-kv, with expiry': ours,
                **servers.key_peers(arguments.peers, notes)}

    def fill(name):
        if name == 'rota-kv, with expiry':
            return probes.fill_expiring
        return probes.fill_memcached if commands[name].startswith('memcached') else probes.fill

    pairs = probe_each(commands, lambda name, words: probes.memory_per_key(words, fill(name)),
                       notes, clock)
    return {'figures': {kind: {name: pair[at] for name, pair in pairs.items()
                               if pair[at] is not None}
                        for at, kind in enumerate(('resident', 'allocated'))},
            'notes': notes}


# ---- micro-benchmarks ----

def measure_micro(arguments, clock):
    figures, notes, programs = {}, [], {}
    # Those that take long last, so that they cost nobody else's place.
    for program in sorted(ratios.programs(), key=lambda path: path.endswith(LONG_PROGRAMS)):
        if not clock.left():
            complain(f'{os.path.basename(program)}: left out, the time was over', notes)
            continue
        print(f'  {os.path.basename(program)}', flush=True)
        found, said = ratios.measure_program(program, REPETITIONS)
        notes += said
        for name, values in found.items():
            figures.setdefault(name, []).extend(values)
            programs[name] = program
    return {'figures': figures, 'notes': list(dict.fromkeys(notes)), 'programs': programs}


def measure_primitives(arguments, clock):
    return compare.measure(list(compare.WORKS), PRIMITIVE_ROUNDS, lambda: clock.left() > 0)


# ---- profiles of what is not reached ----

def profile_micro(results, name):
    benchmark = name.partition(': ')[0]
    escaped = re.sub(r'([][().+*?^$|\\])', r'\\\1', benchmark)
    words = [results['micro']['programs'][benchmark], f'--benchmark_filter=^{escaped}$']
    return {'instructions': callgrind.profile_of_program(
        [*words, '--benchmark_min_time=0.01'], [*words, '--benchmark_min_time=0.5'])}


def profile_row(workload, engine):
    """Where instructions and CPU time are, while our program is under that load."""
    is_echo = workload.startswith('echo')
    kind = servers.ECHO_PROGRAMS if is_echo else servers.KEY_PROGRAMS
    name = 'rota protocol' if is_echo else 'rota-kv'
    two = 'reactors=2' in workload
    options = probes.load_options(workload)
    command = kind[f'{name}, {engine}'].replace('{threads}', '2' if two else '1')
    # Valgrind runs one thread at a time and takes a wait in io_uring for work: two reactors would
    # wait for each other for ever.
    counted = command.replace('--backend uring', '--backend epoll') if two else command
    found = {'instructions': callgrind.measure(servers.split(counted), options)['functions']}
    try:
        found['symbols'], found['programs'] = probes.cpu_profile(servers.split(command), options)
    except FAILURES as reason:
        found['why_no_symbols'] = str(reason)
    return found


def profile(verdict, results):
    """What is known about a row that is not reached, or None."""
    if verdict.section == 'key':
        kinds = results['key']['figures']
        found = {kind: of_servers.get(verdict.server) for kind, of_servers in kinds.items()}
        return None if None in found.values() else found
    if verdict.section == 'micro':
        return profile_micro(results, verdict.server)
    if verdict.section == 'user-space':
        servers_of_row = results['user-space']['figures'][verdict.row]
        return {'instructions': servers_of_row[verdict.server]['functions']}
    if 'rows' in results.get(verdict.section, {}):
        points = results[verdict.section]['rows'][verdict.row]['points']
        return profile_row(points[0]['settings'], verdict.server)
    return None


def measure_profiles(arguments, clock):
    """Per row and server that missed a target: where its CPU time is."""
    results, figures, notes = read_results(), {}, []
    for verdict in verdicts.judge(results, verdicts.read_targets(TARGETS)):
        row = 'key' if verdict.section == 'key' else verdict.row
        title = f'{row}: {verdict.server}' if row else verdict.server
        if verdict.said != verdicts.MISSED or title in figures:
            continue
        if not clock.left():
            complain(f'{title}: left out, the time was over', notes)
            continue
        try:
            found = profile(verdict, results)
        except FAILURES as reason:
            complain(f'{title}: {reason}', notes)
            continue
        if found:
            figures[title] = found
            print(f'  {title}', flush=True)
    return {'figures': figures, 'notes': list(dict.fromkeys(notes))}


# How many seconds it may take, what it is, and who measures it.
Section = collections.namedtuple('Section', 'seconds about measure')
SECTIONS = {
    'echo': Section(240, 'echo on both engines, a raw loop and fast peers',
                    compared(echo_rows, rounds.measure_cost)),
    'echo-epoll': Section(95, 'echo on epoll and a raw epoll loop',
                          compared(echo_epoll_rows, rounds.measure_cost)),
    'echo-slow': Section(25, 'echo and the peers that cannot keep up, one row',
                         compared(echo_slow_rows, rounds.measure_closed)),
    'kv': Section(250, 'SET:GET 1:10, 10 000 keys',
                  compared(key_rows('kv', 10_000), rounds.measure_cost)),
    'kv-large': Section(420, 'SET:GET 1:10, 1 000 000 keys, written anew at each start',
                        compared(key_rows('kv-large', 1_000_000), rounds.measure_cost)),
    'reactors': Section(190, 'two reactors on two cores',
                        compared(reactor_rows, rounds.measure_pairs)),
    'latency-echo': Section(110, 'latency of echo at 70 % of capacity',
                            compared(latency_echo_rows, rounds.measure_latency)),
    'latency-kv': Section(110, 'latency of key-value requests at 70 % of capacity',
                          compared(latency_key_rows, rounds.measure_latency)),
    'user-space': Section(90, 'instructions, allocations, calls per turn, by callgrind',
                          measure_user_space),
    'calls': Section(35, 'system calls per request, by the kernel', measure_calls),
    'idle': Section(170, 'memory of an idle connection', measure_idle),
    'key': Section(150, 'memory per key', measure_key),
    'micro': Section(170, 'micro-benchmarks', measure_micro),
    'primitives': Section(110, "primitives beside others'", measure_primitives),
    'profiles': Section(90, 'where the time is in what is not reached', measure_profiles),
}


# ---- the whole ----

def machine():
    def first(path, key):
        with open(path) as file:
            for line in file:
                if line.startswith(key):
                    return line.split(':', 1)[1].strip()
        return 'unknown'

    return {'cpu': first('/proc/cpuinfo', 'model name'), 'cores': os.cpu_count(),
            'memory': first('/proc/meminfo', 'MemTotal'), 'kernel': platform.release(),
            'load': os.getloadavg()[1], 'date': time.strftime('%Y-%m-%d %H:%M')}


def read_results():
    try:
        with open(RESULTS) as file:
            results = json.load(file)
    except FileNotFoundError:
        return {}
    return results if results.pop('format', None) == FORMAT else {}


def keep(name, measured, before):
    """Add to what is kept; rows that were not measured this time stay."""
    results = read_results()
    if 'rows' in measured:
        measured['rows'] = {**results.get(name, {}).get('rows', {}), **measured['rows']}
    results[name] = {**measured, 'machine': before}
    with open(f'{RESULTS}.new', 'w') as file:
        json.dump({'format': FORMAT, **results}, file, indent=1)
    os.replace(f'{RESULTS}.new', RESULTS)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', metavar='SECTIONS', help='with commas, or none')
    parser.add_argument('--list', action='store_true', help='say what the sections are')
    parser.add_argument('--scale', type=float, default=1, help='of the time each section may take')
    parser.add_argument('--peer', action='append', default=[],
                        metavar="'NAME=[PROTOCOL:]COMMAND with {port}'")
    arguments = parser.parse_args()
    only = list(SECTIONS) if arguments.only is None else \
        [name for name in arguments.only.split(',') if name != 'none']
    if set(only) - set(SECTIONS):
        parser.error(f'no such section: {", ".join(sorted(set(only) - set(SECTIONS)))}; there are '
                     f'{", ".join(SECTIONS)}')
    if not 0 < arguments.scale <= 100:
        parser.error('--scale takes more than 0, and at most 100')
    arguments.only = [name for name in SECTIONS if name in only]
    return arguments


def show_sections(names, scale):
    for name in names:
        print(f'{name:12} {SECTIONS[name].seconds * scale:6.0f} s  {SECTIONS[name].about}')
    whole = sum(SECTIONS[name].seconds for name in names) * scale
    print(f'{"in all":12} {whole:6.0f} s', flush=True)


def measure_section(name, arguments):
    """Measure and keep it. Returns whether that went well."""
    section = SECTIONS[name]
    print(f'== {name}, {section.seconds * arguments.scale:.0f} s: {section.about}', flush=True)
    before, began = machine(), time.monotonic()
    try:
        keep(name, section.measure(arguments, rounds.Clock(section.seconds * arguments.scale)),
             before)
    except FAILURES as failure:     # the other sections are worth having
        print(f'  {name}: {failure}', file=sys.stderr)
        return False
    print(f'  took {time.monotonic() - began:.0f} s', flush=True)
    return True


def interrupted(number, _frame):
    raise KeyboardInterrupt


def main():
    arguments = parse_arguments()
    if arguments.list:
        show_sections(list(SECTIONS), arguments.scale)
        return
    arguments.peers = servers.parse_peers(arguments.peer)
    os.chdir(os.path.join(HERE, '..'))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    show_sections(arguments.only, arguments.scale)
    failed = [name for name in arguments.only if not measure_section(name, arguments)]
    with open(PAGE, 'w') as page:
        page.write(report.page(read_results(), verdicts.read_targets(TARGETS)))
    print(f'wrote {PAGE}')
    if failed:
        raise rounds.Failure(f'not measured: {", ".join(failed)}')


if __name__ == '__main__':
    try:
        main()
    except rounds.Failure as failure:
        sys.exit(f'performance: {failure}')
    except KeyboardInterrupt:
        sys.exit('performance: ended by a signal; what was finished is kept')
