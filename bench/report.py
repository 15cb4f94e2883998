# SPDX-License-Identifier: MIT
"""Writes the page of bench/performance.py from what was measured: one function per section, and
the verdicts. A target counts as reached, or as not reached, only if the whole confidence interval
lies on one side of it.
"""
import statistics

import paired

CONFIDENCE = 0.95
ROUNDS_MIN = 8      # with fewer, the interval is narrower than what is known
# Which of the measured servers a row's target speaks of, and where its figures are.
SUBJECTS = {'echo epoll': ('echo', 'rota protocol, epoll'),
            'echo': ('echo', 'rota protocol, uring'),
            'kv-large': ('kv-large', 'rota-kv, uring'),
            'kv': ('kv', 'rota-kv, uring')}

HEAD = '''# Performance

Written by `bench/performance.py` (`ninja performance`); edits are lost. The targets are those of
`bench/targets.tsv`.

How to read it. The figure is the server's CPU time per request, all threads, kernel included, in
microseconds: median of the rounds, 10th and 90th percentile. One server runs at a time, pinned to
one core, the load client on the other; the order turns from round to round. A ratio is the median
of the rounds' own ratios with its 95 % bootstrap interval. *Reached* and *not reached* are said
only when the whole interval lies on that side of the target; otherwise the row is *not decidable*
in this noise. In a closed loop below 95 % busy, batches are smaller and ratios nearer to 1. The
raw loops (`limit-…`, bench/limit) answer without any framework, RESP with constants: no key-value
server can reach them, and how near one comes is the measure.
'''


def read_targets(path):
    targets = []
    with open(path) as file:
        for line in file:
            if not line.startswith('#') and line.strip():
                row, other, relation, number, text = line.rstrip('\n').split('\t')
                targets.append((row, other, relation, float(number), text))
    return targets


def table(head, rows, numbers_from=1):
    lines = ['| ' + ' | '.join(head) + ' |',
             '|' + '|'.join('---' if at < numbers_from else '---:'
                            for at in range(len(head))) + '|']
    lines += ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def figure(number):
    return f'{number:.3f}' if number < 1 else f'{number:.2f}' if number < 100 else f'{number:.0f}'


def ratio_of(costs, base):
    ratios = [mine / theirs for mine, theirs in zip(costs, base)]
    low, high = paired.interval(ratios, CONFIDENCE)
    return statistics.median(ratios), low, high


def ratio_text(ratio):
    return f'{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]'


def circumstances(section):
    machine = section['machine']
    return (f'{section["date"]}; {machine["cpu"]}, {machine["cores"]} cores, '
            f'{machine["memory"]}; Linux {machine["kernel"]}; load average before it began '
            f'{machine["load"]:.1f}.')


def notes(section):
    return ''.join(f'* {note}\n' for note in section['notes'])


# ---- CPU per request ----

def paired_tables(section):
    text = f'{section["rounds"]} rounds of {section["seconds"]} s per server. '
    text += circumstances(section) + '\n'
    rows = {}
    for row in section['rows']:
        rows.setdefault(row['row'], []).append(row)
    for name, servers in rows.items():
        base = servers[0]
        cells = []
        for one in servers:
            ratio = '1' if one is base else ratio_text(ratio_of(one['rounds_us'],
                                                                base['rounds_us']))
            cells.append([one['server'], figure(one['server_us']),
                          f'{figure(one["server_us_low"])}..{figure(one["server_us_high"])}',
                          ratio, f'{one["server_busy_percent"]:.0f} %',
                          f'{one["p50_us"]:.0f}', f'{one["p99_us"]:.0f}'])
        text += f'\n**{name}** (`{base["workload"]}`)'
        if base['discarded_rounds']:
            text += f', {base["discarded_rounds"]} rounds repeated because the host took the CPU'
        text += '\n\n' + table(['server', 'µs/request', 'p10..p90', f'ratio to {base["server"]}',
                                'busy', 'p50 µs', 'p99 µs'], cells)
    text += '\n' + ''.join(f'    {command}\n' for command in section['commands'].values())
    if section['notes']:
        text += '\n' + notes(section)
    return text


# ---- everything else ----

def instructions_table(section):
    text = ''
    for row, figures in section['figures'].items():
        cells = [[name, f'{count:.0f}'] for name, count in figures.items()]
        text += f'**{row}**\n\n' + table(['server', 'instructions'], cells) + '\n'
    return text + notes(section) + '\n' + circumstances(section) + '\n'


def calls_table(section):
    rows = list(section['figures'])
    names = list(dict.fromkeys(name for row in rows for name in section['figures'][row]))
    cells = [[name] + [f'{section["figures"][row].get(name, float("nan")):.3f}' for row in rows]
             for name in names]
    return table(['server'] + rows, cells) + '\n' + notes(section) + '\n' + \
        circumstances(section) + '\n'


def idle_table(section):
    cells = [[name, f'{slope:.0f}', f'{first / 1e6:.1f}']
             for name, (slope, first) in section['figures'].items()]
    return table(['server', 'bytes per connection', 'MB resident with 2 000'], cells) + '\n' + \
        notes(section) + '\n' + circumstances(section) + '\n'


def key_table(section):
    cells = [[name, f'{resident:.1f}', '' if allocated is None else f'{allocated:.1f}']
             for name, (resident, allocated) in section['figures'].items()]
    return table(['server', 'resident', 'allocated, as it says'], cells) + '\n' + \
        notes(section) + '\n' + circumstances(section) + '\n'


def micro_table(section, targets):
    aims = {other: text for row, other, _, _, text in targets if row == 'micro'}
    cells = [[name, figure(statistics.median(times)), figure(min(times)), aims.get(name, '')]
             for name, times in section['figures'].items()]
    return table(['benchmark', 'median ns', 'least', 'target'], cells) + '\n' + \
        notes(section) + '\n' + circumstances(section) + '\n'


# ---- verdicts ----

def verdict(low, high, relation, number):
    good, bad = (high <= number, low > number) if relation != 'min' else \
        (low >= number, high < number)
    return 'reached' if good else '**not reached**' if bad else 'not decidable'


def subject_of(row):
    for prefix in SUBJECTS:
        if row.startswith(prefix + ' '):
            section, subject = SUBJECTS[prefix]
            return section, subject, row.replace('echo epoll', 'echo')
    return None, None, row


def judge_paired(results, target):
    row, other, relation, number, text = target
    section, subject, measured = subject_of(row)
    costs = {one['server']: one['rounds_us'] for one in results.get(section, {}).get('rows', [])
             if one['row'] == measured}
    if subject not in costs or other not in costs:
        return [row, text, 'not measured', '']
    pair = (costs[subject], costs[other])
    ratio = ratio_of(*(pair if relation == 'max' else pair[::-1]))
    said = 'not decidable' if len(pair[0]) < ROUNDS_MIN else \
        verdict(ratio[1], ratio[2], relation, number)
    return [row, text, ratio_text(ratio), said]


def judge_probe(results, target):
    """`most` targets: one figure, or several whose extremes are the interval."""
    row, name, relation, number, text = target
    figures = results.get(row, {}).get('figures', {})
    if row == 'instructions':
        figures = figures.get('echo 64x1', {})
        if name in figures and 'limit-uring' in figures:
            figures = {name: figures[name] - figures['limit-uring']}
    elif row == 'calls':
        figures = figures.get('echo 4x1', {})
    if name not in figures:
        return [f'{row}: {name}', text, 'not measured', '']
    seen = figures[name]
    if row == 'micro':
        low, high, best = min(seen), max(seen), statistics.median(seen)
    else:
        best = seen[0] if isinstance(seen, list) else seen
        low = high = best
    return [f'{row}: {name}', text, figure(best), verdict(low, high, relation, number)]


def verdicts(results, targets):
    cells = [judge_probe(results, target) if target[2] == 'most'
             else judge_paired(results, target) for target in targets]
    return table(['row', 'target', 'measured', 'verdict'], cells, numbers_from=4)


SECTIONS = (
    ('echo', 'Echo, 64 bytes', paired_tables,
     '"rota protocol" is a protocol table served by workers, "rota task" a task per connection.'),
    ('kv', 'SET:GET 1:10, 64-byte values, 10 000 keys', paired_tables,
     'One reactor, 64 connections.'),
    ('kv-large', 'SET:GET 1:10, 64-byte values, 1 000 000 keys', paired_tables,
     'One reactor, 64 connections; the keys do not fit the caches.'),
    ('kv-reactors', 'Two reactors', paired_tables,
     'On a machine with two cores the load client shares one of them with a reactor, so this '
     'shows what sharing the store costs, not how it scales.'),
    ('instructions', 'User-space instructions per request', instructions_table,
     'Counted by callgrind, as the slope between a short and a long run.'),
    ('calls', 'System calls per request', calls_table,
     'Four busy connections, counted by the kernel. A faster server is called more often: '
     'it waits for every request that the client has not sent yet.'),
    ('idle', 'Memory of an idle connection', idle_table,
     'Anonymous resident memory, slope from 2 000 to 18 000 connections that were each answered '
     'once. Kernel memory is not in it.'),
    ('key', 'Memory per key, over key and value', key_table,
     'Keys of 16 and values of 32 bytes; mean over 0.7 to 1.4 million keys, bytes.'),
)


def page(results, targets):
    text = HEAD + '\n## Verdicts\n\n' + verdicts(results, targets)
    for name, title, render, about in SECTIONS:
        text += f'\n## {title}\n\n{about}\n\n'
        text += render(results[name]) if name in results else 'Not measured.\n'
    text += '\n## Micro-benchmarks\n\n'
    if 'micro' in results:
        text += micro_table(results['micro'], targets)
    else:
        text += 'Not measured.\n'
    return text.replace('\n\n\n', '\n\n').rstrip('\n') + '\n'
