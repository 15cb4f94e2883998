#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The flight recorder from outside: rota record on a running rota-kv, a stopped one and its core file.

    test_record.py BUILT_FOLDER
"""
import collections
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from outside import HANG_SECONDS, reserve_port   # pylint: disable=wrong-import-position

BUILT = os.path.abspath("build/release")


def rota(*arguments):
    """Exit status, output, complaints."""
    done = subprocess.run([f"{BUILT}/apps/rota/rota", *map(str, arguments)], capture_output=True,
                          text=True, timeout=HANG_SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


class Server:
    """A rota-kv in a folder of its own that has answered some requests."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        self.reserved, port = reserve_port()
        self.process = subprocess.Popen(
            [f"{BUILT}/apps/rota-kv", "--port", str(port), "--reactors", "2", *options],
            cwd=self.folder.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=self.allow_cores)
        self.process.stdout.readline()
        self.connections = [socket.create_connection(("127.0.0.1", port), HANG_SECONDS)
                            for _ in range(4)]
        for connection in self.connections:
            for _ in range(25):
                connection.sendall(b"PING\r\n")
                assert connection.recv(7) == b"+PONG\r\n"

    @staticmethod
    def allow_cores():
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=HANG_SECONDS)
        for connection in self.connections:
            connection.close()
        self.reserved.close()
        self.folder.cleanup()


class Trace:
    """A trace that is well formed: fields, times, nesting, arrows that have both ends."""

    def __init__(self, test, text, pid):
        self.events = json.loads(text)["traceEvents"]
        self.slices = collections.Counter()
        last, opened = collections.Counter(), collections.defaultdict(list)
        arrows, operations = set(), set()
        for event in self.events:
            test.assertLessEqual({"ph", "ts", "pid", "tid"}, event.keys())
            test.assertEqual(event["pid"], pid)
            test.assertGreaterEqual(event["ts"], last[event["tid"]])
            last[event["tid"]] = event["ts"]
            phase, track = event["ph"], event["tid"]
            if phase == "B":
                opened[track].append(event["name"])
                self.slices[event["name"].split()[0]] += 1
            elif phase == "E":
                opened[track].pop()
            elif phase == "s":
                arrows.add((event["cat"], event["id"]))
            elif phase == "f" and event["cat"] == "ready":
                arrows.remove((event["cat"], event["id"]))
            elif phase == "b":
                test.assertNotIn(event["id"], operations)
                operations.add(event["id"])
            elif phase in "ne":
                test.assertIn(event["id"], operations)
            if phase == "s" or event.get("cat") == "task" and phase == "B":
                test.assertTrue(opened[track], event)
        test.assertFalse(any(opened.values()))

    def named(self, name):
        return [event for event in self.events if event.get("name", "").startswith(name)]


class Record(unittest.TestCase):

    def expect_the_story(self, text, pid):
        trace = Trace(self, text, pid)
        # 100 requests were answered one by one, by workers, on connections 1 to 4.
        self.assertGreaterEqual(trace.slices["connection"], 100)
        self.assertGreaterEqual(trace.slices["worker"], 4)
        self.assertGreaterEqual(trace.slices["engine"], 4)
        self.assertEqual(len(trace.named("connection opened")), 4)
        self.assertEqual({event["args"]["name"] for event in trace.named("thread_name")},
                         {"reactor 0", "reactor 1"})
        self.assertIn("framework/session.c", trace.named("worker")[0]["args"]["spawned"])
        self.assertGreaterEqual(len(trace.named("message")), 2)
        self.assertTrue(trace.named("ready tasks"))
        return trace

    def test_running_server_is_recorded(self):
        with Server() as server:
            status, out, complaints = rota("record", server.pid)
            self.assertEqual((status, complaints), (0, ""))
            self.expect_the_story(out, server.pid)

    def test_stopped_server_is_recorded_into_a_file(self):
        with Server("--backend", "epoll") as server:
            server.process.send_signal(signal.SIGSTOP)
            path = f"{server.folder.name}/trace.json"
            self.assertEqual(rota("record", "-o", path, server.pid), (0, "", ""))
            with open(path, encoding="ascii") as trace:
                self.expect_the_story(trace.read(), server.pid)

    def test_core_file_is_recorded(self):
        if "asan" in BUILT or "tsan" in BUILT:
            self.skipTest("sanitizers' address spaces are too large for core files")
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as pattern:
            if pattern.read().strip() not in ("core", "core.%p"):
                self.skipTest("core files go elsewhere")
        with Server() as server:
            server.process.send_signal(signal.SIGABRT)
            server.process.wait(HANG_SECONDS)
            cores = [f"{server.folder.name}/{name}" for name in ("core", f"core.{server.pid}")]
            cores = [core for core in cores if os.path.exists(core)]
            if not cores:
                self.skipTest("no core file is written here")
            status, out, complaints = rota("record", cores[0])
            self.assertEqual((status, complaints), (0, ""))
            self.expect_the_story(out, server.pid)

    def test_server_writes_a_file_when_asked(self):
        with Server("--record-to", "record.%p") as server:
            server.process.send_signal(signal.SIGUSR2)
            # Any of its threads may be writing it: until both reactors are there and the end is.
            path, size = f"{server.folder.name}/record.{server.pid}", -1
            out = ""
            while "reactor 1" not in out or size != os.path.getsize(path):
                size = os.path.exists(path) and os.path.getsize(path)
                _, out, _ = rota("trace", path)
            self.expect_the_story(out, server.pid)
            for connection in server.connections:
                connection.sendall(b"PING\r\n")
                self.assertEqual(connection.recv(7), b"+PONG\r\n")

    def test_server_that_crashes_leaves_a_file(self):
        with Server("--record-to", "record.%p") as server:
            path = f"{server.folder.name}/record.{server.pid}"
            server.process.send_signal(signal.SIGSEGV)
            ended = server.process.wait(HANG_SECONDS)
            if "asan" in BUILT or "tsan" in BUILT:
                self.assertGreater(ended, 0)  # their own handler comes last and ends the process
            else:
                self.assertEqual(ended, -signal.SIGSEGV)
            status, out, complaints = rota("trace", path)
            self.assertEqual((status, complaints), (0, ""))
            self.expect_the_story(out, server.pid)
            # Cut anywhere, it is a shorter story or a sentence.
            whole = os.path.getsize(path)
            for size in (0, 47, 48, 100, 30000, whole // 2, whole - 8):
                with open(path, "rb") as file, open(path + ".cut", "wb") as cut:
                    cut.write(file.read(size))
                status, out, complaints = rota("trace", path + ".cut")
                self.assertEqual(status, 1 if complaints else 0)
                if not status:
                    Trace(self, out, server.pid)

    def test_records_off_are_said_to_be(self):
        with Server("--records", "off") as server:
            status, out, complaints = rota("record", server.pid)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("off", complaints)

    def test_what_cannot_be_recorded_is_said(self):
        for arguments in (("record", os.getpid()), ("record", "no-such-file"),
                          ("trace", "no-such-file"), ("trace", __file__)):
            status, out, complaints = rota(*arguments)
            self.assertEqual((status, out), (1, ""), arguments)
            self.assertEqual(len(complaints.splitlines()), 1, complaints)
        for arguments in (("record",), ("trace", "a", "b"), ("record", "-x", "1")):
            self.assertEqual(rota(*arguments)[0], 2)


if __name__ == "__main__":
    BUILT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
