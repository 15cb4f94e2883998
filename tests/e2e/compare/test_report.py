#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What rota-compare tells without measuring: `explain`, also where io_uring is forbidden, and
`page`, of a result that is made up.

    test_report.py BUILD [test...]      BUILD is a variant's folder, build/release
"""
import os
import subprocess
import sys
import tempfile
import unittest

BUILT = "build/release"
EXAMPLE = "tests/unit/bench/compare/example.py"


def run(*arguments, launcher=()):
    return subprocess.run([*launcher, f"{BUILT}/bench/rota-compare", *arguments],
                          capture_output=True, text=True, check=False)


class TestExplain(unittest.TestCase):
    def test_this_kernel_is_explained(self):
        done = run("explain")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"Linux {os.uname().release}", done.stdout)
        self.assertIn("multishot receive", done.stdout)
        self.assertIn("kernel.io_uring_disabled", done.stdout)
        for line in done.stdout.splitlines():
            if not line.startswith("io_uring "):  # the engine's own line
                self.assertLessEqual(len(line), 110, line)

    def test_another_kernel_can_be_asked_about(self):
        done = run("explain", "--kernel", "5.15")
        self.assertEqual(done.returncode, 0)
        self.assertIn("as if it were 5.15", done.stdout)
        self.assertIn("Linux 6.1 or newer is needed", done.stdout)

    def test_wrong_usage_is_told(self):
        for arguments in (("--kernel",), ("--kernel", "new"), ("--colour",)):
            done = run("explain", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("usage: rota-compare explain", done.stderr)

    def test_where_io_uring_is_forbidden_it_says_what_to_allow(self):
        launcher = (f"{BUILT}/tests/support/no_uring",)
        done = run("explain", launcher=launcher)
        if done.returncode == 77:
            self.skipTest("seccomp filters cannot be set here")
        self.assertEqual(done.returncode, 0)
        self.assertIn("io_uring cannot be used here: a seccomp filter forbids", done.stdout)
        self.assertIn("--security-opt seccomp=", done.stdout)
        self.assertNotIn(" on      ", done.stdout)


class TestPage(unittest.TestCase):
    def test_a_result_becomes_a_page(self):
        with tempfile.TemporaryDirectory() as folder:
            source, target = f"{folder}/result.json", f"{folder}/page.html"
            with open(source, "wb") as file:
                subprocess.run([sys.executable, EXAMPLE], stdout=file, check=True)
            self.assertEqual(run("page", source, target).returncode, 0)
            with open(target, encoding="utf-8") as file:
                text = file.read()
            self.assertTrue(text.startswith("<!DOCTYPE html>"))
            self.assertTrue(text.endswith("</html>\n"))
            self.assertEqual(text.count("</script>"), 2)
            done = run("page", source, f"{folder}/no/page.html")
            self.assertEqual(done.returncode, 1)
            self.assertIn("No such file", done.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILT = sys.argv.pop(1)
    unittest.main()
