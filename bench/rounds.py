# SPDX-License-Identifier: MIT
"""Rows of bench/performance.py that compare servers: measured by rota-compare, read from its JSON.

A closed loop on a server with time to spare makes the faster one look worse: it finds fewer
requests per turn. A fixed rate leaves everybody time to spare. So costs are measured both ways: in
a closed loop, and at one fixed rate, a share of what the slowest answered in it.
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
FAR_BEHIND = 0.5        # of our capacity: such a server must not set the others' rate
SHARE = 0.7             # a fixed rate is this much of the lowest capacity
SHORT = ['--round-seconds', '0.12', '--warmup', '0.03']
# For 99.9 per cent: thousands of requests, and yet many rounds that nothing has interrupted.
LONG = ['--round-seconds', '0.25', '--warmup', '0.05']
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
            'seed': made['seed'],
            'left_out': {one['name']: one['why'] for one in result['left_out']}}


def failures_of(point):
    return {one['variant']: one['failed'] for one in point['results'] if one['failed'] is not None}


# ---- rows ----

def depth_of(row):
    settings = dict(word.split('=') for word in row.workload.partition(':')[2].split(','))
    return int(settings.get('depth', 1))


def closed_point(row, names, seconds):
    return measure_point(row, names, row.workload, SHORT, seconds)


def fixed_point(row, names, capacity, seconds):
    """At SHARE of the lowest of these servers' capacities; what a client pipelines is due together.
    """
    rate, depth = SHARE * min(capacity[name] for name in names), depth_of(row)
    burst = f',burst={depth}' if depth > 1 else ''
    return measure_point(row, names, f'{row.workload},rate={rate:.0f}{burst}', SHORT, seconds)


def capacity_of(point):
    """{name: requests per second} of a closed loop."""
    here = (verdicts.result_of(point, one['variant']) for one in point['results'])
    return {one['variant']: verdicts.median_of(one, 'requests_per_s') for one in here if one}


def measured(points, apart=()):
    """A row: its points, why servers failed, and who took no part in its fixed rate, with what part
    of our capacity.
    """
    failed = {}
    for point in points:
        failed.update({**point['left_out'], **failures_of(point)})
    return {'points': points, 'failed': failed, 'apart': dict(apart)}


def measure_closed(row, clock):
    """Only in a closed loop: servers that are slow to start and cannot keep up."""
    return measured([closed_point(row, list(row.servers), clock.left())])


def measure_cost(row, clock):
    """Both ways: all in a closed loop, then those that are not far behind us at a fixed rate."""
    points = [closed_point(row, list(row.servers), clock.left() / 2)]
    capacity = capacity_of(points[0])
    if row.reference not in capacity:
        return measured(points)
    of_ours = {name: one / capacity[row.reference] for name, one in capacity.items()}
    near = [name for name in capacity if of_ours[name] >= FAR_BEHIND]
    points.append(fixed_point(row, near, capacity, clock.left()))
    return measured(points, ((name, of_ours[name]) for name in capacity if name not in near))


def measure_pairs(row, clock):
    """Ours beside each of the others alone, at a rate that the slower of the two can keep."""
    groups = len(row.servers)
    points = [closed_point(row, list(row.servers), clock.left() / groups)]
    capacity = capacity_of(points[0])
    others = [name for name in capacity if name != row.reference]
    for number, name in enumerate(others if row.reference in capacity else []):
        points.append(fixed_point(row, [row.reference, name], capacity,
                                  clock.left() / (len(others) - number)))
    return measured(points)


def measure_latency(row, clock):
    """All at one rate, requests due one by one; rota-compare lowers the rate until it is kept and
    the client is in time, which matters here: what it is late by is in the latencies.
    """
    return measured([measure_point(row, list(row.servers),
                                   f'{row.workload},capacity={100 * SHARE:.0f}', LONG,
                                   clock.left())])
