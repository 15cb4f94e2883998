#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send the same commands to redis-server and to rota-kv, and compare the replies byte for byte.

    differential.py ROTA_KV [--seed N] [--commands N] [--protocol 2|3]

The commands are generated from the seed, which is printed;
times are far away, so that no reply depends on when it was asked for. Without a redis-server on
the machine it says so and passes: what it has taught is in the other tests.
"""
import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(1, os.path.dirname(sys.path[0]))
from outside import HANG_SECONDS, reserve_port

FAR_S = 4102444800  # 2100-01-01


class Peer:
    """One server and a connection to it."""

    def __init__(self, command, log):
        self.reserved, port = reserve_port()
        self.process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        end = time.monotonic() + HANG_SECONDS
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), HANG_SECONDS)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.process.kill()
                    raise SystemExit(f"{command[0]} ended with {self.process.wait()}")
                time.sleep(0.02)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        self.buffer += data

    def reply(self):
        """The raw bytes of one reply."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=" and rest != b"-1":
            while len(self.buffer) < int(rest) + 2:
                self.more()
            body, self.buffer = self.buffer[: int(rest) + 2], self.buffer[int(rest) + 2 :]
            return line + b"\r\n" + body
        if kind in b"*%~>" and rest != b"-1":
            count = int(rest) * (2 if kind == b"%" else 1)
            return line + b"\r\n" + b"".join(self.reply() for _ in range(count))
        return line + b"\r\n"

    def stop(self):
        self.socket.close()
        self.process.terminate()
        status = self.process.wait(HANG_SECONDS)
        self.reserved.close()
        return status


def encode(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Generator:
    """Commands that meet the same few keys again and again, and all options, right and wrong."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return b"key:%d" % self.random.randrange(12)

    def value(self):
        pick = self.random.random()
        if pick < 0.3:
            return self.integer()
        if pick < 0.4:
            return self.decimal()
        if pick < 0.45:
            return bytes(self.random.randrange(256) for _ in range(self.random.randrange(40)))
        if pick < 0.48:
            return b"v" * self.random.choice([15, 16, 4094, 16383, 16384, 40000])
        return self.random.choice([b"", b"a", b"hello world", b"value" * 5, b"\r\n", b"\x00"])

    def integer(self):
        return self.random.choice([
            b"0", b"1", b"-1", b"10", b"100", b"-5", b"3", b"7", b"42", b"9223372036854775807",
            b"-9223372036854775808", b"9223372036854775808", b"-9223372036854775809", b"00", b"-0",
            b"+1", b" 1", b"1 ", b"", b"abc", b"1.5", b"99999999999999999999", b"2147483648",
            b"-2147483649", b"4294967296", b"0x10", b"\x31\x00"])

    def decimal(self):
        return self.random.choice([
            b"0.1", b"-0.1", b"3.0", b"1e10", b"1e-10", b"1.5e3", b"5", b"-5.5", b"inf", b"-inf",
            b"nan", b"1e400", b"1e5000", b"1e-5000", b"0x1p3", b" 1.5", b"1.5 ", b"", b"abc", b"-0",
            b"3.14159265358979", b"100000000000000000000", b"1.0e+2", b"9007199254740993", b".5",
            b"5.", b"+2.5", b"-0.0000000000000000001"])

    def seconds(self):
        return self.random.choice([b"10000", b"100000", b"0", b"-1", b"abc", b"9223372036854775807",
                                   b"9223372036854775", b"-9223372036854775808", b"50000"])

    def when(self, unit):
        return self.random.choice([b"%d" % (FAR_S * unit), b"%d" % ((FAR_S + 77777) * unit), b"1",
                                   b"0", b"-1", b"xyz", b"9223372036854775807"])

    def word(self, text):
        """An option in some case."""
        return self.random.choice([text, text.lower(), text.capitalize()])

    def set_options(self):
        words = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            option = self.random.choice(["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT",
                                         "BAD", "PERSIST"])
            words.append(self.word(option.encode()))
            if option in ("EX", "PX") and self.random.random() < 0.95:
                words.append(self.seconds())
            if option in ("EXAT", "PXAT") and self.random.random() < 0.95:
                words.append(self.when(1 if option == "EXAT" else 1000))
        return words

    def commands(self):
        return [
            lambda: [b"GET", self.key()],
            lambda: [b"SET", self.key(), self.value()],
            lambda: [b"SET", self.key(), self.value()] + self.set_options(),
            lambda: [b"SET", self.key(), self.value()] + self.set_options(),
            lambda: [b"GETEX", self.key()] + self.set_options(),
            lambda: [b"GETDEL", self.key()],
            lambda: [b"GETSET", self.key(), self.value()],
            lambda: [b"APPEND", self.key(), self.value()],
            lambda: [b"STRLEN", self.key()],
            lambda: [b"INCR", self.key()],
            lambda: [b"DECR", self.key()],
            lambda: [b"INCRBY", self.key(), self.integer()],
            lambda: [b"DECRBY", self.key(), self.integer()],
            lambda: [b"INCRBYFLOAT", self.key(), self.decimal()],
            lambda: [b"INCRBYFLOAT", self.key(), self.decimal()],
            lambda: [b"GETRANGE", self.key(), self.integer(), self.integer()],
            lambda: [b"SUBSTR", self.key(), self.integer(), self.integer()],
            lambda: [b"SETRANGE", self.key(), self.random.choice(
                [b"0", b"3", b"20", b"20000", b"-1", b"x", b"536870912", b"9223372036854775807"][
                    : self.random.choice([4, 8])]), self.value()[:100]],
            lambda: [b"SETNX", self.key(), self.value()],
            lambda: [b"SETEX", self.key(), self.seconds(), self.value()],
            lambda: [b"PSETEX", self.key(), self.seconds(), self.value()],
            lambda: [b"MGET"] + [self.key() for _ in range(self.random.randrange(25))],
            lambda: [b"MSET"] + [self.value() if i % 2 else self.key()
                                 for i in range(self.random.randrange(9))],
            lambda: [b"MSETNX"] + [self.value() if i % 2 else self.key()
                                   for i in range(self.random.randrange(7))],
            lambda: [b"DEL"] + [self.key() for _ in range(self.random.randrange(4))],
            lambda: [b"UNLINK", self.key()],
            lambda: [b"EXISTS"] + [self.key() for _ in range(self.random.randrange(20))],
            lambda: [b"TOUCH", self.key(), self.key()],
            lambda: [b"TYPE", self.key()],
            lambda: [b"RENAME", self.key(), self.key()],
            lambda: [b"RENAMENX", self.key(), self.key()],
            lambda: [b"COPY", self.key(), self.key()] + self.random.choice(
                [[], [b"REPLACE"], [b"DB", b"1"], [b"DB", b"1", b"REPLACE"], [b"DB"], [b"DB",
                    b"99"],
                 [b"db", b"x"], [b"BAD"], [b"DB", b"99999999999"], [b"DB", b"-1"]]),
            lambda: [self.random.choice([b"EXPIRE", b"PEXPIRE"]), self.key(), self.seconds()]
            + [self.random.choice([b"NX", b"XX", b"GT", b"LT", b"gt", b"BAD"])
               for _ in range(self.random.choice([0, 0, 1, 1, 2]))],
            lambda: [b"EXPIREAT", self.key(), self.when(1)]
            + [self.random.choice([b"NX", b"XX", b"GT", b"LT"])
               for _ in range(self.random.choice([0, 0, 1]))],
            lambda: [b"PEXPIREAT", self.key(), self.when(1000)],
            lambda: [b"EXPIRETIME", b"far:%d" % self.random.randrange(3)],
            lambda: [b"PEXPIRETIME", b"far:%d" % self.random.randrange(3)],
            lambda: [b"SET", b"far:%d" % self.random.randrange(3), b"x", b"PXAT",
                     b"%d" % (FAR_S * 1000 + self.random.randrange(3000))],
            lambda: [b"TTL", b"never:%d" % self.random.randrange(2)],
            lambda: [b"SET", b"never:1", self.value()[:10]],
            lambda: [b"PERSIST", self.key()],
            lambda: [b"DBSIZE", b"x"],
            lambda: [b"SELECT", self.random.choice([b"0", b"0", b"0", b"1", b"16", b"-1", b"x",
                                                    b"99999999999"])],
            lambda: [b"PING"] + [self.value()] * self.random.randrange(3),
            lambda: [b"ECHO", self.value()],
            lambda: [b"FLUSHDB"] if self.random.random() < 0.1 else [b"FLUSHDB", b"BAD"],
            lambda: [b"SCAN", self.random.choice([b"x", b"-", b"1x", b" 1"])],
            lambda: [b"SCAN", b"0", self.random.choice([b"COUNT", b"MATCH", b"BAD"])],
            lambda: [b"SCAN", b"0", b"COUNT", self.random.choice([b"0", b"-1", b"x"])],
            lambda: [b"KEYS", self.random.choice([b"key:1", b"nothing*", b"k[e]y:[1]",
                b"key:\\1"])],
            lambda: [self.random.choice([b"NOSUCH", b"", b"x" * 200, b"get2"])]
            + [self.value()[:60] for _ in range(self.random.randrange(5))],
            lambda: [self.random.choice([b"GET", b"SET", b"INCR", b"EXPIRE", b"SETEX",
                                         b"CLIENT", b"CONFIG", b"AUTH", b"SELECT"])],
            lambda: [b"CLIENT", self.random.choice([b"NOSUCH", b"getname", b"SETNAME", b"ID"]),
                     self.random.choice([b"bad name", b"x"]), b"y"],
            lambda: [b"CLIENT", b"SETNAME", self.random.choice([b"bad name", b"fine", b"", b"\n"])],
            lambda: [b"CLIENT", b"GETNAME"],
            lambda: [b"CLIENT", b"KILL", self.random.choice([b"1.2.3.4:5", b"x"])],
            lambda: [b"CLIENT", b"KILL", self.random.choice([b"ID", b"TYPE", b"ADDR", b"BAD",
                b"USER"]),
                     self.random.choice([b"99999999", b"0", b"x", b"1.2.3.4:5"])],
            lambda: [b"CLIENT", b"LIST", self.random.choice([b"TYPE", b"ID", b"BAD"]),
                     self.random.choice([b"pubsub", b"bad", b"master"])],
            lambda: [b"AUTH", b"x"],
            lambda: [b"AUTH", self.random.choice([b"default", b"other"]), b"x"],
            lambda: [b"AUTH", b"a", b"b", b"c"],
            lambda: [b"HELLO", self.random.choice([b"1", b"4", b"x"])],
            lambda: [b"HELLO", b"2", self.random.choice([b"AUTH", b"SETNAME", b"BAD"]), b"x y"],
            lambda: [b"COMMAND", b"GETKEYS"] + self.random.choice([
                [b"GET", b"a"], [b"MSET", b"a", b"1", b"b", b"2"], [b"PING", b"x"], [b"NOSUCH",
                    b"x"], [b"GET", b"a", b"b"],
                [b"COPY", b"a", b"b"], [b"DEL", b"a", b"b", b"c"]]),
            lambda: [b"COMMAND", b"NOSUCH"],
            lambda: [b"CONFIG", b"NOSUCH"],
            lambda: [b"CONFIG", b"SET", b"nosuch", b"1"],
            lambda: [b"CONFIG", b"GET", b"nosuch"],
            lambda: [b"CONFIG", b"GET", self.random.choice([b"timeout", b"maxcl*", b"h[z]"])],
            lambda: [b"CONFIG", b"SET"] + self.random.choice([
                [b"timeout", b"0"], [b"timeout", b"x"], [b"timeout", b"-1"], [b"timeout", b"1k"],
                [b"maxclients", b"0"], [b"maxclients", b"5000", b"timeout", b"x"],
                [b"hz", b"50", b"HZ", b"60"], [b"hz", b"40", b"nosuch", b"1"],
                [b"hz", b"30", b"tcp-keepalive", b"100"], [b"databases", b"3"],
                [b"hz", b"20", b"databases", b"3"], [b"protected-mode", b"maybe"],
                [b"daemonize", b"yes"], [b"include", b"x"], [b"timeout", b"1", b"x"]]),
            lambda: [b"MEMORY", b"USAGE", b"none"] + self.random.choice([
                [], [b"SAMPLES", b"5"], [b"SAMPLES"], [b"SAMPLES", b"-1"], [b"BAD", b"1"],
                [b"SAMPLES", b"x"]]),
            lambda: [b"FUNCTION", b"FLUSH"] + self.random.choice([[], [b"SYNC"], [b"BAD"]]),
            lambda: [b"CONFIG", b"SET", b"save", b"", b"appendonly"],
        ]

    def __iter__(self):
        commands = self.commands()
        while True:
            yield self.random.choice(commands)()


def compare(redis, rota, generator, count):
    """Batches of various sizes. Returns how many replies differed."""
    differences = 0
    commands = iter(generator)
    while count > 0:
        batch = [next(commands) for _ in range(generator.random.choice([1, 1, 2, 5, 16, 17, 40]))]
        count -= len(batch)
        data = b"".join(encode(words) for words in batch)
        redis.send(data)
        rota.send(data)
        for words in batch:
            wanted, got = redis.reply(), rota.reply()
            if wanted != got:
                differences += 1
                if differences <= 20:
                    print(f"{words!r:.200}\n  redis {wanted!r:.300}\n  rota  {got!r:.300}")
    return differences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--protocol", type=int, default=2)
    parser.add_argument("--reactors", default="1")
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    if not shutil.which("redis-server"):
        print("skipped: there is no redis-server here")
        print("1 passed, 0 failed")
        return 0
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as log:
        redis = Peer(["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", folder,
                      "--appendonly", "no"], log)
        rota = Peer([options.program, "--reactors", options.reactors, "--backend",
                     options.backend], log)
        try:
            for peer in (redis, rota):
                peer.send(encode([b"HELLO", b"%d" % options.protocol]))
                peer.reply()
            differences = compare(redis, rota, Generator(options.seed), options.commands)
        finally:
            redis.stop()
            status = rota.stop()
    print(f"seed {options.seed}: {differences} of {options.commands} replies differ")
    failed = differences > 0 or status != 0
    print(f"{1 - failed} passed, {int(failed)} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
