# SPDX-License-Identifier: MIT
"""CPU time per request, and latency, of several servers under the same load, by paired rounds.

A closed loop on a server that is not busy punishes the faster one: it finds fewer requests per
turn. So every row begins with a few short rounds in a closed loop, which show what each server
manages and how busy it is. Servers above 95 % are compared in a closed loop; the others, and ours
beside them, at one fixed rate that the slowest of them can keep.
"""
import argparse
import statistics

import paired
import servers as known
import verdicts

BUSY_PERCENT = 95
SHARE = 0.7          # a fixed rate is this much of the lowest capacity
TRIAL_ROUNDS = 3
RATE_TRIALS, RATE_STEP = 4, 0.85


class Row:
    """A name on the page, a load, and how many requests are due at once at a fixed rate."""

    def __init__(self, name, workload, burst=1):
        self.name, self.workload, self.burst = name, workload, burst

    def at_rate(self, rate):
        return paired.Workload(f'{self.workload},rate={rate:.0f},burst={self.burst}')


def options(arguments, **changes):
    """What paired.py wants, of which `arguments` has the port, rounds and seconds."""
    every = {'load': known.CLIENT, 'load_cpu': 1, 'server_cpus': '0', 'port': arguments.port,
             'rounds': arguments.rounds, 'seconds': arguments.seconds, 'warmup': 0.05,
             'latency_requests': arguments.latency_requests, 'confidence': 0.95, 'margin': 0.0,
             'steal_max': 5.0, 'json': False}
    return argparse.Namespace(**{**every, **changes})


def changed(chosen, **changes):
    return argparse.Namespace(**{**vars(chosen), **changes})


def capacities(servers, row, chosen):
    """{name: (requests per second, percent busy)} in a closed loop."""
    workload = paired.Workload(row.workload)
    trial = changed(chosen, rounds=TRIAL_ROUNDS)
    rounds = [paired.measure_round(workload, paired.order(servers, number), trial)
              for number in range(TRIAL_ROUNDS)]
    return {server.name: tuple(statistics.median(one[server.name][key] for one in rounds)
                               for key in ('requests_per_second', 'server_busy_percent'))
            for server in servers}


def plan(capacity):
    """Which servers are compared in a closed loop, and which at a fixed rate (perhaps none)."""
    busy = [name for name, (_, percent) in capacity.items() if percent >= BUSY_PERCENT]
    ours = [name for name in capacity if name.startswith(known.OURS)]
    if len(busy) < 2 or any(name not in busy for name in ours):
        return [], list(capacity)
    idle = [name for name in capacity if name not in busy]
    return busy, [name for name in capacity if name in idle or name in ours] if idle else []


def rate_for(servers, row, chosen, capacity, names):
    """SHARE of the lowest capacity. A client that sends requests one by one needs more time for
    each than in a closed loop, so the rate is tried, and lowered if it is not kept.
    """
    rate = SHARE * min(capacity[name][0] for name in names)
    some = [server for server in servers if server.name in names]
    for _ in range(RATE_TRIALS):
        once = paired.measure_round(row.at_rate(rate), some, chosen)
        if all(verdicts.RATE_KEPT * rate <= one['requests_per_second'] for one in once.values()):
            break
        rate *= RATE_STEP
    return rate


def compare(servers, workload, names, chosen):
    some = [server for server in servers if server.name in names]
    rows = paired.measure(some, [workload], chosen)
    return {'workload': workload.text, 'rounds': chosen.rounds, 'seconds': chosen.seconds,
            'servers': rows}


def measure_cost(servers, row, chosen):
    """The comparisons of a row: in a closed loop, at a fixed rate, or both."""
    capacity = capacities(servers, row, chosen)
    closed, fixed = plan(capacity)
    comparisons = []
    if closed:
        comparisons.append(compare(servers, paired.Workload(row.workload), closed, chosen))
    if fixed:
        rate = rate_for(servers, row, chosen, capacity, fixed)
        comparisons.append(compare(servers, row.at_rate(rate), fixed, chosen))
        comparisons[-1]['rate'] = rate
    return {'comparisons': comparisons, 'capacity': capacity}


def measure_fixed(servers, row, chosen):
    """All at one rate, however busy they are."""
    capacity = capacities(servers, row, chosen)
    rate = rate_for(servers, row, chosen, capacity, capacity)
    comparison = compare(servers, row.at_rate(rate), list(capacity), chosen)
    comparison['rate'] = rate
    return {'comparisons': [comparison], 'capacity': capacity}


def measure_latency(servers, row, chosen):
    """Fewer and longer rounds, at one rate, a request at a time and never held back."""
    capacity = capacities(servers, row, chosen)
    rate = rate_for(servers, row, chosen, capacity, capacity)
    longer = changed(chosen, rounds=max(3, chosen.rounds // 4),
                     seconds=round(max(chosen.seconds, chosen.latency_requests / rate), 2))
    workload = paired.Workload(f'{row.workload},rate={rate:.0f}'.replace('depth=1,', 'depth=64,'))
    comparison = compare(servers, workload, list(capacity), longer)
    comparison['rate'] = rate
    return {'comparisons': [comparison], 'capacity': capacity}


def section(commands, rows, measure, arguments, **changes):
    """Measure `rows` with the servers of `commands` that are here."""
    notes = []
    here = known.available(commands, notes)
    chosen = options(arguments, **changes)
    with paired.started(here, chosen) as servers:
        measured = {row.name: measure(servers, row, chosen) for row in rows}
    return {'rows': measured, 'notes': notes,
            'commands': [known.shown(name, command) for name, command in here.items()]}
