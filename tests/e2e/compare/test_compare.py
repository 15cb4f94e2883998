#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rota-compare from outside: what it says, what it leaves running, what it does with bad company.

    tests/e2e/compare/test_compare.py BUILT [TEST...]

BUILT is the variant's folder. Rounds are as short as they can be: nothing here judges speed, but
for one server that is made slower by so much that nothing can hide it.
"""
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from outside import HANG_SECONDS  # noqa: E402

BUILT = "build/release"
QUICK = ("--quiet", "--round-seconds", "0.05", "--warmup", "0.01", "--seed", "7")
SMALL = ("--workload", "echo:connections=4")
CALLS = {"less", "more", "equal", "undecided"}


def compare(*arguments, launcher=()):
    """Exit status, what it printed, what it complained of."""
    done = subprocess.run([*launcher, f"{BUILT}/bench/rota-compare", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=HANG_SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def measure(*arguments, launcher=()):
    """The result of a run that went well, and the table."""
    status, out, table = compare(*QUICK, *arguments, "--json", "-", launcher=launcher)
    if status:
        raise AssertionError(f"exit status {status}: {table}")
    return json.loads(out), table


def outcome(point, variant):
    return next(result for result in point["results"] if result["variant"] == variant)


def children_of(parent):
    """Who has that parent now."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(name))
        except (OSError, ValueError, IndexError):
            pass                        # no process, or no longer
    return found


class TheResult(unittest.TestCase):
    def test_both_engines_and_every_figure(self):
        result, table = measure(*SMALL, "--rounds", "6")
        self.assertEqual(result["format"], "rota-compare 1")
        self.assertEqual(result["made"]["seed"], 7)
        self.assertIn("seed 7", table)
        point, = result["points"]
        self.assertEqual(point["title"], "echo, 4 connections, depth 1, 64 B")
        self.assertEqual(point["reference"], "epoll")
        self.assertIsNone(point["skipped"])
        for one in point["results"]:
            self.assertIsNone(one["failed"])
            self.assertEqual([made["start"] for made in one["rounds"]], [0, 1, 2, 3, 4, 5])
            for figure in ("cpu_ns", "requests_per_s", "syscalls", "switches", "resident_bytes",
                           "busy", "p50_ns", "p99_ns", "p999_ns"):
                value = one["figures"][figure]
                self.assertLessEqual(value["low"], value["median"])
                self.assertLessEqual(value["median"], value["high"])
            self.assertEqual(sum(count for _, count in one["histogram"]),
                             sum(one_round["requests"] for one_round in one["rounds"]))
        for one in point["comparisons"]:
            self.assertIn(one["call"], CALLS)
            self.assertEqual(one["reference"], "epoll")
        self.assertTrue(result["verdict"])

    def test_the_load_says_what_it_runs_on_and_runs_on_both(self):
        result, table = measure(*SMALL, "--workload", "timers", "--rounds", "6", "--engines",
                                "epoll", "--load-backend", "both")
        self.assertIn("load: rota-load on uring and epoll, CPU", table)
        self.assertEqual([point["load_engine"] for point in result["points"]],
                         ["uring", "epoll", None])
        self.assertEqual(result["points"][1]["title"],
                         "echo, 4 connections, depth 1, 64 B, load on epoll")
        self.assertIsNone(result["points"][2]["load"])
        result, table = measure(*SMALL, "--rounds", "6", "--load-backend", "epoll:trigger=edge")
        self.assertIn("load: rota-load on epoll:trigger=edge, CPU", table)
        point, = result["points"]
        self.assertIn(point["load"]["servers"], ("saturated", "in part", "not saturated"))
        self.assertEqual(point["load"]["loop"], "closed")

    def test_every_workload_runs(self):
        works = ("kv:connections=4,keys=1000", "get:connections=4,keys=1000",
                 "upload:connections=2", "download:connections=2", "churn:connections=2",
                 "idle:connections=2,idle=20", "calls", "timers", "read:depth=4",
                 "echo:connections=4,rate=2000", "echo:connections=4,reactors=2",
                 "echo:connections=4,capacity=50", "echo:connections=4,depth=4,rate=8000,burst=4")
        words = [word for work in works for word in ("--workload", work)]
        result, _ = measure(*words, "--rounds", "1")
        self.assertEqual(len(result["points"]), len(works))
        self.assertGreater(result["points"][-2]["rate"], 0)
        for point in result["points"]:
            for one in point["results"]:
                self.assertIsNone(one["failed"], f"{point['title']} on {one['variant']}")
                self.assertGreater(one["rounds"][0]["cpu_ns"], 0)
            self.assertTrue(all(one["call"] == "undecided" for one in point["comparisons"]))

    def test_a_slowed_engine_is_found(self):
        slow_us = 200
        result, table = measure(*SMALL, "--rounds", "9", "--engines", "epoll",
                                "--variant", "epoll:trigger=level",
                                "--slow", f"epoll trigger=level={slow_us * 1000}")
        point, = result["points"]
        found = next(one for one in point["comparisons"] if one["figure"] == "cpu_ns")
        self.assertEqual(found["call"], "more")
        self.assertIn("more", table)
        costs = [outcome(point, name)["figures"]["cpu_ns"]["median"] / 1000
                 for name in ("epoll", "epoll trigger=level")]
        # It spins by the clock on the wall, also while somebody else runs.
        self.assertGreater(costs[1] - costs[0], slow_us * 0.3)
        self.assertLess(costs[1] - costs[0], slow_us * 3)

    def test_the_page_of_a_result_can_be_made_again(self):
        with tempfile.TemporaryDirectory() as folder:
            saved, page, again = (f"{folder}/{name}" for name in ("r.json", "a.html", "b.html"))
            status, _, complaints = compare(*QUICK, *SMALL, "--rounds", "1", "--json", saved,
                                            "--html", page)
            self.assertEqual(status, 0, complaints)
            self.assertEqual(compare("page", saved, again)[0], 0)
            with open(page, "rb") as one, open(again, "rb") as other:
                self.assertEqual(one.read(), other.read())
            with open(saved, "w", encoding="ascii") as broken:
                broken.write('{"points": 7}')
            self.assertEqual(compare("page", saved, again)[0], 1)
            self.assertEqual(compare("page", f"{folder}/none", again)[0], 1)


class WhatIsNotHere(unittest.TestCase):
    def test_without_io_uring_it_says_so_and_compares_what_there_is(self):
        result, table = measure(*SMALL, "--rounds", "6", "--variant", "epoll:trigger=edge",
                                launcher=(f"{BUILT}/tests/support/no_uring",))
        self.assertRegex(table, "left out: uring: .*io_uring")
        self.assertEqual([one["name"] for one in result["variants"]],
                         ["epoll", "epoll trigger=edge"])
        self.assertEqual(result["left_out"][0]["name"], "uring")
        self.assertFalse(next(one for one in result["engines"]
                              if one["name"] == "uring")["usable"])
        point, = result["points"]
        self.assertTrue(point["comparisons"])
        self.assertTrue(all(one["failed"] is None for one in point["results"]))

    def test_one_processor_is_for_both(self):
        cpu = str(min(os.sched_getaffinity(0)))
        _, table = measure(*SMALL, "--rounds", "1", "--engines", "epoll", "--server-cpus", cpu,
                           "--load-cpus", cpu)
        self.assertIn("share a processor", table)


class OtherServers(unittest.TestCase):
    def test_one_takes_part_and_its_engine_is_unknown(self):
        result, _ = measure(*SMALL, "--rounds", "6", "--engines", "epoll", "--server",
                            f"other=echo:{BUILT}/bench/echo-protocol --reactors 1 --port {{port}}",
                            "--server", "store=resp:no-such-program {port}")
        point, = result["points"]
        self.assertEqual([one["variant"] for one in point["results"]], ["epoll", "other"])
        other = outcome(point, "other")
        self.assertIsNone(other["failed"])
        self.assertIsNone(other["figures"]["syscalls"])
        self.assertGreater(other["figures"]["cpu_ns"]["median"], 0)

    def test_those_that_fail_say_why_and_the_others_go_on(self):
        result, table = measure(
            *SMALL, "--rounds", "2", "--engines", "epoll",
            "--server", "absent=no-such-program {port}",
            "--server", "ends=sh -c 'exit 3' {port}",
            "--server", "unfinished=sh -c 'exit {port}",
            "--server", "mute=" + f"{BUILT}/bench/rota-compare serve sink --port {{port}}")
        point, = result["points"]
        self.assertIsNone(outcome(point, "epoll")["failed"])
        self.assertEqual(len(outcome(point, "epoll")["rounds"]), 2)
        self.assertEqual(outcome(point, "absent")["failed"],
                         "no-such-program ended with status 127: rota-compare: cannot run "
                         "no-such-program: No such file or directory")
        self.assertEqual(outcome(point, "ends")["failed"], "sh ended with status 3")
        self.assertIn("words", outcome(point, "unfinished")["failed"])
        self.assertIsNotNone(outcome(point, "mute")["failed"])
        self.assertIn("failed: sh ended with status 3", table)
        self.assertFalse(point["comparisons"])


    def test_one_that_does_not_start_is_tried_once_and_only_quoted(self):
        with tempfile.TemporaryDirectory() as folder:
            command = f"sh -c 'echo started >>{folder}/log; echo chatter >&2; exit 3' {{port}}"
            result, table = measure(
                *SMALL, "--workload", "idle:connections=2,idle=2", "--rounds", "2",
                "--engines", "epoll", "--server", f"ends={command}")
            with open(f"{folder}/log", encoding="ascii") as file:
                self.assertEqual(file.read(), "started\n")
        for point in result["points"]:
            self.assertEqual(outcome(point, "ends")["failed"], "sh ended with status 3: chatter")
        self.assertNotIn("\nchatter", table)


# A load client that answers 100 a second. LATE, SLOW, FAILS: expressions of what goes wrong; of
# `rate`, of `rounds`, how many were asked for with the server that is under suspicion, this one
# included, and 0 with another.
CLIENT = """#!/usr/bin/env python3
import json, socket, sys
rate = float(sys.argv[sys.argv.index("--rate") + 1]) if "--rate" in sys.argv else 0
connection = socket.create_connection(sys.argv[-1].split(":"))
with open("FOLDER/port") as file:
    is_suspect = file.read().strip() in ("any", sys.argv[-1].split(":")[1])
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(50):
        connection.sendall(bytes(64))
        assert len(connection.recv(64, socket.MSG_WAITALL)) == 64
    rounds = 0
    if is_suspect and float(line.split()[1]) > 0.02:     # no warm-up
        with open("FOLDER/rounds", "a+") as file:
            file.write(".")
            rounds = file.tell()
    late = 50000 if LATE else 500
    errors = 1 if FAILS else 0
    print(json.dumps({
        "seconds": 0.5, "requests": 20 if SLOW else 50, "errors": errors, "error": "it broke",
        "cpu_ns": 1000,
        "polling_ns": 0, "queued": 0, "bytes_sent": 3200, "bytes_received": 3200,
        "latency_ns": dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 90000) | {"count": 50},
        "lateness_ns": dict.fromkeys(("p50", "p90", "p99", "p999", "max"), late) | {"count": 50}
                       if rate else None, "histogram": [[90000, 50]]}), flush=True)
"""


def measure_with_client(*arguments, suspect="any", late="False", slow="False", fails="False"):
    """A point measured by that client: epoll, and another server, if that is the suspect."""
    with tempfile.TemporaryDirectory() as folder:
        client = f"{folder}/load"
        with open(client, "w", encoding="ascii") as file:
            file.write(CLIENT.replace("FOLDER", folder).replace("LATE", late)
                       .replace("SLOW", slow).replace("FAILS", fails))
        os.chmod(client, 0o755)
        with open(f"{folder}/port", "w", encoding="ascii") as file:
            file.write("any" if suspect == "any" else "none yet")
        if suspect == "other":
            server = f"exec {BUILT}/bench/echo-protocol --reactors 1 --port {{port}}"
            arguments += ("--server",
                          f"other=echo:sh -c 'echo {{port}} >{folder}/port; {server}'")
        result, _ = measure(*arguments, "--engines", "epoll", "--load", client)
    point, = result["points"]
    return point


class ARateThatIsTooHigh(unittest.TestCase):
    def point(self, **what):
        point = measure_with_client("--workload", "echo:connections=1,capacity=70", "--rounds",
                                    "1", **what)
        self.assertIsNone(outcome(point, "epoll")["failed"])
        return point

    def test_it_is_lowered_and_that_is_said(self):
        for what in ({"late": "rate > 55"}, {"slow": "rate > 55"},
                     {"suspect": "other", "late": "is_suspect and rate > 55"}):
            point = self.point(**what)
            self.assertEqual((point["capacity_asked"], point["capacity"], point["rate"]),
                             (70, 50, 50), what)
            self.assertIn("at 50 % of capacity", point["title"])
            self.assertIn("At 70 % of capacity, which was asked for, the client was late itself "
                          "or the rate was not kept; 50 % is the most that was.", point["notes"])
            self.assertEqual(point["load"]["client"], "ahead")

    def test_a_client_that_is_always_late_keeps_the_rate_and_says_it_was_late(self):
        point = self.point(late="True")
        self.assertEqual((point["capacity_asked"], point["capacity"], point["rate"]),
                         (None, 70, 70))
        self.assertEqual(point["load"]["client"], "late")
        self.assertTrue(any(note.startswith("The client itself was late (p99 by 50 us, at most by "
                                            "50 us, with epoll): latencies from p50 on")
                            for note in point["notes"]), point["notes"])


class RoundsThatFail(unittest.TestCase):
    def point(self, fails, *arguments):
        return measure_with_client("--workload", "echo:connections=1", *arguments,
                                   suspect="other", fails=fails)

    def test_who_fails_in_one_is_started_anew_and_has_as_many_as_the_others(self):
        for number in (1, 4):
            point = self.point(f"rounds == {number}", "--rounds", "6", "--starts", "2")
            for one in point["results"]:
                self.assertEqual([made["start"] for made in one["rounds"]], [0, 0, 0, 1, 1, 1])
            self.assertEqual([(len(one["rounds"]), one["failed"], one["failed_rounds"])
                              for one in point["results"]], [(6, None, 0), (6, None, 1)])
            self.assertIn("other: 1 round failed, 6 count; 1 of 51 requests failed: it broke.",
                          point["notes"])
            self.assertEqual(len([one for one in point["comparisons"]
                                  if one["figure"] == "cpu_ns"]), 1)

    def test_who_fails_from_a_round_on_counts_as_far_as_it_came(self):
        point = self.point("rounds > 6", "--rounds", "8")
        self.assertEqual([(len(one["rounds"]), one["failed"], one["failed_rounds"])
                          for one in point["results"]], [(8, None, 0), (6, None, 8)])
        self.assertIn("other: 8 rounds failed, 6 count; 1 of 51 requests failed: it broke.",
                      point["notes"])
        ratio = next(one for one in point["comparisons"] if one["figure"] == "cpu_ns")
        # six rounds of the eight: their own ratios
        ratios = sorted(mine["cpu_ns"] / base["cpu_ns"] for mine, base in
                        zip(outcome(point, "other")["rounds"], outcome(point, "epoll")["rounds"]))
        self.assertAlmostEqual(ratio["ratio"], (ratios[2] + ratios[3]) / 2)

    def test_who_has_fewer_than_six_is_lost_and_the_others_go_on(self):
        point = self.point("rounds > 5", "--rounds", "8")
        self.assertEqual([len(one["rounds"]) for one in point["results"]], [8, 5])
        self.assertEqual(outcome(point, "other")["failed"], "1 of 51 requests failed: it broke")
        self.assertFalse(point["comparisons"])


class OtherClients(unittest.TestCase):
    """Load clients that do not do what they should."""
    GOOD = ('{"seconds": 1, "requests": 5, "errors": 0, "error": null, "cpu_ns": 1, '
            '"bytes_sent": 1, "bytes_received": 1, "latency_ns": {"count": 0}, "histogram": []}')

    def failure(self, script):
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/load"
            with open(program, "w", encoding="ascii") as file:
                file.write("#!/bin/sh\n" + script)
            os.chmod(program, 0o755)
            result, _ = measure(*SMALL, "--rounds", "1", "--engines", "epoll",
                                "--load", program)
            point, = result["points"]
            self.assertTrue(point["skipped"])
            return outcome(point, "epoll")["failed"]

    def answers(self, answer):
        return self.failure(f"echo ready; while read go; do echo '{answer}'; done\n")

    def test_what_it_says_instead(self):
        for script, why in (("exit 4", "the load client ended with status 4"),
                            ("echo hello; read x", "the load client says"),
                            ("echo ready; read go; kill -KILL $$", "ended by signal 9 (KILL)"),
                            ("echo ready; read go; exit 0", "ended with status 0")):
            self.assertIn(why, self.failure(script))

    def test_answers_that_make_no_sense(self):
        self.assertIn("no JSON object", self.answers("[7]"))
        self.assertIn("no JSON object", self.answers("{"))
        self.assertIn("no time", self.answers("{}"))
        self.assertIn("nothing was answered",
                      self.answers(self.GOOD.replace('"requests": 5', '"requests": 0')))
        self.assertIn("2 of 7 requests failed: it broke",
                      self.answers(self.GOOD.replace('"errors": 0', '"errors": 2')
                                   .replace('"error": null', '"error": "it broke"')))


class Ends(unittest.TestCase):
    def start(self, folder):
        """A comparison under way, with everybody it has started by then."""
        fifo = f"{folder}/started"
        os.mkfifo(fifo)
        process = subprocess.Popen(
            [f"{BUILT}/bench/rota-compare", *QUICK, *SMALL, "--rounds", "2000", "--server",
             f"late=sh -c 'echo > {fifo}; exec sleep 1000' {{port}}", "--json", f"{folder}/r.json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with open(fifo, encoding="ascii") as started:
            started.read()
        children = {child: os.pidfd_open(child) for child in children_of(process.pid)}
        # A server and a client of each engine, and the one that has just started.
        self.assertGreaterEqual(len(children), 3)
        return process, children

    def assert_all_end(self, children):
        for child, descriptor in children.items():
            readable, _, _ = select.select([descriptor], [], [], HANG_SECONDS)
            os.close(descriptor)
            self.assertTrue(readable, f"process {child} is still there")

    def end_by(self, number):
        with tempfile.TemporaryDirectory() as folder:
            process, children = self.start(folder)
            process.send_signal(number)
            process.communicate(timeout=HANG_SECONDS)
            self.assert_all_end(children)
            return process.returncode, os.path.exists(f"{folder}/r.json")

    def test_a_signal_ends_all_that_was_started(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.assertEqual(self.end_by(number), (128 + number, True))

    def test_nobody_outlives_it_when_it_is_killed(self):
        self.assertEqual(self.end_by(signal.SIGKILL), (-signal.SIGKILL, False))


class Usage(unittest.TestCase):
    def test_wrong_words_are_answered_in_a_line(self):
        for arguments, why in ((("--rounds", "0"), "--rounds takes 1 to 2000"),
                               (("--rounds", "1.5"), "whole number"),
                               (("--seed", "-1"), "--seed takes"),
                               (("--confidence", "1"), "--confidence takes"),
                               (("--workload", "ecco"), "there is no workload"),
                               (("--variant", "epoll:x=1"), "epoll"),
                               (("--server", "x"), "NAME=COMMAND"),
                               (("--engines", "none"), "none of the engines"),
                               (("--reference", "nobody"), 'no variant "nobody"'),
                               (("--server-cpus", "x"), "--server-cpus takes a list"),
                               (("--slow", "epoll"), "--slow takes"),
                               (("--variants", "some"), "--variants takes"),
                               (("--load", "/none/load", "extra"), "there is no \"extra\""),
                               (("--nonsense",), "nonsense")):
            status, out, complaint = compare(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn(why, complaint)
            self.assertEqual(len(complaint.splitlines()), 1, complaint)

    def test_help_names_every_option_and_list_every_workload(self):
        status, out, _ = compare("--help")
        self.assertEqual(status, 0)
        for word in ("--workload", "--variant", "--server", "--seed", "--json", "explain"):
            self.assertIn(word, out)
        status, out, _ = compare("--list")
        self.assertEqual(status, 0)
        self.assertIn("read-direct", out)
        self.assertIn("epoll trigger=edge", out)
        self.assertEqual(compare("--version")[0], 0)
        self.assertEqual(compare("explain")[0], 0)
        self.assertEqual(compare("serve", "nothing")[0], 2)
        self.assertEqual(compare("work", "nothing")[0], 2)
        self.assertEqual(compare("place")[0], 2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILT = sys.argv.pop(1)
    unittest.main()
