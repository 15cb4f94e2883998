#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the instructions of the guards' scenarios, and compare them with those recorded in
bench/guard/instructions.tsv.

    ninja guard             fail when one has grown or shrunk by more than 3 %
    ninja guard-renew       write the file anew: for a change that is meant to
    bench/guard/guard.py --tolerance 0 [--only NAME,NAME...]
                            what a change does to them, however little

The numbers are the same in every run. They depend on the compiler, the C library and valgrind, so
the file names those it was made with, and with others nothing is compared. Only the standard
library. See docs/design/0021-guards.md.
"""
import argparse
import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..'))

import callgrind    # noqa: E402

PROGRAM = 'build/release/bench/guard/guard'
FILE = 'bench/guard/instructions.tsv'
TOLERANCE_PERCENT = 3
HANG_SECONDS = 240
SHOWN = 8       # functions of a scenario that has changed
# The C library takes the copying functions every x86-64 machine has, and the allocator gives
# nothing back by the clock.
ENVIRONMENT = {'PATH': os.environ.get('PATH', ''),
               'GLIBC_TUNABLES': 'glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM',
               'MALLOC_CONF': 'dirty_decay_ms:-1,muzzy_decay_ms:-1'}


class Failure(Exception):
    """What stands in the way, in one line."""


def output_of(*words):
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Failure(f'{" ".join(words[-2:])} ended with status {done.returncode}: '
                      f'{said[-1] if said else "it said nothing"}')
    return done.stdout.strip()


def made_by(program):
    """What the numbers depend on beside the code."""
    return ', '.join((output_of(program, '--made-by'), output_of('valgrind', '--version'),
                      platform.machine()))


def count(program, name):
    """The instructions per operation of a scenario, and how many of them are in which functions."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        operations = int(output_of('valgrind', '--quiet', '--tool=callgrind',
                                   '--collect-atstart=no', f'--callgrind-out-file={out}',
                                   program, name))
        counts = callgrind.read_counts(out)
    # As the file has it: what is compared with itself must be equal.
    return (round(sum(counts.own.values()) / operations, 1),
            [(function, own / operations) for function, own in counts.own.most_common(SHOWN)])


def count_all(program, names):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: count(program, name), names)))


def read_file(path):
    """What a file was made by, and {scenario: instructions}."""
    with open(path) as file:
        lines = file.read().splitlines()
    maker = next((line[len('# made by '):] for line in lines if line.startswith('# made by ')), '')
    rows = [line.split('\t') for line in lines if line and not line.startswith('#')]
    return maker, {name: float(instructions) for name, instructions in rows}


def write_file(path, maker, counts):
    with open(path, 'w') as file:
        file.write('# Instructions per operation, without those of the engine; '
                   'written by `ninja guard-renew`.\n'
                   f'# made by {maker}\n')
        for name, (instructions, _) in counts.items():
            file.write(f'{name}\t{instructions:.1f}\n')


def changes(recorded, counts, tolerance_percent):
    """A line for each that is not as recorded; the functions it is in behind those that grew."""
    for name, (now, functions) in counts.items():
        before = recorded[name]
        if 100 * abs(now - before) <= tolerance_percent * before:
            continue
        yield f'{name}: {before:.1f} -> {now:.1f} instructions, {100 * (now / before - 1):+.1f} %'
        if now > before:
            yield from (f'    {own:9.1f} {function}' for function, own in functions)


def check(arguments, maker, names):
    recorded_maker, recorded = read_file(arguments.file)
    if maker != recorded_maker:
        print(f'guard: skipped, {arguments.file} is for {recorded_maker}; this is {maker}')
        return
    unknown = set(recorded) ^ set(output_of(arguments.program, '--list').split())
    if unknown:
        raise Failure(f'{arguments.file} and the program do not have the same scenarios: '
                      f'{", ".join(sorted(unknown))}; ninja guard-renew writes it anew')
    counts = count_all(arguments.program, names)
    lines = list(changes(recorded, counts, arguments.tolerance))
    if lines:
        print('\n'.join(lines))
        raise Failure(f'not as in {arguments.file}. If that is meant: ninja guard-renew, and '
                      'commit the file with the change')
    print(f'guard: {len(names)} scenarios within {arguments.tolerance:g} % of {arguments.file}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--renew', action='store_true', help='write the file anew')
    parser.add_argument('--program', default=PROGRAM)
    parser.add_argument('--file', default=FILE)
    parser.add_argument('--only', help='these scenarios')
    parser.add_argument('--tolerance', type=float, default=TOLERANCE_PERCENT, metavar='PERCENT')
    arguments = parser.parse_args()
    if arguments.renew and arguments.only:
        parser.error('the file is renewed as a whole')
    if not shutil.which('valgrind'):
        print('guard: skipped, there is no valgrind')
        return
    known = output_of(arguments.program, '--list').split()
    names = arguments.only.split(',') if arguments.only else known
    if set(names) - set(known):
        parser.error(f'no such scenario: {", ".join(sorted(set(names) - set(known)))}')
    maker = made_by(arguments.program)
    if arguments.renew:
        write_file(arguments.file, maker, count_all(arguments.program, names))
        print(f'guard: wrote {arguments.file}')
    else:
        check(arguments, maker, names)


if __name__ == '__main__':
    try:
        main()
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f'guard: {failure}')
