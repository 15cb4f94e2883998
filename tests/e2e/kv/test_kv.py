#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rota-kv from outside: every command's meaning and errors, and how it behaves under abuse.

    test_kv.py ROTA_KV [OPTION]...

The options go to every server that is started (--backend epoll --reactors 2).
"""
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import redis_commands
from kv_server import HANG_SECONDS, Client, Error, Server, SharedServer

PROGRAM = ""
OPTIONS = []


def start(*options):
    return Server(PROGRAM, *OPTIONS, *options)


class Shared(SharedServer):
    """Tests that begin with an empty server."""
    more = ("--requirepass", "")

    def setUp(self):
        self.c = self.server.client()
        self.assertEqual(self.c("FLUSHALL"), "OK")

    def tearDown(self):
        self.c.close()

    def assert_left(self, key, seconds):
        """`key` was given `seconds` to live earlier in this test."""
        self.assertIn(self.c("TTL", key), range(seconds - HANG_SECONDS, seconds + 1))

    def error(self, reply, text):
        self.assertIsInstance(reply, Error)
        self.assertEqual(str(reply), text)


class Strings(Shared):
    def test_set_and_get_return_the_bytes(self):
        for size in (0, 1, 15, 100, 4095, 16383, 16384, 70000, 3000000):
            value = os.urandom(size)
            self.assertEqual(self.c("SET", "k", value), "OK")
            self.assertEqual(self.c("GET", "k"), value)
            self.assertEqual(self.c("STRLEN", "k"), size)
        self.assertIsNone(self.c("GET", "none"))

    def test_set_options_do_what_they_say(self):
        c = self.c
        self.assertIsNone(c("SET", "k", "1", "XX"))
        self.assertEqual(c("SET", "k", "1", "NX", "EX", "10000"), "OK")
        self.assertIsNone(c("SET", "k", "2", "NX"))
        self.assertEqual(c("SET", "k", "2", "XX", "GET", "KEEPTTL"), b"1")
        self.assert_left("k", 10000)
        self.assertEqual(c("SET", "k", "3"), "OK")
        self.assertEqual(c("TTL", "k"), -1)
        self.assertEqual(c("SET", "k", "3", "PXAT", "4102444800001"), "OK")
        self.assertEqual(c("PEXPIRETIME", "k"), 4102444800001)
        self.assertEqual(c("EXPIRETIME", "k"), 4102444800)
        self.error(c("SET", "k", "1", "NX", "XX"), "ERR syntax error")
        self.error(c("SET", "k", "1", "EX", "0"), "ERR invalid expire time in 'set' command")
        self.error(c("SET", "k", "1", "EX", "x"),
                   "ERR value is not an integer or out of range")
        self.assertIsNone(c("SET", "new", "1", "NX", "GET"))
        self.assertEqual(c("SET", "new", "2", "NX", "GET"), b"1")

    def test_get_and_change_expiry(self):
        c = self.c
        c("SET", "k", "v")
        self.assertEqual(c("GETEX", "k", "EX", "5000"), b"v")
        self.assert_left("k", 5000)
        self.assertEqual(c("GETEX", "k", "PERSIST"), b"v")
        self.assertEqual(c("TTL", "k"), -1)
        self.assertEqual(c("GETEX", "k", "PXAT", "1"), b"v")
        self.assertIsNone(c("GET", "k"))
        c("SET", "k", "v")
        self.assertEqual(c("GETDEL", "k"), b"v")
        self.assertEqual(c("EXISTS", "k"), 0)

    def test_numbers(self):
        c = self.c
        self.assertEqual([c("INCR", "n"), c("INCRBY", "n", "41"), c("DECR", "n")], [1, 42, 41])
        self.assertEqual(c("DECRBY", "n", "-9"), 50)
        c("SET", "n", 2**63 - 1)
        self.error(c("INCR", "n"), "ERR increment or decrement would overflow")
        self.error(c("DECRBY", "n", -2**63), "ERR decrement would overflow")
        c("SET", "n", "abc")
        self.error(c("INCR", "n"), "ERR value is not an integer or out of range")
        c("SET", "f", "10.50")
        self.assertEqual(c("INCRBYFLOAT", "f", "0.1"), b"10.6")
        self.assertEqual(c("INCRBYFLOAT", "f", "-5.0e0"), b"5.6")
        self.error(c("INCRBYFLOAT", "f", "x"), "ERR value is not a valid float")
        self.error(c("INCRBYFLOAT", "f", "inf"),
                   "ERR increment would produce NaN or Infinity")

    def test_parts(self):
        c = self.c
        self.assertEqual([c("APPEND", "s", "Hello"), c("APPEND", "s", " World")], [5, 11])
        self.assertEqual(c("GETRANGE", "s", 0, 4), b"Hello")
        self.assertEqual(c("SUBSTR", "s", -5, -1), b"World")
        self.assertEqual(c("GETRANGE", "s", 5, 2), b"")
        self.assertEqual(c("SETRANGE", "s", 6, "Redis"), 11)
        self.assertEqual(c("SETRANGE", "pad", 3, "x"), 4)
        self.assertEqual(c("GET", "pad"), b"\0\0\0x")
        self.assertEqual(c("SETRANGE", "none", 3, ""), 0)
        self.error(c("SETRANGE", "s", -1, "x"), "ERR offset is out of range")
        self.error(c("SETRANGE", "s", 512 << 20, "x"),
                   "ERR string exceeds maximum allowed size (proto-max-bulk-len)")
        big = b"0123456789" * 10000
        c("SET", "big", big)
        self.assertEqual(c("GETRANGE", "big", 5, 50004), big[5:50005])

    def test_several(self):
        c = self.c
        self.assertEqual(c("MSET", "a", "1", "b", "2"), "OK")
        self.assertEqual(c("MGET", "a", "none", "b"), [b"1", None, b"2"])
        self.assertEqual(c("MSETNX", "b", "3", "c", "4"), 0)
        self.assertEqual(c("EXISTS", "c"), 0)
        self.assertEqual(c("MSETNX", "c", "3", "d", "4"), 1)
        self.error(c("MSET", "a", "1", "b"), "ERR wrong number of arguments for 'mset' command")
        words = [w for i in range(3000) for w in (f"m{i}", str(i))]
        self.assertEqual(c("MSET", *words), "OK")
        self.assertEqual(c("MGET", *words[::2]), [w.encode() for w in words[1::2]])
        self.assertEqual(c("DEL", *words[::2]), 3000)

    def test_old_forms(self):
        c = self.c
        self.assertEqual([c("SETNX", "k", "1"), c("SETNX", "k", "2")], [1, 0])
        self.assertEqual(c("GETSET", "k", "3"), b"1")
        self.assertEqual(c("SETEX", "k", 10000, "v"), "OK")
        self.assertEqual(c("PSETEX", "k", 10000000, "v"), "OK")
        self.assert_left("k", 10000)
        self.error(c("SETEX", "k", 0, "v"), "ERR invalid expire time in 'setex' command")


class Keys(Shared):
    def test_expire_and_its_conditions(self):
        c = self.c
        self.assertEqual(c("EXPIRE", "none", 10), 0)
        c("SET", "k", "v")
        self.assertEqual(c("EXPIRE", "k", 10000, "XX"), 0)
        self.assertEqual(c("EXPIRE", "k", 10000, "NX"), 1)
        self.assertEqual(c("EXPIRE", "k", 5000, "GT"), 0)
        self.assertEqual(c("PEXPIRE", "k", 5000000, "LT"), 1)
        self.assert_left("k", 5000)
        self.assertEqual([c("PERSIST", "k"), c("PERSIST", "k")], [1, 0])
        self.error(c("EXPIRE", "k", 1, "NX", "XX"),
                   "ERR NX and XX, GT or LT options at the same time are not compatible")
        self.error(c("EXPIRE", "k", 1, "BAD"), "ERR Unsupported option BAD")
        self.error(c("EXPIRE", "k", 2**62), "ERR invalid expire time in 'expire' command")
        self.assertEqual(c("EXPIRE", "k", -1), 1)
        self.assertEqual([c("TTL", "k"), c("PTTL", "k")], [-2, -2])

    def test_expired_keys_go_without_being_asked_for(self):
        for i in range(500):
            self.c("SET", f"k{i}", "v", "PX", "1")
        end = time.monotonic() + HANG_SECONDS
        while self.c("DBSIZE") and time.monotonic() < end:
            pass
        self.assertEqual(self.c("DBSIZE"), 0)

    def test_rename_and_copy(self):
        c = self.c
        c("SET", "a", "1", "EX", "10000")
        self.assertEqual(c("RENAME", "a", "b"), "OK")
        self.assertEqual(c("GET", "b"), b"1")
        self.assert_left("b", 10000)
        self.error(c("RENAME", "a", "b"), "ERR no such key")
        c("SET", "c", "2")
        self.assertEqual(c("RENAMENX", "b", "c"), 0)
        self.assertEqual(c("COPY", "b", "c"), 0)
        self.assertEqual(c("COPY", "b", "c", "REPLACE"), 1)
        self.assertEqual(c("GET", "c"), b"1")
        self.assertEqual(c("COPY", "b", "b", "DB", "3"), 1)
        self.error(c("COPY", "b", "b"), "ERR source and destination objects are the same")
        c("SELECT", 3)
        self.assertEqual(c("GET", "b"), b"1")
        self.assertEqual(c("DBSIZE"), 1)

    def test_scan_of_a_small_database_is_one_step(self):
        self.assertEqual(self.c("SCAN", 0), [b"0", []])
        self.c("MSET", *(word for i in range(10) for word in (f"k{i}", i)))
        cursor, keys = self.c("SCAN", 0)
        self.assertEqual((cursor, sorted(keys)), (b"0", [b"k%d" % i for i in range(10)]))

    def test_scan_and_keys_see_every_key_once(self):
        c = self.c
        wanted = {b"key:%d" % i for i in range(5000)}
        for key in wanted:
            c.send(Client.encode("SET", key, "v"))
        for _ in wanted:
            self.assertEqual(c.reply(), "OK")
        for options in ((), ("COUNT", 1000), ("MATCH", "key:*", "TYPE", "string")):
            cursor, seen = b"0", []
            while True:
                cursor, keys = c("SCAN", cursor, *options)
                seen += keys
                if cursor == b"0":
                    break
            self.assertEqual(sorted(seen), sorted(wanted))
        self.assertEqual(sorted(c("KEYS", "*")), sorted(wanted))
        self.assertEqual(c("KEYS", "key:123?"), sorted(c("KEYS", "key:123?"), key=seen.index))
        self.assertEqual(c("SCAN", "0", "COUNT", "100000", "TYPE", "hash"), [b"0", []])
        self.assertIn(c("RANDOMKEY"), wanted)
        self.error(c("SCAN", "x"), "ERR invalid cursor")

    def test_databases_and_flushes(self):
        c = self.c
        c("SET", "a", "1")
        self.assertEqual(c("SELECT", 15), "OK")
        self.assertIsNone(c("GET", "a"))
        c("SET", "a", "2")
        self.assertEqual(c("FLUSHDB", "ASYNC"), "OK")
        self.assertEqual(c("DBSIZE"), 0)
        self.error(c("SELECT", 16), "ERR DB index is out of range")
        c("SELECT", 0)
        self.assertEqual(c("GET", "a"), b"1")
        self.assertEqual(c("FLUSHALL"), "OK")
        self.assertIsNone(c("RANDOMKEY"))
        self.assertEqual(c("TYPE", "a"), "none")


class Connections(Shared):
    def test_unknown_and_wrong_commands_say_so(self):
        c = self.c
        self.error(c("FOO", "a", "b"),
                   "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ")
        self.error(c("GET"), "ERR wrong number of arguments for 'get' command")
        self.error(c("client", "nope"), "ERR unknown subcommand 'nope'. Try CLIENT HELP.")
        self.error(c("client", "setname"),
                   "ERR wrong number of arguments for 'client|setname' command")

    def test_hello_changes_the_protocol(self):
        c = self.c
        reply = c("HELLO", 3, "SETNAME", "me")
        self.assertEqual((reply[b"proto"], reply[b"role"]), (3, b"master"))
        self.assertEqual(c("CLIENT", "GETNAME"), b"me")
        c.send(Client.encode("GET", "none"))
        self.assertEqual(c.file.readline(), b"_\r\n")
        self.error(c("HELLO", 4), "NOPROTO unsupported protocol version")
        self.assertEqual(c("RESET"), "RESET")
        c.send(Client.encode("GET", "none"))
        self.assertEqual(c.file.readline(), b"$-1\r\n")

    def test_inline_commands(self):
        self.c.send(b"SET in 'a b'\r\nGET in\r\n\r\nPING\r\n")
        self.assertEqual([self.c.reply() for _ in range(3)], ["OK", b"a b", "PONG"])

    def test_every_split_of_a_pipeline_is_answered(self):
        data = Client.encode("SET", "k", "value") + Client.encode("GET", "k") + b"PING\r\n"
        for at in range(1, len(data)):
            self.c.send(data[:at])
            time.sleep(0.0005)
            self.c.send(data[at:])
            self.assertEqual([self.c.reply() for _ in range(3)], ["OK", b"value", "PONG"])

    def test_huge_pipeline_is_answered_in_order(self):
        count = 100000
        data = b"".join(Client.encode("INCR", "n") for _ in range(count))
        writer = threading.Thread(target=self.c.send, args=(data,))
        writer.start()
        for i in range(count):
            self.assertEqual(self.c.reply(), i + 1)
        writer.join()

    def test_slow_reader_gets_everything_and_others_are_served(self):
        value = os.urandom(100000)
        self.c("SET", "big", value)
        slow = self.server.client()
        slow.send(Client.encode("GET", "big") * 500)
        for _ in range(100):
            self.assertEqual(self.c("PING"), "PONG")
        for _ in range(500):
            self.assertEqual(slow.reply(), value)

    def test_claimed_sizes_cost_nothing_and_are_limited(self):
        c = self.server.client()
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n")
        self.assertEqual(self.c("PING"), "PONG")
        c = self.server.client()
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n")
        self.error(c.reply(), "ERR Protocol error: invalid bulk length")
        self.assertTrue(c.is_closed())

    def test_many_clients_count_together(self):
        clients = [self.server.client() for _ in range(200)]
        for client in clients:
            client.send(Client.encode("INCR", "n") * 50)
        seen = [client.reply() for client in clients for _ in range(50)]
        self.assertEqual(sorted(seen), list(range(1, 10001)))

    def test_flush_while_others_write_loses_nothing_after_it(self):
        clients = [self.server.client() for _ in range(20)]
        for i, client in enumerate(clients):
            client.send(b"".join(Client.encode("SET", f"k{i}:{j}", "v") for j in range(200)))
            if i % 5 == 0:
                self.assertEqual(self.c("FLUSHALL"), "OK")
        for client in clients:
            self.assertEqual([client.reply() for _ in range(200)], ["OK"] * 200)
        self.assertEqual(self.c("FLUSHALL"), "OK")
        self.assertEqual(self.c("DBSIZE"), 0)

    def test_transfers_keep_their_sum(self):
        """MSET of pairs by many, MGET by another: both values always belong together."""
        self.c("MSET", "a", "0", "b", "0")
        stop = threading.Event()

        def write(client, number):
            while not stop.is_set():
                client("MSET", "a", number, "b", number)

        writers = [threading.Thread(target=write, args=(self.server.client(), i)) for i in range(4)]
        for writer in writers:
            writer.start()
        for _ in range(2000):
            a, b = self.c("MGET", "a", "b")
            self.assertEqual(a, b)
        stop.set()
        for writer in writers:
            writer.join()

    def test_client_list_and_kill(self):
        victim = self.server.client()
        number = victim("CLIENT", "ID")
        victim("CLIENT", "SETNAME", "victim")
        victim("CLIENT", "SETINFO", "LIB-NAME", "x")
        lines = self.c("CLIENT", "LIST").decode().splitlines()
        self.assertTrue(any(f"id={number} " in l and " name=victim " in l for l in lines))
        self.assertIn(" lib-name=x ", self.c("CLIENT", "LIST", "ID", number).decode())
        # Half a request is waiting input.
        victim.send(b"*2\r\n$3\r\nGET\r\n")
        line = ""
        while " qbuf=13 " not in line:
            line = self.c("CLIENT", "LIST", "ID", number).decode()
        self.assertIn(" obl=0 oll=0 omem=0 ", line)
        self.assertEqual(self.c("CLIENT", "KILL", "ID", number), 1)
        self.assertTrue(victim.is_closed())
        self.error(self.c("CLIENT", "KILL", "1.1.1.1:1"), "ERR No such client")
        self.assertIn(b"cmd=client|info", self.c("CLIENT", "INFO"))

    def test_quit_is_answered_and_closes(self):
        self.c.send(Client.encode("QUIT") + Client.encode("PING"))
        self.assertEqual(self.c.reply(), "OK")
        self.assertTrue(self.c.is_closed())


class About(Shared):
    def test_command_describes_what_is_there(self):
        c = self.c
        count = c("COMMAND", "COUNT")
        self.assertEqual(len(c("COMMAND")), count)
        info = c("COMMAND", "INFO", "get", "nosuch", "client|list")
        self.assertEqual(info[0][:6], [b"get", 2, ["readonly", "fast"], 1, 1, 1])
        self.assertIsNone(info[1])
        self.assertEqual(info[2][0], b"client|list")
        self.assertEqual(c("COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"), [b"a", b"b"])
        self.assertEqual(c("COMMAND", "DOCS", "get")[0], b"get")
        self.assertIn(b"set", c("COMMAND", "LIST"))

    def test_commands_are_described_as_by_redis(self):
        redis = {line.split("\t")[0]: line for line in redis_commands.table()}
        ours = redis_commands.facts(self.c)
        self.assertGreater(len(ours), 70)
        for line in ours:
            self.assertEqual(line, redis.get(line.split("\t")[0], "no command of Redis"))

    def info(self):
        text = self.c("INFO").decode()
        return dict(l.split(":", 1) for l in text.splitlines() if ":" in l)

    def since(self, before, *fields):
        """How much these have grown, in order."""
        now = self.info()
        return [int(now[field]) - int(before[field]) for field in fields]

    def test_info_counts_what_redis_counts(self):
        # The INFO in between is a command as well.
        before = self.info()
        self.c("GET", "none")
        self.assertEqual(self.since(before, "total_commands_processed", "keyspace_misses"), [2, 1])
        before = self.info()
        for wrong in (("NOSUCH",), ("GET",), ("CLIENT", "NOSUCH")):
            self.assertIsInstance(self.c(*wrong), Error)
        self.assertEqual(self.since(before, "total_commands_processed", "total_error_replies"),
                         [1, 3])
        before = self.info()
        broken = self.server.client()
        broken.send(b"*x\r\n")
        self.assertIsInstance(broken.reply(), Error)
        self.assertTrue(broken.is_closed())
        end = time.monotonic() + 10
        while self.since(before, "total_error_replies") == [0] and time.monotonic() < end:
            pass
        self.assertEqual(self.since(before, "total_error_replies"), [1])

    def test_resetstat_resets_every_sum(self):
        self.c("SET", "k", "v" * 10000)
        self.assertEqual(len(self.c("GET", "k")), 10000)
        self.c("GET", "none")
        self.c("NOSUCH")
        self.assertEqual(self.c("CONFIG", "RESETSTAT"), "OK")
        fields = self.info()
        for field in ("keyspace_hits", "keyspace_misses", "total_error_replies",
                      "total_connections_received", "expired_keys", "rejected_connections"):
            self.assertEqual(fields[field], "0", field)
        self.assertLess(int(fields["total_net_output_bytes"]), 10000)
        self.assertLess(int(fields["total_net_input_bytes"]), 10000)
        self.assertEqual(int(fields["total_commands_processed"]), 1)
        self.assertGreater(int(fields["used_memory_dataset"]), 10000)

    def test_info_tells_what_happened(self):
        self.c("SET", "a", "1")
        self.c("SET", "b", "1", "EX", "10000")
        fields = self.info()
        self.assertEqual(fields["db0"], "keys=2,expires=1")
        self.assertIn(fields["multiplexing_api"], ("uring", "epoll"))
        self.assertEqual(int(fields["tcp_port"]), self.server.port)
        self.assertGreater(int(fields["total_commands_processed"]), 2)
        self.assertGreater(int(fields["used_memory"]), 0)
        self.assertGreaterEqual(int(fields["connected_clients"]), 1)
        self.assertNotIn("# Server", self.c("INFO", "keyspace").decode())

    def test_memory_usage_follows_the_value(self):
        c = self.c
        c.send(Client.encode("MSET", "small", "v", "large", b"x" * 100000))
        self.assertEqual(c.reply(), "OK")
        self.assertIn(c("MEMORY", "USAGE", "small"), range(10, 65))
        self.assertIn(c("MEMORY", "USAGE", "large", "SAMPLES", 0), range(100000, 140000))
        self.assertIsNone(c("MEMORY", "USAGE", "none"))
        self.error(c("MEMORY", "USAGE", "small", "SAMPLES"), "ERR syntax error")
        self.error(c("MEMORY", "USAGE", "small", "SAMPLES", "x"),
                   "ERR value is not an integer or out of range")

    def test_config_set_of_several_is_all_or_nothing(self):
        c = self.c
        before = c("CONFIG", "GET", "*")
        failed = "ERR CONFIG SET failed (possibly related to argument '%s') - %s"
        self.error(c("CONFIG", "SET", "timeout", "50", "maxclients", "0"),
                   failed % ("maxclients", "argument must be between 1 and 4294967295 inclusive"))
        self.error(c("CONFIG", "SET", "timeout", "50", "TIMEOUT", "60"),
                   failed % ("TIMEOUT", "duplicate parameter"))
        self.error(c("CONFIG", "SET", "hz", "50", "databases", "3"),
                   failed % ("databases", "can't set immutable config"))
        self.error(c("CONFIG", "SET", "timeout", "50", "nosuch", "1"),
                   "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")
        self.error(c("CONFIG", "SET", "timeout", "50", "hz"), "ERR syntax error")
        self.assertEqual(c("CONFIG", "GET", "*"), before)
        self.assertEqual(c("CONFIG", "SET", "timeout", "1000", "hz", "50"), "OK")
        found = c("CONFIG", "GET", "time*", "hz", "h[z]", "nosuch")
        self.assertEqual(sorted(found), sorted([b"timeout", b"1000", b"hz", b"50"]))
        self.assertEqual(c("CONFIG", "SET", "timeout", "0"), "OK")

    def test_config_set_timeout_reaches_those_that_are_there(self):
        idle = self.server.client()
        self.assertEqual(idle("PING"), "PONG")
        self.assertEqual(self.c("CONFIG", "SET", "timeout", "1"), "OK")
        self.assertTrue(idle.is_closed())
        other = self.server.client()
        self.assertEqual(other("CONFIG", "SET", "timeout", "0"), "OK")

    def timer_of(self, client):
        """Of the server's end of a connection: "02" is that of keep-alive, "00" none."""
        ends = [f"0100007F:{port:04X}" for port in (self.server.port,
                                                    client.socket.getsockname()[1])]
        while True:
            with open("/proc/net/tcp", encoding="ascii") as table:
                timers = [line.split()[5][:2] for line in table if line.split()[1:3] == ends]
            # "01" is a reply that the kernel waits to see acknowledged.
            if timers and timers[0] != "01":
                return timers[0]

    def test_silent_peers_are_asked_whether_they_are_there(self):
        client = self.server.client()
        self.assertEqual(client("PING"), "PONG")
        self.assertEqual(self.timer_of(client), "02")
        self.assertEqual(client("CONFIG", "SET", "tcp-keepalive", "0"), "OK")
        other = self.server.client()
        self.assertEqual(other("PING"), "PONG")
        self.assertEqual(self.timer_of(other), "00")
        self.assertEqual(client("CONFIG", "SET", "tcp-keepalive", "300"), "OK")

    def test_config_get_and_set(self):
        c = self.c
        self.assertEqual(c("CONFIG", "GET", "save"), [b"save", b""])
        self.assertEqual(c("CONFIG", "SET", "maxclients", "777"), "OK")
        self.assertEqual(c("CONFIG", "GET", "MAXCL*"), [b"maxclients", b"777"])
        self.assertEqual(c("CONFIG", "SET", "appendonly", "no"), "OK")
        self.error(c("CONFIG", "SET", "appendonly", "yes"),
                   "ERR CONFIG SET failed (possibly related to argument 'appendonly') - "
                   "can't set immutable config")
        self.error(c("CONFIG", "SET", "nosuch", "1"),
                   "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")
        self.assertEqual(c("CONFIG", "RESETSTAT"), "OK")
        self.assertEqual(c("FUNCTION", "FLUSH"), "OK")
        before = int(time.time())
        seconds, _ = c("TIME")
        self.assertIn(int(seconds), range(before, int(time.time()) + 1))


class Lives(unittest.TestCase):
    """Servers of their own: options, start and stop."""

    def test_password_is_required_and_limits_strangers(self):
        with start("--requirepass", "secret") as server:
            c = server.client()
            self.assertEqual(str(c("GET", "k")), "NOAUTH Authentication required.")
            self.assertEqual(str(c("HELLO", 3))[:6], "NOAUTH")
            self.assertTrue(str(c("AUTH", "wrong")).startswith("WRONGPASS"))
            c.send(Client.encode("AUTH", "secret") + Client.encode("SET", "k", "v"))
            self.assertEqual([c.reply(), c.reply()], ["OK", "OK"])
            stranger = server.client()
            stranger.send(b"*11\r\n")
            self.assertEqual(str(stranger.reply()),
                             "ERR Protocol error: unauthenticated multibulk length")
            other = server.client()
            self.assertEqual(other("HELLO", 2, "AUTH", "default", "secret")[1], b"redis")
            self.assertEqual(c("CONFIG", "SET", "requirepass", ""), "OK")
            self.assertIsNone(server.client()("GET", "none"))

    def test_maxclients_turns_away_with_a_reason(self):
        with start("--maxclients", "3") as server:
            clients = [server.client() for _ in range(3)]
            self.assertEqual([c("PING") for c in clients], ["PONG"] * 3)
            refused = server.client()
            self.assertEqual(str(refused.reply()), "ERR max number of clients reached")
            self.assertTrue(refused.is_closed())
            fields = clients[0]("INFO").decode()
            self.assertIn("connected_clients:3\r\n", fields)
            self.assertIn("total_connections_received:3\r\n", fields)
            self.assertIn("rejected_connections:1\r\n", fields)

    def test_shutdown_ends_with_status_0(self):
        server = start()
        c = server.client()
        self.assertIn("data lives in memory only", server.ready)
        c.send(Client.encode("SHUTDOWN", "NOSAVE"))
        self.assertTrue(c.is_closed())
        server.process.wait(HANG_SECONDS)
        self.assertEqual(server.stop()[0], 0)

    def test_terminate_under_load_ends_with_status_0(self):
        server = start()
        stop = threading.Event()

        def load(client):
            try:
                while not stop.is_set():
                    client.send(Client.encode("INCR", "n") * 50)
                    for _ in range(50):
                        client.reply()
            except (OSError, EOFError, ValueError):
                pass
            client.close()

        threads = [threading.Thread(target=load, args=(Client(server.port),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        server.client()("PING")
        status, _, err = server.stop()
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(status, 0, err)

    def fails(self, *arguments):
        run = subprocess.run([PROGRAM, *OPTIONS, *arguments], capture_output=True, text=True,
                             timeout=HANG_SECONDS)
        self.assertNotEqual(run.returncode, 0)
        self.assertTrue(run.stderr.strip())
        return run.stderr

    def test_bad_starts_say_why(self):
        with start() as server:
            self.assertIn(str(server.port), self.fails("--port", str(server.port)))
        self.assertIn("nosuch", self.fails("--nosuch", "1"))
        self.assertIn("appendonly", self.fails("--appendonly", "yes"))
        self.assertIn("/nonexistent", subprocess.run([PROGRAM, "/nonexistent"],
                                                     capture_output=True, text=True).stderr)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("# comment\nport 7000\nsave 900 1\n")
            file.flush()
            run = subprocess.run([PROGRAM, file.name], capture_output=True, text=True)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn(f"{file.name}:3: ", run.stderr)

    def test_allocator_takes_every_setting_of_the_program(self):
        run = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True,
                             env={**os.environ, "MALLOC_CONF": "confirm_conf:true"},
                             timeout=HANG_SECONDS)
        if "jemalloc" not in run.stderr:
            self.skipTest("no jemalloc in this variant")
        self.assertNotIn("Invalid", run.stderr)
        for setting in ("dirty_decay_ms", "background_thread"):
            self.assertIn(f"Set conf value: {setting}:", run.stderr)

    def test_memory_of_flushed_keys_is_given_back_by_an_idle_server(self):
        with start() as server:
            client = server.client()
            if b"mem_allocator:jemalloc" not in client("INFO", "memory"):
                self.skipTest("the allocator gives back when it likes")
            empty = server.resident_bytes()
            for first in range(0, 50000, 1000):
                client.send(b"".join(client.encode("SET", n, b"x" * 500)
                                     for n in range(first, first + 1000)))
                for _ in range(1000):
                    client.reply()
            full = server.resident_bytes()
            self.assertGreater(full - empty, 50000 * 500)
            client("FLUSHALL")
            deadline = time.monotonic() + HANG_SECONDS
            while server.resident_bytes() - empty > (full - empty) / 2:
                self.assertLess(time.monotonic(), deadline, "it is kept")
                time.sleep(0.1)

    def test_unix_socket_serves_with_its_mode(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            with start("--unixsocket", path, "--unixsocketperm", "700"):
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o700)
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(HANG_SECONDS)
                    s.connect(path)
                    s.sendall(b"PING\r\nCLIENT LIST\r\n")
                    self.assertTrue(s.recv(4096).startswith(b"+PONG\r\n"))

    def test_help_and_version(self):
        for option in ("--help", "--version"):
            run = subprocess.run([PROGRAM, option], capture_output=True, text=True,
                                 timeout=HANG_SECONDS)
            self.assertEqual(run.returncode, 0)
            self.assertIn("rota-kv", run.stdout)


if __name__ == "__main__":
    PROGRAM, OPTIONS = sys.argv[1], sys.argv[2:]
    unittest.main(argv=sys.argv[:1], verbosity=1)
