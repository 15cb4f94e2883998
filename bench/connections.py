#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Process memory per idle connection: the slope between two numbers of open connections.

    bench/connections.py [--few N] [--many N] PROGRAM [OPTION...]

PROGRAM is started with the options and a free --port. Private memory (smaps_rollup) counts, kernel
memory is printed beside it. Each side needs a descriptor per connection.
"""
import argparse
import pathlib
import resource
import socket
import subprocess
import time


def private_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in text.splitlines()
               if line.startswith(("Private_Clean", "Private_Dirty")))


def slab_kib():
    text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Slab:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=2000)
    parser.add_argument("--many", type=int, default=18000)
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < arguments.many + 100:
        parser.error(f"the descriptor limit is {hard}: give a smaller --many")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*arguments.program, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            server.stdout.readline()
            connections, seen = [], []
            for count in (arguments.few, arguments.many):
                while len(connections) < count:
                    source = f"127.0.0.{2 + len(connections) % 8}"
                    one = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
                    one.sendall(b"x\n")
                    one.recv(100)
                    connections.append(one)
                time.sleep(0.5)
                seen.append((private_kib(server.pid), slab_kib()))
                print(f"{count} connections: {seen[-1][0]} KiB private, "
                      f"{seen[-1][1]} KiB kernel slab of both sides")
            growth = arguments.many - arguments.few
            print(f"{(seen[1][0] - seen[0][0]) * 1024 / growth:.0f} B per idle connection; "
                  f"kernel, both sides: {(seen[1][1] - seen[0][1]) * 1024 / growth:.0f} B")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
