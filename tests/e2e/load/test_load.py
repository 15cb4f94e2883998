#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rota-load from outside: against our servers on both engines, and servers that do wrong.

    tests/e2e/load/test_load.py BUILT [TEST...]

BUILT is the variant's folder. Ports are the kernel's choice.
"""
import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from outside import HANG_SECONDS, engines_here, reserve_port  # noqa: E402

BUILT = "build/release"


def load(*arguments, **options):
    """Exit status, output, and the lines on standard error."""
    done = subprocess.run([f"{BUILT}/bench/rota-load", *arguments], capture_output=True, text=True,
                          timeout=HANG_SECONDS, check=False, **options)
    return done.returncode, done.stdout, done.stderr.splitlines()


def result_of(*arguments):
    """Exit status and result of a short run."""
    status, out, _ = load("--json", "-", "-t", "0.2", "--warmup", "0", *arguments)
    return status, json.loads(out)


class Server:
    """One of our servers, ready; stopped at the end of the block."""

    def __init__(self, program, *options):
        self.reserved, port = reserve_port()
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [f"{BUILT}/apps/{program}", "--reactors", "1", "--port", str(port), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=HANG_SECONDS)
        finally:
            self.process.kill()
            self.reserved.close()


class Script:
    """A server in this process: `serve(connection)` in a thread of its own for each."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.serve = serve
        self.threads = []
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.talk, args=(connection,))
            thread.start()
            self.threads.append(thread)

    def talk(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join(HANG_SECONDS)
        for thread in self.threads:
            thread.join(HANG_SECONDS)


def answers(reply, until=b"\r\n\r\n"):
    """What a Script does that sends `reply` for each request, one byte at a time."""
    def serve(connection):
        seen = b""
        while True:
            part = connection.recv(4096)
            if not part:
                return
            seen += part
            while until in seen:
                seen = seen.split(until, 1)[1]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(len(reply)):
                    connection.sendall(reply[i:i + 1])
    return serve


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engines = list(engines_here(Server))

    def assert_well(self, status, result):
        self.assertEqual((status, result["errors"], result["error"]), (0, 0, None))
        self.assertGreater(result["requests"], 0)
        self.assertEqual(result["latency_ns"]["count"], result["requests"])
        self.assertEqual(sum(count for _, count in result["histogram"]), result["requests"])

    def test_echo_on_every_engine_comes_back_as_sent(self):
        for backend in self.engines:
            with Server("rota-echo", "--backend", backend) as server:
                for options in (("-d", "1"), ("-d", "16"), ("-d", "3", "--payload", "100000"),
                                ("-c", "7", "--reactors", "2"), ("-r", "2000"),
                                ("--shape", "churn", "-c", "4"), ("--idle", "100")):
                    with self.subTest(backend=backend, options=options):
                        status, result = result_of("--check", "--backend", backend, *options,
                                                   server.address)
                        self.assert_well(status, result)
                        payload = result["payload"]
                        self.assertEqual(result["bytes_sent"], payload * result["requests"])
                        self.assertEqual(result["bytes_received"], payload * result["requests"])

    def test_key_values_on_every_engine_are_those_that_were_written(self):
        for backend in self.engines:
            with Server("rota-kv", "--backend", backend) as server:
                for options in (("--value", "1-300"), ("-d", "16", "--distribution", "zipf"),
                                ("--value", "100000-200000", "-d", "4", "--keys", "50"),
                                ("--ratio", "1:1", "--distribution", "gauss:10"),
                                ("--reactors", "2", "--distribution", "sequential")):
                    with self.subTest(backend=backend, options=options):
                        status, result = result_of(
                            "--protocol", "resp", "--prefill", "--check", "--keys", "1000",
                            "--backend", backend, *options, server.address)
                        self.assert_well(status, result)
                        self.assertEqual(result["misses"], 0)

    def test_key_values_of_another_seed_are_found_out(self):
        with Server("rota-kv") as server:
            common = ("--protocol", "resp", "--keys", "100", "--check")
            self.assertEqual(result_of(*common, "--prefill", server.address)[0], 0)
            status, result = result_of(*common, "--seed", "2", "--ratio", "0:1", server.address)
            self.assertEqual(status, 1)
            self.assertEqual(result["error"], "another value came back than was written")
            self.assertEqual(result["requests"], 0)

    def test_keys_that_are_not_there_are_misses(self):
        with Server("rota-kv") as server:
            status, result = result_of("--protocol", "resp", "--ratio", "0:1", server.address)
            self.assert_well(status, result)
            self.assertEqual(result["misses"], result["requests"])

    def test_unix_socket_serves_as_well(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/socket"
            with Server("rota-echo", "--unix", path):
                self.assert_well(*result_of("--check", "unix:" + path))

    def test_upload_to_a_server_that_only_reads_counts_bytes(self):
        def sink(connection):
            while connection.recv(1 << 20):
                pass
        with Script(sink) as server:
            status, result = result_of("--shape", "upload", "-c", "2", server.address)
            self.assertEqual((status, result["errors"]), (0, 0))
            self.assertGreater(result["bytes_sent"], 1 << 20)

    def test_http_replies_byte_by_byte_are_read(self):
        for reply in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                      b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5\r\nhello\r\n0\r\n\r\n"):
            with Script(answers(reply)) as server:
                self.assert_well(*result_of("--protocol", "http1", "--check", "-c", "2", "-d", "2",
                                            server.address))

    def test_memcached_replies_byte_by_byte_are_read(self):
        with Script(answers(b"END\r\n", b"\r\n")) as server:
            status, result = result_of("--protocol", "memcached", "--ratio", "0:1", "-c", "2",
                                       "-d", "3", server.address)
            self.assert_well(status, result)

    def test_wrong_protocol_is_said(self):
        with Server("rota-echo") as server:
            status, result = result_of("--protocol", "resp", "-c", "1", server.address)
            self.assertEqual(status, 1)
            self.assertIn("is answered with: *", result["error"])

    def test_server_that_goes_away_is_said_and_the_run_ends(self):
        served = threading.Event()

        def serve(connection):
            connection.sendall(connection.recv(64))
            served.set()
        with Script(serve) as server:
            status, result = result_of("-c", "2", server.address)
            self.assertTrue(served.is_set())
            self.assertEqual(status, 1)
            self.assertRegex(result["error"], "closed a connection|a connection was lost")
            self.assertGreater(result["requests"], 0)

    def test_server_that_never_answers_ends_in_time(self):
        def listen(connection):
            while connection.recv(4096):
                pass
        with Script(listen) as server:
            status, result = result_of("-c", "2", "--timeout", "0.2", server.address)
            self.assertEqual(status, 1)
            self.assertEqual(result["error"], "no reply for 0.2 s")
            self.assertEqual(result["requests"], 0)

    def test_nobody_there_is_one_line(self):
        reserved, port = reserve_port()
        with reserved:
            status, out, lines = load(f"127.0.0.1:{port}")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(lines, [f"rota-load: cannot connect to 127.0.0.1:{port}: "
                                 "Connection refused"])

    def test_prefill_that_is_refused_is_one_line(self):
        with Server("rota-kv", "--requirepass", "secret") as server:
            status, out, lines = load("--protocol", "resp", "--prefill", server.address)
            self.assertEqual((status, out, len(lines)), (1, "", 1))
            self.assertIn("NOAUTH", lines[0])

    def test_prefill_of_a_server_that_goes_away_ends(self):
        with Server("rota-kv") as server, \
                subprocess.Popen([f"{BUILT}/bench/rota-load", "--protocol", "resp", "--prefill",
                                  "--keys", "100000000", server.address],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True) as process:
            host, port = server.address.split(":")
            with socket.create_connection((host, int(port))) as client:
                keys = b":0"
                while keys == b":0":  # until the first key is there
                    client.sendall(b"DBSIZE\r\n")
                    keys = client.recv(100).strip()
            server.process.kill()
            out, error = process.communicate(timeout=HANG_SECONDS)
        self.assertEqual((process.returncode, out, len(error.splitlines())), (1, "", 1), error)
        self.assertIn("the keys could not be written", error)

    def test_http_server_that_closes_after_each_reply_is_no_error(self):
        def serve(connection):
            if connection.recv(4096):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                   b"Connection: close\r\n\r\nhi")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        with Script(serve) as server:
            status, result = result_of("--protocol", "http1", "--check", "-c", "2", server.address)
            self.assert_well(status, result)
            self.assertGreater(result["requests"], 2)

    def test_terminal_shows_each_second(self):
        ours, theirs = os.openpty()
        with Server("rota-echo") as server, \
                subprocess.Popen([f"{BUILT}/bench/rota-load", "-t", "1.5", "--warmup", "0", "-c",
                                  "2", server.address], stdout=subprocess.PIPE, stderr=theirs,
                                 text=True) as process:
            os.close(theirs)
            process.communicate(timeout=HANG_SECONDS)
            shown = b""
            try:
                while part := os.read(ours, 4096):
                    shown += part
            except OSError:  # how a terminal's other side says that it is closed
                pass
            os.close(ours)
            lines = shown.decode().splitlines()
            self.assertGreaterEqual(len(lines), 2)
            for line in lines:
                self.assertRegex(line, r"^ +\d s +\d+/s  p50 +[\d.]+ us  p99 .*  errors 0$")

    def test_too_many_connections_for_the_descriptors_is_one_line(self):
        status, out, lines = load("-c", "1000", "127.0.0.1:1", preexec_fn=self.few_descriptors)
        self.assertEqual((status, out, len(lines)), (1, "", 1))
        self.assertIn("ulimit -n", lines[0])

    @staticmethod
    def few_descriptors():
        import resource  # pylint: disable=import-outside-toplevel
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))

    def test_json_that_cannot_be_written_is_said(self):
        with Server("rota-echo") as server:
            status, _, lines = load("-t", "0.05", "-q", "--json", "/proc/nowhere/x",
                                    server.address)
            self.assertEqual((status, len(lines)), (1, 1))
            self.assertIn("/proc/nowhere/x", lines[0])
            status, _, lines = load("-t", "0.05", "-q", "--hdr", "/proc/nowhere/x", server.address)
            self.assertEqual((status, len(lines)), (1, 1))
            self.assertIn("/proc/nowhere/x", lines[0])
            status, _, lines = load("-t", "0.05", "-q", "--json", "/dev/full", server.address)
            self.assertEqual((status, len(lines)), (1, 1))
            self.assertIn("/dev/full", lines[0])

    def test_wrong_usage_is_one_line_and_2(self):
        for arguments in ([], ["a:1", "b:2"], ["nowhere"], ["127.0.0.1:0"], ["127.0.0.1:65536"],
                          ["unix:"], ["--colour", "a:1"], ["--depth"], ["--depth", "0", "a:1"],
                          ["--depth", "-1", "a:1"], ["--depth", "x", "a:1"],
                          ["--seconds", "0", "a:1"], ["--seconds", "nan", "a:1"],
                          ["--rate", "0", "a:1"], ["--rate", "1e9", "a:1"],
                          ["--ratio", "0:0", "a:1"], ["--ratio", "1", "a:1"],
                          ["--value", "5-4", "a:1"], ["--value", "0", "a:1"],
                          ["--distribution", "zipf:", "a:1"],
                          ["--distribution", "zipf:-1", "a:1"],
                          ["--distribution", "uniform:3", "a:1"],
                          ["--distribution", "other", "a:1"], ["--protocol", "smtp", "a:1"],
                          ["--shape", "round", "a:1"], ["--arrivals", "late", "a:1"],
                          ["--path", "x", "127.0.0.1:1"], ["--path", "/a b", "127.0.0.1:1"],
                          ["--prefill", "127.0.0.1:1"],
                          ["--shape", "upload", "--protocol", "resp", "127.0.0.1:1"],
                          ["--shape", "churn", "--rate", "5", "127.0.0.1:1"],
                          ["--steered", "--json", "x", "127.0.0.1:1"],
                          ["--reactors", "3", "-c", "2", "127.0.0.1:1"],
                          ["--depth", "65536", "--payload", "100000", "127.0.0.1:1"]):
            with self.subTest(arguments=arguments):
                status, out, lines = load(*arguments)
                self.assertEqual((status, out, len(lines)), (2, "", 1), lines)

    def test_wrong_engine_is_one_line(self):
        status, out, lines = load("--backend", "kqueue", "127.0.0.1:1")
        self.assertEqual((status, out, len(lines)), (1, "", 1), lines)

    def test_help_and_version_succeed(self):
        status, out, lines = load("--help")
        self.assertEqual((status, lines), (0, []))
        self.assertIn("--steered", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.assertEqual(load("--version"), (0, "rota-load 0.1.0\n", []))

    def interrupted(self, *arguments):
        """Interrupt it once the server has seen a request."""
        asked = threading.Event()

        def serve(connection):
            while True:
                part = connection.recv(4096)
                if not part:
                    return
                connection.sendall(part)
                asked.set()
        with Script(serve) as server, \
                subprocess.Popen([f"{BUILT}/bench/rota-load", "-t", "1000", "-c", "2", *arguments,
                                  server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True) as process:
            self.assertTrue(asked.wait(HANG_SECONDS))
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=HANG_SECONDS)
            return process.returncode, out, error.splitlines()

    def test_interrupted_run_is_reported(self):
        for reactors in "1", "2":
            for extra in (), ("--rate", "100"):
                status, out, lines = self.interrupted("--warmup", "0", "--json", "-", "--reactors",
                                                      reactors, *extra)
                self.assertEqual((status, lines), (0, []))
                result = json.loads(out)
                self.assertGreater(result["requests"], 0)
                self.assertLess(result["seconds"], 1000)

    def test_interrupted_warmup_is_one_line(self):
        status, out, lines = self.interrupted("--warmup", "1000")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(lines, ["rota-load: interrupted before anything was measured"])

    def test_text_for_people_has_rate_and_latency(self):
        with Server("rota-echo") as server:
            status, out, _ = load("-t", "0.1", "--warmup", "0", server.address)
            self.assertEqual(status, 0)
            self.assertIn("requests  ", out)
            self.assertIn("p99.9 ", out)


class Steered(unittest.TestCase):
    def talk(self, *arguments):
        return subprocess.Popen([f"{BUILT}/bench/rota-load", "--steered", *arguments],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def test_each_go_is_answered_by_a_line_on_the_same_connections(self):
        for backend in Load.engines if hasattr(Load, "engines") else engines_here(Server):
            for extra in (), ("--rate", "3000"):
                with Server("rota-kv", "--backend", backend) as server, \
                        self.talk("--protocol", "resp", "--prefill", "--keys", "100", "--check",
                                  "-c", "5", "--backend", backend, *extra,
                                  server.address) as steered:
                    self.assertEqual(steered.stdout.readline(), "ready\n")
                    for seconds in (0.05, 0.1, 0.05):
                        steered.stdin.write(f"go {seconds}\n")
                        steered.stdin.flush()
                        result = json.loads(steered.stdout.readline())
                        self.assertEqual((result["format"], result["errors"], result["misses"]),
                                         ("rota-load 1", 0, 0))
                        self.assertGreater(result["requests"], 0)
                        self.assertGreater(result["seconds"], seconds * 0.9)
                    steered.stdin.close()
                    self.assertEqual(steered.stdout.read(), "")
                    self.assertEqual(steered.wait(HANG_SECONDS), 0)

    def test_other_lines_are_refused(self):
        for line in ("stop\n", "go\n", "go x\n", "go -1\n", "go 0\n", "go " + "1" * 200 + "\n"):
            with Server("rota-echo") as server, self.talk(server.address) as steered:
                self.assertEqual(steered.stdout.readline(), "ready\n")
                out, error = steered.communicate(line, timeout=HANG_SECONDS)
                self.assertEqual((steered.returncode, out), (1, ""), line)
                self.assertEqual(len(error.splitlines()), 1, error)

    def test_nobody_there_is_no_ready(self):
        status, out, lines = load("--steered", "127.0.0.1:1", stdin=subprocess.DEVNULL)
        self.assertEqual((status, out, len(lines)), (1, "", 1))

    def test_input_from_a_file_is_obeyed(self):
        with Server("rota-echo") as server, tempfile.TemporaryFile("w+") as file:
            file.write("go 0.05\ngo 0.05\n")
            file.flush()
            for backend in engines_here(Server):
                file.seek(0)
                status, out, lines = load("--steered", "--backend", backend, server.address,
                                          stdin=file)
                self.assertEqual((status, lines, len(out.splitlines())), (0, [], 3))


def read_counts(payload):
    """The counts of an HdrHistogram in its encoding V2, by index; written from the documentation
    and not from the program."""
    cookie, bytes_, shift, digits, low, high, ratio = struct.unpack(">iiiiqqd", payload[:40])
    assert (cookie, shift, digits, low, high, ratio) == \
        (0x1c849313, 0, 3, 1, 3600 * 10**9, 1.0), payload[:40]
    assert bytes_ == len(payload) - 40
    at, index, counts = 40, 0, {}
    while at < len(payload):
        number = shift = 0
        for i in range(9):
            byte = payload[at]
            at += 1
            number |= (byte if i == 8 else byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                break
        number = number >> 1 ^ -(number & 1)
        if number < 0:
            index -= number
        else:
            counts[index] = number
            index += 1
    return counts


def value_of(index):
    """The greatest value with this index: 2048 of unit 1, then 1024 of unit 2, of 4 …"""
    if index < 2048:
        return index
    shift = index // 1024 - 1
    return ((index - shift * 1024 + 1) << shift) - 1


class HdrLog(unittest.TestCase):
    def test_log_holds_what_the_result_says(self):
        with Server("rota-echo") as server, tempfile.TemporaryDirectory() as folder:
            path = folder + "/log"
            status, out, _ = load("-t", "2.2", "--warmup", "0", "-c", "4", "--hdr", path, "--json",
                                  "-", server.address)
            result = json.loads(out)
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
        self.assertEqual(status, 0)
        self.assertEqual(lines[1], "#[Histogram log format version 1.3]")
        self.assertRegex(lines[2], r"^#\[StartTime: \d+\.\d{3} \(seconds since epoch\), .*\]$")
        self.assertTrue(lines[3].startswith('"StartTimestamp","Interval_Length"'))
        total, end = {}, 0.0
        self.assertGreaterEqual(len(lines), 4 + 2)
        for line in lines[4:]:
            start, length, longest, text = line.split(",")
            self.assertAlmostEqual(float(start), end, delta=0.002)
            end = float(start) + float(length)
            packed = base64.b64decode(text, validate=True)
            cookie, bytes_ = struct.unpack(">ii", packed[:8])
            self.assertEqual((cookie, bytes_), (0x1c849314, len(packed) - 8))
            counts = read_counts(zlib.decompress(packed[8:]))
            if counts:
                self.assertAlmostEqual(value_of(max(counts)) / 1e6, float(longest), delta=0.002)
            for index, count in counts.items():
                total[value_of(index)] = total.get(value_of(index), 0) + count
        self.assertEqual(sorted(total.items()), [tuple(pair) for pair in result["histogram"]])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILT = sys.argv.pop(1)
    unittest.main()
