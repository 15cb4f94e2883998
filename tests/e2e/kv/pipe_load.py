#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Load rota-kv with redis-cli --pipe, read every key back and compare.

    pipe_load.py ROTA_KV [--count N] [OPTION]...

The words are those of Python's own library, which is wherever Python is: one SET for each word
of each line, in the order of the files. The key is the word with a number, so that it is there
once; the value is the rest of its line, as it stands there. When the library is used up it begins
again. The options go to the server.
"""
import pathlib
import socket
import subprocess
import sys
import sysconfig
import time

from kv_server import Client, Server

BATCH = 1000


def words():
    """(word, rest of the line) without end."""
    files = sorted(pathlib.Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    while True:
        for file in files:
            for line in file.read_bytes().splitlines():
                rest = line.strip()
                while rest:
                    word, _, rest = rest.partition(b" ")
                    if word:
                        yield word, rest


def pairs(count):
    for number, (word, rest) in zip(range(count), words()):
        yield b"%s:%d" % (word, number), rest


def encode(count):
    sent = []
    for key, value in pairs(count):
        sent.append(Client.encode("SET", key, value))
        if len(sent) == BATCH:
            yield b"".join(sent)
            sent.clear()
    yield b"".join(sent)


def load(server, count):
    with subprocess.Popen(["redis-cli", "-p", str(server.port), "--pipe"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as cli:
        for data in encode(count):
            cli.stdin.write(data)
        cli.stdin.close()
        said = cli.stdout.read()
    assert b"errors: 0, replies: %d" % count in said, said


def compare(client, count):
    found = client("DBSIZE")
    assert found == count, f"{found} keys instead of {count}"
    batch = []
    for pair in pairs(count):
        batch.append(pair)
        if len(batch) == BATCH:
            compare_batch(client, batch)
            batch.clear()
    if batch:
        compare_batch(client, batch)


def compare_batch(client, batch):
    values = client("MGET", *(key for key, _ in batch))
    assert len(values) == len(batch), f"{len(values)} values instead of {len(batch)}"
    for (key, expected), value in zip(batch, values):
        assert value == expected, f"{key}: {value} instead of {expected}"


def main():
    program, *options = sys.argv[1:]
    count = 100000
    if options[:1] == ["--count"]:
        count = int(options[1])
        options = options[2:]
    with Server(program, *options) as server:
        began = time.monotonic()
        load(server, count)
        loaded = time.monotonic()
        client = server.client()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        compare(client, count)
        print(f"{count} keys loaded in {loaded - began:.1f} s, read back and compared in "
              f"{time.monotonic() - loaded:.1f} s")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
