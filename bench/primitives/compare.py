#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tasks, locks, messages, timers and cancelling cost, in rota and in its peers.

    ninja primitives                        print the table, in less than three minutes
    bench/primitives/compare.py --only yield,message --rounds 20

Every work runs in a process of its own, pinned to one core (the waking of a loop from another
thread: to two), for 0.15 s or once. The systems take turns, in a random order each round. Peers
whose library is not here are left out, and the table says so.
"""
import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(ROOT, 'bench'))

import report      # noqa: E402
import verdicts    # noqa: E402

BUILD = 'build/release/bench'
HERE = 'bench/primitives'
STATUS_SKIPPED = 77
SECONDS_MAX = 120

WORKS = {
    'yield': 'yield, two tasks',
    'spawn': 'spawn + join',
    'lock': 'lock + unlock, free',
    'message': 'message to a task that waits',
    'timer': 'timer: arm + disarm, 100 000 armed',
    'deadline': 'deadline around nothing',
    'wake': 'wake by a thread + answer (wall)',
    'cancel-some': 'cancel 5 000 sleepers, each',
    'cancel-many': 'cancel 100 000 sleepers, each',
    'memory': 'bytes of a sleeping task, one of N',
}
# The distribution's Python, which is what people have, and faster than many others.
PYTHON = shutil.which('python3', path='/usr/bin') or sys.executable
# System: its command; the library it needs, as bench/primitives/build.sh finds it; its source.
SYSTEMS = {
    'rota': ([f'{BUILD}/primitives-rota'], None, None),
    'State Threads': ([f'{BUILD}/primitives-state-threads'], 'st', 'state_threads.c'),
    'GNU Pth': ([f'{BUILD}/primitives-pth'], 'pth', 'pth.c'),
    'libuv': ([f'{BUILD}/primitives-libuv'], 'libuv', 'libuv.c'),
    'asyncio': ([PYTHON, f'{HERE}/works_asyncio.py'], None, None),
}


def version_of(words):
    """What a program says is its version, or ''."""
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ''
    found = re.search(r'\d+\.\d+(\.\d+)*', said)
    return found.group() if found else ''


def versions():
    """Which peers these are, in one line."""
    asked = [(system, version_of(['pkg-config', '--modversion', library]) or
              version_of([f'{library}-config', '--version']))
             for system, (_, library, _) in SYSTEMS.items() if library]
    asked.append(('Python', version_of([PYTHON, '--version'])))
    return ', '.join(f'{system} {version}' for system, version in asked if version)


def build_peers(notes):
    """{system: (command, its works)} of those that are here; the others go to `notes`."""
    here = {}
    for system, (command, library, source) in SYSTEMS.items():
        if library:
            subprocess.run(['bench/primitives/build.sh', library, command[0], f'{HERE}/{source}',
                            f'{HERE}/primitives.c'], check=True, stdout=subprocess.DEVNULL)
        if not os.path.exists(command[0]):
            notes.append(f'{system} is left out: its library is not here')
            continue
        listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        here[system] = (command, listed.stdout.split())
    return here


def run_work(command, work):
    """(figure, of how many), or (None, why not)."""
    cpus = '0,1' if work == 'wake' else '0'
    try:
        done = subprocess.run(['taskset', '-c', cpus, *command, work], capture_output=True,
                              text=True, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return None, f'more than {SECONDS_MAX} s'
    said = (done.stdout or done.stderr).strip()
    if done.returncode == STATUS_SKIPPED:
        return None, said
    if done.returncode:
        return None, f'ended with status {done.returncode}: {said[-200:]}'
    figure, count = said.split()
    return float(figure), int(count)


def measure_work(work, systems, rounds, notes):
    """{system: {'figures': [a figure per round], 'count': of how many}}."""
    found = {system: {'figures': [], 'count': 0} for system in systems}
    for _ in range(rounds):
        for system in random.sample(list(found), len(found)):
            figure, count = run_work(systems[system][0], work)
            if figure is None:
                notes.append(f'{system}, {WORKS[work]}: {count}')
                del found[system]
                continue
            found[system]['figures'].append(figure)
            found[system]['count'] = count
    return found


def measure(works, rounds, has_time=lambda: True):
    """What bench/performance.py keeps: the figures by the works' titles, and notes."""
    notes, figures = [versions()], {}
    here = build_peers(notes)
    for work in works:
        if not has_time():
            notes.append(f'{WORKS[work]}: left out, the time was over')
            continue
        systems = {system: one for system, one in here.items() if work in one[1]}
        figures[WORKS[work]] = measure_work(work, systems, rounds, notes)
        print('  ' + WORKS[work] + ': ' + ', '.join(
            f'{system} {verdicts.figure(statistics.median(one["figures"]))}'
            for system, one in figures[WORKS[work]].items()), file=sys.stderr, flush=True)
    return {'figures': figures, 'notes': notes, 'rounds': rounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', help=f'of {", ".join(WORKS)}')
    parser.add_argument('--rounds', type=int, default=5)
    arguments = parser.parse_args()
    works = arguments.only.split(',') if arguments.only else list(WORKS)
    if set(works) - set(WORKS):
        parser.error(f'there are {", ".join(WORKS)}')
    os.chdir(ROOT)
    measured = measure(works, arguments.rounds)
    print(report.primitives_table(measured['figures']))
    print(report.notes(measured), end='')


if __name__ == '__main__':
    main()
