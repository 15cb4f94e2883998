#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bench/performance.py makes of rota-compare's JSON: verdicts, plans of rows, the page.

    tests/unit/bench/performance/test_performance.py [TEST...]

recorded.json is a result of rota-compare, shortened: echo in a closed loop and at a fixed rate,
with a raw loop, a peer, and a server that does not start. recorded_latencies.tsv is of another run.
"""
import copy
import os
import random
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, '..', '..', '..', '..', 'bench')
sys.path.insert(0, BENCH)

import performance   # noqa: E402
import probes        # noqa: E402
import report        # noqa: E402
import rounds        # noqa: E402
import servers       # noqa: E402
import verdicts      # noqa: E402

MACHINE = {'cpu': 'an abacus', 'cores': 2, 'memory': '1 kB', 'kernel': '6', 'load': 0.0,
           'date': '2026-11-26 20:00'}


def recorded(at):
    """A point as a row keeps it: 0 is in a closed loop, 1 at a fixed rate."""
    result = rounds.read_result(os.path.join(HERE, 'recorded.json'))
    return {**result['points'][at], 'settings': 'echo:connections=4', 'seed': 7,
            'round_seconds': 0.05, 'left_out': {}}


def result_of(point, name):
    return next(one for one in point['results'] if one['variant'] == name)


def set_busy(point, **busy):
    for name, share in busy.items():
        result_of(point, name.replace('_', '-'))['figures']['busy']['median'] = share


def set_ratio(point, name, ratio, low, high, figure='cpu_ns'):
    one = next(one for one in point['comparisons']
               if (one['variant'], one['figure']) == (name, figure))
    one.update(ratio=ratio, low=low, high=high)


def lines(row, other, relation, number, *points, section='echo', **more):
    """The lines of a target, whose row has these points."""
    target = verdicts.Target(row, other, relation, number, 'as wanted')
    rows = {row.removesuffix(' p99').removesuffix(' p99.9'): {'points': list(points), **more}}
    return verdicts.judge({section: {'rows': rows}}, [target])


def judged(row, other, relation, number, *points, section='echo', way=verdicts.SATURATED, **more):
    """The one line of that way."""
    one, = (line for line in lines(row, other, relation, number, *points, section=section, **more)
            if line.line in (row, f'{row}, {way}'))
    return one


def with_latencies(point, name, values, disturbed=()):
    """Give a server rounds of these p99, in which nothing disturbed it, but for some."""
    one = result_of(point, name)
    one['rounds'] = [{'latency_ns': {'p99': value, 'p999': 2 * value}, 'cpu_ns': 1, 'steal': 0.0,
                      'waiting': 0.0, 'load_waiting': 0.03 if at in disturbed else None,
                      'start': at}
                     for at, value in enumerate(values)]


class Verdicts(unittest.TestCase):
    def setUp(self):
        self.closed, self.fixed = recorded(0), recorded(1)
        set_busy(self.closed, uring=1, epoll=1, limit_uring=1, libuv=1)
        self.fixed['rate'] = 1      # kept by everybody

    def test_a_peer_costs_so_many_times_as_much_if_the_whole_interval_says_so(self):
        for low, high, said in ((1.25, 1.4, verdicts.REACHED), (1.24, 1.4, verdicts.OPEN),
                                (1.1, 1.26, verdicts.OPEN), (1.1, 1.24, verdicts.MISSED)):
            set_ratio(self.closed, 'libuv', 1.2, low, high)
            verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.closed)
            self.assertEqual((verdict.said, verdict.server), (said, 'uring'))
            self.assertEqual(verdict.measured, f'1.20 [{low:.2f}, {high:.2f}]')

    def test_ours_over_the_limit_is_the_limit_over_ours_the_other_way_round(self):
        for low, high, said in ((1 / 1.04, 1, verdicts.REACHED), (1 / 1.06, 1, verdicts.OPEN),
                                (0.8, 1 / 1.06, verdicts.MISSED)):
            set_ratio(self.closed, 'limit-uring', 0.97, low, high)
            verdict = judged('echo 64x1', 'limit-uring', 'max', 1.05, self.closed)
            self.assertEqual(verdict.said, said)
            self.assertEqual(verdict.measured, f'1.03 [{1 / high:.2f}, {1 / low:.2f}]')

    def test_the_recorded_ratio_is_the_one_that_rota_compare_calculated(self):
        one = next(one for one in self.fixed['comparisons']
                   if (one['variant'], one['figure']) == ('libuv', 'cpu_ns'))
        text = verdicts.ratio_text((one['ratio'], one['low'], one['high']))
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1, self.fixed,
                                way=verdicts.FIXED).measured, text)

    def test_a_cost_has_a_line_for_each_way_and_each_its_own_verdict(self):
        set_ratio(self.closed, 'libuv', 1.5, 1.4, 1.6)
        set_ratio(self.fixed, 'libuv', 1.1, 1.0, 1.2)
        found = lines('echo 64x1', 'libuv', 'min', 1.25, self.closed, self.fixed)
        self.assertEqual([(one.line, one.said) for one in found],
                         [('echo 64x1, saturated', verdicts.REACHED),
                          ('echo 64x1, fixed rate', verdicts.MISSED)])
        self.assertEqual({one.row for one in found}, {'echo 64x1'})
        found, = lines('reactors P=1', 'libuv', 'min', 1.25, self.closed, self.fixed,
                       section='reactors')
        self.assertEqual((found.line, found.said), ('reactors P=1', verdicts.MISSED))

    def test_who_is_far_behind_has_no_verdict_at_the_fixed_rate(self):
        verdict = judged('echo 64x1', 'slow', 'min', 1, self.closed, self.fixed,
                         way=verdicts.FIXED, apart={'slow': 0.21})
        self.assertEqual((verdict.said, verdict.measured),
                         (verdicts.NO_VERDICT, 'it answers 21 % of what ours does'))
        self.assertEqual(judged('echo 64x1', 'slow', 'min', 1, self.closed, self.fixed,
                                apart={'slow': 0.21}).said, verdicts.ABSENT)

    def test_time_to_spare_may_only_be_held_against_us(self):
        set_ratio(self.closed, 'libuv', 1.5, 1.4, 1.6)
        set_busy(self.closed, uring=0.9)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.closed).said,
                         verdicts.REACHED)
        self.assertEqual(judged('echo 64x1', 'libuv', 'max', 0.72, self.closed).said,
                         verdicts.REACHED)
        for relation, number in (('min', 1.7), ('min', 1.5), ('max', 0.6)):
            verdict = judged('echo 64x1', 'libuv', relation, number, self.closed)
            self.assertEqual(verdict.said, verdicts.NO_VERDICT)
            self.assertIn('uring was 90 % busy', verdict.measured)
        set_busy(self.closed, uring=1, libuv=0.91)
        verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.closed)
        self.assertEqual(verdict.said, verdicts.NO_VERDICT)
        self.assertIn('libuv was 91 % busy', verdict.measured)

    def test_a_rate_that_was_not_kept_decides_nothing(self):
        set_ratio(self.fixed, 'libuv', 1.5, 1.4, 1.6)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.fixed,
                                way=verdicts.FIXED).said, verdicts.REACHED)
        kept = verdicts.median_of(result_of(self.fixed, 'libuv'), 'requests_per_s')
        self.fixed['rate'] = kept * 1.1
        verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.fixed, way=verdicts.FIXED)
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('the rate was not kept', verdict.measured)

    def test_five_starts_decide_nothing(self):
        set_ratio(self.closed, 'libuv', 1.5, 1.4, 1.6)
        del result_of(self.closed, 'libuv')['rounds'][5:]
        verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.closed)
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('too few starts', verdict.measured)

    def test_a_peer_that_is_not_there_is_not_measured(self):
        verdict = judged('echo 64x1', 'valkey', 'min', 1, self.closed, self.fixed)
        self.assertEqual((verdict.said, verdict.measured), (verdicts.ABSENT, ''))
        self.assertEqual(judged('kv P=1', 'redis', 'min', 1, self.closed).said, verdicts.ABSENT)

    def test_a_server_that_failed_is_not_measured_and_the_reason_is_said(self):
        verdict = judged('echo 64x1', 'broken', 'min', 1, self.closed)
        self.assertEqual((verdict.said, verdict.measured),
                         (verdicts.ABSENT, 'broken failed: false ended with status 1'))
        result_of(self.closed, 'uring')['failed'] = 'it fell over'
        self.closed['comparisons'] = []
        verdict = judged('echo 64x1', 'libuv', 'min', 1, self.closed)
        self.assertEqual((verdict.said, verdict.measured),
                         (verdicts.ABSENT, 'uring failed: it fell over'))

    def test_the_best_peer_is_no_raw_loop_and_none_that_failed_or_had_time_to_spare(self):
        slow = copy.deepcopy(result_of(self.closed, 'libuv'))
        slow['variant'] = 'slow'
        slow['figures']['cpu_ns']['median'] *= 2
        self.closed['results'].append(slow)
        result_of(self.closed, 'limit-uring')['figures']['cpu_ns']['median'] = 1
        self.assertEqual(verdicts.best_peer(self.closed), 'libuv')
        set_busy(self.closed, libuv=0.94)
        self.assertEqual(verdicts.best_peer(self.closed), 'slow')
        self.assertEqual(verdicts.best_peer({**self.closed, 'rate': 1}), 'libuv')
        set_busy(self.closed, libuv=1)
        result_of(self.closed, 'libuv')['failed'] = 'it fell over'
        self.assertEqual(verdicts.best_peer(self.closed), 'slow')
        slow['failed'] = 'it fell over as well'
        self.assertIsNone(verdicts.best_peer(self.closed))
        self.assertEqual(judged('echo 1000x1', 'best peer', 'min', 1, self.closed).said,
                         verdicts.ABSENT)

    def test_who_is_in_the_second_pair_only_is_judged_there(self):
        other = copy.deepcopy(self.fixed)
        other['comparisons'] = [one for one in other['comparisons'] if one['variant'] != 'libuv']
        set_ratio(self.fixed, 'libuv', 1.5, 1.4, 1.6)
        self.assertEqual(judged('reactors P=1', 'libuv', 'min', 1.25, other, self.fixed,
                                section='reactors').said, verdicts.REACHED)

    def test_counts_are_judged_as_they_are(self):
        results = {'user-space': {'figures': {'echo 64x1': {
            'limit-uring': {'instructions': 244}, 'ours': {'instructions': 743.9}}}},
            'key': {'figures': {'allocated': {'rota-kv': 26.0, 'with expiry': 34.1}}}}
        targets = [verdicts.Target('instructions echo 64x1', 'ours', 'over', 500, ''),
                   verdicts.Target('instructions GET P=1', 'ours', 'over', 500, ''),
                   verdicts.Target('key allocated', 'rota-kv', 'most', 28, ''),
                   verdicts.Target('key allocated', 'with expiry', 'over', 8, '')]
        self.assertEqual([one.said for one in verdicts.judge(results, targets)],
                         [verdicts.REACHED, verdicts.ABSENT, verdicts.REACHED, verdicts.MISSED])

    def test_repeated_figures_have_the_sign_tests_interval(self):
        # Conover, Practical Nonparametric Statistics, table A3: p = 0.5, at most 0.025.
        self.assertEqual([verdicts.values_outside(count) for count in (5, 6, 8, 9, 12, 20, 40)],
                         [-1, 0, 0, 1, 2, 5, 13])
        self.assertEqual(verdicts.interval([3, 1, 2]), (2, 1, 3))
        self.assertEqual(verdicts.interval(range(1, 13)), (6.5, 3, 10))

    def test_every_target_speaks_of_something_that_is_measured(self):
        targets = verdicts.read_targets(os.path.join(BENCH, 'targets.tsv'))
        self.assertEqual({one.said for one in verdicts.judge({}, targets)}, {verdicts.ABSENT})
        for verdict in verdicts.judge({}, targets):
            self.assertIn(verdict.section, performance.SECTIONS)


class Latencies(unittest.TestCase):
    """Lower quartiles over rounds that nothing has disturbed."""

    def setUp(self):
        self.point = {**recorded(1), 'rate': 1}
        for one in self.point['results']:
            with_latencies(self.point, one['variant'], [] if one['failed'] else [1_000_000] * 20)

    def verdict(self, ending='p99'):
        return judged(f'latency echo {ending}', 'best peer', 'max', 1, self.point,
                      section='latency-echo')

    def test_stalls_in_half_of_the_rounds_do_not_decide(self):
        calm = [100_000 + at for at in range(20)]
        with_latencies(self.point, 'uring', [value * 8 // 10 for value in calm] + [9_000_000] * 20)
        with_latencies(self.point, 'libuv', calm * 2)
        for ending in ('p99', 'p99.9'):
            verdict = self.verdict(ending)
            self.assertEqual(verdict.said, verdicts.REACHED)
            self.assertRegex(verdict.measured, r'^0\.80 \[0\.80, 0\.80\] to libuv$')
        with_latencies(self.point, 'uring', [value * 12 // 10 for value in calm] * 2)
        self.assertEqual(self.verdict().said, verdicts.MISSED)
        for share, said in ((50, verdicts.MISSED), (40, verdicts.OPEN)):
            self.point.update(capacity_asked=70, capacity=share)
            self.assertEqual(self.verdict().said, said)
            self.assertIn(f'to libuv, at {share} % of capacity', self.verdict().measured)
        self.point['capacity_asked'] = None
        self.point['rate'] = 10 ** 9
        verdict = self.verdict()
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('the rate was not kept', verdict.measured)

    def test_the_best_peer_has_the_lowest_quartile_and_is_no_raw_loop(self):
        for name, value in (('uring', 100), ('libuv', 130), ('limit-uring', 50), ('epoll', 60)):
            with_latencies(self.point, name, [value] * 20)
        self.point['results'].append({**copy.deepcopy(result_of(self.point, 'libuv')),
                                      'variant': 'libev'})
        with_latencies(self.point, 'libev', [120] * 20)
        self.assertEqual(self.verdict().measured, '0.83 [0.83, 0.83] to libev')

    def test_a_disturbed_round_does_not_count_and_thirteen_must(self):
        with_latencies(self.point, 'libuv', [100] * 26, disturbed=range(13))
        with_latencies(self.point, 'uring', [90] * 13 + [10] * 13, disturbed=range(13, 26))
        self.assertEqual(self.verdict().said, verdicts.REACHED)     # no round of both
        with_latencies(self.point, 'libuv', [100] * 20)
        with_latencies(self.point, 'uring', [90] * 13 + [10] * 7, disturbed=range(13, 20))
        self.assertEqual(verdicts.undisturbed(result_of(self.point, 'uring'), 'p99'),
                         [90] * 13 + [None] * 7)
        self.assertEqual(self.verdict().said, verdicts.REACHED)
        for name, share in (('steal', 0.02), ('waiting', 0.03)):
            with_latencies(self.point, 'uring', [90] * 13)
            result_of(self.point, 'uring')['rounds'][0][name] = share
            self.assertEqual((self.verdict().measured, self.verdict().said),
                             ('too few starts or undisturbed rounds', verdicts.OPEN))

    def recorded(self):
        """(p99 of a server, of the same server again, then p99.9 of both)."""
        rows = servers.read_table(os.path.join(HERE, 'recorded_latencies.tsv'))
        columns = list(zip(*([int(word) for word in row] for row in rows)))
        return columns[0], columns[2], columns[1], columns[3]

    def test_recorded_rounds_of_the_same_server_do_not_differ(self):
        self.assertEqual(len(self.recorded()[0]), 53)
        for one, again in (self.recorded()[:2], self.recorded()[2:]):
            ratio, low, high = verdicts.quartile_ratio(one, again, range(53), 7)
            self.assertLess(abs(ratio - 1), 0.02)
            self.assertTrue(low < 1 < high)
            self.assertLess(high - low, 0.3)

    def test_who_is_who_drawn_by_lot_differs_in_one_case_of_twenty(self):
        self.addCleanup(setattr, verdicts, 'RESAMPLES', verdicts.RESAMPLES)
        verdicts.RESAMPLES = 400
        one, again, *_ = self.recorded()
        wrong = found = 0
        for seed in range(100):
            lot = random.Random(seed)
            pairs = [lot.sample(pair, 2) for pair in zip(one, again)]
            _, low, high = verdicts.quartile_ratio(*zip(*pairs), range(53), seed)
            wrong += not low <= 1 <= high
            _, low, _ = verdicts.quartile_ratio([1.2 * mine for mine, _ in pairs],
                                                [base for _, base in pairs], range(53), seed)
            found += low > 1
        self.assertLess(wrong, 12)      # 5, and three standard deviations
        self.assertGreater(found, 90)

    def test_processes_that_differ_are_no_difference_of_programs(self):
        self.addCleanup(setattr, verdicts, 'RESAMPLES', verdicts.RESAMPLES)
        verdicts.RESAMPLES = 400
        starts = [start for start in range(12) for _ in range(4)]

        def rounds_of(lot):
            return [round_of * lot.gauss(1, 0.03) for round_of in
                    (process for process in [lot.gauss(100, 12) for _ in range(12)]
                     for _ in range(4))]

        wrong = alone = 0
        for seed in range(100):
            lot = random.Random(seed)
            one, again = rounds_of(lot), rounds_of(lot)
            _, low, high = verdicts.quartile_ratio(one, again, starts, seed)
            wrong += not low <= 1 <= high
            _, low, high = verdicts.quartile_ratio(one, again, range(48), seed)
            alone += not low <= 1 <= high
        self.assertLess(wrong, 12)
        self.assertGreater(alone, 12)   # rounds by themselves would promise too much

    def test_without_peers_or_ours_nothing_is_measured(self):
        with_latencies(self.point, 'uring', [90] * 13)
        result_of(self.point, 'libuv')['failed'] = 'it fell over'
        self.assertEqual(self.verdict().said, verdicts.ABSENT)
        result_of(self.point, 'uring')['failed'] = 'it fell over as well'
        self.assertEqual((self.verdict().measured, self.verdict().said),
                         ('uring failed: it fell over as well', verdicts.ABSENT))


class Plans(unittest.TestCase):
    """With a function in the place of rota-compare, which says what each server answers."""

    def plan(self, measure, answers, workload='kv:connections=4,depth=16', **options):
        """(row as measured, [(who, workload) of each point])."""
        asked = []

        def measure_point(row, names, workload, how, seconds):
            asked.append((names, workload))
            point = copy.deepcopy(recorded(0))
            one = result_of(point, 'uring')
            point['results'] = [{**copy.deepcopy(one), 'variant': name} for name in names]
            for name in names:
                result = result_of(point, name)
                result['failed'] = None if answers[name] else 'it fell over'
                result['figures']['requests_per_s']['median'] = answers[name]
            return point

        self.addCleanup(setattr, rounds, 'measure_point', rounds.measure_point)
        rounds.measure_point = measure_point
        row = rounds.Row('a row', workload, dict.fromkeys(answers))
        return measure(row, rounds.Clock(10), **options), asked

    def test_costs_are_measured_in_a_closed_loop_and_at_a_rate_without_those_far_behind(self):
        answers = {'uring': 100, 'epoll': 90, 'libuv': 50, 'redis': 49, 'broken': 0}
        row, asked = self.plan(rounds.measure_cost, answers)
        self.assertEqual(asked, [
            (list(answers), 'kv:connections=4,depth=16'),
            (['uring', 'epoll', 'libuv'], 'kv:connections=4,depth=16,rate=35,burst=16')])
        self.assertEqual((len(row['points']), row['apart']), (2, {'redis': 0.49}))
        self.assertEqual(row['failed'], {'broken': 'it fell over'})

    def test_without_ours_there_is_no_rate(self):
        for measure in (rounds.measure_cost, rounds.measure_pairs):
            _, asked = self.plan(measure, {'uring': 0, 'libuv': 90})
            self.assertEqual(len(asked), 1)

    def test_pairs_have_the_rate_of_the_slower_one(self):
        _, asked = self.plan(rounds.measure_pairs, {'uring': 100, 'a': 200, 'b': 10, 'c': 0},
                             workload='kv:depth=1')
        self.assertEqual(asked[1:], [(['uring', 'a'], 'kv:depth=1,rate=70'),
                                     (['uring', 'b'], 'kv:depth=1,rate=7')])

    def test_for_latencies_rota_compare_finds_the_rate(self):
        _, asked = self.plan(rounds.measure_latency, {'uring': 100, 'a': 50}, 'kv:depth=1')
        self.assertEqual(asked, [(['uring', 'a'], 'kv:depth=1,capacity=70')])

    def test_engines_and_servers_become_words(self):
        row = rounds.Row('echo', 'echo:depth=1', {'uring': None, 'a b': 'echo:c {port}'},
                         ('--x', '1'))
        self.assertEqual(rounds.words_of(row, ['uring', 'a b'], 'echo:depth=2'),
                         ['--engines', 'uring', '--workload', 'echo:depth=2', '--reference',
                          'uring', '--server', 'a b=echo:c {port}', '--x', '1'])
        with self.assertRaises(rounds.Failure):
            rounds.words_of(row, ['a b'], 'echo')

    def test_a_workload_becomes_options_of_the_load_client(self):
        self.assertEqual(probes.load_options('get:connections=4,depth=2,reactors=2,keys=9'),
                         ['--protocol', 'resp', '--ratio', '0:1', '--prefill', '--connections',
                          '4', '--depth', '2', '--keys', '9'])
        self.assertEqual(probes.load_options('echo'), [])

    def test_the_time_for_all_fits_in_40_minutes(self):
        self.assertLessEqual(sum(one.seconds for one in performance.SECTIONS.values()), 40 * 60)


class Running(unittest.TestCase):
    """With a program in the place of rota-compare."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, before = folder.name, rounds.PROGRAM
        self.addCleanup(setattr, rounds, 'PROGRAM', before)

    def put(self, script):
        rounds.PROGRAM = os.path.join(self.folder, 'program')
        with open(rounds.PROGRAM, 'w') as file:
            file.write('#!/bin/bash\n' + script)
        os.chmod(rounds.PROGRAM, 0o755)

    def test_the_result_is_read_without_its_histograms(self):
        self.put(f'cp {HERE}/recorded.json "$3"\n')     # --quiet --json FILE
        result = rounds.run(['--workload', 'echo'], 1)
        self.assertEqual(len(result['points']), 2)
        self.assertNotIn('histogram', result['points'][0]['results'][0])

    def test_how_it_failed_is_said(self):
        self.put('echo first >&2; echo "last words" >&2; exit 2\n')
        with self.assertRaisesRegex(rounds.Failure, 'status 2: last words'):
            rounds.run([], 1)
        self.put('echo "{}" >"$3"\n')
        with self.assertRaisesRegex(rounds.Failure, 'is no result of rota-compare'):
            rounds.run([], 1)
        self.put('echo nonsense >"$3"\n')
        with self.assertRaises(ValueError):
            rounds.run([], 1)

    def test_what_was_started_has_ended_whatever_happens(self):
        process = subprocess.Popen(['sleep', '1000'])
        with self.assertRaises(KeyboardInterrupt), rounds.ended(process):
            raise KeyboardInterrupt
        self.assertEqual(process.returncode, -signal.SIGTERM)

    def test_a_row_that_fails_leaves_the_others(self):
        def make_rows(peers, notes):
            notes.append('valkey is not here')
            return [rounds.Row(name, 'echo', {'uring': None}) for name in ('bad', 'good')]

        def measure(row, clock):
            if row.name == 'bad':
                raise rounds.Failure('it fell over')
            return {'points': [recorded(0)], 'failed': {'broken': 'it does not start'}}

        arguments = performance.argparse.Namespace(peers={})
        section = performance.compared(make_rows, measure)(arguments, rounds.Clock(10))
        self.assertEqual(list(section['rows']), ['good'])
        self.assertEqual(section['notes'], ['valkey is not here', 'bad: it fell over',
                                            'good, broken: it does not start'])


class Peers(unittest.TestCase):
    def test_more_peers_are_named_and_have_a_port(self):
        self.assertEqual(servers.parse_peers(['valkey=v --port {port}',
                                              'seastar=echo:s --port {port}']),
                         {'valkey': 'resp:v --port {port}', 'seastar': 'echo:s --port {port}'})
        self.assertEqual(servers.parse_peers(['Valkey=v {port}']), {'valkey': 'resp:v {port}'})
        for wrong in ('v --port {port}', 'v=none', 'rota=x {port}', 'limit-x=x {port}'):
            with self.assertRaises(rounds.Failure):
                servers.parse_peers([wrong])

    def test_a_command_is_for_one_thread_and_without_its_protocol(self):
        self.assertEqual(servers.split('memcached-meta:memcached -t {threads} -p {port}'),
                         ['memcached', '-t', '1', '-p', '{port}'])
        self.assertEqual(servers.split("redis --save ''"), ['redis', '--save', ''])


    def test_given_peers_take_part_in_all_rows_of_keys_and_fill_their_targets(self):
        table = os.path.join(BENCH, '..', servers.LISTED)
        for name, value in (('LISTED', table), ('READY', '/dev/null')):
            self.addCleanup(setattr, servers, name, getattr(servers, name))
            setattr(servers, name, value)
        more = servers.parse_peers(['Valkey=v {port}', 'pogocache=p {port} --threads {threads}',
                                    'Seastar=echo:s {port}'])
        taking_part = {'uring', 'epoll', 'limit-uring', 'limit-epoll', 'rota x1'}
        names = {}
        for section, make in (
                ('echo', performance.echo_rows), ('reactors', performance.reactor_rows),
                ('kv', performance.key_rows('kv', 1)), ('latency-kv', performance.latency_key_rows),
                ('kv-large', performance.key_rows('kv-large', 1))):
            rows = make(more, [])
            names[section] = {row.name: set(row.servers) for row in rows}
        for target in verdicts.read_targets(os.path.join(BENCH, 'targets.tsv')):
            if target.other in ('valkey', 'pogocache', 'seastar', *taking_part) and \
                    verdicts.subject_of(target.row):
                section, row, *_ = verdicts.subject_of(target.row)
                if section in names:
                    self.assertIn(target.other, names[section][row], target.row)
        self.assertLessEqual({'valkey', 'pogocache'}, names['latency-kv']['latency kv'])
        self.assertIn('pogocache', names['reactors']['reactors P=64'])


class Profiles(unittest.TestCase):
    def test_memory_that_is_too_much_is_allocated_or_only_resident(self):
        results = {'key': {'figures': {'resident': {'rota-kv': 30.7, 'memcached': 80.0},
                                       'allocated': {'rota-kv': 27.2}}}}
        for server, known in (('rota-kv', {'resident': 30.7, 'allocated': 27.2}),
                              ('memcached', None)):
            target = verdicts.Target('key resident', server, 'most', 28, '')
            verdict, = verdicts.judge(results, [target])
            self.assertEqual(verdict.said, verdicts.MISSED)
            self.assertEqual(performance.profile(verdict, results), known)
        text = report.profiles_section({'figures': {'key: rota-kv': {'resident': 30.7,
                                                                     'allocated': 27.2}}})
        self.assertIn('**key: rota-kv**', text)
        self.assertIn('30.7 bytes per key over key and value are resident, of which 27.2', text)


class Page(unittest.TestCase):
    def test_a_row_shows_who_was_measured_and_says_who_was_not(self):
        fixed = recorded(1)
        for name in ('uring', 'epoll', 'limit-uring', 'libuv'):
            with_latencies(fixed, name, [1000] * 8)
        row = {'points': [recorded(0), fixed], 'machine': MACHINE, 'failed': {},
               'apart': {'slow': 0.21}}
        results = {'echo': {'rows': {'echo 64x1': row}, 'machine': MACHINE, 'commands': ['c: d'],
                            'notes': ['broken: false ended with status 1']},
                   'latency-echo': {'rows': {'latency echo': {**row, 'points': [fixed]}},
                                    'machine': MACHINE,
                                    'commands': [], 'notes': []}}
        targets = verdicts.read_targets(os.path.join(BENCH, 'targets.tsv'))
        page = report.page(results, targets)
        self.assertIn(f'{len(targets)} targets, {len(verdicts.judge({}, targets))} lines: ', page)
        self.assertIn('slow answers 21 % of what ours does', page)
        self.assertIn('| echo 64x1, saturated |', page)
        self.assertIn('| server | undisturbed rounds | p99 µs |', page)
        self.assertIn('* broken: false ended with status 1', page)
        self.assertIn('fixed rate of 2000/s: 8 rounds of 0.05 s in 8 starts, seed 7', page)
        self.assertNotIn('| broken |', page)
        cpu = recorded(0)['results'][0]['figures']['cpu_ns']
        self.assertIn(f'| uring | {cpu["median"] / 1000:.2f} [{cpu["low"] / 1000:.2f}, '
                      f'{cpu["high"] / 1000:.2f}] |', page)
        self.assertLess(page.index('## Standing'), page.index('## How to read it'))

    def test_a_page_of_nothing_says_so(self):
        page = report.page({}, verdicts.read_targets(os.path.join(BENCH, 'targets.tsv')))
        self.assertIn('0 reached, 0 not reached, 0 not decidable', page)
        self.assertEqual(page.count('Not measured.'), len(report.ABOUT))
        self.assertEqual(list(report.ABOUT), list(performance.SECTIONS))


if __name__ == '__main__':
    unittest.main()
