#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bench/performance.py makes of rota-compare's JSON: verdicts, plans of rows, the page.

    tests/unit/bench/performance/test_performance.py [TEST...]

recorded.json is a result of rota-compare, shortened: echo in a closed loop and at a fixed rate,
with a raw loop, a peer, and a server that does not start.
"""
import copy
import os
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
    return {**result['points'][at], 'settings': 'echo:connections=4', 'seed': 7, 'blocks': 2,
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


def judged(row, other, relation, number, *points, section='echo'):
    target = verdicts.Target(row, other, relation, number, 'as wanted')
    rows = {row.removesuffix(' p99').removesuffix(' p99.9'): {'points': list(points)}}
    return verdicts.judge({section: {'rows': rows}}, [target])[0]


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
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1, self.fixed).measured, text)

    def test_time_to_spare_may_only_be_held_against_us(self):
        set_ratio(self.closed, 'libuv', 1.5, 1.4, 1.6)
        set_busy(self.closed, uring=0.9)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.closed).said,
                         verdicts.REACHED)
        verdict = judged('echo 64x1', 'libuv', 'max', 2, self.closed)
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('time to spare', verdict.measured)
        set_busy(self.closed, uring=1, libuv=0.9)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.closed).said,
                         verdicts.OPEN)

    def test_a_rate_that_was_not_kept_decides_nothing(self):
        set_ratio(self.fixed, 'libuv', 1.5, 1.4, 1.6)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.fixed).said,
                         verdicts.REACHED)
        kept = verdicts.median_of(result_of(self.fixed, 'libuv'), 'requests_per_s')
        self.fixed['rate'] = kept * 1.1
        verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.fixed)
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('the rate was not kept', verdict.measured)

    def test_five_rounds_decide_nothing(self):
        set_ratio(self.closed, 'libuv', 1.5, 1.4, 1.6)
        del result_of(self.closed, 'libuv')['rounds'][5:]
        verdict = judged('echo 64x1', 'libuv', 'min', 1.25, self.closed)
        self.assertEqual(verdict.said, verdicts.OPEN)
        self.assertIn('too few rounds', verdict.measured)

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

    def test_the_best_peer_is_no_raw_loop_and_none_that_failed(self):
        slow = copy.deepcopy(result_of(self.closed, 'libuv'))
        slow['variant'] = 'slow'
        slow['figures']['cpu_ns']['median'] *= 2
        self.closed['results'].append(slow)
        result_of(self.closed, 'limit-uring')['figures']['cpu_ns']['median'] = 1
        self.assertEqual(verdicts.best_peer(self.closed, 'cpu_ns'), 'libuv')
        result_of(self.closed, 'libuv')['failed'] = 'it fell over'
        self.assertEqual(verdicts.best_peer(self.closed, 'cpu_ns'), 'slow')
        slow['failed'] = 'it fell over as well'
        self.assertIsNone(verdicts.best_peer(self.closed, 'cpu_ns'))
        self.assertEqual(judged('echo 1000x1', 'best peer', 'min', 1, self.closed).said,
                         verdicts.ABSENT)

    def test_latencies_are_judged_by_their_own_percentile(self):
        set_ratio(self.fixed, 'libuv', 2.0, 1.5, 2.5, 'p99_ns')
        set_ratio(self.fixed, 'libuv', 0.5, 0.4, 0.6, 'p999_ns')
        for ending, said in (('p99', verdicts.REACHED), ('p99.9', verdicts.MISSED)):
            verdict = judged(f'latency echo {ending}', 'best peer', 'max', 1, self.fixed,
                             section='latency-echo')
            self.assertEqual(verdict.said, said, ending)
            self.assertIn('to libuv', verdict.measured)

    def test_who_is_in_the_second_point_only_is_judged_there(self):
        self.closed['comparisons'] = [one for one in self.closed['comparisons']
                                      if one['variant'] != 'libuv']
        set_ratio(self.fixed, 'libuv', 1.5, 1.4, 1.6)
        self.assertEqual(judged('echo 64x1', 'libuv', 'min', 1.25, self.closed, self.fixed).said,
                         verdicts.REACHED)

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


class Plans(unittest.TestCase):
    def test_who_is_busy_is_compared_in_a_closed_loop(self):
        capacity = {'uring': (100, 1), 'limit-uring': (110, 0.9), 'libuv': (90, 1)}
        self.assertEqual(rounds.divide(capacity, 'uring'),
                         (['uring', 'libuv'], ['uring', 'limit-uring']))
        self.assertEqual(rounds.divide({**capacity, 'limit-uring': (110, 1)}, 'uring'),
                         (['uring', 'limit-uring', 'libuv'], []))

    def test_if_we_have_time_to_spare_only_who_is_far_behind_stays_in_the_closed_loop(self):
        capacity = {'uring': (100, 0.9), 'libuv': (90, 1), 'memcached': (40, 1)}
        self.assertEqual(rounds.divide(capacity, 'uring'),
                         (['uring', 'memcached'], ['uring', 'libuv']))
        self.assertEqual(rounds.divide({'uring': (100, 0.9)}, 'uring'), ([], ['uring']))

    def test_without_ours_nothing_is_compared(self):
        self.assertEqual(rounds.divide({'libuv': (90, 1)}, 'uring'), ([], []))

    def test_a_pipelining_client_sends_bursts_at_a_fixed_rate(self):
        row = rounds.Row('kv P=16', performance.key_load('kv', 16), {'uring': None})
        self.assertEqual(rounds.depth_of(row), 16)
        self.assertTrue(rounds.at_rate(row, 1000, 16).endswith(',rate=1000,burst=16'))
        self.assertTrue(rounds.at_rate(row, 1000).endswith(',rate=1000'))

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

    def test_the_time_for_all_fits_in_25_minutes(self):
        self.assertLessEqual(sum(one.seconds for one in performance.SECTIONS.values()), 25 * 60)


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
        for wrong in ('v --port {port}', 'v=none', 'rota=x {port}', 'limit-x=x {port}'):
            with self.assertRaises(rounds.Failure):
                servers.parse_peers([wrong])

    def test_a_command_is_for_one_thread_and_without_its_protocol(self):
        self.assertEqual(servers.split('memcached-meta:memcached -t {threads} -p {port}'),
                         ['memcached', '-t', '1', '-p', '{port}'])
        self.assertEqual(servers.split("redis --save ''"), ['redis', '--save', ''])


class Page(unittest.TestCase):
    def test_a_row_shows_who_was_measured_and_says_who_was_not(self):
        row = {'points': [recorded(0), recorded(1)], 'machine': MACHINE, 'failed': {},
               'capacity': {'uring': (100.0, 0.99)}}
        results = {'echo': {'rows': {'echo 64x1': row}, 'machine': MACHINE, 'commands': ['c: d'],
                            'notes': ['broken: false ended with status 1']},
                   'latency-echo': {'rows': {'latency echo': row}, 'machine': MACHINE,
                                    'commands': [], 'notes': []}}
        targets = verdicts.read_targets(os.path.join(BENCH, 'targets.tsv'))
        page = report.page(results, targets)
        self.assertIn(f'{len(targets)} targets: ', page)
        self.assertIn('* broken: false ended with status 1', page)
        self.assertIn('fixed rate of 2000/s: 8 rounds of 0.05 s, seed 7', page)
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
