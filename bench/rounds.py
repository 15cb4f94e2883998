# SPDX-License-Identifier: MIT
"""Rows of bench/performance.py that compare servers: measured by rota-compare, read from its JSON.

A closed loop on a server with time to spare makes the faster one look worse: it finds fewer
requests per turn. So a row begins with a trial, a few rounds in a closed loop. Servers that are
busy in it are compared in a closed loop; the others, and ours beside them, at one fixed rate, a
share of what the slowest of them answered.
"""
import collections
import contextlib
import json
import os
import subprocess
import tempfile
import time

import verdicts

PROGRAM = 'build/release/bench/rota-compare'
BUSY_ENOUGH = 0.97      # in the trial; a verdict asks for verdicts.BUSY_MIN
FAR_BEHIND = 0.5        # of our capacity: such a server must not set the others' rate
SHARE = 0.7             # a fixed rate is this much of the lowest capacity
RATE_TRIALS, RATE_STEP = 3, 0.8
TRIAL = ['--rounds', '3', '--blocks', '1', '--round-seconds', '0.15']
SHORT = ['--round-seconds', '0.12', '--warmup', '0.03']
LONG = ['--round-seconds', '0.5', '--warmup', '0.05']   # for 99.9 per cent
LATE_SECONDS = 60       # from when rota-compare should have ended to when it is told to
END_SECONDS = 10        # from there to SIGKILL, which ends its children as well


class Failure(Exception):
    """What stands in the way, in one line."""


# Its name on the page; rota-compare's workload, of a closed loop; {name: what --server takes, or
# None for an engine of ours}; further options; whom all are compared with.
Row = collections.namedtuple('Row', 'name workload servers options reference',
                             defaults=((), 'uring'))


class Clock:
    """How much of a section's time is left."""

    def __init__(self, seconds):
        self.ends = time.monotonic() + seconds

    def left(self):
        return max(0, self.ends - time.monotonic())


# ---- rota-compare ----

@contextlib.contextmanager
def ended(process):
    """Nothing that we started is left over, whatever happens meanwhile."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else 'it said nothing'


def run(words, seconds):
    """Run rota-compare; returns its result."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'result.json')
        with open(os.path.join(folder, 'said'), 'w+') as said:
            process = subprocess.Popen(
                [PROGRAM, '--quiet', '--json', path, '--seconds', f'{max(1, seconds):.1f}', *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
            with ended(process):
                try:
                    process.wait(2 * seconds + LATE_SECONDS)
                except subprocess.TimeoutExpired:
                    raise Failure(f'rota-compare: no end after {2 * seconds + LATE_SECONDS:.0f} s')
            said.seek(0)
            if process.returncode:
                raise Failure(f'rota-compare ended with status {process.returncode}: '
                              f'{last_line(said.read())}')
        return read_result(path)


def read_result(path):
    """A result of rota-compare, without its histograms, which are most of it."""
    with open(path) as file:
        result = json.load(file)
    if result.get('format') != 'rota-compare 1':
        raise Failure(f'{path} is no result of rota-compare')
    for point in result['points']:
        for one in point['results']:
            del one['histogram']
    return result


def words_of(row, names, workload):
    """The engines and servers of `names`, and the rest of the command."""
    engines = [name for name in names if row.servers[name] is None]
    servers = [word for name in names if row.servers[name] is not None
               for word in ('--server', f'{name}={row.servers[name]}')]
    if not engines:
        raise Failure(f'{row.name}: none of ours takes part')
    return ['--engines', ','.join(engines), '--workload', workload, '--reference', row.reference,
            *servers, *row.options]


def measure_point(row, names, workload, how, seconds):
    """One point of rota-compare's, and what else the page shows of it."""
    words = words_of(row, names, workload) + how
    result = run(words, seconds)
    point, = result['points']
    if point['skipped']:
        raise Failure(f'{row.name}: {point["skipped"]}')
    made = result['made']
    return {**point, 'settings': workload, 'round_seconds': made['round_seconds'],
            'seed': made['seed'], 'blocks': made['blocks'],
            'left_out': {one['name']: one['why'] for one in result['left_out']}}


def failures_of(point):
    return {one['variant']: one['failed'] for one in point['results'] if one['failed'] is not None}


# ---- the plan of a row ----

def capacities(row, seconds):
    """({name: (requests per second, busy)}, {name: why it failed}) in a closed loop."""
    trial = measure_point(row, list(row.servers), row.workload, TRIAL, seconds)
    here = [one for one in trial['results'] if verdicts.result_of(trial, one['variant'])]
    failed = {**trial['left_out'], **failures_of(trial)}
    return {one['variant']: (verdicts.median_of(one, 'requests_per_s'),
                             verdicts.median_of(one, 'busy')) for one in here}, failed


def divide(capacity, reference):
    """Who is compared in a closed loop, and who at a fixed rate; our own in each that is not empty.

    Who is far behind us stays in the closed loop even if we have time to spare in it: that is held
    against us, and a rate that he can keep would leave us idle.
    """
    if reference not in capacity:
        return [], []
    ours = [name for name in capacity if not verdicts.is_peer(name) and
            not name.startswith(verdicts.LIMIT)]
    we_are_busy = all(capacity[name][1] >= BUSY_ENOUGH for name in ours)
    others = [name for name in capacity if name not in ours]
    closed = [name for name in others if capacity[name][1] >= BUSY_ENOUGH and
              (we_are_busy or capacity[name][0] < FAR_BEHIND * capacity[reference][0])]
    fixed = [name for name in others if name not in closed]
    return (ours + closed if closed or we_are_busy else [],
            ours + fixed if fixed or not we_are_busy else [])


def at_rate(row, rate, depth=1):
    burst = f',burst={depth}' if depth > 1 else ''
    return f'{row.workload},rate={rate:.0f}{burst}'


def find_rate(row, names, capacity, depth, clock):
    """SHARE of the lowest capacity, or less. A client that sends requests one by one needs more
    time for each than in a closed loop, so the rate is tried, and lowered if it is not kept.
    """
    rate = SHARE * min(capacity[name][0] for name in names)
    once = [*SHORT, '--rounds', '1', '--blocks', '1']
    for _ in range(RATE_TRIALS):
        point = measure_point(row, names, at_rate(row, rate, depth), once, clock.left())
        if all(verdicts.is_kept(point, one) for one in point['results'] if one['rounds']):
            break
        rate *= RATE_STEP
    return rate


# ---- rows ----

def closed_point(row, names, seconds, blocks=3):
    return measure_point(row, names, row.workload, [*SHORT, '--blocks', str(blocks)], seconds)


def measure_closed(row, clock):
    """In a closed loop, whoever is busy in it: servers that are slow to start, and many keys."""
    point = closed_point(row, list(row.servers), clock.left(), blocks=1)
    return {'points': [point], 'failed': {**point['left_out'], **failures_of(point)}}


def depth_of(row):
    settings = dict(word.split('=') for word in row.workload.partition(':')[2].split(','))
    return int(settings.get('depth', 1))


def measure_cost(row, clock):
    """The points of a row: in a closed loop, at a fixed rate, or both."""
    capacity, failed = capacities(row, clock.left())
    closed, fixed = divide(capacity, row.reference)
    points, groups = [], len(closed) + len(fixed)
    if closed:
        points.append(closed_point(row, closed, clock.left() * len(closed) / groups))
    if fixed:
        points.append(fixed_point(row, fixed, capacity, depth_of(row), clock))
    for point in points:
        failed.update(failures_of(point))
    return {'points': points, 'capacity': capacity, 'failed': failed}


def fixed_point(row, names, capacity, depth, clock, how=SHORT):
    rate = find_rate(row, names, capacity, depth, clock)
    return measure_point(row, names, at_rate(row, rate, depth), how, clock.left())


def measure_pairs(row, clock):
    """Ours beside each of the others alone, at the rate that the slower of the two can keep."""
    capacity, failed = capacities(row, clock.left())
    others = [name for name in capacity if name != row.reference]
    points = []
    for number, name in enumerate(others if row.reference in capacity else []):
        share = Clock(clock.left() / (len(others) - number))
        points.append(fixed_point(row, [row.reference, name], capacity, depth_of(row), share))
        failed.update(failures_of(points[-1]))
    return {'points': points, 'capacity': capacity, 'failed': failed}


def measure_latency(row, clock):
    """All at one rate, requests due one by one, in rounds long enough for the rarest of them."""
    capacity, failed = capacities(row, clock.left())
    point = fixed_point(row, list(capacity), capacity, 1, clock, LONG)
    return {'points': [point], 'capacity': capacity, 'failed': {**failed, **failures_of(point)}}
