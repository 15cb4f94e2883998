#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares rota's RESP parser with a running Redis 7.0 on mutated requests.

Usage: against_redis.py UNDERSTAND PORT [COUNT [SEED]]
UNDERSTAND is the program built from understand.c. Every request names a command Redis doesn't
know, and its error reply repeats the arguments, so the replies show how Redis cut the bytes. Prints
each difference; the exit status is 1 if there was one. Inputs that rota refuses for a missing LF or
CR LF, which Redis doesn't check, are only counted.
"""
import os
import random
import socket
import subprocess
import sys
import tempfile

PIECES = [b"*", b"$", b"\r\n", b"\n", b"\r", b"\0", b"-", b"0", b"1", b"2", b"9", b" ", b'"', b"'",
          b"\\", b"\\x41", b"*1\r\n", b"*2\r\n", b"$1\r\n", b"$4\r\n", b"zz", b"\v", b"\t",
          b"99999999999999999999", b"+", b"*0\r\n"]
SEEDS = [b"*2\r\n$3\r\nzzz\r\n$2\r\nyy\r\n", b"*1\r\n$4\r\nzaza\r\n", b"zz yy\r\n",
         b'zz "a b" \'c\' d\r\n', b'zz "\\x41\\n\\"" \'\\\'\'\r\n', b"\r\n", b"*0\r\n", b"*-1\r\n",
         b"*3\r\n$2\r\nzz\r\n$0\r\n\r\n$12\r\nabcdefghijkl\r\n"]
STRICTER = (b"Protocol error: expected LF after CR", b"Protocol error: expected CR LF after bulk")


def make_input(rng):
    data = bytearray(b"".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 4))))
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at:at] = rng.choice(PIECES)
        elif kind == 1:
            del data[at:at + rng.randint(1, 3)]
        elif kind == 2:
            data[at:at + 1] = rng.choice(PIECES)
        elif data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
    return bytes(data)


def ask_redis(port, data):
    """What Redis answers; closing our side first makes it answer all it has and then close."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    return answer


def read_understood(text):
    """Requests, and the error's words or None, from what t_resp_run wrote."""
    requests, at = [], 0
    while text[at:at + 1] == b"[":
        at += 1
        args = []
        while text[at:at + 1] != b"]":
            colon = text.index(b":", at)
            length = int(text[at:colon])
            args.append(text[colon + 1:colon + 1 + length])
            at = colon + 1 + length
        at += 1
        requests.append(args)
    return requests, text[at + 1:] if text[at:at + 1] == b"!" else None


def c_string(data, most):
    return data.split(b"\0")[0][:most]


def expect(requests, error):
    """Redis' answer to `requests`, all of unknown commands."""
    answer = b""
    for args in requests:
        shown = b""
        for arg in args[1:]:
            if len(shown) >= 128:
                break
            shown += b"'" + c_string(arg, 128 - len(shown)) + b"' "
        name = c_string(args[0], 128)
        line = b"-ERR unknown command '%s', with args beginning with: %s" % (name, shown)
        answer += line.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"
    return answer + (b"-ERR " + error + b"\r\n" if error else b"")


def main():
    understand, port = sys.argv[1], int(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    rng = random.Random(seed)
    print("seed", seed)
    inputs = [make_input(rng) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        understood = []
        for first in range(0, count, 500):
            paths = []
            for i, data in enumerate(inputs[first:first + 500]):
                paths.append(os.path.join(folder, str(i)))
                with open(paths[-1], "wb") as file:
                    file.write(data)
            output = subprocess.run([understand, *paths], check=True, capture_output=True).stdout
            understood += [bytes.fromhex(line.decode()) for line in output.splitlines()]
    stricter = differences = errors = 0
    for data, text in zip(inputs, understood):
        requests, error = read_understood(text)
        if error in STRICTER:
            stricter += 1
            continue
        errors += error is not None
        answer = ask_redis(port, data)
        if answer != expect(requests, error):
            differences += 1
            print("input", data, "\n  rota ", expect(requests, error), "\n  redis", answer)
    print(f"{count} inputs, {errors} malformed, {stricter} only rota refuses, "
          f"{differences} differences")
    return differences > 0


if __name__ == "__main__":
    sys.exit(main())
