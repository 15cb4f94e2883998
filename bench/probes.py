# SPDX-License-Identifier: MIT
"""What bench/performance.py measures at one server alone: system calls, where CPU time goes, memory
per idle connection and per key. Each probe starts a server of its own, on a core of its own and a
port that the kernel chooses, and ends it. The load is rota-load's. Only the standard library, and
perf where it is installed.
"""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import rounds
import servers

READY_SECONDS = 20
FILLED = 0.001              # seconds of load after the keys are written: the least there is
IDLE_SECONDS = 6            # Redis begins to give a client's buffers back after two to five
SETTLE_SECONDS = 20         # and is waited for so long at most
BACKLOG_PAUSE = 512         # connections opened between two looks at whether they are served
SOURCES = 16                # loopback addresses that idle connections come from
IP_BIND_ADDRESS_NO_PORT = 24
KEY_BYTES, VALUE_BYTES = 16, 32
KEYS_FIRST, KEYS_LAST, KEYS_STEP = 700_000, 1_400_000, 100_000
KEYS_PAUSE = 2              # seconds after writing keys: allocators give back what tables outgrew
WARM_ROUNDS = 300           # of FILL_BATCH requests, so that shared buffers have been touched
FILL_BATCH = 1000


class Unavailable(Exception):
    """The probe cannot be made here; the text says why."""


def cpus():
    """The server's processor and the client's; the same one if there is one only."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def reserve_port():
    """A socket bound to a port that the kernel then gives to nobody who does not ask for it; a
    server that sets SO_REUSEADDR, as all do, may bind it too, because this one does not listen.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(('127.0.0.1', 0))
    return reserved, reserved.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(('127.0.0.1', port)) == 0


@contextlib.contextmanager
def running(words):
    """(the server's process, its port) while it listens; ended afterwards."""
    def before_exec():
        os.sched_setaffinity(0, {cpus()[0]})
        raise_file_limit()

    reserved, port = reserve_port()
    words = [word.replace('{port}', str(port)) for word in words]
    with reserved:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=before_exec)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f'{os.path.basename(words[0])} does not come up')
                time.sleep(0.05)
            yield process, port
        finally:
            end(process, port)


def end(process, port):
    """Ask it to end; new connections keep a server awake that valgrind runs, so that it hears."""
    deadline = time.monotonic() + 5
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        while process.poll() is None and time.monotonic() < deadline:
            listens(port)
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


# What rota-compare's settings are called as options of rota-load's.
LOAD_OPTIONS = {'connections': '--connections', 'depth': '--depth', 'payload': '--payload',
                'keys': '--keys'}
RATIOS = {'kv': '1:10', 'get': '0:1', 'set': '1:0'}


def load_options(workload):
    """rota-load's words for a workload of rota-compare's."""
    name, _, settings = workload.partition(':')
    words = []
    if name in RATIOS:
        words = ['--protocol', 'resp', '--ratio', RATIOS[name], '--prefill']
    for setting in settings.split(',') if settings else []:
        key, _, number = setting.partition('=')
        if key in LOAD_OPTIONS:
            words += [LOAD_OPTIONS[key], number]
    return words


def load(port, options, seconds):
    """Run rota-load; returns its figures."""
    words = [servers.CLIENT, '--quiet', '--json', '-', '--warmup', '0', '--timeout', '60',
             '--seconds', str(seconds), *options, f'127.0.0.1:{port}']
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 120,
                          preexec_fn=lambda: os.sched_setaffinity(0, {cpus()[1]}))
    if done.returncode:
        said = json.loads(done.stdout).get('error') if done.stdout.strip() else done.stderr.strip()
        raise Unavailable(f'rota-load: {said}')
    return json.loads(done.stdout)


# ---- system calls ----

def system_calls(words, options, seconds=1.5):
    """System calls per request, counted by the kernel (raw_syscalls:sys_enter)."""
    if not shutil.which('perf'):
        raise Unavailable('no perf')
    with running(words) as (process, port):
        counter = subprocess.Popen(
            ['perf', 'stat', '-x', ',', '-e', 'raw_syscalls:sys_enter', '-p', str(process.pid)],
            stderr=subprocess.PIPE, text=True)
        with rounds.ended(counter):
            time.sleep(0.3)     # until it counts, which it does not say
            requests = load(port, options, seconds)['requests']
            counter.send_signal(signal.SIGINT)
            line = counter.communicate(timeout=10)[1].strip()
    count = line.split(',')[0]
    if not count.isdigit():
        raise Unavailable('perf may not count system calls here')
    return int(count) / requests


# ---- where CPU time goes ----

def report_of(path, field):
    """[[text, share]] of perf's samples by `field`, the most frequent first."""
    words = ['perf', 'report', '-i', path, '--stdio', '-q', '-F', f'overhead,{field}']
    said = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    found = re.findall(r'^\s+([\d.]+)%\s+(.*\S)', said, re.M)
    return [[text, float(share) / 100] for share, text in found]


def cpu_profile(words, options, seconds=2, top=12):
    """Where the server's CPU time goes, kernel included, by sampling: (symbols, programs), each as
    [[name, share]].
    """
    if not shutil.which('perf'):
        raise Unavailable('no perf')
    with tempfile.TemporaryDirectory() as folder, running(words) as (process, port):
        load(port, options, FILLED)
        path = os.path.join(folder, 'perf')
        recorder = subprocess.Popen(
            ['perf', 'record', '-q', '-e', 'cpu-clock', '-F', '5000', '-p', str(process.pid),
             '-o', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with rounds.ended(recorder):
            time.sleep(0.3)     # until it samples, which it does not say
            load(port, [word for word in options if word != '--prefill'], seconds)
            recorder.send_signal(signal.SIGINT)
            recorder.wait(timeout=30)
        return report_of(path, 'sym')[:top], report_of(path, 'dso')


# ---- memory ----

def resident_bytes(pid):
    with open(f'/proc/{pid}/status') as file:
        return int(re.search(r'^RssAnon:\s+(\d+) kB', file.read(), re.M).group(1)) * 1024


def settled_bytes(pid):
    """Resident memory when it no longer shrinks: servers give buffers back after seconds, and
    allocators give pages back after more of them.
    """
    time.sleep(IDLE_SECONDS)
    deadline = time.monotonic() + SETTLE_SECONDS
    now = resident_bytes(pid)
    while time.monotonic() < deadline:
        before = now
        time.sleep(IDLE_SECONDS / 2)
        now = resident_bytes(pid)
        if now > 0.99 * before:
            break
    return now


def kernel_bytes():
    """Kernel memory that connections are in, of the whole machine: slab, and TCP's buffers."""
    with open('/proc/meminfo') as file:
        slab = int(re.search(r'^Slab:\s+(\d+) kB', file.read(), re.M).group(1)) * 1024
    with open('/proc/net/sockstat') as file:
        pages = int(re.search(r'^TCP:.* mem (\d+)', file.read(), re.M).group(1))
    return slab + pages * os.sysconf('SC_PAGE_SIZE')


def round_trip(connection, exchange):
    """Send a request; the answer must be as expected, as far as that says."""
    request, answer = exchange
    connection.sendall(request)
    received = connection.recv(4096)
    if not received.startswith(answer):
        raise Unavailable(f'it answered {received[:60]!r}' if received
                          else 'it closed a connection')


def connect_from(number, port):
    """Connection `number` to `port`. Loopback has many addresses, each with ports of its own, so
    that connections of an earlier probe that the kernel still remembers are not in the way.
    """
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((f'127.0.0.{2 + number % SOURCES}', 0))
    connection.settimeout(10)
    connection.connect(('127.0.0.1', port))
    return connection


def open_idle(connections, count, port, exchange):
    """Open connections until there are `count`, each of which has been answered once."""
    first = len(connections)
    while len(connections) < count:
        connections.append(connect_from(len(connections), port))
        if len(connections) % BACKLOG_PAUSE == 0:
            round_trip(connections[-1], exchange)
    for connection in connections[first:]:
        round_trip(connection, exchange)


def idle_connection(words, exchange, counts=(2000, 18000)):
    """Bytes per connection that has been answered once and is idle now: of the process, and of the
    kernel for both sides, as slopes between two counts; and the process at the first of them.
    """
    if raise_file_limit() < counts[-1] + 64:
        raise Unavailable(f'{counts[-1]} descriptors are not allowed here')
    connections, seen = [], []
    with running(words) as (process, port):
        try:
            for count in counts:
                open_idle(connections, count, port, exchange)
                seen.append((settled_bytes(process.pid), kernel_bytes()))
        finally:
            for connection in connections:  # by a reset: TIME_WAIT would use up the ports
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack('ii', 1, 0))
                connection.close()
    grown = counts[-1] - counts[0]
    return ((seen[1][0] - seen[0][0]) / grown, (seen[1][1] - seen[0][1]) / grown, seen[0][0])


def fill_by(port, form, answer, first, keys):
    """Write keys `first` to `keys` by requests of that form, each of which is answered so."""
    with socket.create_connection(('127.0.0.1', port), 10) as connection:
        replies = connection.makefile('rb')
        for start in range(first, keys, FILL_BATCH):
            several = range(start, min(start + FILL_BATCH, keys))
            connection.sendall(b''.join(form % key for key in several))
            if replies.read(len(answer) * len(several)) != answer * len(several):
                raise Unavailable(f'it does not answer {answer!r} to {form[:20]!r}')


VALUE = b'x' * VALUE_BYTES


def fill(port, first, keys):
    fill_by(port, b'*3\r\n$3\r\nSET\r\n$16\r\nkey:%%012d\r\n$%d\r\n%s\r\n' % (VALUE_BYTES, VALUE),
            b'+OK\r\n', first, keys)


def fill_expiring(port, first, keys):
    fill_by(port, b'*5\r\n$3\r\nSET\r\n$16\r\nkey:%%012d\r\n$%d\r\n%s\r\n'
            b'$2\r\nEX\r\n$6\r\n100000\r\n' % (VALUE_BYTES, VALUE), b'+OK\r\n', first, keys)


def fill_memcached(port, first, keys):
    fill_by(port, b'ms key:%%012d %d\r\n%s\r\n' % (VALUE_BYTES, VALUE), b'HD\r\n', first, keys)


def allocated_bytes(port):
    """What a Redis-like server says it has allocated, or None."""
    with socket.create_connection(('127.0.0.1', port), 10) as connection:
        connection.settimeout(2)
        connection.sendall(b'*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n')
        found = re.search(rb'used_memory:(\d+)', connection.recv(65536))
    return int(found.group(1)) if found else None


def memory_per_key(words, fill_up):
    """Bytes per key over key and value: (resident, allocated or None), means over 0.7 to 1.4
    million keys, so that no doubling of a table favours anybody. Counted from a server on that
    holds a batch of keys but has written it so often that the buffers all clients share have been
    touched: what a server sets aside for its first keys counts, too.
    """
    says = fill_up is not fill_memcached
    resident, allocated = [], []
    with running(words) as (process, port):
        for _ in range(WARM_ROUNDS):
            fill_up(port, 0, FILL_BATCH)
        time.sleep(KEYS_PAUSE)
        before = resident_bytes(process.pid), allocated_bytes(port) if says else None
        last = FILL_BATCH
        for keys in range(KEYS_FIRST, KEYS_LAST + 1, KEYS_STEP):
            fill_up(port, last, keys)
            last = keys
            time.sleep(KEYS_PAUSE)
            added = keys - FILL_BATCH
            resident.append((resident_bytes(process.pid) - before[0]) / added)
            if before[1] is not None:
                allocated.append((allocated_bytes(port) - before[1]) / added)
    payload = KEY_BYTES + VALUE_BYTES
    return (sum(resident) / len(resident) - payload,
            sum(allocated) / len(allocated) - payload if allocated else None)
