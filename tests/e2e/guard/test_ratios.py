#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The micro benchmarks beside what was recorded: what is shown, not how long anything takes.

    tests/e2e/guard/test_ratios.py [TEST...]
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from outside import HANG_SECONDS    # noqa: E402

NAME = 'mutex/lock+unlock, local'
LINE = re.compile(re.escape(NAME) + r' +(\S+) +(\S+)(?: +(\S+))?$', re.MULTILINE)


class Ratios(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'baseline.json')

    def run_ratios(self, *options, only='^mutex/lock.unlock, local$'):
        return subprocess.run([sys.executable, 'bench/micro/ratios.py', '--file', self.path,
                               '--repetitions', '1', '--benchmark_min_time=0.001',
                               f'--benchmark_filter={only}', *options],
                              capture_output=True, text=True, timeout=HANG_SECONDS)

    def write(self, **changes):
        with open(self.path) as file:
            recorded = json.load(file)
        with open(self.path, 'w') as file:
            json.dump({**recorded, **changes}, file)

    def test_what_is_recorded_comes_back_as_a_ratio(self):
        done = self.run_ratios('--record')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(LINE.search(done.stdout).group(2, 3), ('-', None))
        self.write(figures={NAME: 1000.0})
        now, recorded, ratio = LINE.search(self.run_ratios().stdout).groups()
        self.assertEqual(float(recorded), 1000)
        self.assertAlmostEqual(float(ratio), float(now) / 1000, places=2)

    def test_recording_some_keeps_the_others(self):
        self.assertEqual(self.run_ratios('--record').returncode, 0)
        self.write(figures={NAME: 1000.0, 'another': 5.0})
        self.assertEqual(self.run_ratios('--record').returncode, 0)
        with open(self.path) as file:
            figures = json.load(file)['figures']
        self.assertEqual(figures['another'], 5)
        self.assertNotEqual(figures[NAME], 1000)

    def test_another_machine_is_named(self):
        self.assertEqual(self.run_ratios('--record').returncode, 0)
        self.assertNotIn('recorded on', self.run_ratios().stdout)
        self.write(machine='an abacus')
        self.assertIn('recorded on an abacus, and this is', self.run_ratios().stdout)

    def test_nothing_measured_is_a_failure_that_records_nothing(self):
        done = self.run_ratios('--record', only='no such benchmark')
        self.assertEqual((done.returncode, done.stderr), (1, 'ratios: nothing was measured\n'))
        self.assertFalse(os.path.exists(self.path))

    def test_what_a_program_complains_about_is_shown(self):
        done = self.run_ratios('--benchmark_no_such_option')
        self.assertEqual(done.returncode, 1)
        self.assertIn('task_bench ended with status 1', done.stderr)


if __name__ == '__main__':
    unittest.main()
