# SPDX-License-Identifier: MIT
"""Judges what bench/performance.py measured by bench/targets.tsv.

A target counts as reached, or as not reached, only if the whole confidence interval lies on one
side of it. Counts (instructions, calls, bytes) have no interval: they are judged as they are.
"""
import collections
import statistics

import paired
import servers as known

CONFIDENCE = 0.95
ROUNDS_MIN = 8      # with fewer, the interval is narrower than what is known
RATE_KEPT = 0.97    # a fixed rate that was not kept is another load

REACHED, MISSED, OPEN, ABSENT = 'reached', '**not reached**', 'not decidable', 'not measured'

Target = collections.namedtuple('Target', 'row other relation number text')
Verdict = collections.namedtuple('Verdict', 'target section row server measured said')

# Which measured row, and which server of it, a target speaks of: by how its row's name begins.
SUBJECTS = (('echo epoll ', 'echo', 'echo ', 'rota protocol, epoll'),
            ('echo ', 'echo', 'echo ', 'rota protocol, uring'),
            ('kv ', 'kv', 'kv ', 'rota-kv, uring'),
            ('reactors ', 'reactors', 'reactors ', 'rota-kv, uring x2'),
            ('latency echo', 'latency-echo', 'latency echo', 'rota protocol, uring'),
            ('latency kv', 'latency-kv', 'latency kv', 'rota-kv, uring'))
# A target's row may end with the figure that is meant, instead of CPU time.
FIGURES = {' p99': 'rounds_p99_us', ' p99.9': 'rounds_p999_us'}


def read_targets(path):
    with open(path) as file:
        fields = [line.rstrip('\n').split('\t') for line in file
                  if line.strip() and not line.startswith('#')]
    return [Target(row, other, relation, float(number), text)
            for row, other, relation, number, text in fields]


def figure(number):
    if abs(number) < 0.0005:
        return '0'
    return f'{number:.3f}' if abs(number) < 1 else \
        f'{number:.2f}' if abs(number) < 100 else f'{number:.0f}'


def ratio_of(costs, base):
    ratios = [mine / theirs for mine, theirs in zip(costs, base)]
    low, high = paired.interval(ratios, CONFIDENCE)
    return statistics.median(ratios), low, high


def ratio_text(ratio):
    return f'{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]'


def said_of(low, high, relation, number):
    if relation == 'min':
        return REACHED if low >= number else MISSED if high < number else OPEN
    return REACHED if high <= number else MISSED if low > number else OPEN


# ---- ratios of paired rounds ----

def subject_of(name):
    """(section, its row, our server, which figure) of a target's row."""
    key = 'rounds_us'
    for ending, other_key in FIGURES.items():
        if name.endswith(ending):
            name, key = name[:-len(ending)], other_key
    for begins, section, becomes, server in SUBJECTS:
        if name.startswith(begins):
            return section, becomes + name[len(begins):], server, key
    return None


def best_peer(servers, key):
    peers = [name for name in servers if known.is_peer(name)]
    return min(peers, key=lambda name: statistics.median(servers[name][key]), default=None)


def kept(comparison, server):
    return 'rate' not in comparison or \
        server['requests_per_second'] >= RATE_KEPT * comparison['rate']


def judge_ratio(results, target):
    section, row, ours, key = subject_of(target.row)
    record = results.get(section, {}).get('rows', {}).get(row, {})
    for comparison in record.get('comparisons', []):    # the closed loop is first, if there is one
        servers = {one['server']: one for one in comparison['servers']}
        other = best_peer(servers, key) if target.other == 'best peer' else target.other
        if ours not in servers or other not in servers:
            continue
        pair = [servers[ours][key], servers[other][key]]
        ratio = ratio_of(*(pair[::-1] if target.relation == 'min' else pair))
        sure = len(pair[0]) >= ROUNDS_MIN and \
            all(kept(comparison, servers[name]) for name in (ours, other))
        said = said_of(ratio[1], ratio[2], target.relation, target.number) if sure else OPEN
        text = ratio_text(ratio) + (f' to {other}' if target.other == 'best peer' else '')
        return Verdict(target, section, row, ours, text, said)
    return Verdict(target, section, row, ours, '', ABSENT)


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
        low, high = paired.interval(seen, CONFIDENCE)
        best = statistics.median(seen)
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
