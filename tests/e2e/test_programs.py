#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Server programs from outside: start, serve, refuse to start, stop.

    tests/e2e/test_programs.py BUILT [TEST...]

BUILT is the variant's folder. Ports are the kernel's choice but where a taken one is wanted.
"""
import itertools
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from outside import HANG_SECONDS, engines_here, reserve_port

BUILT = "build/release"
CONNECTIONS = 10000


class Server:
    """A program that has said it is ready; stopped by SIGTERM at the end of the block."""

    def __init__(self, program, *options, launcher=()):
        self.reserved, self.port = reserve_port()
        self.process = subprocess.Popen(
            [*launcher, f"{BUILT}/apps/{program}", *options, "--port", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        readable, _, _ = select.select([self.process.stdout], [], [], HANG_SECONDS)
        self.ready = self.process.stdout.readline() if readable else ""

    def connect(self, source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", self.port), HANG_SECONDS, (source, 0))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        try:
            said = self.process.communicate(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        finally:
            self.reserved.close()
        return self.process.returncode, *said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def ask(connection, text, expected):
    connection.sendall(text)
    got = b""
    while len(got) < len(expected):
        part = connection.recv(65536)
        if not part:
            break
        got += part
    return got


def refused(*arguments, launcher=()):
    """Exit status, output and the lines of a program that should not start."""
    done = subprocess.run([*launcher, f"{BUILT}/apps/rota-echo", *arguments],
                          capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()


# What serves, and how a client knows.
SERVICES = [
    ("rota-echo", (), b"ping\n", b"ping\n"),
    ("rota-hello", (), b"world\nyou\n", b"hello, world\nhello, you\n"),
    ("rota-hello", ("--style", "task"), b"world\nyou\n", b"hello, world\nhello, you\n"),
]
REACTORS = ("1", "2")


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engines = list(engines_here(Server))

    def test_every_service_serves_on_every_engine_and_stops_in_order(self):
        for program, options, question, answer in SERVICES:
            for backend, reactors in itertools.product(self.engines, REACTORS):
                for number in (signal.SIGTERM, signal.SIGINT):
                    with self.subTest(program=program, options=options, backend=backend,
                                      reactors=reactors, signal=number):
                        server = Server(program, *options, "--backend", backend,
                                        "--reactors", reactors)
                        with server:
                            self.assertIn(f"{program} 0.1.0 ready on 127.0.0.1:{server.port}",
                                          server.ready)
                            self.assertIn(backend + ":", server.ready)
                            with server.connect() as one, server.connect() as other:
                                self.assertEqual(ask(one, question, answer), answer)
                                self.assertEqual(ask(other, question, answer), answer)
                                # both are idle now, are told of the end, and go
                                server.process.send_signal(number)
                                self.assertEqual((one.recv(1), other.recv(1)), (b"", b""))
                            status, out, _ = server.wait()
                            self.assertEqual((status, out), (0, ""))

    def test_a_second_signal_does_not_spoil_an_orderly_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("rota-echo") as server:
                with server.connect() as client:
                    self.assertEqual(ask(client, b"x", b"x"), b"x")
                    server.process.send_signal(number)
                    self.assertEqual(client.recv(1), b"")
                    server.process.send_signal(number)
                self.assertEqual(server.wait()[0], 0)

    def test_a_taken_port_is_one_line_with_a_remedy(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for backend in self.engines:
                status, out, lines = refused("--port", port, "--backend", backend)
                self.assertEqual((status != 0, out, len(lines)), (True, "", 1), lines)
                self.assertIn(port, lines[0])
                self.assertIn("--port", lines[0])

    def test_a_port_taken_by_another_of_ours_is_found(self):
        with Server("rota-echo", "--reactors", "2") as server:
            status, _, lines = refused("--port", str(server.port), "--reactors", "2")
            self.assertNotEqual(status, 0)
            self.assertEqual(len(lines), 1, lines)

    def test_a_unix_socket_serves_and_one_in_use_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/socket"
            with Server("rota-echo", "--unix", path) as server:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(path)
                    self.assertEqual(ask(client, b"x", b"x"), b"x")
                status, _, lines = refused("--port", "0", "--unix", path)
                self.assertNotEqual(status, 0)
                self.assertEqual(len(lines), 1, lines)
                self.assertIn(path, server.ready)

    def test_a_missing_folder_is_one_line(self):
        status, _, lines = refused("--port", "0", "--unix", "/proc/nowhere/socket")
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, lines)

    def test_wrong_options_are_one_line(self):
        for arguments in (["--colour", "blue"], ["--port"], ["--port", "many"], ["stray"],
                          ["--backend", "kqueue"], ["--backend", "uring:warp=9"],
                          ["--reactors", "0"], ["--bind", "example.org"],
                          ["--port", "0"]):
            with self.subTest(arguments=arguments):
                status, out, lines = refused(*arguments)
                self.assertNotEqual(status, 0)
                self.assertEqual((out, len(lines)), ("", 1), lines)

    def test_help_and_version_succeed(self):
        status, out, lines = refused("--help")
        self.assertEqual((status, lines), (0, []))
        self.assertIn("--backend", out)
        status, out, lines = refused("--version")
        self.assertEqual((status, out, lines), (0, "rota-echo (rota 0.1.0)\n", []))

    def test_where_io_uring_is_forbidden_it_starts_on_epoll_and_says_why(self):
        launcher = (f"{BUILT}/tests/support/no_uring",)
        with Server("rota-echo", launcher=launcher) as server:
            if server.process.poll() == 77:
                self.skipTest("seccomp filters are not allowed here")
            self.assertIn("epoll:", server.ready)
            self.assertIn("not uring:", server.ready)
            with server.connect() as client:
                self.assertEqual(ask(client, b"x", b"x"), b"x")
        status, _, lines = refused("--backend", "uring", launcher=launcher)
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, lines)

    def test_ten_thousand_connections_are_served(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + 500:
            self.skipTest(f"the descriptor limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            for backend in self.engines:
                with self.subTest(backend=backend), \
                        Server("rota-hello", "--backend", backend) as server:
                    clients = [server.connect(f"127.0.0.{2 + i % 40}") for i in range(CONNECTIONS)]
                    for client in clients:
                        client.sendall(b"you\n")
                    for client in clients:
                        self.assertEqual(ask(client, b"", b"hello, you\n"), b"hello, you\n")
                    for client in clients:
                        client.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILT = sys.argv.pop(1)
    os.environ.pop("LISTEN_FDS", None)
    unittest.main()
