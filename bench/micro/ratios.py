#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the micro benchmarks and show each beside what was recorded in bench/micro/baseline.json.

    ninja bench             all of them; BENCH_FLAGS goes to Google Benchmark, such as
                            --benchmark_filter=context
    ninja bench-record      write the file anew
    bench/micro/ratios.py [--record] [--file FILE] [--repetitions N] [GOOGLE BENCHMARK'S OPTIONS]

A figure is the best of its repetitions, in processor time. On a busy machine even those vary by a
fifth, and more where caches or two threads matter, so a ratio is something to look at and nothing
fails by it; instructions are guarded instead (ninja guard). Only the standard library.
"""
import argparse
import glob
import json
import os
import platform
import re
import subprocess
import sys
import time

BASELINE = 'bench/micro/baseline.json'
PROGRAMS = 'build/release/bench/micro/*_bench'
REPETITIONS = 12
MIN_TIME = '--benchmark_min_time=0.05'
HANG_SECONDS = 900
UNITS_NS = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}
# What Google Benchmark says of a run; everything else is a figure of the benchmark's own.
OF_THE_LIBRARY = {'family_index', 'per_family_instance_index', 'repetitions', 'repetition_index',
                  'threads', 'iterations', 'real_time', 'cpu_time'}


def add_run(figures, run):
    """A benchmark's time in ns, and the figures of its own under "name: figure"."""
    name = run['run_name']
    figures.setdefault(name, []).append(run['cpu_time'] * UNITS_NS[run['time_unit']])
    for key, value in run.items():
        if key not in OF_THE_LIBRARY and isinstance(value, (int, float)):
            figures.setdefault(f'{name}: {key}', []).append(value)


def measure_program(program, repetitions, options=()):
    """{figure: [one per repetition]}, and what is to be said beside them."""
    figures, notes = {}, []
    done = subprocess.run(['taskset', '-c', '0,1' if 'mailbox' in program else '0', program,
                           '--benchmark_format=json', f'--benchmark_repetitions={repetitions}',
                           MIN_TIME, *options],
                          capture_output=True, text=True, timeout=HANG_SECONDS)
    if done.returncode:
        return figures, [f'{os.path.basename(program)} ended with status {done.returncode}: '
                         f'{" ".join(done.stderr.split())}']
    # Nothing, if the filter lets none through.
    for run in json.loads(done.stdout)['benchmarks'] if done.stdout else []:
        if run.get('error_occurred'):
            notes.append(f'{run["run_name"]}: {run["error_message"]}')
        elif run['run_type'] == 'iteration':
            add_run(figures, run)
    return figures, list(dict.fromkeys(notes))


def programs():
    return sorted(glob.glob(PROGRAMS))


def machine():
    with open('/proc/cpuinfo') as file:
        found = re.search(r'^model name\s*: (.*)$', file.read(), re.MULTILINE)
    return f'{found.group(1) if found else platform.machine()}, {os.cpu_count()} processors'


def read_baseline(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {'machine': None, 'figures': {}}


def write_baseline(path, best):
    with open(path, 'w') as file:
        json.dump({'machine': machine(), 'kernel': platform.release(),
                   'date': time.strftime('%Y-%m-%d'),
                   'figures': {name: float(f'{value:.4g}') for name, value in best.items()}},
                  file, indent=1)
        file.write('\n')


def show(name, now, before):
    beside = f'{before:12.6g} {now / before:8.2f}' if before else f'{"-":>12}'
    print(f'{name:58} {now:12.6g} {beside}', flush=True)


def measure_and_show(repetitions, options, recorded):
    """{figure: the best of it}."""
    best = {}
    for program in programs():
        figures, notes = measure_program(program, repetitions, options)
        for name, values in figures.items():
            if name not in best:    # each program has the empty loop
                best[name] = min(values)
                show(name, best[name], recorded.get(name))
        for note in notes:
            print(note, file=sys.stderr)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--record', action='store_true', help='write the file anew')
    parser.add_argument('--file', default=BASELINE)
    parser.add_argument('--repetitions', type=int, default=REPETITIONS)
    arguments, options = parser.parse_known_args()
    baseline = read_baseline(arguments.file)
    if baseline['machine'] not in (None, machine()):
        print(f'recorded on {baseline["machine"]}, and this is {machine()}')
    print(f'{"best of " + str(arguments.repetitions) + ", in ns unless the name says more":58} '
          f'{"now":>12} {"recorded":>12} {"ratio":>8}')
    best = measure_and_show(arguments.repetitions, options, baseline['figures'])
    if not best:
        sys.exit('ratios: nothing was measured')
    if arguments.record:
        # What was left out this time keeps its figure.
        write_baseline(arguments.file, {**baseline['figures'], **best})
        print(f'wrote {arguments.file}')


if __name__ == '__main__':
    main()
