#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a server says of its commands, as lines of facts: for comparing rota-kv with Redis.

    redis_commands.py PORT >redis_commands.txt

asks the server on that port (a Redis 7.0) for the facts in redis_commands.txt, which test_kv.py
compares with rota-kv's. They are facts without sentences: no summaries, no words on complexity.
"""
import os
import sys

from kv_server import Client

FIELDS = ("name", "arity", "flags", "first key", "last key", "key step", "categories",
          "key specifications", "group", "since")
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "redis_commands.txt")
# Not in Redis 7.0, but here for the clients that send it with every connection (7.2 has it).
LATER = ["client|setinfo\t4\tloading noscript stale\t0\t0\t0\t@connection @slow\t\tconnection"
         "\t7.2.0"]


def pairs(reply):
    """A map as RESP2 has it."""
    return {key.decode(): value for key, value in zip(reply[::2], reply[1::2])}


def text(value):
    if isinstance(value, list):
        return " ".join(sorted(text(one) for one in value))
    return value.decode() if isinstance(value, bytes) else str(value)


def specification(reply):
    """One range of keys: "RW access update: index 1 range -1 2 0"."""
    spec = pairs(reply)
    words = [text(spec["flags"]) + ":"]
    for part in ("begin_search", "find_keys"):
        how = pairs(spec[part])
        words += [text(how["type"]), *(text(value) for value in pairs(how["spec"]).values())]
    return " ".join(words)


def lines_of(info, docs):
    """A command and its subcommands."""
    about = pairs(docs[text(info[0])])
    yield "\t".join([text(info[0]), text(info[1]), text(info[2]), text(info[3]), text(info[4]),
                     text(info[5]), text(info[6]), "; ".join(map(specification, info[8])),
                     text(about["group"]), text(about["since"])])
    children = pairs(about.get("subcommands", []))
    for child in info[9]:
        yield from lines_of(child, children)


def facts(client):
    docs = pairs(client("COMMAND", "DOCS"))
    return sorted(line for info in client("COMMAND") for line in lines_of(info, docs))


def table():
    with open(TABLE, encoding="ascii") as file:
        return [line.rstrip("\n") for line in file if not line.startswith("#")]


if __name__ == "__main__":
    print("# Facts about the commands of Redis 7.0.15; made by redis_commands.py. Fields:",
          ", ".join(FIELDS))
    print("\n".join(sorted(facts(Client(int(sys.argv[1]))) + LATER)))
