# SPDX-License-Identifier: MIT
"""Writes the page of bench/performance.py from what was measured: one function per kind of section,
and what each section shows and does not show.
"""
import statistics

import verdicts
from verdicts import figure, ratio_of, ratio_text

HEAD = '''# Performance

Written by `bench/performance.py` (`ninja performance`); edits are lost. The targets are those of
`bench/targets.tsv`.

How to read it. The figure is the server's CPU time per request, all threads, kernel included, in
microseconds: median of the rounds, 10th and 90th percentile. One server runs at a time, pinned to
one core, the load client on the other; the order turns from round to round. A ratio is the median
of the rounds' own ratios with its 95 % bootstrap interval. *Reached* and *not reached* are said
only when the whole interval lies on that side of the target; otherwise the row is *not decidable*
in this noise.

A closed loop on a server that has time to spare makes the faster one look worse: it finds fewer
requests per turn. So each row is tried in a closed loop first. Servers that are above 95 % busy in
it are compared in a closed loop; where some are not, these and ours are compared at one fixed rate,
70 % of what the slowest of them managed, or less if the client cannot keep that. At a fixed rate a
pipelining client's requests are due together, as many as the depth says; a rate that was not kept
decides nothing. All processes of a run have a scheduling slice of 0.1 ms, so that a wake-up is not
kept waiting by other programs.

The raw loops (`limit-…`, bench/limit) answer without any framework, keys with constants: no
key-value server can reach them, and how near one comes is the measure. memcached is spoken to in
its meta commands: it answers each classic `get` with a system call of its own, however many came
together.
'''

# Section: its title, what is said about it, and how it is shown.
ABOUT = {
    'echo': ('Echo, 64 bytes',
             '"rota protocol" is a protocol table served by workers, "rota task" a task per '
             'connection. Connections x depth.'),
    'kv': ('SET:GET 1:10, 64-byte values, 10 000 keys', 'One reactor, 64 connections.'),
    'kv-large': ('SET:GET 1:10, 64-byte values, 1 000 000 keys',
                 'One reactor, 64 connections; the keys do not fit the caches. A quarter of the '
                 'rounds.'),
    'reactors': ('Two reactors on two cores',
                 'The servers have both cores, with one thread (x1) and with two (x2), all at one '
                 'fixed rate; the load client may use both cores as well. This shows what a second '
                 'reactor costs for the same work: locks, cache lines that move between cores, and '
                 'smaller batches, for each reactor has half of the connections. It does not show '
                 'how throughput grows with cores, because the client takes one of the two; and '
                 'the client disturbs both threads of x2, while x1 has a core to itself.'),
    'latency-echo': ('Latency of echo at 70 % of capacity',
                     'Open loop: single requests on 64 connections, due one by one at a fixed '
                     'rate, and counted from when they were due. All servers get the same rate, '
                     '70 % of what the slowest manages in a closed loop: who chooses a server '
                     'has a load, not a percentage. So a faster server has more room, and that '
                     'is part of the result. Percentiles are medians over the rounds.'),
    'latency-kv': ('Latency of key-value requests at 70 % of capacity',
                   'As above, SET:GET 1:10, 10 000 keys.'),
    'user-space': ('In user space, per request',
                   'Counted by callgrind, as the slope between a short and a long run of the same '
                   'program under the same load: instructions; calls of malloc and its kin; and, '
                   'for rota on io_uring, calls of `io_uring_enter` per turn of the reactor. SET '
                   'overwrites.'),
    'calls': ('System calls per request',
              'Four busy connections, counted by the kernel. A faster server is called more often '
              'at depth 1: it waits for every request that the client has not sent yet.'),
    'idle': ('Memory of an idle connection',
             'Anonymous resident memory of the process, slope from 2 000 to 18 000 connections '
             'that were each answered once, when it no longer shrinks (at the earliest 6 s after '
             'the last answer). Kernel memory (slab and TCP buffers, client side included) is that '
             'of the whole machine.'),
    'key': ('Memory per key, over key and value',
            'Keys of 16 and values of 32 bytes; mean over 0.7 to 1.4 million keys, counted from '
            '100 000 on, bytes. '
            '"Allocated" is what the server says (INFO, used_memory).'),
    'micro': ('Micro-benchmarks',
              'Nanoseconds of CPU time per operation, if the name has no unit; medians of the '
              'repetitions.'),
    'primitives': ('Primitives, beside those of others',
                   'The same small works in each system (bench/primitives), a process per work, '
                   'the systems in turn: nanoseconds of CPU time per operation, and of wall time '
                   'where a thread and the loop wait for each other. State Threads has neither '
                   'yield nor queue: a sleep of no time and a slot with a condition stand for '
                   'them. GNU Pth looks at every waiting thread each time it schedules. What a '
                   'system cannot do is left out: libuv has no tasks, the C libraries no timers '
                   'apart from sleeping threads, and no way in from another thread.'),
    'profiles': ('Profiles of what is not reached',
                 'Under the load of the row: where CPU time goes, kernel (`[k]`) included, sampled '
                 'by perf; and the functions that the instructions in user space are in, counted '
                 'by callgrind, per request (per cent of all for micro-benchmarks). What a '
                 'function calls is not known where tasks are switched. Two reactors are counted '
                 'on the epoll engine: valgrind lets nobody run while one waits in a ring. Rows '
                 'of memory have no profile.'),
}


def table(head, rows, numbers_from=1):
    lines = ['| ' + ' | '.join(head) + ' |',
             '|' + '|'.join('---' if at < numbers_from else '---:'
                            for at in range(len(head))) + '|']
    lines += ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def circumstances(machine):
    return (f'{machine["date"]}; {machine["cpu"]}, {machine["cores"]} cores, {machine["memory"]}; '
            f'Linux {machine["kernel"]}; load average before it began {machine["load"]:.1f}.\n')


def notes(section):
    return ''.join(f'* {note}\n' for note in section.get('notes', []))


# ---- paired rounds ----

def comparison_head(comparison):
    how = f'fixed rate of {comparison["rate"]:.0f}/s' if 'rate' in comparison else 'closed loop'
    text = f'{how}, {comparison["rounds"]} rounds of {comparison["seconds"]} s'
    repeated = comparison['servers'][0]['discarded_rounds']
    if repeated:
        text += f', {repeated} more repeated because the host took the CPU or a reading lagged'
    return f'{text} (`{comparison["workload"]}`):\n\n'


def kept_text(comparison, one):
    return f'{one["requests_per_second"]:.0f}' + \
        ('' if verdicts.kept(comparison, one) else ', not kept')


def cost_table(comparison):
    base, cells = comparison['servers'][0], []
    for one in comparison['servers']:
        ratio = '1' if one is base else ratio_text(ratio_of(one['rounds_us'], base['rounds_us']))
        cells.append([one['server'], figure(one['server_us']),
                      f'{figure(one["server_us_low"])}..{figure(one["server_us_high"])}', ratio,
                      f'{one["server_busy_percent"]:.0f} %', kept_text(comparison, one),
                      f'{one["p50_us"]:.0f}', f'{one["p99_us"]:.0f}'])
    return table(['server', 'µs/request', 'p10..p90', f'ratio to {base["server"]}', 'busy',
                  'requests/s', 'p50 µs', 'p99 µs'], cells)


def spread(values):
    ordered = sorted(values)
    return f'{statistics.median(ordered):.0f} ({ordered[0]:.0f}..{ordered[-1]:.0f})'


def latency_table(comparison):
    cells = [[one['server'], f'{one["p50_us"]:.0f}', spread(one['rounds_p99_us']),
              spread(one['rounds_p999_us']), figure(one['server_us']),
              f'{one["server_busy_percent"]:.0f} %', kept_text(comparison, one)]
             for one in comparison['servers']]
    return table(['server', 'p50 µs', 'p99 µs (range)', 'p99.9 µs (range)', 'µs/request', 'busy',
                  'requests/s'], cells)


def capacity_text(capacity):
    every = ', '.join(f'{name} {rate:.0f}/s ({busy:.0f} % busy)'
                      for name, (rate, busy) in capacity.items())
    return f'Tried in a closed loop: {every}.\n\n'


def paired_section(section, one_table):
    text = ''
    for name, row in section['rows'].items():
        text += f'**{name}**\n\n{circumstances(row["machine"])}{capacity_text(row["capacity"])}'
        for comparison in row['comparisons']:
            text += comparison_head(comparison) + one_table(comparison) + '\n'
    text += ''.join(f'    {command}\n' for command in section['commands'])
    return text + ('\n' + notes(section) if section['notes'] else '')


# ---- everything else ----

def user_space_section(section):
    text = ''
    for row, servers in section['figures'].items():
        cells = [[name, f'{one["instructions"]:.0f}', f'{max(one["allocations"], 0):.3f}',
                  '' if one['calls_per_turn'] is None else f'{one["calls_per_turn"]:.2f}']
                 for name, one in servers.items()]
        text += f'**{row}**\n\n' + \
            table(['server', 'instructions', 'allocations', 'calls per turn'], cells) + '\n'
    return text


def calls_section(section):
    rows = section['figures']
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[name] + [f'{row[name]:.3f}' if name in row else '' for row in rows.values()]
             for name in names]
    return table(['server', *rows], cells)


def idle_section(section):
    cells = [[name, f'{process:.0f}', f'{kernel:.0f}', f'{first / 1e6:.1f}']
             for name, (process, kernel, first) in section['figures'].items()]
    return table(['server', 'bytes per connection', 'kernel, both sides',
                  'MB resident with 2 000'], cells)


def key_section(section):
    kinds = section['figures']
    cells = [[name] + [f'{kind[name]:.1f}' if name in kind else '' for kind in kinds.values()]
             for name in kinds['resident']]
    return table(['server', *kinds], cells)


def micro_section(section, targets):
    aims = {target.other: target.text for target in targets if target.row == 'micro'}
    cells = [[name, figure(statistics.median(values)),
              f'{figure(min(values))}..{figure(max(values))}', aims.get(name, '')]
             for name, values in section['figures'].items()]
    return table(['benchmark', 'median', 'range', 'target'], cells)


def shares(pairs):
    return ', '.join(f'`{name}` {share:.0%}' for name, share in pairs if share >= 0.01)


def profiles_section(section):
    text = '' if section['figures'] else 'None: no target that has one is missed for sure.\n'
    for title, found in section['figures'].items():
        text += f'**{title}**\n\n'
        if 'symbols' in found:
            text += f'CPU time by program: {shares(found["programs"])}. By symbol: ' + \
                f'{shares(found["symbols"])}.\n\n'
        is_share = all(own <= 1 for _, own, _ in found['instructions'])
        show = '{:.1%}' if is_share else '{:.1f}'
        cells = [[f'`{name}`', *('' if number is None else show.format(number)
                                 for number in (own, below))]
                 for name, own, below in found['instructions']]
        text += table(['function', 'own instructions', 'with what it calls'], cells) + '\n'
    return text


def primitives_table(figures):
    """Of {work: {system: {'figures', 'count'}}}; the count is shown where the work says "of"."""
    cells = []
    for work, systems in figures.items():
        ours = systems.get('rota', {}).get('figures')
        for system, one in systems.items():
            values = one['figures']
            ratio = '1' if values is ours else ratio_text(ratio_of(values, ours)) if ours else ''
            count = f'{one["count"]:,}'.replace(',', ' ')
            cells.append([work.replace(' of N', f' of {count}'), system,
                          figure(statistics.median(values)),
                          f'{figure(min(values))}..{figure(max(values))}', ratio])
    return table(['work', 'system', 'ns', 'range', 'ratio to rota'], cells, numbers_from=2)


def primitives_section(section):
    return f'Medians of {section["rounds"]} rounds.\n\n{primitives_table(section["figures"])}'


def section_text(name, section, targets):
    if 'rows' in section:
        return paired_section(section, latency_table if name.startswith('latency') else cost_table)
    if name == 'micro':
        text = micro_section(section, targets)
    else:
        text = {'user-space': user_space_section, 'calls': calls_section, 'idle': idle_section,
                'key': key_section, 'primitives': primitives_section,
                'profiles': profiles_section}[name](section)
    return f'{text}\n{notes(section)}\n{circumstances(section["machine"])}'


def verdict_table(results, targets):
    cells = []
    for one in verdicts.judge(results, targets):
        name = one.target.row if verdicts.subject_of(one.target.row) else \
            f'{one.target.row}: {one.target.other}'
        cells.append([name, one.target.text, one.measured, one.said])
    return table(['row', 'target', 'measured', 'verdict'], cells, numbers_from=4)


def page(results, targets):
    text = HEAD + '\n## Verdicts\n\n' + verdict_table(results, targets)
    for name, (title, about) in ABOUT.items():
        text += f'\n## {title}\n\n{about}\n\n'
        text += section_text(name, results[name], targets) if name in results \
            else 'Not measured.\n'
    while '\n\n\n' in text:
        text = text.replace('\n\n\n', '\n\n')
    return text.rstrip('\n') + '\n'
