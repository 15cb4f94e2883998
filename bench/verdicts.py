# SPDX-License-Identifier: MIT
"""Judges what bench/performance.py measured by bench/targets.tsv.

A target counts as reached, or as not reached, only if the whole confidence interval lies on one
side of it. Ratios of costs and their intervals are rota-compare's own
(docs/design/0019-rota-compare.md); repeated figures that it has not measured get the interval
between order statistics that it uses as well. Counts (instructions, calls, bytes) have none: they
are judged as they are. Latencies are compared here, by their lower quartiles.
"""
import collections
import math
import random
import statistics

CONFIDENCE = 0.95
STARTS_MIN = 6      # with fewer there is no interval at 95 %
BUSY_MIN = 0.95     # below it, a server in a closed loop works in smaller batches
CAPACITY_MIN = 50   # per cent: latencies at a rate that was lowered further are of idle servers
RATE_KEPT = 0.97    # a fixed rate that was not kept is another load

# Of a round whose latencies are worth comparing: what the host took of the servers' processors, and
# for how much of it server and client had work and no processor.
UNDISTURBED = {'steal': 0.01, 'waiting': 0.02, 'load_waiting': 0.02}
QUARTILE_ROUNDS_MIN = 13    # 0.75 ** 12 > 0.025: fewer give a quartile no interval at 95 %
# Drawing anew from so few starts shows too little spread; with 12 of them, 1 % off each end is what
# 2.5 % would be of many (Hesterberg: What Teachers Should Know About the Bootstrap, 2015, the
# expanded percentile interval).
QUARTILE_STARTS_MIN = 12
RESAMPLES = 2000

REACHED, MISSED, OPEN, ABSENT = 'reached', '**not reached**', 'not decidable', 'not measured'
# The way of measuring says nothing of that server.
NO_VERDICT = 'no verdict'
# In a closed loop where everybody is busy, and at a fixed rate.
SATURATED, FIXED = 'saturated', 'fixed rate'
BOTH = (SATURATED, FIXED)

OURS = ('uring', 'epoll', 'rota')   # whose names begin so is rota, and a raw loop is no peer
LIMIT = 'limit-'

Target = collections.namedtuple('Target', 'row other relation number text')
# `line`: how the page calls it.
Verdict = collections.namedtuple('Verdict', 'target line section row server measured said')

# Which section and row, and which server of it, a target speaks of, and which ways it is judged: by
# how its row's name begins.
Subject = collections.namedtuple('Subject', 'begins section server ways')
SUBJECTS = (Subject('echo epoll ', 'echo-epoll', 'epoll', BOTH),
            Subject('echo ', 'echo', 'uring', BOTH),
            Subject('kv-large ', 'kv-large', 'uring', BOTH),
            Subject('kv ', 'kv', 'uring', BOTH),
            Subject('reactors ', 'reactors', 'uring', (FIXED,)),
            Subject('latency echo', 'latency-echo', 'uring', (FIXED,)),
            Subject('latency kv', 'latency-kv', 'uring', (FIXED,)))
# A target's row may end with a percentile of latency that is meant, instead of CPU time.
PERCENTILES = {' p99': 'p99', ' p99.9': 'p999'}


def read_targets(path):
    with open(path) as file:
        fields = [line.rstrip('\n').split('\t') for line in file
                  if line.strip() and not line.startswith('#')]
    return [Target(row, other, relation, float(number), text)
            for row, other, relation, number, text in fields]


# ---- numbers as text ----

def figure(number):
    if abs(number) < 0.0005:
        return '0'
    return f'{number:.3f}' if abs(number) < 1 else \
        f'{number:.2f}' if abs(number) < 100 else f'{number:.0f}'


def ratio_text(ratio):
    return f'{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]'


# ---- intervals of repeated figures ----

def values_outside(count):
    """How many of the smallest, and of the largest, of `count` values lie outside of the interval
    that the median is in (the sign test's), or -1: there are too few of them.
    """
    sum_of_chances, outside = 0, -1
    for heads in range(count // 2):
        sum_of_chances += math.comb(count, heads) / 2 ** count
        if sum_of_chances > (1 - CONFIDENCE) / 2:
            break
        outside = heads
    return outside


def interval(values):
    """(median, low, high); of too few values the smallest and the largest."""
    ordered = sorted(values)
    outside = max(0, values_outside(len(ordered)))
    return statistics.median(ordered), ordered[outside], ordered[-1 - outside]


def ratio_of(figures, base):
    """Of figures from the same rounds."""
    return interval([mine / theirs for mine, theirs in zip(figures, base)])


def said_of(low, high, relation, number):
    if relation == 'min':
        return REACHED if low >= number else MISSED if high < number else OPEN
    return REACHED if high <= number else MISSED if low > number else OPEN


# ---- what rota-compare found at a point ----

def is_peer(name):
    return not name.startswith((LIMIT, *OURS))


def result_of(point, name):
    """What was measured of that server, or None: it is not there, or has failed."""
    return next((result for result in point['results']
                 if result['variant'] == name and result['failed'] is None and result['rounds']),
                None)


def starts_of(result):
    """Of which start of its server each round is. Rounds of one process do not count by themselves:
    it may lie in memory in a way that makes it slower for all of its life.
    """
    return [one['start'] for one in result['rounds']]


def median_of(result, name):
    """A figure's median over the rounds, or None: not all rounds have it."""
    one = result['figures'].get(name)
    return one['median'] if one else None


def comparison_of(point, name, reference, figure_name):
    """(ratio, low, high) of `name` over `reference`, or None."""
    return next(((one['ratio'], one['low'], one['high']) for one in point['comparisons']
                 if (one['variant'], one['reference'], one['figure']) ==
                 (name, reference, figure_name)), None)


def is_kept(point, result):
    return point['rate'] is None or \
        median_of(result, 'requests_per_s') >= RATE_KEPT * point['rate']


def is_busy(result):
    return median_of(result, 'busy') >= BUSY_MIN


def trusted(point, ours, other, said):
    """(verdict, why it is not `said`): what may be said of a ratio."""
    if min(len(set(starts_of(ours))), len(set(starts_of(other)))) < STARTS_MIN:
        return OPEN, 'too few starts'
    if point['rate'] is not None:
        kept = is_kept(point, ours) and is_kept(point, other)
        return (said, '') if kept else (OPEN, 'the rate was not kept')
    # Who has time to spare looks dearer than it is: of ours that cannot make a target look reached.
    for one in (other, ours) if said != REACHED else (other,):
        if not is_busy(one):
            return NO_VERDICT, f'{one["variant"]} was {100 * median_of(one, "busy"):.0f} % busy'
    return said, ''


# ---- latencies ----
#
# What disturbs a round only adds to its latencies, often ten times as much as the server's own: on
# a shared machine the median over rounds tells how often that happened. So rounds in which somebody
# had to wait for a processor are left out, and of the others the lower quartile counts.

def undisturbed(result, percentile):
    """The percentile in every round; None where the round was disturbed."""
    return [one['latency_ns'][percentile]
            if all((one[name] or 0) <= most for name, most in UNDISTURBED.items()) else None
            for one in result['rounds']]


def quartile(values, least=QUARTILE_ROUNDS_MIN):
    """The lower quartile of those that are not None; None if those are fewer than `least`."""
    ordered = sorted(value for value in values if value is not None)
    return ordered[(len(ordered) - 1) // 4] if len(ordered) >= least else None


def quartile_ratio(mine, base, starts, seed):
    """(ratio, low, high) of the lower quartiles of two lists from the same rounds, or None. The
    interval is the percentile bootstrap's: starts are drawn, with what both have of their rounds.
    """
    if quartile(mine) is None or quartile(base) is None or \
            len(set(starts)) < QUARTILE_STARTS_MIN:
        return None
    pairs = collections.defaultdict(list)
    for start, pair in zip(starts, zip(mine, base)):
        pairs[start].append(pair)
    ratios, starts, generator = [], list(pairs), random.Random(seed)
    for _ in range(RESAMPLES):
        drawn = [pair for start in generator.choices(starts, k=len(starts))
                 for pair in pairs[start]]
        quartiles = [quartile(one, 1) for one in zip(*drawn)]
        if None not in quartiles:
            ratios.append(quartiles[0] / quartiles[1])
    cuts = statistics.quantiles(ratios, n=100)
    return quartile(mine) / quartile(base), cuts[0], cuts[-1]


def latency_ratio(point, name, reference, percentile):
    """(ratio, low, high) of `name` over `reference`, or None: there is too little."""
    results = [result_of(point, one) for one in (name, reference)]
    if not all(results):
        return None
    return quartile_ratio(*(undisturbed(one, percentile) for one in results),
                          starts_of(results[1]), point['seed'])


def judge_latency(results, target):
    section, row, ours, percentile, _ = subject_of(target.row)
    points = results.get(section, {}).get('rows', {}).get(row, {}).get('points', [])

    def verdict(measured, said):
        return Verdict(target, target.row, section, row, ours, measured, said)

    for point in points:
        here = [one for one in point['results'] if result_of(point, one['variant'])]
        latencies = {one['variant']: quartile(undisturbed(one, percentile)) for one in here}
        peers = [name for name in latencies if is_peer(name)]
        if ours not in latencies or not peers:
            continue
        best = min((name for name in peers if latencies[name]), key=latencies.get, default=None)
        ratio = latency_ratio(point, ours, best, percentile)
        if not ratio:
            return verdict('too few starts or undisturbed rounds', OPEN)
        text = f'{ratio_text(ratio)} to {best}'
        if point.get('capacity_asked'):
            text += f', at {point["capacity"]} % of capacity'
            if point['capacity'] < CAPACITY_MIN:
                return verdict(text, OPEN)
        if not all(is_kept(point, result_of(point, name)) for name in (ours, best)):
            return verdict(f'{text}; the rate was not kept', OPEN)
        return verdict(text, said_of(ratio[1], ratio[2], target.relation, target.number))
    return verdict(why_failed(points, (ours,)), ABSENT)


# ---- ratios ----

def subject_of(name):
    """(section, its row, our server, which percentile or None, ways) of a target's row."""
    percentile = None
    for ending, other in PERCENTILES.items():
        if name.endswith(ending):
            name, percentile = name[:-len(ending)], other
    return next(((one.section, name, one.server, percentile, one.ways) for one in SUBJECTS
                 if name.startswith(one.begins)), None)


def best_peer(point):
    """The cheapest of those that a verdict may be of, or None."""
    here = [result_of(point, one['variant']) for one in point['results']
            if is_peer(one['variant'])]
    medians = {one['variant']: median_of(one, 'cpu_ns') for one in here
               if one and (point['rate'] is not None or is_busy(one))}
    return min(medians, key=medians.get, default=None)


def why_failed(points, names):
    """Of the first of `names` that failed at one of the points: why."""
    return next((f'{result["variant"]} failed: {result["failed"]}' for point in points
                 for result in point['results']
                 if result['variant'] in names and result['failed'] is not None), '')


def judge_ratio(results, target, way):
    """One line: a target, judged by what was measured that way."""
    section, row, ours, _, ways = subject_of(target.row)
    found = results.get(section, {}).get('rows', {}).get(row, {'points': []})
    points = [point for point in found['points'] if (point['rate'] is None) == (way == SATURATED)]
    line = f'{row}, {way}' if len(ways) > 1 else row

    def verdict(measured, said):
        return Verdict(target, line, section, row, ours, measured, said)

    for point in points:
        best = target.other == 'best peer'
        other = best_peer(point) if best else target.other
        ratio = comparison_of(point, other, ours, 'cpu_ns')
        if not ratio:
            continue
        if target.relation == 'max':
            ratio = 1 / ratio[0], 1 / ratio[2], 1 / ratio[1]
        said, why = trusted(point, result_of(point, ours), result_of(point, other),
                            said_of(ratio[1], ratio[2], target.relation, target.number))
        text = ratio_text(ratio) + (f' to {other}' if best else '') + (f'; {why}' if why else '')
        return verdict(text, said)
    if way == FIXED and target.other in found.get('apart', {}):
        return verdict(f'it answers {100 * found["apart"][target.other]:.0f} % of what ours does',
                       NO_VERDICT)
    return verdict(why_failed(points, (ours, target.other)), ABSENT)


# ---- counts ----

COUNTS = {'instructions': 'instructions', 'allocations': 'allocations',
          'calls per turn': 'calls_per_turn'}


def judge_user_space(results, target):
    """Rows "instructions ROW", "allocations ROW", "calls per turn ROW" of callgrind's figures."""
    begins = next(begins for begins in COUNTS if target.row.startswith(begins + ' '))
    row, line = target.row[len(begins) + 1:], f'{target.row}: {target.other}'
    servers = results.get('user-space', {}).get('figures', {}).get(row, {})
    value = servers.get(target.other, {}).get(COUNTS[begins])
    base = servers.get('limit-uring', {}).get(COUNTS[begins]) if target.relation == 'over' else 0
    if value is None or base is None:
        return Verdict(target, line, 'user-space', row, target.other, '', ABSENT)
    value -= base
    return Verdict(target, line, 'user-space', row, target.other, figure(value),
                   REACHED if value <= target.number else MISSED)


def judge_figure(results, target):
    """Rows "idle", "micro", "key ROW", "calls ROW": one figure, or several of which the median's
    interval counts.
    """
    (section, _, row), line = target.row.partition(' '), f'{target.row}: {target.other}'
    figures = results.get(section, {}).get('figures', {})
    figures = figures.get(row, {}) if row else figures
    seen = figures.get(target.other)
    base = figures.get('rota-kv') if target.relation == 'over' else 0
    if seen is None or base is None:
        return Verdict(target, line, section, row, target.other, '', ABSENT)
    if section == 'micro':
        best, low, high = interval(seen)
    else:
        low = high = best = (seen[0] if isinstance(seen, list) else seen) - base
    return Verdict(target, line, section, row, target.other, figure(best),
                   said_of(low, high, target.relation, target.number))


def judge_target(results, target):
    if target.row.startswith(tuple(begins + ' ' for begins in COUNTS)):
        return [judge_user_space(results, target)]
    if not subject_of(target.row):
        return [judge_figure(results, target)]
    *_, percentile, ways = subject_of(target.row)
    if percentile:
        return [judge_latency(results, target)]
    return [judge_ratio(results, target, way) for way in ways]


def judge(results, targets):
    """A line for each target, or for each way in which it is measured."""
    return [verdict for target in targets for verdict in judge_target(results, target)]
