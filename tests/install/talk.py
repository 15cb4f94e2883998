#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Start a server on a Unix socket, say something, compare what it answers, stop it with SIGTERM.

tests/install/talk.py PROGRAM SAY EXPECTED

SAY and EXPECTED may hold \\n. Fails unless the answer is EXPECTED and the program ends with 0.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile

SECONDS = 240  # whoever takes longer hangs


def main(program, say, expected):
    say, expected = (text.replace("\\n", "\n").encode() for text in (say, expected))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = subprocess.Popen(
            [program, "--port", "0", "--unix", path], stdout=subprocess.PIPE)
        signal.alarm(SECONDS)
        try:
            answer, status = talk(server, path, say, len(expected))
        finally:
            server.kill()
    if answer != expected or status != 0:
        sys.exit(f"asked {say!r}, expected {expected!r}, got {answer!r}, exit status {status}")


def talk(server, path, say, bytes_max):
    server.stdout.readline()  # it is ready
    answer = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(say)
        while len(answer) < bytes_max:
            part = client.recv(4096)
            if not part:
                break
            answer += part
    server.terminate()
    return answer, server.wait()


def out_of_time(*_):
    sys.exit(f"no answer, or no end, within {SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, out_of_time)
    main(*sys.argv[1:])
