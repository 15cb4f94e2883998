#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure rota against its targets and write docs/performance.md, all of it.

    ninja performance                             everything, about a quarter of an hour
    bench/performance.py --only echo,kv           these sections anew, the others as they were
    bench/performance.py --only none              only write the page again

Sections: echo, kv, kv-large, kv-reactors, instructions, calls, idle, key, micro. What was measured
is kept in build/performance.json. CPU per request comes from paired rounds (bench/limit/paired.py),
everything else from bench/probes.py. A server that is not built or not installed is left out, and
the page says so. Only the standard library; nothing else should run on the machine meanwhile.
"""
import argparse
import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'limit'))

import paired      # noqa: E402
import probes      # noqa: E402
import report      # noqa: E402

BUILD = 'build/release'
RESULTS = 'build/performance.json'
PAGE = 'docs/performance.md'
CLIENT = f'{BUILD}/bench/limit-load'
ONE = '--reactors 1 --port {port}'
PING = b'*1\r\n$4\r\nPING\r\n'

ECHO_SERVERS = {
    'limit-uring': f'{BUILD}/bench/limit-uring --port {{port}}',
    'limit-epoll': f'{BUILD}/bench/limit-epoll --port {{port}}',
    'rota protocol, uring': f'{BUILD}/bench/echo-protocol --backend uring {ONE}',
    'rota protocol, epoll': f'{BUILD}/bench/echo-protocol --backend epoll {ONE}',
    'rota task, uring': f'{BUILD}/apps/rota-echo --backend uring {ONE}',
    'rota task, epoll': f'{BUILD}/apps/rota-echo --backend epoll {ONE}',
    'libuv': f'{BUILD}/bench/libuv-echo --port {{port}}',
}
KV_SERVERS = {
    'limit-uring': f'{BUILD}/bench/limit-uring --mode resp --port {{port}}',
    'limit-epoll': f'{BUILD}/bench/limit-epoll --mode resp --port {{port}}',
    'rota-kv, uring': f'{BUILD}/apps/rota-kv --backend uring {ONE}',
    'rota-kv, epoll': f'{BUILD}/apps/rota-kv --backend epoll {ONE}',
    'redis': "redis-server --port {port} --save '' --appendonly no --bind 127.0.0.1 "
             '--maxclients 19000',
}
# Answers no RESP, so only its memory is measured.
MEMCACHED = 'memcached -u nobody -l 127.0.0.1 -p {port} -t 1 -c 19000 -m 4096'


def available(servers, notes):
    """Those that can be started; what is missing goes to `notes`."""
    here = {}
    for name, command in servers.items():
        if shutil.which(command.split()[0]):
            here[name] = command
        else:
            notes.append(f'{name} is left out: there is no {command.split()[0]}')
    return here


# ---- CPU per request ----

def workloads(rows):
    chosen = []
    for name, text in rows.items():
        chosen.append(paired.Workload(text))
        chosen[-1].row = name
    return chosen


def paired_section(servers, rows, arguments, **changes):
    """The rows of paired.compare, each with the name of its row of the page."""
    notes = []
    here = available(servers, notes)
    options = argparse.Namespace(
        load=CLIENT, load_cpu=1, server_cpus='0', port=arguments.port, rounds=arguments.rounds,
        seconds=arguments.seconds, warmup=0.15, confidence=0.95, margin=0.0, steal_max=5.0,
        json=False)
    vars(options).update(changes)
    chosen = workloads(rows)
    measured = paired.compare(here, chosen, options)
    names = {workload.text: workload.row for workload in chosen}
    for row in measured:
        row['row'] = names[row['workload']]
    return {'rows': measured, 'notes': notes, 'rounds': options.rounds,
            'seconds': options.seconds, 'commands': here}


def measure_echo(arguments):
    rows = {f'echo {conns}x{depth}': f'echo:conns={conns},depth={depth},payload=64'
            for conns, depth in ((64, 1), (64, 16), (1000, 1))}
    return paired_section(ECHO_SERVERS, rows, arguments)


def kv_rows(prefix, keys):
    return {f'{prefix} P={depth}':
            f'resp:conns=64,depth={depth},value=64,keys={keys},ratio=1:10'
            for depth in (1, 16, 64)}


def measure_kv(arguments):
    return paired_section(KV_SERVERS, kv_rows('kv', 10_000), arguments)


def measure_kv_large(arguments):
    return paired_section(KV_SERVERS, kv_rows('kv-large', 1_000_000), arguments)


def measure_kv_reactors(arguments):
    command = f'{BUILD}/apps/rota-kv --backend uring --port {{port}}'
    servers = {'1 reactor': f'{command} --reactors 1', '2 reactors': f'{command} --reactors 2'}
    return paired_section(servers, kv_rows('kv-reactors', 10_000), arguments,
                          server_cpus='0,1')


# ---- probes ----

def probe_each(servers, probe, notes):
    """{name: probe(words)} for every server that is here; why not, in `notes`."""
    found = {}
    for name, command in available(servers, notes).items():
        try:
            found[name] = probe(name, paired.shlex.split(command))
        except (probes.Unavailable, OSError, subprocess.SubprocessError) as reason:
            notes.append(f'{name}: {reason}')
        print(f'  {name}: {found.get(name)}', flush=True)
    return found


def measure_instructions(arguments):
    notes = []
    options = ['--connections', '64', '--depth', '1', '--payload', '64']
    echo = {name: command for name, command in ECHO_SERVERS.items() if name != 'libuv'}
    figures = {'echo 64x1': probe_each(
        echo, lambda _, words: probes.instructions(words, arguments.port, CLIENT, options),
        notes)}
    for depth in (1, 16, 64):
        options = ['--protocol', 'resp', '--prefill', '--connections', '64', '--keys', '10000',
                   '--depth', str(depth)]
        servers = {name: KV_SERVERS[name] for name in ('limit-uring', 'rota-kv, uring')}
        figures[f'kv P={depth}'] = probe_each(
            servers, lambda _, words: probes.instructions(words, arguments.port, CLIENT, options),
            notes)
    return {'figures': figures, 'notes': notes}


def measure_calls(arguments):
    notes, figures = [], {}
    for depth in (1, 16):
        options = ['--connections', '4', '--payload', '64', '--depth', str(depth)]
        figures[f'echo 4x{depth}'] = probe_each(
            ECHO_SERVERS,
            lambda _, words: probes.system_calls(words, arguments.port, CLIENT, options), notes)
    return {'figures': figures, 'notes': notes}


def measure_idle(arguments):
    requests = dict.fromkeys(ECHO_SERVERS, b'x')
    requests.update(dict.fromkeys(KV_SERVERS, PING), memcached=b'version\r\n')
    servers = {**{name: ECHO_SERVERS[name] for name in ECHO_SERVERS if 'limit' not in name},
               **{name: KV_SERVERS[name] for name in KV_SERVERS if 'limit' not in name},
               'memcached': MEMCACHED}
    if 'rota-kv, uring' in servers:
        for name in ('rota-kv, uring', 'rota-kv, epoll'):
            servers[name] += ' --maxclients 19000'
    notes = []
    figures = probe_each(
        servers,
        lambda name, words: probes.idle_connection(words, arguments.port, requests[name]), notes)
    return {'figures': figures, 'notes': notes}


def measure_key(arguments):
    servers = {'rota-kv': KV_SERVERS['rota-kv, uring'], 'redis': KV_SERVERS['redis'],
               'memcached': MEMCACHED}
    notes = []

    def probe(name, words):
        fill = probes.fill_memcached if name == 'memcached' else probes.fill_resp
        return probes.memory_per_key(words, arguments.port, CLIENT, fill)

    return {'figures': probe_each(servers, probe, notes), 'notes': notes}


def measure_micro(_arguments):
    figures, notes = {}, []
    for program in sorted(glob.glob(f'{BUILD}/bench/micro/*_bench')):
        done = subprocess.run(
            ['taskset', '-c', '0', program, '--benchmark_format=json',
             '--benchmark_repetitions=5', '--benchmark_min_time=0.05'],
            capture_output=True, text=True, timeout=600)
        if done.returncode:
            notes.append(f'{os.path.basename(program)} ended with status {done.returncode}')
            continue
        for one in json.loads(done.stdout)['benchmarks']:
            if one['run_type'] == 'iteration':
                unit = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}[one['time_unit']]
                figures.setdefault(one['run_name'], []).append(one['cpu_time'] * unit)
    return {'figures': figures, 'notes': notes}


SECTIONS = {'echo': measure_echo, 'kv': measure_kv, 'kv-large': measure_kv_large,
            'kv-reactors': measure_kv_reactors, 'instructions': measure_instructions,
            'calls': measure_calls, 'idle': measure_idle, 'key': measure_key,
            'micro': measure_micro}


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
            'load': os.getloadavg()[1]}


def read_results():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS) as file:
        return json.load(file)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', default=','.join(SECTIONS), help='sections, with commas')
    parser.add_argument('--rounds', type=int, default=40)
    parser.add_argument('--seconds', type=float, default=0.5, help='of one server in one round')
    parser.add_argument('--port', type=int, default=21100, help='the first of ten')
    arguments = parser.parse_args()
    arguments.only = [name for name in arguments.only.split(',') if name != 'none']
    unknown = set(arguments.only) - set(SECTIONS)
    if unknown:
        parser.error(f'no such section: {", ".join(sorted(unknown))}')
    return arguments


def main():
    arguments = parse_arguments()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
    results = read_results()
    paired.end_by_signals()
    paired.set_slice()
    subprocess.run(['bench/peers/build.sh', 'libuv', 'bench/peers/libuv_echo.c',
                    f'{BUILD}/bench/libuv-echo'], check=True)
    for name in arguments.only:
        print(f'== {name}', flush=True)
        before = machine()
        measured = SECTIONS[name](arguments)
        measured.update(machine=before, date=time.strftime('%Y-%m-%d %H:%M'))
        results = read_results()
        results[name] = measured
        with open(RESULTS, 'w') as file:
            json.dump(results, file, indent=1)
    with open(PAGE, 'w') as page:
        page.write(report.page(results, report.read_targets('bench/targets.tsv')))
    print(f'wrote {PAGE}')


if __name__ == '__main__':
    try:
        main()
    except paired.Failure as failure:
        sys.exit(f'performance: {failure}')
