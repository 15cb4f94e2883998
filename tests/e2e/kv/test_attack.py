#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rota-kv and malformed, hostile or huge requests.

    test_attack.py ROTA_KV [OPTION]...

What Redis 7.0.15 answers to each of them was found by asking one. The options go to the server.
"""
import pathlib
import socket
import sys
import unittest

from kv_server import HANG_SECONDS, Client, SharedServer

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"
COUNT = b"-ERR Protocol error: invalid multibulk length\r\n"
LENGTH = b"-ERR Protocol error: invalid bulk length\r\n"
QUOTES = b"-ERR Protocol error: unbalanced quotes in request\r\n"
CR_LF = b"-ERR Protocol error: expected CR LF after bulk\r\n"
LF = b"-ERR Protocol error: expected LF after CR\r\n"


def expected(got):
    return b"-ERR Protocol error: expected '$', got '%s'\r\n" % got


def unknown(word):
    return b"-ERR unknown command '%s', with args beginning with: \r\n" % word


# The connection is closed after the error.
CLOSING = [
    (b"*x\r\n", COUNT),
    (b"*\r\n", COUNT),
    (b"*2147483648\r\n", COUNT),
    (b"*9223372036854775807\r\n", COUNT),
    (b"*9223372036854775808\r\n", COUNT),
    (b"*99999999999999999999\r\n", COUNT),
    (b"*+1\r\n", COUNT),
    (b"* 1\r\n", COUNT),
    (b"*1 \r\n", COUNT),
    (b"*-0\r\n", COUNT),
    (b"*001\r\n", COUNT),
    (b"*1\r\n$-1\r\n", LENGTH),
    (b"*1\r\n$-2\r\n", LENGTH),
    (b"*1\r\n$\r\n", LENGTH),
    (b"*1\r\n$x\r\n", LENGTH),
    (b"*1\r\n$004\r\n", LENGTH),
    (b"*1\r\n$+4\r\n", LENGTH),
    (b"*1\r\n$536870913\r\n", LENGTH),
    (b"*1\r\n$9223372036854775807\r\n", LENGTH),
    (b"*1\r\n$99999999999999999999\r\n", LENGTH),
    (b"*2\r\n$3\r\nGET\r\n$-1\r\n", LENGTH),
    (b"*1\r\n$4\nPING\r\n", LENGTH),
    (b"*1\r\n:4\r\n", expected(b":")),
    (b"*1\r\n+PING\r\n", expected(b"+")),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", expected(b"*")),
    (b"*1\r\nPING\r\n", expected(b"P")),
    (b"*1\r\n\r\n", expected(b" ")),
    (b'GET "a\r\n', QUOTES),
    (b"GET 'a\r\n", QUOTES),
    (b'GET "a"b\r\n', QUOTES),
    (b"x" * 65537, b"-ERR Protocol error: too big inline request\r\n"),
    (b"*" + b"1" * 65537, b"-ERR Protocol error: too big mbulk count string\r\n"),
    (b"*1\r\n$" + b"1" * 65537, b"-ERR Protocol error: too big bulk count string\r\n"),
    # Here Redis takes any two bytes.
    (b"*1\r\n$4\r\nPINGxx", CR_LF),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvv\r\n", CR_LF),
    (b"*1\rx$4\r\n", LF),
    (b"*1\r\n$4\rxPING\r\n", LF),
    (b"*1\r\n$4\r\nQUIT\r\n*x\r\n", b"+OK\r\n"),
    # From a browser: closed without an answer.
    (b"POST / HTTP/1.1\r\n", b""),
    (b"*1\r\n$4\r\npost\r\n", b""),
    (b"Host: localhost\r\n", b""),
]

# The connection goes on.
HARMLESS = [
    (b"*0\r\n", b""),
    (b"*-1\r\n", b""),
    (b"*-2147483648\r\n", b""),
    (b"\r\n", b""),
    (b"\n\n", b""),
    (b"PING\n", PONG),
    (b"PING" + b" " * 100 + b"\r\n", PONG),
    (b"\xff\xfe\r\n", unknown(b"\xff\xfe")),
    (b"$4\r\nPING\r\n", unknown(b"$4") + PONG),
    (b"+PING\r\n", unknown(b"+PING")),
    (b"%1\r\n", unknown(b"%1")),
    (b"_\r\n", unknown(b"_")),
    (b"*1\r\n$0\r\n\r\n", unknown(b"")),
    (b"*1\r\n$1\r\n\0\r\n", unknown(b"")),
]

# More is to come, and nothing is answered before. A NUL hides the end of its line, as in Redis.
UNFINISHED = [b"*", b"*1", b"*1\r\n", b"*1048576\r\n", b"*2147483647\r\n", b"*1\r\n$4",
              b"*1\r\n$536870912\r\n", b"*1\n$4\nPING\n", b"*4\r\n$3\r\nSET\r\n", b"PIN",
              b"*2147483647\r\n$536870912\r\nx", b"\0\r\n", b"PI\0NG\r\n", b"*1\r\n\0\r\n"]


def resident_kib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


class Attack(SharedServer):
    def setUp(self):
        self.other = self.server.client()

    def tearDown(self):
        self.assertEqual(self.other("PING"), "PONG")
        self.other.close()

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.server.port), HANG_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def talk(self, *parts):
        """Send the parts, each after the server had time for the one before; hear all it says."""
        heard = b""
        with self.connect() as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    if len(parts) > 1:
                        self.other("PING")
                # Not our FIN, or every connection would end by that.
                while chunk := connection.recv(65536):
                    heard += chunk
            except (BrokenPipeError, ConnectionResetError):
                pass
        return heard

    def cases(self):
        """(request, all that is answered until the server closes)"""
        yield from CLOSING
        quit_ = b"*1\r\n$4\r\nQUIT\r\n"
        for request, reply in HARMLESS:
            yield request + quit_, reply + b"+OK\r\n"

    def test_each_is_answered_as_by_redis(self):
        for request, reply in self.cases():
            with self.subTest(request=request[:60]):
                self.assertEqual(self.talk(request), reply)

    def test_each_is_answered_so_however_it_is_split(self):
        for request, reply in self.cases():
            for at in range(1, min(len(request), 60)):
                with self.subTest(request=request[:60], at=at):
                    self.assertEqual(self.talk(request[:at], request[at:]), reply)

    def test_each_is_answered_so_byte_by_byte(self):
        for request, reply in self.cases():
            if len(request) > 100:
                continue
            with self.subTest(request=request):
                self.assertEqual(self.talk(*(bytes([byte]) for byte in request)), reply)

    def test_requests_before_are_answered(self):
        before = Client.encode("SET", "k", "v") + PING + b"GET k\r\n" + PING * 40
        for request, reply in self.cases():
            with self.subTest(request=request[:60]):
                heard = self.talk(before + request)
                if not reply:
                    continue  # what speaks HTTP is cut off, replies to come included
                self.assertEqual(heard, b"+OK\r\n" + PONG + b"$1\r\nv\r\n" + PONG * 40 + reply)

    def test_unfinished_ones_wait_and_may_go(self):
        for request in UNFINISHED:
            with self.subTest(request=request), self.connect() as connection:
                connection.sendall(request)
                self.other("PING")
                connection.setblocking(False)
                self.assertRaises(BlockingIOError, connection.recv, 1)

    def test_claims_take_no_memory(self):
        before = resident_kib(self.server)
        connections = []
        for i in range(1000):
            connections.append(self.connect())
            connections[-1].sendall(UNFINISHED[i % len(UNFINISHED)])
        self.other("PING")
        # Half a KiB for a connection with its session, and receive buffers that are touched now, up
        # to 16 MiB a reactor, several times that with a sanitizer's shadow; the claims are of up to
        # 512 MiB each.
        self.assertLess(resident_kib(self.server) - before, 300000)
        for connection in connections:
            connection.close()

    def test_a_million_arguments_are_taken(self):
        count = 1000000
        with self.connect() as connection:
            connection.sendall(b"*%d\r\n$6\r\nEXISTS\r\n" % (count + 1) + b"$1\r\nk\r\n" * count)
            self.other("DEL", "k")
            self.assertIn(connection.recv(100), (b":0\r\n", b":%d\r\n" % count))

    def test_nested_arrays_are_refused(self):
        self.assertEqual(self.talk(b"*1\r\n" * 100000), expected(b"*"))

    def test_who_leaves_in_the_middle_leaves_nothing(self):
        value = b"x" * 100000
        request = Client.encode("SET", "partial", value)
        for at in (5, 20, 50, 30000, len(request) - 1):
            with self.connect() as connection:
                connection.sendall(request[:at])
        self.assertEqual(self.other("EXISTS", "partial"), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
