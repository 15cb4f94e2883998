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

'''

HOW_TO_READ = '''## How to read it

`uring` and `epoll` are rota on one engine and, if nothing else is said, with one reactor.
`limit-uring` and `limit-epoll` are raw loops without any framework (bench/limit); they answer keys
with constants, so no key-value server can reach them, and how near one comes is the measure.
memcached is spoken to in its meta commands: it answers each classic `get` with a system call of its
own, however many came together.

Servers are compared by `rota-compare` ([0019](design/0019-rota-compare.md)): one serves at a time,
on a processor of its own, the load client on another; every round measures all of them, in random
order, and they are started anew twelve times, six if that takes long: two processes of one program
may differ in all of their rounds, so a start counts as one value, the median of its rounds. The
main figure is the server's CPU time per request, all threads, kernel included: the median with its
95 % interval, and between which values 80 % of the rounds lie. A ratio is the median of the rounds'
own ratios, start by start, with its interval. *Reached* and *not reached* are said only when the
whole interval lies on that side of the target; otherwise the line is *not decidable* by these
rounds. Of many lines at 95 %, some are called wrongly.

Costs are measured both ways, and each has a line of its own in the table above. *Saturated*: in a
closed loop, where a server that is always busy takes as many requests per turn as there are. One
that has time to spare finds fewer per turn, and the fastest finds the fewest, so it looks worse
than it is. Therefore a server that is less than 95 % busy in it is shown, and has *no verdict*; if
it is ours, a target that is reached all the same counts. *Fixed rate*: all get the same rate, 70 %
of what the slowest of them answered in the closed loop; there a pipelining client's requests are
due together, as many as the depth says. Who answered less than half of what ours did takes no part
in it, because that rate would leave the others idle. Nothing is decided by a rate that was not
kept.

'''

# Section: its title, and what is said about it.
ABOUT = {
    'echo': ('Echo, 64 bytes',
             'Connections x depth. `uring` and `epoll` serve a protocol table by workers, "rota '
             'task" is a task per connection (apps/echo).'),
    'echo-epoll': ('Echo on epoll', 'The epoll engine and a raw epoll loop alone.'),
    'echo-slow': ('Echo, peers that cannot keep up',
                  'In a row of their own, and only in a closed loop.'),
    'kv': ('SET:GET 1:10, 64-byte values, 10 000 keys', 'One thread, 64 connections.'),
    'kv-large': ('SET:GET 1:10, 64-byte values, 1 000 000 keys',
                 'One thread, 64 connections; the keys do not fit the caches, but the raw loop '
                 'looks none up.'),
    'reactors': ('Two reactors on two cores',
                 'Ours with two reactors, beside itself with one (x1) and beside others with two '
                 'threads: all in a closed loop for a moment, then each pair at 70 % of what the '
                 'slower of the two answered in it, which is what is judged. With fewer than four '
                 'cores, servers and clients share them all. This shows what a second '
                 'reactor costs for the same work: locks, cache lines that move between cores, and '
                 'smaller batches, for each reactor has half of the connections. Raw loops, one '
                 '(x1) and two (x2), share nothing and do nothing: what two of them cost more than '
                 'one is what this machine takes. It does not show how throughput grows with '
                 'cores.'),
    'latency-echo': ('Latency of echo at 70 % of capacity',
                     'Open loop: single requests on 64 connections, due one by one at a fixed '
                     'rate, and counted from when they were due. All servers get the same rate, '
                     '70 % of what the slowest manages in a closed loop, or less if that is not '
                     'kept, or only by a client that is late (below 50 % nothing is said): who '
                     'chooses a server has a load, not a percentage. So a faster server has more '
                     'room, and that is part of the result. What disturbs a round only adds to '
                     'its latencies, often ten times as much as the server does, so a median over '
                     'rounds says how often that happened. Therefore rounds are left out in which '
                     'the host took more than 1 % of the processor, or in which server or client '
                     'were kept waiting for it for more than 2 % of the time; of the others the '
                     'lower quartile is compared ("p99 µs", "p99.9 µs"), by the ratio of the '
                     'quartiles with its interval (percentile bootstrap over starts). Medians are '
                     'over all rounds.'),
    'latency-kv': ('Latency of key-value requests at 70 % of capacity',
                   'As above, SET:GET 1:10, 10 000 keys.'),
    'user-space': ('In user space, per request',
                   'Counted by callgrind, as the slope between a short and a long run of the same '
                   'program under the same load: instructions; calls of malloc and its kin; and, '
                   'for rota on io_uring, calls of `io_uring_enter` per turn of the reactor. SET '
                   'overwrites. A server that finds more requests in a turn does less for each.'),
    'calls': ('System calls per request',
              'Four busy connections, counted by the kernel. A faster server is called more often '
              'at depth 1: it waits for every request that the client has not sent yet.'),
    'idle': ('Memory of an idle connection',
             'Anonymous resident memory of the process, slope from 2 000 to 18 000 connections '
             'that were each answered once, when it no longer shrinks (at the earliest 6 s after '
             'the last answer, at the latest 20 s later). Kernel memory (slab and TCP buffers, '
             'client side included) is that '
             'of the whole machine.'),
    'key': ('Memory per key, over key and value',
            'Keys of 16 and values of 32 bytes; mean over 0.7 to 1.4 million keys, bytes beyond '
            'those of the same server with 1000 keys, written 300 times; looked at two seconds '
            'after the last key. '
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
                 'Under the load of the row, in a closed loop: where CPU time goes, kernel (`[k]`) '
                 'included, sampled '
                 'by perf; and the functions that the instructions in user space are in, counted '
                 'by callgrind, per request (per cent of all for micro-benchmarks). What a '
                 'function calls is not known where tasks are switched. Two reactors are counted '
                 'on the epoll engine: valgrind lets nobody run while one waits in a ring. For '
                 'memory per key: what of it the server has allocated, as it says itself.'),
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


# ---- rows that rota-compare has measured ----

def microseconds(nanoseconds):
    return '' if nanoseconds is None else figure(nanoseconds / 1000)


def of_interval(one):
    """A figure of rota-compare's in ns, as microseconds with the interval."""
    return f'{microseconds(one["median"])} [{microseconds(one["low"])}, ' + \
        f'{microseconds(one["high"])}]'


def middle_of_rounds(result, name):
    """Between which values 80 % of the rounds lie."""
    values = [one[name] for one in result['rounds']]
    low, high = statistics.quantiles(values, n=10)[::8] if len(values) > 1 else values * 2
    return f'{microseconds(low)}..{microseconds(high)}'


def ratio_to(point, result, reference, name):
    ratio = verdicts.comparison_of(point, result['variant'], reference, name)
    if result['variant'] == reference:
        return '1'
    return ratio_text(ratio) if ratio else ''


def percent(share):
    return '' if share is None else f'{100 * share:.0f} %'


def rate_text(point, result, unit=''):
    return f'{verdicts.median_of(result, "requests_per_s"):.0f}{unit}' + \
        ('' if verdicts.is_kept(point, result) else ', not kept')


def measured_results(point):
    return [one for one in point['results'] if verdicts.result_of(point, one['variant'])]


def point_head(point):
    how = f'fixed rate of {point["rate"]}/s' if point['rate'] is not None else 'closed loop'
    here = measured_results(point)
    starts = max((verdicts.starts_of(one) for one in here), key=len, default=[])
    text = f'`{point["settings"]}`, {how}: {len(starts)} rounds of {point["round_seconds"]} s ' + \
        f'in {len(set(starts))} starts'
    return f'{text}, seed {point["seed"]}.\n\n'


def cost_table(point):
    reference, cells = point['reference'], []
    for one in measured_results(point):
        calls = verdicts.median_of(one, 'syscalls')
        cells.append([one['variant'], of_interval(one['figures']['cpu_ns']),
                      middle_of_rounds(one, 'cpu_ns'), ratio_to(point, one, reference, 'cpu_ns'),
                      percent(verdicts.median_of(one, 'busy')), rate_text(point, one),
                      microseconds(verdicts.median_of(one, 'p50_ns')),
                      microseconds(verdicts.median_of(one, 'p99_ns')),
                      '' if calls is None else figure(calls)])
    return table(['server', 'µs/request', 'p10..p90', f'ratio to {reference}', 'busy',
                  'requests/s', 'p50 µs', 'p99 µs', 'system calls'], cells)


def quartile_cells(point, result, percentile):
    """The lower quartile of a latency over undisturbed rounds, and its ratio to the reference."""
    values = verdicts.undisturbed(result, percentile)
    if result['variant'] == point['reference']:
        ratio = '1'
    else:
        found = verdicts.latency_ratio(point, result['variant'], point['reference'], percentile)
        ratio = ratio_text(found) if found else ''
    return [microseconds(verdicts.quartile(values)), ratio]


def latency_table(point):
    reference, cells = point['reference'], []
    for one in measured_results(point):
        calm = sum(value is not None for value in verdicts.undisturbed(one, 'p99'))
        cells.append([one['variant'], calm, *quartile_cells(point, one, 'p99'),
                      *quartile_cells(point, one, 'p999'),
                      *(microseconds(verdicts.median_of(one, name))
                        for name in ('p50_ns', 'p99_ns', 'p999_ns', 'cpu_ns')),
                      percent(verdicts.median_of(one, 'busy')), rate_text(point, one)])
    return table(['server', 'undisturbed rounds', 'p99 µs', f'ratio to {reference}', 'p99.9 µs',
                  f'ratio to {reference}', 'median p50', 'median p99', 'median p99.9',
                  'µs/request', 'busy', 'requests/s'], cells)


def apart_text(row):
    """Who took no part in a row's fixed rate."""
    return ''.join(f'{name} answers {percent(part)} of what ours does and takes no part in the '
                   'fixed rate.\n\n' for name, part in row.get('apart', {}).items())


def row_text(name, row, one_table):
    text = f'**{name}**\n\n{circumstances(row["machine"])}'
    text += apart_text(row)
    for point in row['points']:
        text += point_head(point) + one_table(point) + '\n'
        text += ''.join(f'* {note}\n' for note in point['notes']) + '\n'
    return text


def compared_section(section, one_table):
    text = ''.join(row_text(name, row, one_table) for name, row in section['rows'].items())
    text += ''.join(f'    {command}\n' for command in section['commands'])
    return f'{text}\n{notes(section)}'


def brief(row):
    """A row in few words, for the terminal."""
    return ''.join(f'    {one["variant"]:20} '
                   f'{microseconds(verdicts.median_of(one, "cpu_ns")):>7} us '
                   f'{percent(verdicts.median_of(one, "busy")):>6} '
                   f'{rate_text(point, one, "/s"):>10}  '
                   f'{ratio_to(point, one, point["reference"], "cpu_ns")}\n'
                   for point in row['points'] for one in measured_results(point))


def brief_figure(value):
    """What a probe has found, for the terminal."""
    if isinstance(value, dict):
        return f'{value["instructions"]:.0f} instructions'
    if isinstance(value, (tuple, list)):
        return ', '.join(brief_figure(one) for one in value)
    return 'nothing' if value is None else figure(value)


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
        if 'allocated' in found:
            text += f'{found["resident"]:.1f} bytes per key over key and value are resident, ' + \
                f'of which {found["allocated"]:.1f} are allocated. The others are pages that ' + \
                'hold nothing (yet, or any longer), and what the allocator needs itself.\n\n'
            continue
        if 'symbols' in found:
            text += f'CPU time by program: {shares(found["programs"])}. By symbol: ' + \
                f'{shares(found["symbols"])}.\n\n'
        elif 'why_no_symbols' in found:
            text += f'CPU time is not known: {found["why_no_symbols"]}.\n\n'
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
        return compared_section(section, latency_table if name.startswith('latency')
                                else cost_table)
    if name == 'micro':
        text = micro_section(section, targets)
    else:
        text = {'user-space': user_space_section, 'calls': calls_section, 'idle': idle_section,
                'key': key_section, 'primitives': primitives_section,
                'profiles': profiles_section}[name](section)
    return f'{text}\n{notes(section)}\n{circumstances(section["machine"])}'


# ---- the page ----

def dates(results):
    """When what is shown was measured, and on which machines: a line for each."""
    machines = [row['machine'] for section in results.values()
                for row in [*section.get('rows', {}).values(), section]]
    found = {}
    for machine in machines:
        key = (f'{machine["cpu"]}, {machine["cores"]} cores, {machine["memory"]}; '
               f'Linux {machine["kernel"]}')
        found.setdefault(key, []).append(machine['date'])
    return ''.join(f'{key}; {min(when)} to {max(when)}.\n' for key, when in found.items())


def standing(judged):
    count = {said: sum(one.said == said for one in judged)
             for said in (verdicts.REACHED, verdicts.MISSED, verdicts.OPEN, verdicts.NO_VERDICT,
                          verdicts.ABSENT)}
    targets = len({one.target for one in judged})
    return f'{targets} targets, {len(judged)} lines: ' + \
        ', '.join(f'{number} {said.strip("*")}' for said, number in count.items()) + '.\n'


def verdict_table(judged):
    cells = [[one.line, one.target.text, one.measured, one.said] for one in judged]
    return table(['row', 'target', 'measured', 'verdict'], cells, numbers_from=4)


def page(results, targets):
    judged = verdicts.judge(results, targets)
    text = HEAD + dates(results) + '\n## Standing\n\n' + standing(judged) + '\n' + \
        verdict_table(judged) + '\n' + HOW_TO_READ
    for name, (title, about) in ABOUT.items():
        text += f'\n## {title}\n\n{about}\n\n'
        text += section_text(name, results[name], targets) if name in results \
            else 'Not measured.\n'
    while '\n\n\n' in text:
        text = text.replace('\n\n\n', '\n\n')
    return text.rstrip('\n') + '\n'
