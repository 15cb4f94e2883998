#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The rota tool on programs that are stuck in every way: test_rota.py BUILT_FOLDER

A program says a line when nothing moves in it any more; the tool is asked only then, so no test
depends on time.
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HANG_SECONDS = 120
BUILT = "build/release"
HERE = "tests/e2e/rota"

LOOKED, CANNOT, USAGE, DEADLOCK = range(4)


def rota(*arguments, **options):
    """Exit status, output, complaints."""
    done = subprocess.run([f"{BUILT}/apps/rota/rota", *map(str, arguments)], capture_output=True,
                          text=True, timeout=HANG_SECONDS, check=False, **options)
    return done.returncode, done.stdout, done.stderr


class Program:
    """A program of tests/e2e/rota that has said its line."""

    def __init__(self, *arguments, path=None, **options):
        self.process = subprocess.Popen([path or f"{BUILT}/{HERE}/stuck", *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        **options)
        self.said = self.process.stdout.readline()
        self.pid = self.process.pid
        is_busy = bool({"spin", "bustle", "share"} & set(arguments))
        while self.said and not is_busy and not self.is_asleep():
            pass

    def states(self):
        """Of all threads: R, S, T …"""
        states = set()
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="ascii") as stat:
                states.add(stat.read().rpartition(")")[2].split()[0])
        return states

    def is_asleep(self):
        """Whether all threads wait in the kernel, so that nothing changes any more."""
        return self.states() == {"S"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=HANG_SECONDS)


def line_of(text, name="stuck.c"):
    """FILE:LINE of the one line with `text` in it, as the compiler was told the name."""
    with open(f"{HERE}/{name}", encoding="ascii") as source:
        found = [number for number, line in enumerate(source, 1) if text in line]
    assert len(found) == 1, (text, found)
    return f"{HERE}/{name}:{found[0]}"


def expect_one_of_several_is_stuck(test, status, out):
    """Both of the cornered one's ways lead back to it; the others may go on."""
    test.assertEqual(status, DEADLOCK, out)
    wants = (r" on reactor 0 waits in want_kept \(" + line_of("lock(&kept); /* wants")
             + r'\) for mutex 0x\w+ held by task 2 "other"')
    test.assertRegex(out, r'\ndeadlock: task 2 "other" on reactor 0 waits in cornered \('
                     + line_of("/* cornered") + r'\) for the end of task \d "left" or the end '
                     r'of task \d "right"; task \d "left"' + wants + r'; task \d "right"'
                     + wants + "\n")
    test.assertEqual(out.count("deadlock: "), 1, out)


class Stuck(unittest.TestCase):
    """All kinds of waits, and two deadlocks."""

    @classmethod
    def setUpClass(cls):
        cls.program = Program()
        cls.status, cls.out, cls.complaints = rota("tree", cls.program.pid)

    @classmethod
    def tearDownClass(cls):
        cls.program.__exit__()

    def expect(self, *parts):
        """One line of the tree has all parts."""
        for line in self.out.splitlines():
            if all(part in line for part in parts):
                return
        self.fail(f"no line with {parts} in\n{self.out}{self.complaints}")

    def test_deadlock_is_named_with_both_tasks_and_where_they_wait(self):
        self.assertEqual((self.status, self.complaints), (DEADLOCK, ""), self.out)
        self.expect("deadlock: ", 'task 2 "a"', f"take_first ({line_of('lock(&second); /* a')})",
                    'held by task 3 "b"', f"take_second ({line_of('lock(&first); /* b')})",
                    'held by task 2 "a"')

    def test_deadlock_over_a_call_between_reactors_is_named(self):
        self.expect("deadlock: ", '"near_side" on reactor 0', "a call to reactor 1",
                    '"far_side" on reactor 1', f"far_side ({line_of('lock(&across); /* far')})",
                    '"near_side" on reactor 0')

    def test_deadlock_over_a_scope_that_is_closed_is_named(self):
        self.expect("deadlock: ", '"parent_holds"', "the 1 task(s) of its scope, one of them ",
                    '"child_wants", which waits in child_wants', 'held by ')

    def test_waits_of_every_kind_say_for_what(self):
        self.expect('"way"', "the 1 task(s) of its scope", "deadline in 59 min")
        self.expect('"receive_nothing"', f"({line_of('receive(&channel')})", "channel 0x",
                    "0 of 0 in it")
        self.expect('"sleeper"', "a timer, due in 59 min")
        self.expect('"wait_for_end"', 'for the end of task 6 "sleeper"')
        self.expect('"limited"', "future 0x", "deadline in 59 min of main_task "
                    f"({line_of('open(&limit')})")
        self.expect('"drive_generator"', f"count_up ({line_of('it stands here')})", "timer")

    def test_scopes_are_shown_where_a_task_has_several(self):
        lines = self.out.splitlines()
        outer = lines.index(f"    scope of main_task ({line_of('ROTA_NEVER); /* main')})")
        inner = lines.index(f"    scope of main_task ({line_of('open(&limit')}), closing")
        a, limited = (next(i for i, line in enumerate(lines) if name in line)
                      for name in ('task 2 "a"', '"limited"'))
        self.assertEqual((a, limited), (outer + 1, inner + 1))
        self.assertEqual(self.out.count("scope of "), 2)

    def test_stacks_show_generators_and_who_drives_them(self):
        _, out, _ = rota("tree", "--stacks", self.program.pid)
        inner = out[out.index('inside generator "count_up"'):]
        outer = inner[inner.index('inside generator "wrap"'):]
        self.assertIn("count_up (tests", inner[:-len(outer)])
        self.assertIn("wrap (tests", outer[:outer.index("driven by")])
        self.assertIn("drive_generator (tests", outer[outer.index("driven by"):])

    def test_json_says_the_same(self):
        status, out, _ = rota("tree", "--json", self.program.pid)
        seen = json.loads(out)
        tasks = {task["name"]: task for task in seen["reactors"][0]["tasks"]}
        self.assertEqual(status, DEADLOCK)
        self.assertEqual(tasks["a"]["waits"]["task"], {"reactor": 0, "id": tasks["b"]["id"]})
        self.assertEqual(tasks["a"]["waits"]["kind"], "mutex")
        self.assertEqual(tasks["a"]["parent"], tasks["way"]["id"])
        self.assertEqual(tasks["a"]["scope"]["function"], "main_task")
        self.assertNotEqual(tasks["a"]["scope"]["line"], tasks["limited"]["scope"]["line"])
        self.assertEqual(tasks["limited"]["deadline_set"], tasks["limited"]["scope"])
        groups = {group["name"]: group for group in seen["reactors"][0]["groups"]}
        self.assertEqual((groups["normal"]["tasks"], groups["low"]["tasks"]),
                         (len(seen["reactors"][0]["tasks"]), 0))
        self.assertGreater(seen["reactors"][0]["cpu_ns"], 0)
        self.assertEqual(len(seen["deadlocks"]), 3)

    def test_ps_counts_and_all_lists(self):
        status, out, _ = rota("ps", self.program.pid)
        self.assertEqual(status, DEADLOCK)
        self.assertRegex(out, r"\n +1  waits  mutex +[^\n]* take_first \(")
        _, out, _ = rota("ps", "--all", self.program.pid)
        self.assertRegex(out, r"\n +0 +2  a +waits  mutex ")

    def test_top_shows_reactors_and_spawn_sites(self):
        status, out, complaints = rota("top", "--once", "--delay", "0", self.program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""))
        self.assertRegex(out, r"REACTOR +CPU% +TURNS/S [^\n]*\n +0 [^\n]*\n +1 ")
        self.assertNotIn("GROUP", out)
        self.assertRegex(out, r"\n[^\n]* 1 [^\n]* main_task \(" + re.escape(HERE))
        self.assertEqual(rota("top", "--delay", "soon", self.program.pid)[0], USAGE)

    def test_top_ends_with_the_process(self):
        with Program() as program:
            with subprocess.Popen([f"{BUILT}/apps/rota/rota", "top", "--delay", "0",
                                   str(program.pid)], stdout=subprocess.PIPE, text=True) as top:
                for _ in range(100):
                    top.stdout.readline()
                program.process.kill()
                top.communicate(timeout=HANG_SECONDS)
                self.assertEqual(top.returncode, LOOKED)

    def test_stopped_process_is_as_readable_and_stays_stopped(self):
        with Program() as stopped:
            os.kill(stopped.pid, signal.SIGSTOP)
            os.waitpid(stopped.pid, os.WUNTRACED)
            status, out, _ = rota("tree", stopped.pid)
            with open(f"/proc/{stopped.pid}/stat", encoding="ascii") as stat:
                self.assertEqual(stat.read().split()[2], "T")
        self.assertEqual(status, DEADLOCK)
        passing = r"0x\w+|\d+ (ms|us)|\d+\.\d s|process \d+|stack \d+ of \d+"
        self.assertEqual(re.sub(passing, "", out), re.sub(passing, "", self.out))


class Ways(unittest.TestCase):
    """Other ways to be stuck, and other shapes of programs."""

    def test_spinning_task_is_named(self):
        with Program("spin") as program:
            status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""), out)
        self.assertRegex(out, r'reactor 0 runs task 1 "way", for \d')
        self.assertRegex(out, r'task 1 "way" \[start [^\n]* runs, in a turn of \d')

    def test_stack_of_a_task_that_runs_says_where(self):
        with Program("spin") as program:
            # It may not be back from saying so yet.
            out = ""
            while "#0 spin" not in out:
                _, out, complaints = rota("tree", "--stacks", program.pid)
        line = int(line_of("/* for ever").rpartition(":")[2])
        self.assertRegex(out, rf"\n +#0 spin \({HERE}/stuck.c:({line - 1}|{line})\)", complaints)
        self.assertRegex(out, r"\n +#\d+ task_main \(framework/task.c:\d+\)")

    def test_stack_of_a_stopped_task_leaves_it_stopped(self):
        with Program("spin") as program:
            os.kill(program.pid, signal.SIGSTOP)
            os.waitpid(program.pid, os.WUNTRACED)
            _, out, complaints = rota("tree", "--stacks", program.pid)
            self.assertRegex(out, r"\n +#\d+ spin ", complaints)
            # Let go, a thread stops again by itself, when it comes to it.
            end = time.monotonic() + HANG_SECONDS
            while program.states() != {"T"} and time.monotonic() < end:
                pass
            self.assertEqual(program.states(), {"T"})

    def test_stack_of_a_task_in_the_kernel_says_which_call(self):
        with Program("block") as program:
            _, out, complaints = rota("tree", "--stacks", program.pid)
            self.assertRegex(out, r"\n +#\d+ block \(" + line_of("/* nobody writes"), complaints)
            while not program.is_asleep():
                pass

    def test_task_blocked_in_the_kernel_is_named(self):
        with Program("block") as program:
            status, out, _ = rota("tree", program.pid)
        self.assertEqual(status, LOOKED)
        self.assertRegex(out, r'reactor 0 runs task 1 "way", for \d')

    def test_tasks_that_come_and_go_are_no_deadlock_and_no_hang(self):
        with Program("bustle") as program:
            for command in 10 * (("tree",), ("tree", "--json"), ("ps", "--stacks")):
                status, out, complaints = rota(*command, program.pid)
                self.assertEqual((status, complaints), (LOOKED, ""), out)

    def test_cancelled_task_says_why_and_by_whom(self):
        with Program("cancel") as program:
            status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""))
        self.assertRegex(out, r'task 1 "way" [^\n]* scope, [^\n]*; cancelled: no longer wanted '
                              r'\([^\n]*' + re.escape(line_of('"no longer wanted"'))
                              + r'\), task 1 "way"')
        self.assertRegex(out, r'task 2 "stubborn" [^\n]* waits in stubborn [^\n]*; shielded by '
                              r"stubborn \(" + line_of("rota_shield(&shield"))

    def test_task_whose_alternatives_all_lead_back_is_a_deadlock(self):
        with Program("any") as program:
            status, out, complaints = rota("tree", program.pid)
        self.assertEqual(complaints, "")
        expect_one_of_several_is_stuck(self, status, out)
        self.assertRegex(out, r'"hopeful" [^\n]* for the end of task \d "wants" or the end of '
                              r'task \d "other", for')
        self.assertRegex(out, r'"choose" [^\n]* for one of 2 channels: channel 0x\w+ to receive '
                              r'\(0 of 0 in it\), channel 0x\w+ to send \(0 of 0 in it\), for')

    def test_task_with_an_alternative_that_may_come_is_no_deadlock(self):
        with Program("any-live") as program:
            status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""), out)
        self.assertRegex(out, r'"hopeful" [^\n]* for the end of task \d "wants" or the end of '
                              r'task \d "other", for')
        self.assertNotIn("deadlock", out)

    def expect_wait(self, said, *arguments):
        """The one task of a program, on the engine it was told, waits for that."""
        with Program(*arguments) as program:
            if not program.said and "uring" in arguments:
                self.skipTest("no io_uring here")
            status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""))
        self.assertRegex(out, r'\n +task 2 "fn" [^\n]* waits in ' + said + ", for ")

    def test_file_operation_is_named_with_its_path_or_descriptor(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/pipe"
            os.mkfifo(path)
            opens = rf"open_file \({line_of('/* opens')}\) for file open of {path}"
            for engine in ("epoll", "uring"):
                with self.subTest(engine=engine):
                    self.expect_wait(opens, "open", engine, path)
            # Only io_uring reads a pipe as a file.
            self.expect_wait(rf"read_file \({line_of('/* reads')}\) for file read on descriptor "
                             rf"\d+ \({path}\)", "read", "uring", path)

    def test_offloaded_call_is_named_with_its_function(self):
        for engine in ("epoll", "uring"):
            with self.subTest(engine=engine):
                self.expect_wait(rf"offload \({line_of('/* offloads')}\) for block_in_pool "
                                 rf"\({HERE}/stuck.c:\d+\) in the offload pool",
                                 "offload", engine)

    def test_groups_are_shown_with_shares_tasks_and_processor_time(self):
        with Program("share") as program:
            status, out, complaints = rota("top", "--once", program.pid)
            _, tree, _ = rota("tree", program.pid)
        self.assertEqual((status, complaints), (LOOKED, ""))
        cpu, turns, _, enters = re.search(r"\n +0 +([\d.]+) +(\d+) +(\d+) +(\d+) ", out).groups()
        self.assertGreater(min(float(cpu), float(turns), float(enters)), 0, out)
        for name, shares in (("normal", 1000), ("urgent", 10000), ("ninth part", 111)):
            self.assertRegex(out, rf"\n +0 +[\d.]+ +{shares} +1  {name}\n")
            self.assertRegex(tree, rf'\n  group "{name}": {shares} shares, 1 task, CPU ')
        self.assertRegex(out, r"\n +0 +[\d.]+ +3  eager  ")
        self.assertRegex(tree, r"\n    scope of share \(" + line_of("ROTA_NEVER); /* share")
                         + r'\)\n    task 2 "ninth" \[spawn_into [^\n]* group "ninth part"')

    def test_crowd_is_grouped_and_complete(self):
        if "tsan" in BUILT:
            self.skipTest("the thread sanitizer has no room for so many tasks")
        with Program("crowd") as program:
            status, out, _ = rota("ps", program.pid)
            self.assertEqual(status, LOOKED)
            self.assertRegex(out, r"\n +100000  waits  timer [^\n]*crowd [^\n]*sleep_long")
            _, out, _ = rota("tree", program.pid)
            self.assertLess(len(out.splitlines()), 40)
            self.assertIn("... and 99992 more", out)
            _, out, _ = rota("ps", "--all", program.pid)
            self.assertEqual(len(out.splitlines()), 100000 + 2 + 2)

    def test_stripped_program_shows_names_and_spawn_sites(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/stripped"
            subprocess.run(["strip", "-o", path, f"{BUILT}/{HERE}/stuck"], check=True)
            with Program(path=path) as program:
                status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (DEADLOCK, ""))
        self.assertRegex(out, r'task 2 "a" \[main_task \(' + HERE + r"/stuck.c:\d+\)\] waits in "
                              r'stripped\+0x[0-9a-f]+ for mutex 0x[0-9a-f]+ held by task 3 "b"')

    def test_program_deleted_since_is_readable(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/deleted"
            shutil.copy(f"{BUILT}/{HERE}/stuck", path)
            with Program(path=path) as program:
                os.unlink(path)
                status, out, complaints = rota("tree", program.pid)
        self.assertEqual((status, complaints), (DEADLOCK, ""))
        self.assertIn("take_first (" + line_of("lock(&second); /* a"), out)


class Core(unittest.TestCase):
    """A core file says what the process would have said."""

    @classmethod
    def setUpClass(cls):
        if "asan" in BUILT or "tsan" in BUILT:
            raise unittest.SkipTest("sanitizers' address spaces are too large for core files")
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as pattern:
            if pattern.read().strip() not in ("core", "core.%p"):
                raise unittest.SkipTest("core files go elsewhere")
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = cls.folder.name + "/program"
        shutil.copy(f"{BUILT}/{HERE}/stuck", cls.path)
        cls.core = cls.kill(cls.path)
        if not cls.core:
            raise unittest.SkipTest("no core file is written here")

    @classmethod
    def kill(cls, path, *arguments):
        """The core file of a program that is killed while it is stuck; None: there is none."""
        def allow():
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

        with Program(*arguments, path=path, cwd=cls.folder.name, preexec_fn=allow) as program:
            program.process.send_signal(signal.SIGABRT)
            program.process.wait(HANG_SECONDS)
        for name in ("core", f"core.{program.pid}"):
            if os.path.exists(f"{cls.folder.name}/{name}"):
                core = f"{cls.folder.name}/core-of-{program.pid}"
                os.rename(f"{cls.folder.name}/{name}", core)
                return core
        return None

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_deadlock_is_named_with_both_tasks_and_where_they_wait(self):
        for executable in ((), (self.path,)):
            status, out, complaints = rota("tree", self.core, *executable)
            self.assertEqual((status, complaints), (DEADLOCK, ""), out)
            self.assertRegex(out, r'deadlock: task 2 "a" on reactor 0 waits in take_first \('
                             + re.escape(line_of("lock(&second); /* a"))
                             + r'\) for mutex 0x\w+ held by task 3 "b", which waits in '
                             r"take_second \(" + re.escape(line_of("lock(&first); /* b")))
            self.assertIn("near_side", out)

    def test_alternatives_are_seen_in_a_core_file_as_well(self):
        status, out, _ = rota("tree", self.kill(self.path, "any"), self.path)
        expect_one_of_several_is_stuck(self, status, out)
        status, out, _ = rota("tree", self.kill(self.path, "any-live"), self.path)
        self.assertEqual(status, LOOKED, out)
        self.assertIn(" in it), for ", out)

    def test_program_elsewhere_is_asked_for_and_taken(self):
        os.rename(self.path, self.path + ".moved")
        try:
            status, out, _ = rota("tree", self.core, self.path + ".moved")
            self.assertEqual(status, DEADLOCK)
            self.assertIn("take_first (" + line_of("lock(&second); /* a"), out)
            # Without it, what was in memory is still there: tasks, waits, who holds what.
            status, out, _ = rota("tree", self.core)
            self.assertEqual(status, DEADLOCK)
            self.assertRegex(out, r"for mutex 0x\w+ held by task 3")
        finally:
            os.rename(self.path + ".moved", self.path)

    def test_another_program_than_the_one_that_ran_is_refused(self):
        other = self.folder.name + "/other"
        shutil.copy(f"{BUILT}/apps/rota/rota", other)
        status, out, complaints = rota("tree", self.core, other)
        self.assertEqual((status, out), (CANNOT, ""))
        self.assertIn("build ids differ", complaints)
        # In its old place it is as good as gone.
        os.rename(self.path, self.path + ".old")
        shutil.copy(other, self.path)
        try:
            status, out, complaints = rota("tree", self.core)
            self.assertEqual(status, DEADLOCK, complaints)
        finally:
            os.rename(self.path + ".old", self.path)

    def test_task_that_ran_says_where(self):
        core = self.kill(self.path, "spin")
        _, out, _ = rota("tree", core, self.path)
        self.assertRegex(out, rf'task 1 "way" [^\n]* runs in (spin|say) \({HERE}/stuck.c:\d+\)')
        core = self.kill(self.path, "block")
        _, out, complaints = rota("tree", "--stacks", core, self.path)
        self.assertRegex(out, r"\n +#\d+ block \(" + line_of("/* nobody writes"), complaints)

    def test_top_is_one_table(self):
        status, out, complaints = rota("top", self.core, self.path)
        self.assertEqual((status, complaints, out.count("REACTOR")), (LOOKED, "", 1))

    def test_truncated_core_file_is_no_crash(self):
        bytes_all = os.path.getsize(self.core)
        for part in (0, 10, 64, 1000, 5000, bytes_all // 1000, bytes_all // 2):
            cut = self.folder.name + "/cut"
            with open(self.core, "rb") as whole, open(cut, "wb") as out:
                out.write(whole.read(part))
            self.assertIn(rota("tree", cut, self.path)[0], (LOOKED, CANNOT, DEADLOCK), part)


class Refused(unittest.TestCase):
    """What cannot be looked into is one sentence."""

    def expect(self, status, said, *arguments, **options):
        got, out, complaints = rota(*arguments, **options)
        self.assertEqual((got, out), (status, ""), complaints)
        self.assertEqual(complaints.count("\n"), 1, complaints)
        self.assertIn(said, complaints)

    def test_no_such_process(self):
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        self.expect(CANNOT, f"there is no process {gone.pid}", "tree", gone.pid)

    def test_process_without_rota(self):
        with subprocess.Popen(["sleep", "600"]) as other:
            self.expect(CANNOT, "has no rota in it", "tree", other.pid)
            other.kill()

    def test_no_core_file(self):
        self.expect(CANNOT, "no core file", "tree", __file__)
        self.expect(CANNOT, "cannot open", "tree", "/nowhere/core")

    def test_other_user(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become somebody else")
        with Program() as program:
            # A copy: the tree may lie where nobody but root may go.
            with open(f"{BUILT}/apps/rota/rota", "rb") as tool:
                copy = os.memfd_create("rota", 0)
                os.write(copy, tool.read())
            done = subprocess.run([f"/proc/self/fd/{copy}", "tree", str(program.pid)],
                                  user=65534, group=65534, extra_groups=[], pass_fds=[copy],
                                  capture_output=True, text=True, timeout=HANG_SECONDS,
                                  check=False)
            os.close(copy)
        self.assertEqual((done.returncode, done.stdout), (CANNOT, ""), done.stderr)
        self.assertIn("not allowed to look into process", done.stderr)
        self.assertIn("root", done.stderr)

    def test_wrong_usage(self):
        for arguments in ((), ("tree",), ("grow", "1"), ("tree", "--colour", "1")):
            with self.subTest(arguments=arguments):
                self.assertEqual(rota(*arguments)[0], USAGE)
        status, out, complaints = rota("--help")
        self.assertEqual((status, complaints), (LOOKED, ""))
        self.assertIn("Exit status", out)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILT = sys.argv.pop(1)
    unittest.main()
