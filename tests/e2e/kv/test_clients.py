#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rota-kv with the clients people have: the redis module of Python, redis-cli, redis-benchmark.

    test_clients.py ROTA_KV [OPTION]...

./setup installs all three; one that is missing is a failure. The options go to the server.
"""
import inspect
import subprocess
import sys
import threading
import unittest

import redis

from kv_server import HANG_SECONDS, SharedServer


class Shared(SharedServer):
    def setUp(self):
        self.redis = redis.Redis("127.0.0.1", self.server.port)
        self.addCleanup(self.redis.close)
        self.assertTrue(self.redis.flushall())


class Module(Shared):
    """The redis module, as it is."""

    def test_strings_numbers_and_expiry(self):
        r = self.redis
        self.assertTrue(r.set("k", "v", ex=100))
        self.assertEqual(r.get("k"), b"v")
        self.assertIn(r.ttl("k"), (99, 100))
        self.assertTrue(r.persist("k"))
        self.assertEqual(r.ttl("k"), -1)
        self.assertIsNone(r.set("k", "other", nx=True))
        self.assertEqual(r.set("k", "new", get=True), b"v")
        self.assertTrue(r.expire("k", 50, nx=True))
        self.assertFalse(r.expire("k", 60, nx=True))
        self.assertTrue(r.pexpireat("k", 4102444800123))
        self.assertEqual(r.pexpiretime("k") if hasattr(r, "pexpiretime") else 4102444800123,
                         4102444800123)
        self.assertEqual(r.getex("k", persist=True), b"new")
        self.assertTrue(r.psetex("short", 1, "v"))
        while r.exists("short"):
            pass
        self.assertEqual([r.incr("n"), r.incrby("n", 9), r.decr("n")], [1, 10, 9])
        self.assertEqual(r.incrbyfloat("f", 0.5), 0.5)
        self.assertEqual(r.append("k", b"\0\r\n"), 6)
        self.assertEqual(r.getrange("k", -3, -1), b"\0\r\n")
        self.assertTrue(r.mset({"a": 1, "b": 2}))
        self.assertEqual(r.mget("a", "none", "b"), [b"1", None, b"2"])
        self.assertFalse(r.msetnx({"a": 1, "c": 2}))
        self.assertEqual(r.unlink("a", "b", "c"), 2)
        self.assertTrue(r.copy("k", "l"))
        self.assertTrue(r.rename("l", "m"))
        self.assertEqual(r.getdel("m"), b"new\0\r\n")

    def test_pipelines(self):
        with self.redis.pipeline(transaction=False) as pipe:
            for i in range(10000):
                pipe.incr("n")
            self.assertEqual(pipe.execute(), list(range(1, 10001)))
            pipe.set("k", "v").get("k").incr("k").get("none")
            replies = pipe.execute(raise_on_error=False)
        self.assertEqual(replies[:2] + replies[3:], [True, b"v", None])
        self.assertIsInstance(replies[2], redis.ResponseError)

    def test_scan_iter_sees_every_key_once(self):
        wanted = {f"key:{i}".encode(): str(i) for i in range(3000)}
        self.redis.mset({**wanted, "other": "x"})
        self.assertEqual(sorted(self.redis.scan_iter(match="key:*", count=100)), sorted(wanted))
        self.assertEqual(sorted(self.redis.scan_iter(_type="string")),
                         sorted([*wanted, b"other"]))
        self.assertEqual(list(self.redis.scan_iter(_type="hash")), [])

    def test_decoded_responses(self):
        with redis.Redis("127.0.0.1", self.server.port, decode_responses=True) as r:
            r.set("schlüssel", "wörter ✓")
            self.assertEqual(r.get("schlüssel"), "wörter ✓")
            self.assertEqual(r.keys(), ["schlüssel"])
            self.assertEqual(r.config_get("maxcl*"), {"maxclients": "10000"})

    def test_a_pool_shared_by_threads(self):
        pool = redis.BlockingConnectionPool(host="127.0.0.1", port=self.server.port,
                                            max_connections=8,
                                            timeout=HANG_SECONDS)
        shared = redis.Redis(connection_pool=pool)
        failures = []

        def work(number):
            try:
                for i in range(300):
                    key = f"thread:{number}:{i}"
                    shared.set(key, i)
                    assert shared.get(key) == b"%d" % i, key
                    shared.incr("all")
            except (AssertionError, redis.RedisError) as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(shared.get("all"), b"4800")
        self.assertEqual(shared.dbsize(), 4801)
        pool.disconnect()

    def test_about_the_server(self):
        r = self.redis
        r.set("k", "v", ex=100)
        info = r.info()
        self.assertEqual(info["redis_version"], "7.0.15")
        self.assertEqual(info["db0"], {"keys": 1, "expires": 1})
        r.client_setname("me")
        self.assertEqual(r.client_getname(), "me")
        self.assertIn("me", [client["name"] for client in r.client_list()])
        self.assertEqual(r.client_info()["name"], "me")
        self.assertGreater(r.client_id(), 0)
        self.assertEqual(r.command_count(), len(r.command()))
        self.assertGreater(r.memory_usage("k"), 0)
        self.assertTrue(r.config_set("timeout", 0))
        self.assertEqual(r.echo("x"), b"x")
        self.assertEqual(len(r.time()), 2)
        self.assertRaises(redis.ResponseError, r.incr, "k")

    def test_other_databases(self):
        with redis.Redis("127.0.0.1", self.server.port, db=3) as third:
            third.set("k", "third")
            self.assertIsNone(self.redis.get("k"))
            self.assertTrue(self.redis.set("k", "first"))
            self.assertTrue(self.redis.copy("k", "l", destination_db=3))
            self.assertEqual(sorted(third.keys()), [b"k", b"l"])
            self.assertTrue(third.flushdb())
            self.assertEqual(self.redis.dbsize(), 1)

    def test_resp3(self):
        if "protocol" not in inspect.signature(redis.Redis.__init__).parameters:
            self.skipTest("the module speaks it from version 5 on")
        with redis.Redis("127.0.0.1", self.server.port, protocol=3) as r:
            self.assertEqual(r.execute_command("HELLO")[b"proto"], 3)
            self.assertIsNone(r.get("none"))
            self.assertEqual(r.config_get("maxclients"), {"maxclients": "10000"})


class Tools(Shared):
    def run_tool(self, *words, **more):
        name, *arguments = words
        run = subprocess.run([name, "-p", str(self.server.port), *arguments], timeout=HANG_SECONDS,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False, **more)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertNotIn("ERR", run.stdout)
        return run.stdout

    def test_cli_scans_every_key(self):
        wanted = [f"key:{i}" for i in range(5000)]
        self.redis.mset(dict.fromkeys(wanted, "v"))
        self.assertEqual(sorted(self.run_tool("redis-cli", "--scan").split()), sorted(wanted))
        self.assertEqual(
            len(self.run_tool("redis-cli", "--scan", "--pattern", "key:1*").split()), 1111)

    def test_cli_finds_big_keys(self):
        self.redis.mset({f"key:{i}": "x" * i for i in range(1000)})
        said = self.run_tool("redis-cli", "--bigkeys")
        self.assertIn("Sampled 1000 keys", said)
        self.assertIn("'\"key:999\"' has 999 bytes", said)
        said = self.run_tool("redis-cli", "--memkeys")
        self.assertNotIn("failed", said)
        # Values from 880 bytes on take a block of 1024 each: it is the first of them that was met.
        self.assertRegex(said, r"Biggest string found '\"key:[89]\d\d\"' has 1\d\d\d bytes")

    def test_cli_stat_and_latency(self):
        said = self.run_tool("redis-cli", "--latency", "-i", "0.2", "--csv")
        self.assertRegex(said, r"\d+,\d+,[\d.]+,\d+")
        stat = subprocess.Popen(["stdbuf", "-oL", "redis-cli", "-p", str(self.server.port),
                                 "--stat", "-i", "0.05"], stdout=subprocess.PIPE, text=True)
        with stat:
            lines = [stat.stdout.readline() for _ in range(5)]
            stat.kill()
        self.assertIn("keys", lines[1])
        self.assertRegex(lines[4], r"^0 +\d+\.\d+[KMG] +\d+ +0 +\d+ \(\+\d+\) +\d+")

    def test_cli_speaks_resp3_and_reads_commands(self):
        said = self.run_tool("redis-cli", "-3", input="SET k v\nGET k\nCONFIG GET hz\n")
        self.assertEqual(said.split(), ["OK", "v", "hz", "10"])

    def test_benchmark_without_errors(self):
        said = self.run_tool("redis-benchmark", "-t", "set,get,incr,mset,ping_inline,ping_mbulk",
                             "-P", "16", "-r", "100000", "-n", "50000", "-q")
        self.assertNotIn("Error", said)
        self.assertEqual(said.count("requests per second"), 6)
        self.assertIn("GET: ", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
