#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure rota against its targets and write docs/performance.md, all of it.

    ninja performance                               everything, about half an hour
    bench/performance.py --only 'kv P=16,micro'     these rows and sections anew, the others as they
                                                    were
    bench/performance.py --only none                only write the page again
    bench/performance.py --peer 'valkey=src/valkey-server --port {port} --save ""'
                                                    one more key-value server, if it speaks RESP,
                                                    or this one for that of bench/peers/peers.tsv;
                                                    with {threads} in it also beside two reactors

Sections: echo, kv, kv-large, reactors, latency-echo, latency-kv, user-space, calls, idle, key,
micro, primitives, profiles. What was measured is kept in build/measured.json. Servers that are not
installed are left out, and the page says so. Only the standard library; nothing else should run
on the machine meanwhile.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, name) for name in ('limit', 'micro', 'primitives')]

import callgrind   # noqa: E402
import compare     # noqa: E402
import paired      # noqa: E402
import probes      # noqa: E402
import ratios      # noqa: E402
import report      # noqa: E402
import rows        # noqa: E402
import servers     # noqa: E402
import verdicts    # noqa: E402

RESULTS = 'build/measured.json'
PAGE = 'docs/performance.md'
TARGETS = 'bench/targets.tsv'
# A request and how its answer begins.
ECHO_EXCHANGE = (b'x', b'x')
RESP_EXCHANGE = (b'*1\r\n$4\r\nPING\r\n', b'+PONG')
MEMCACHED_EXCHANGE = (b'version\r\n', b'VERSION')
LARGE_ROUNDS_SHARE = 4      # no target speaks of a million keys: a quarter of the rounds


def echo_row(conns, depth):
    return rows.Row(f'echo {conns}x{depth}', f'echo:conns={conns},depth={depth},payload=64', depth)


def key_row(name, depth, keys=10_000, ratio='1:10'):
    return rows.Row(name, f'resp:conns=64,depth={depth},value=64,keys={keys},ratio={ratio}', depth)


ROWS = {
    'echo': [echo_row(64, 1), echo_row(64, 16), echo_row(1000, 1)],
    'kv': [key_row(f'kv P={depth}', depth) for depth in (1, 16, 64)],
    'kv-large': [key_row(f'kv-large P={depth}', depth, 1_000_000) for depth in (1, 16, 64)],
    'reactors': [key_row(f'reactors P={depth}', depth) for depth in (1, 16, 64)],
    'latency-echo': [rows.Row('latency echo', echo_row(64, 1).workload)],
    'latency-kv': [rows.Row('latency kv', key_row('', 1).workload)],
}
# What callgrind looks at: a load, and the servers under it.
USER_SPACE = [
    (echo_row(64, 1), [name for name in servers.ECHO if not servers.is_peer(name)]),
    (key_row('GET P=1', 1, ratio='0:1'), ['limit-uring', 'rota-kv, uring', 'redis']),
    (key_row('SET P=1', 1, ratio='1:0'), ['limit-uring', 'rota-kv, uring', 'redis']),
    (key_row('kv P=16', 16), ['limit-uring', 'rota-kv, uring']),
    (key_row('kv P=64', 64), ['limit-uring', 'rota-kv, uring']),
]


# ---- paired rounds ----

def wanted(section, arguments):
    return [row for row in ROWS[section]
            if section in arguments.only or row.name in arguments.only]


def measure_echo(arguments):
    return rows.section(servers.ECHO, wanted('echo', arguments), rows.measure_cost, arguments)


def measure_kv(arguments):
    return rows.section(servers.key_servers(arguments.peers), wanted('kv', arguments),
                        rows.measure_cost, arguments)


def measure_kv_large(arguments):
    fewer = max(3, arguments.rounds // LARGE_ROUNDS_SHARE)
    return rows.section(servers.key_servers(arguments.peers), wanted('kv-large', arguments),
                        rows.measure_cost, arguments, rounds=fewer)


def measure_reactors(arguments):
    every = {**servers.KEYS, **arguments.peers}
    commands = {f'{name} x{threads}': servers.with_threads(command, threads)
                for name, command in every.items()
                if '{threads}' in command and name != 'rota-kv, epoll' for threads in (1, 2)}
    return rows.section(commands, wanted('reactors', arguments), rows.measure_fixed, arguments,
                        server_cpus='0,1', load_cpu=-1)


def measure_latency_echo(arguments):
    commands = {name: command for name, command in servers.ECHO.items() if 'task' not in name}
    return rows.section(commands, wanted('latency-echo', arguments), rows.measure_latency,
                        arguments)


def measure_latency_kv(arguments):
    return rows.section(servers.key_servers(arguments.peers), wanted('latency-kv', arguments),
                        rows.measure_latency, arguments)


# ---- one server at a time ----

def probe_each(commands, probe, notes):
    """{name: probe(name, words)} for every server that is here; why not, in `notes`."""
    found = {}
    for name, command in servers.available(commands, notes).items():
        try:
            found[name] = probe(name, servers.words_of(command))
        except (probes.Unavailable, OSError, subprocess.SubprocessError) as reason:
            notes.append(f'{name}: {reason}')
        print(f'  {name}: {found.get(name)}', flush=True)
    return found


def load_options(workload):
    """The load client's words for a workload that callgrind looks at."""
    load = paired.Workload(workload)
    prefill = ['--prefill'] if load.protocol == 'resp' else []
    return ['--protocol', load.protocol, *prefill, *load.options]


def count_each(commands, workload, arguments, notes):
    return probe_each(
        commands,
        lambda _, words: callgrind.measure(words, arguments.port, servers.CLIENT,
                                           load_options(workload)), notes)


def measure_user_space(arguments):
    notes, figures = [], {}
    every = {'echo': servers.ECHO, 'resp': servers.key_servers({})}
    for row, names in USER_SPACE:
        commands = every[paired.Workload(row.workload).protocol]
        print(row.name)
        figures[row.name] = count_each({name: commands[name] for name in names}, row.workload,
                                       arguments, notes)
    return {'figures': figures, 'notes': notes}


def measure_calls(arguments):
    notes, figures = [], {}
    for depth in (1, 16):
        options = ['--connections', '4', '--payload', '64', '--depth', str(depth)]
        figures[f'echo 4x{depth}'] = probe_each(
            servers.ECHO, lambda _, words: probes.system_calls(
                words, arguments.port, servers.CLIENT, options), notes)
    return {'figures': figures, 'notes': list(dict.fromkeys(notes))}


def measure_idle(arguments):
    echo = {name: command for name, command in servers.ECHO.items()
            if not name.startswith(servers.LIMIT)}
    keys = servers.key_servers(arguments.peers, raw=False)
    exchanges = {**dict.fromkeys(echo, ECHO_EXCHANGE), **dict.fromkeys(keys, RESP_EXCHANGE),
                 'memcached': MEMCACHED_EXCHANGE}
    notes = []
    figures = probe_each(
        {**echo, **keys},
        lambda name, words: probes.idle_connection(words, arguments.port, exchanges[name]), notes)
    return {'figures': figures, 'notes': notes}


def measure_key(arguments):
    commands = servers.key_servers(arguments.peers, raw=False)
    commands['rota-kv'] = commands['rota-kv, with expiry'] = commands.pop('rota-kv, uring')
    del commands['rota-kv, epoll']
    fills = {'memcached': probes.fill_memcached, 'rota-kv, with expiry': probes.fill_expiring}
    notes = []
    pairs = probe_each(
        commands, lambda name, words: probes.memory_per_key(
            words, arguments.port, servers.CLIENT, fills.get(name, probes.fill_resp)), notes)
    return {'figures': {kind: {name: pair[at] for name, pair in pairs.items()
                               if pair[at] is not None}
                        for at, kind in enumerate(('resident', 'allocated'))},
            'notes': notes}


# ---- micro-benchmarks ----

def measure_micro(arguments):
    figures, notes, programs = {}, [], {}
    for program in ratios.programs():
        found, said = ratios.measure_program(program, arguments.repetitions)
        notes += said
        for name, values in found.items():
            figures.setdefault(name, []).extend(values)
            programs[name] = program
    return {'figures': figures, 'notes': list(dict.fromkeys(notes)), 'programs': programs}


def measure_primitives(arguments):
    return compare.measure(list(compare.WORKS), max(5, arguments.rounds // 8))


# ---- profiles of what is not reached ----

def profile_micro(results, name):
    benchmark = name.partition(': ')[0]
    escaped = re.sub(r'([][().+*?^$|\\])', r'\\\1', benchmark)
    words = [results['micro']['programs'][benchmark], f'--benchmark_filter=^{escaped}$']
    return {'instructions': callgrind.profile_of_program(
        [*words, '--benchmark_min_time=0.01'], [*words, '--benchmark_min_time=0.5'])}


def profile_row(section, row, server, arguments):
    """Where instructions and CPU time are, while the row's server is under the row's load."""
    every = {**servers.ECHO, **servers.key_servers(arguments.peers)}
    every.update((f'{name} x2', servers.with_threads(command, 2))
                 for name, command in servers.KEYS.items())
    workload = next(one.workload for one in ROWS[section] if one.name == row)
    options = load_options(workload)
    # Valgrind runs one thread at a time and takes a wait in io_uring for work: two reactors would
    # wait for each other for ever.
    counted = servers.words_of(every[server.replace('uring x2', 'epoll x2')])
    symbols, programs = probes.cpu_profile(servers.words_of(every[server]), arguments.port,
                                           servers.CLIENT, options)
    return {'symbols': symbols, 'programs': programs,
            'instructions': callgrind.measure(counted, arguments.port, servers.CLIENT,
                                              options)['functions']}


def profile(verdict, results, arguments):
    """What is known about a row that is not reached, or None: rows of memory have no profile."""
    if verdict.section == 'micro':
        return profile_micro(results, verdict.server)
    if verdict.section == 'user-space':
        servers_of_row = results['user-space']['figures'][verdict.row]
        return {'instructions': servers_of_row[verdict.server]['functions']}
    if verdict.section in ROWS:
        return profile_row(verdict.section, verdict.row, verdict.server, arguments)
    return None


def measure_profiles(arguments):
    """Per row and server that missed a target: where its CPU time is."""
    results, figures, notes = read_results(), {}, []
    for verdict in verdicts.judge(results, verdicts.read_targets(TARGETS)):
        title = f'{verdict.row}: {verdict.server}' if verdict.row else verdict.server
        if verdict.said != verdicts.MISSED or title in figures:
            continue
        try:
            found = profile(verdict, results, arguments)
        except (probes.Unavailable, OSError, subprocess.SubprocessError) as reason:
            notes.append(f'{title}: {reason}')
            continue
        if found:
            figures[title] = found
            print(f'  {title}', flush=True)
    return {'figures': figures, 'notes': notes}


SECTIONS = {'echo': measure_echo, 'kv': measure_kv, 'kv-large': measure_kv_large,
            'reactors': measure_reactors, 'latency-echo': measure_latency_echo,
            'latency-kv': measure_latency_kv, 'user-space': measure_user_space,
            'calls': measure_calls, 'idle': measure_idle, 'key': measure_key,
            'micro': measure_micro, 'primitives': measure_primitives,
            'profiles': measure_profiles}


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
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS) as file:
        return json.load(file)


def keep(name, measured, before):
    """Add to what is kept; rows that were not measured this time stay."""
    results = read_results()
    if 'rows' in measured:
        for row in measured['rows'].values():
            row['machine'] = before
        measured['rows'] = {**results.get(name, {}).get('rows', {}), **measured['rows']}
    results[name] = {**measured, 'machine': before}
    with open(RESULTS, 'w') as file:
        json.dump(results, file, indent=1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', help='sections and rows, with commas')
    parser.add_argument('--rounds', type=int, default=40)
    parser.add_argument('--seconds', type=float, default=0.2, help='of one server in one round')
    parser.add_argument('--latency-requests', type=int, default=120_000,
                        help='of one server in one round of latency')
    parser.add_argument('--repetitions', type=int, default=12, help='of a micro-benchmark')
    parser.add_argument('--peer', action='append', default=[], metavar="'NAME=COMMAND with {port}'")
    parser.add_argument('--port', type=int, default=21100, help='the first of twenty')
    arguments = parser.parse_args()
    names = set(SECTIONS) | {row.name for section in ROWS.values() for row in section}
    arguments.only = set(SECTIONS) if arguments.only is None else \
        set(arguments.only.split(',')) - {'none'}
    if arguments.only - names:
        parser.error(f'no such section or row: {", ".join(sorted(arguments.only - names))}')
    return arguments


def main():
    arguments = parse_arguments()
    arguments.peers = servers.parse_peers(arguments.peer)
    os.chdir(os.path.join(HERE, '..'))
    paired.end_by_signals()
    paired.set_slice()
    subprocess.run('bench/peers/peers.sh', check=True)
    failed = []
    for name, measure in SECTIONS.items():
        if name not in arguments.only and \
                arguments.only.isdisjoint(row.name for row in ROWS.get(name, [])):
            continue
        print(f'== {name}', flush=True)
        before = machine()
        try:
            keep(name, measure(arguments), before)
        except paired.Interrupted:
            raise
        except paired.Failure as failure:       # the other sections are worth having
            failed.append(name)
            print(f'  {failure}', file=sys.stderr)
    with open(PAGE, 'w') as page:
        page.write(report.page(read_results(), verdicts.read_targets(TARGETS)))
    print(f'wrote {PAGE}')
    if failed:
        raise paired.Failure(f'not measured: {", ".join(failed)}')


if __name__ == '__main__':
    try:
        main()
    except paired.Failure as failure:
        sys.exit(f'performance: {failure}')
