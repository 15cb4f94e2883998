#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The servers that the benchmarks compare with: each that is here starts, serves what it should to
the byte, and ends when told to.

    tests/e2e/peers/test_peers.py [TEST...]

`ninja peers` has built them and written build/peers/ready.tsv.
"""
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

from outside import HANG_SECONDS, reserve_port   # noqa: E402

LIST = 'bench/peers/peers.tsv'
READY = 'build/peers/ready.tsv'
ECHO_BYTES = 1 << 20


def read_list(path):
    with open(path) as file:
        return [line.rstrip('\n').split('\t') for line in file if not line.startswith('#')]


class Peer:
    """A server that answers on its port; told to end, and waited for, at the end of the block."""

    def __init__(self, command):
        self.reserved, port = reserve_port()
        words = command.format(port=port, threads=1).split()
        self.address = ('127.0.0.1', port)
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.said,
                                        stderr=subprocess.STDOUT)

    def connect(self):
        """None has a way to say that it is ready which all have: ask until it listens."""
        ends = time.monotonic() + HANG_SECONDS
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                return socket.create_connection(self.address, HANG_SECONDS)
            except ConnectionRefusedError:
                os.sched_yield()
        self.said.seek(0)
        raise AssertionError(f'it does not listen: {self.said.read().decode()}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(HANG_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.reserved.close()
            self.said.close()


def receive(connection, count):
    got = bytearray()
    while len(got) < count:
        part = connection.recv(count - len(got))
        if not part:
            break
        got += part
    return bytes(got)


class Peers(unittest.TestCase):
    def each(self, kind, check):
        """check(peer) for every one of that kind that is here, running."""
        here = [(name, command) for name, what, command in read_list(READY) if what == kind]
        if not here:
            self.skipTest(f'no {kind} server is here; ./setup --peers installs some')
        for name, command in here:
            with self.subTest(peer=name), Peer(command) as peer:
                check(peer)

    def ask(self, connection, question, answer):
        connection.sendall(question)
        self.assertEqual(receive(connection, len(answer)), answer)

    def test_the_list_is_complete_and_who_is_ready_is_in_it(self):
        listed = read_list(LIST)
        self.assertEqual({len(row) for row in listed}, {6})
        names = [row[0] for row in listed]
        self.assertEqual(len(set(names)), len(names))
        for name, kind, command, needs, package, sources in listed:
            self.assertIn(kind, ('echo', 'resp', 'memcached', 'http'), name)
            self.assertIn('{port}', command, name)
            self.assertEqual(len(needs.split()), 2, name)
            self.assertTrue(package, name)
            if sources != '-':
                self.assertTrue(os.path.exists(f'bench/peers/{sources.split()[0]}'), name)
        rows = [row[:3] for row in listed]
        for row in read_list(READY):
            self.assertIn(row, rows)

    def test_echo_a_mebibyte_in_odd_pieces_comes_back(self):
        source = random.Random(1)
        data = source.randbytes(ECHO_BYTES)

        def send_pieces(connection):
            at = 0
            while at < ECHO_BYTES:
                piece = source.choice((1, 63, 1447, 4096, 65537))
                connection.sendall(data[at:at + piece])
                at += piece
            connection.shutdown(socket.SHUT_WR)

        def check(peer):
            with peer.connect() as one, peer.connect() as other:
                sender = threading.Thread(target=send_pieces, args=(one,))
                sender.start()
                got = receive(one, ECHO_BYTES + 1)
                sender.join()
                self.assertEqual(len(got), ECHO_BYTES)
                self.assertTrue(got == data, 'other bytes came back')
                self.ask(other, b'still here', b'still here')

        self.each('echo', check)

    def test_resp_what_was_set_is_got(self):
        def check(peer):
            with peer.connect() as client:
                self.ask(client, b'*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nvalue\r\n', b'+OK\r\n')
                self.ask(client, b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n' * 100,
                         b'$5\r\nvalue\r\n' * 100)

        self.each('resp', check)

    def test_memcached_what_was_set_is_got(self):
        def check(peer):
            with peer.connect() as client:
                self.ask(client, b'ms a 5\r\nvalue\r\n', b'HD\r\n')
                self.ask(client, b'mg a v\r\n' * 100, b'VA 5\r\nvalue\r\n' * 100)

        self.each('memcached', check)

    def test_http_hello_is_served_again_and_again_on_one_connection(self):
        def get(client, replies):
            client.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
            self.assertEqual(replies.readline(), b'HTTP/1.1 200 OK\r\n')
            length = 0
            while (line := replies.readline()) not in (b'\r\n', b''):
                name, _, value = line.partition(b':')
                if name.lower() == b'content-length':
                    length = int(value)
            return replies.read(length)

        def check(peer):
            with peer.connect() as client, client.makefile('rb') as replies:
                for _ in range(300):    # more than some would by default
                    self.assertEqual(get(client, replies), b'hello, world\n')

        self.each('http', check)


if __name__ == '__main__':
    unittest.main()
