#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
apps/rota/gdb/rota-gdb.py in gdb, on a stuck process and on its core file: test_gdb.py BUILT_FOLDER
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HANG_SECONDS = 240
BUILT = os.path.abspath("build/release")
SCRIPT = os.path.abspath("apps/rota/gdb/rota-gdb.py")


def gdb(target, *commands):
    """What gdb says to the commands."""
    arguments = ["gdb", "-nx", "-batch", *target, "-ex", f"source {SCRIPT}"]
    for command in commands:
        arguments += ["-ex", command]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG_SECONDS,
                          check=False, stdin=subprocess.DEVNULL)
    return done.stdout, done.stderr


def start(folder):
    """The stuck program, allowed to leave a core file, once nothing moves in it any more."""
    process = subprocess.Popen(
        ["bash", "-c", f"ulimit -c $(ulimit -H -c); exec {BUILT}/tests/e2e/rota/stuck"],
        cwd=folder, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    states = set()
    while states != {"S"}:
        states = set()
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{thread}/stat", encoding="ascii") as stat:
                states.add(stat.read().rpartition(")")[2].split()[0])
    return process


@unittest.skipUnless(shutil.which("gdb"), "gdb is not here")
class Gdb(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.process = start(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.process.kill()
        cls.process.communicate(timeout=HANG_SECONDS)
        cls.folder.cleanup()

    def setUp(self):
        self.target = ["-p", str(self.process.pid)]
        _, complaints = gdb(self.target)
        if "ptrace" in complaints:
            self.skipTest("tracing is not allowed here")

    def expect_all_of_it(self, target):
        out, complaints = gdb(target, "rota ps", "rota tree", "rota bt 2 0", "backtrace")
        self.assertIn('\n  task 2 "a" suspended, mutex, spawned at tests/e2e/rota/stuck.c:', out,
                      complaints)
        self.assertIn('\n    task 2 "a" suspended', out)
        self.assertIn('\n  task 1 "far_side" suspended, mutex', out)
        # Innermost first, and nothing of the thread's own.
        stack = out[out.index("reactor 0, task 2"):]
        own = stack[:stack.index("#0 ")]
        # Clang lets rota_mutex_lock jump to lock_slowly, and writes its assembler names otherwise.
        self.assertRegex(own, re.compile(r"#\d+ .*(mutex_lock|lock_slowly) .*#\d+ .*take_first "
                                         r".*stuck.c:\d+.*#\d+ .*context_entry ", re.DOTALL))
        self.assertNotIn("run_once", own)
        # What was lent to the task is the thread's again.
        self.assertIn("rota__reactor_turn", stack[len(own):])

    def expect_generators(self, target):
        """The innermost generator's stack, its driver's, who is also one, and the task's."""
        out, complaints = gdb(target, "rota bt 8 0", "echo halted\\n", "rota generator halted")
        where = r" at (\./)?tests/e2e/rota/stuck.c:"
        self.assertRegex(out, re.compile(
            r'inside generator "count_up", made at tests/e2e/rota/stuck.c:\d+ \(wrap\)\n#1 .*'
            r"#\d+ .*count_up .*" + where + r".*driven by\n"
            r'inside generator "wrap", made at tests/e2e/rota/stuck.c:\d+ \(drive_generator\)\n#1 '
            r".*#\d+ .*wrap .*" + where + r".*driven by\n"
            r"#1 .*#\d+ .*drive_generator .*" + where + r".*halted\n"
            r'generator "halt", made at tests/e2e/rota/stuck.c:\d+ \(drive_generator\)\n#1 '
            r".*#\d+ .*halt .*" + where, re.DOTALL), complaints)
        task = out[out.rindex("driven by"):out.index("halted\n")]
        self.assertNotIn("count_up", task)
        self.assertNotIn("run_once", task)

    def test_gdb_shows_generators_and_who_drives_them(self):
        self.expect_generators(self.target)

    def test_gdb_of_a_process_shows_tasks_and_their_stacks(self):
        self.expect_all_of_it(self.target)

    def test_gdb_says_what_it_cannot_do(self):
        _, complaints = gdb(self.target, "rota bt 999")
        self.assertIn("there is no task 999", complaints)
        _, complaints = gdb(self.target, "rota bt")
        self.assertIn("rota bt NUMBER", complaints)
        _, complaints = gdb(["/bin/true"], "rota ps")
        self.assertIn("no rota in this program", complaints)
        _, complaints = gdb(self.target, "rota generator reactors[0]", "rota generator")
        self.assertIn("reactors[0] is no struct rota_generator *", complaints)
        self.assertIn("rota generator EXPRESSION", complaints)

    def test_gdb_of_a_core_file_shows_the_same(self):
        if "asan" in BUILT or "tsan" in BUILT:
            self.skipTest("sanitizers' address spaces are too large for core files")
        process = start(self.folder.name)
        process.send_signal(signal.SIGABRT)
        process.communicate(timeout=HANG_SECONDS)
        cores = [f"{self.folder.name}/{name}" for name in ("core", f"core.{process.pid}")]
        cores = [core for core in cores if os.path.exists(core)]
        if not cores:
            self.skipTest("no core file is written here")
        self.expect_all_of_it([f"{BUILT}/tests/e2e/rota/stuck", cores[0]])
        self.expect_generators([f"{BUILT}/tests/e2e/rota/stuck", cores[0]])


if __name__ == "__main__":
    BUILT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
