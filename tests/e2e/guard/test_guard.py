#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The guards themselves: a slowdown is found and named, a gain asks for renewal, nothing is
compared that cannot be, and the same is counted every time.

    tests/e2e/guard/test_guard.py [TEST...]
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from outside import HANG_SECONDS    # noqa: E402

GUARD = 'bench/guard/guard.py'
PROGRAM = 'build/release/bench/guard/guard'
SLOW = 'build/release/tests/e2e/guard/slow'
RENEW = 'ninja guard-renew'


def run(*options, path=None):
    """Exit status, and everything it said."""
    environment = {**os.environ, 'PATH': path or os.environ['PATH']}
    done = subprocess.run([sys.executable, GUARD, *options], capture_output=True, text=True,
                          env=environment, timeout=HANG_SECONDS)
    return done.returncode, done.stdout + done.stderr


@unittest.skipUnless(shutil.which('valgrind'), 'there is no valgrind')
class Guard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.recorded = os.path.join(cls.folder.name, 'recorded.tsv')
        status, said = run('--renew', '--file', cls.recorded)
        assert status == 0, said

    def edited(self, change):
        """A file in which change(name, instructions) has been applied to each line of numbers; None
        leaves it out."""
        path = os.path.join(self.folder.name, 'edited.tsv')
        with open(self.recorded) as recorded, open(path, 'w') as file:
            for line in recorded:
                if not line.startswith('#'):
                    name, instructions = line.split('\t')
                    now = change(name, float(instructions))
                    line = '' if now is None else f'{name}\t{now:.1f}\n'
                file.write(line)
        return path

    def test_the_same_is_counted_once_more(self):
        status, said = run('--file', self.recorded, '--tolerance', '0',
                           '--only', 'call,echo-task-16,kv-set-1,spawn-join,timer')
        self.assertEqual(status, 0, said)
        self.assertIn('5 scenarios within 0 %', said)

    def test_a_planted_slowdown_fails_and_is_named_with_its_function(self):
        status, said = run('--file', self.recorded, '--program', SLOW,
                           '--only', 'echo-session-1,mutex')
        self.assertEqual(status, 1, said)
        self.assertRegex(said, r'echo-session-1: .* instructions, \+\d')
        self.assertIn('__wrap_rota_output_write', said)
        self.assertIn(RENEW, said)
        self.assertNotIn('mutex:', said)

    def test_a_change_within_the_tolerance_passes_and_one_beyond_fails(self):
        for factor, wanted in ((1.025, 0), (0.975, 0), (1.04, 1), (0.96, 1)):
            with self.subTest(factor=factor):
                path = self.edited(lambda _, instructions: instructions * factor)
                status, said = run('--file', path, '--only', 'timer')
                self.assertEqual(status, wanted, said)
                self.assertEqual(RENEW in said, wanted == 1, said)

    def test_another_compiler_is_skipped_and_both_are_named(self):
        with open(self.recorded) as file:
            text = file.read()
        path = os.path.join(self.folder.name, 'other.tsv')
        with open(path, 'w') as file:
            file.write(text.replace('# made by ', '# made by gcc 99.1, after '))
        status, said = run('--file', path, '--program', SLOW)
        self.assertEqual(status, 0, said)
        self.assertIn('skipped', said)
        self.assertIn('gcc 99.1', said)

    def test_a_scenario_without_a_number_fails_and_so_does_a_number_without_one(self):
        path = self.edited(lambda name, instructions: None if name == 'timer' else instructions)
        status, said = run('--file', path, '--only', 'mutex')
        self.assertEqual((status, 'timer' in said, RENEW in said), (1, True, True), said)
        with open(path, 'a') as file:
            file.write('timer\t1.0\nclock\t1.0\n')
        status, said = run('--file', path, '--only', 'mutex')
        self.assertEqual((status, 'clock' in said, RENEW in said), (1, True, True), said)

    def test_without_valgrind_it_says_so(self):
        with tempfile.TemporaryDirectory() as empty:
            status, said = run(path=empty)
        self.assertEqual(status, 0, said)
        self.assertIn('no valgrind', said)

    def test_what_cannot_be_run_or_read_is_one_line(self):
        for options in (('--program', '/nonexistent'), ('--file', '/nonexistent'),
                        ('--program', '/bin/false')):
            with self.subTest(options=options):
                status, said = run(*options)
                self.assertEqual((status, len(said.splitlines())), (1, 1), said)
                self.assertTrue(said.startswith('guard: '), said)


if __name__ == '__main__':
    unittest.main()
