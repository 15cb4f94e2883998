# SPDX-License-Identifier: MIT
"""A rota-kv of a test's own, and a plain RESP client for it."""
import os
import select
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(1, os.path.dirname(sys.path[0]))
from outside import HANG_SECONDS, reserve_port


class Error(Exception):
    """An error reply."""


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS)
        self.file = self.socket.makefile("rb")

    @staticmethod
    def encode(*words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind in b"$=":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind in b"*~>":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        if kind == b"_":
            return None
        raise ValueError(line)

    def __call__(self, *words):
        self.send(self.encode(*words))
        return self.reply()

    def is_closed(self):
        """Whether the server has closed, waiting for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()


class Server:
    """Started with options on a port of its own; `with` stops it and checks the exit."""

    def __init__(self, program, *options):
        self.reserved, self.port = reserve_port()
        self.process = subprocess.Popen([program, *options, "--port", str(self.port)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], HANG_SECONDS)
        self.ready = self.process.stdout.readline() if ready else ""
        if "ready on" not in self.ready:
            self.process.kill()
            self.reserved.close()
            raise RuntimeError(f"not ready: {self.ready}{self.process.stderr.read()}")
        self.clients = []

    def client(self):
        client = Client(self.port)
        self.clients.append(client)
        return client

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def stop(self, signal_number=signal.SIGTERM):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            out, err = self.process.communicate(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reserved.close()
        return self.process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status, _, err = self.stop()
        if kind is None and status != 0:
            raise AssertionError(f"exit status {status}: {err}")


class SharedServer(unittest.TestCase):
    """Tests that share one server: the program and options of the command line, and `more`."""
    more = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*sys.argv[1:], *cls.more)

    @classmethod
    def tearDownClass(cls):
        status, _, err = cls.server.stop()
        assert status == 0, err
