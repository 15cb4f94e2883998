# SPDX-License-Identifier: MIT
"""Judges what bench/performance.py measured by bench/targets.tsv.

A target counts as reached, or as not reached, only if the whole confidence interval lies on one
side of it. Ratios and their intervals are rota-compare's own (docs/design/0019-rota-compare.md);
repeated figures that it has not measured get the interval between order statistics that it uses as
well. Counts (instructions, calls, bytes) have none: they are judged as they are.
"""
import collections
import math
import statistics

CONFIDENCE = 0.95
ROUNDS_MIN = 6      # with fewer there is no interval at 95 %
BUSY_MIN = 0.95     # below it, a server in a closed loop works in smaller batches
RATE_KEPT = 0.97    # a fixed rate that was not kept is another load

REACHED, MISSED, OPEN, ABSENT = 'reached', '**not reached**', 'not decidable', 'not measured'

OURS = ('uring', 'epoll', 'rota')   # whose names begin so is rota, and a raw loop is no peer
LIMIT = 'limit-'

Target = collections.namedtuple('Target', 'row other relation number text')
Verdict = collections.namedtuple('Verdict', 'target section row server measured said')

# Which section and row, and which server of it, a target speaks of: by how its row's name begins.
SUBJECTS = (('echo epoll ', 'echo-epoll', 'epoll'),
            ('echo ', 'echo', 'uring'),
            ('kv-large ', 'kv-large', 'uring'),
            ('kv ', 'kv', 'uring'),
            ('reactors ', 'reactors', 'uring'),
            ('latency echo', 'latency-echo', 'uring'),
            ('latency kv', 'latency-kv', 'uring'))
# A target's row may end with the figure that is meant, instead of CPU time.
FIGURES = {' p99': 'p99_ns', ' p99.9': 'p999_ns'}


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


def doubt(point, ours, other, relation):
    """Why a ratio says nothing of its target, or ''."""
    if min(len(ours['rounds']), len(other['rounds'])) < ROUNDS_MIN:
        return 'too few rounds'
    if point['rate'] is not None:
        return '' if is_kept(point, ours) and is_kept(point, other) else 'the rate was not kept'
    # The less busy one looks worse than it is, which may only be held against us.
    if median_of(other, 'busy') < BUSY_MIN or \
            relation == 'max' and median_of(ours, 'busy') < BUSY_MIN:
        return 'one had time to spare'
    return ''


# ---- ratios ----

def subject_of(name):
    """(section, its row, our server, which figure) of a target's row."""
    figure_name = 'cpu_ns'
    for ending, other in FIGURES.items():
        if name.endswith(ending):
            name, figure_name = name[:-len(ending)], other
    for begins, section, server in SUBJECTS:
        if name.startswith(begins):
            return section, name, server, figure_name
    return None


def best_peer(point, figure_name):
    medians = {result['variant']: median_of(result, figure_name) for result in point['results']
               if is_peer(result['variant']) and result_of(point, result['variant'])}
    here = [name for name, median in medians.items() if median is not None]
    return min(here, key=medians.get, default=None)


def why_failed(points, names):
    """Of the first of `names` that failed at one of the points: why."""
    return next((f'{result["variant"]} failed: {result["failed"]}' for point in points
                 for result in point['results']
                 if result['variant'] in names and result['failed'] is not None), '')


def judge_ratio(results, target):
    section, row, ours, figure_name = subject_of(target.row)
    points = results.get(section, {}).get('rows', {}).get(row, {}).get('points', [])
    for point in points:
        best = target.other == 'best peer'
        other = best_peer(point, figure_name) if best else target.other
        ratio = comparison_of(point, other, ours, figure_name)
        if not ratio:
            continue
        if target.relation == 'max':
            ratio = 1 / ratio[0], 1 / ratio[2], 1 / ratio[1]
        doubtful = doubt(point, result_of(point, ours), result_of(point, other), target.relation)
        text = ratio_text(ratio) + (f' to {other}' if best else '') + \
            (f'; {doubtful}' if doubtful else '')
        said = OPEN if doubtful else said_of(ratio[1], ratio[2], target.relation, target.number)
        return Verdict(target, section, row, ours, text, said)
    return Verdict(target, section, row, ours, why_failed(points, (ours, target.other)), ABSENT)


# ---- counts ----

COUNTS = {'instructions': 'instructions', 'allocations': 'allocations',
          'calls per turn': 'calls_per_turn'}


def judge_user_space(results, target):
    """Rows "instructions ROW", "allocations ROW", "calls per turn ROW" of callgrind's figures."""
    begins = next(begins for begins in COUNTS if target.row.startswith(begins + ' '))
    row = target.row[len(begins) + 1:]
    servers = results.get('user-space', {}).get('figures', {}).get(row, {})
    value = servers.get(target.other, {}).get(COUNTS[begins])
    base = servers.get('limit-uring', {}).get(COUNTS[begins]) if target.relation == 'over' else 0
    if value is None or base is None:
        return Verdict(target, 'user-space', row, target.other, '', ABSENT)
    value -= base
    return Verdict(target, 'user-space', row, target.other, figure(value),
                   REACHED if value <= target.number else MISSED)


def judge_figure(results, target):
    """Rows "idle", "micro", "key ROW", "calls ROW": one figure, or several of which the median's
    interval counts.
    """
    section, _, row = target.row.partition(' ')
    figures = results.get(section, {}).get('figures', {})
    figures = figures.get(row, {}) if row else figures
    seen = figures.get(target.other)
    base = figures.get('rota-kv') if target.relation == 'over' else 0
    if seen is None or base is None:
        return Verdict(target, section, row, target.other, '', ABSENT)
    if section == 'micro':
        best, low, high = interval(seen)
    else:
        low = high = best = (seen[0] if isinstance(seen, list) else seen) - base
    return Verdict(target, section, row, target.other, figure(best),
                   said_of(low, high, target.relation, target.number))


def judge(results, targets):
    def one(target):
        if target.row.startswith(tuple(begins + ' ' for begins in COUNTS)):
            return judge_user_space(results, target)
        return (judge_ratio if subject_of(target.row) else judge_figure)(results, target)

    return [one(target) for target in targets]
