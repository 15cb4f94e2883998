# SPDX-License-Identifier: MIT
"""What bench/performance.py measures at one server alone: system calls, where CPU time goes, memory
per idle connection and per key. Each probe starts a server of its own, on a core of its own, and
ends it. Only the standard library, and perf where it is installed.
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

READY_SECONDS = 20
SERVER_CPUS, LOAD_CPU = {0}, 1
IDLE_SECONDS = 6           # Redis begins to give a client's buffers back after two to five
SETTLE_SECONDS = 45        # and is waited for so long at most
BACKLOG_PAUSE = 512        # connections opened between two looks at whether they are served
SOURCES = 16               # loopback addresses that idle connections come from
IP_BIND_ADDRESS_NO_PORT = 24
KEY_BYTES, VALUE_BYTES = 16, 32
KEYS_FIRST, KEYS_LAST, KEYS_STEP = 700_000, 1_400_000, 100_000
KEYS_BEFORE = 100_000
FILL_BATCH = 1000


class Unavailable(Exception):
    """The probe cannot be made here; the text says why."""


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(('127.0.0.1', port)) == 0


@contextlib.contextmanager
def running(words, port):
    """The server's process, while it listens on `port`; ended afterwards."""
    def before_exec():
        os.sched_setaffinity(0, SERVER_CPUS)
        raise_file_limit()

    if listens(port):
        raise Unavailable(f'port {port} is taken')
    words = [word.replace('{port}', str(port)) for word in words]
    with open(os.devnull, 'w') as nowhere:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=nowhere,
                                   stderr=nowhere, preexec_fn=before_exec)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f'{os.path.basename(words[0])} does not come up')
            time.sleep(0.05)
        yield process
    finally:
        end(process, port)


def end(process, port):
    """Ask it to end; new connections keep a server awake that valgrind runs, so that it hears."""
    deadline = time.monotonic() + 5
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    while process.poll() is None and time.monotonic() < deadline:
        listens(port)
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
    process.wait()


def load(client, port, options, seconds):
    """Run the load client; returns its figures."""
    words = [client, '--json', '--port', str(port), '--cpu', str(LOAD_CPU), '--warmup', '0',
             '--duration', str(seconds), *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 300)
    if done.returncode:
        raise Unavailable(f'load client: {done.stderr.strip()}')
    return json.loads(done.stdout) if done.stdout.strip() else {}


# ---- system calls ----

def system_calls(words, port, client, options, seconds=2):
    """System calls per request, counted by the kernel (raw_syscalls:sys_enter)."""
    if not shutil.which('perf'):
        raise Unavailable('no perf')
    with running(words, port) as process:
        counter = subprocess.Popen(
            ['perf', 'stat', '-x', ',', '-e', 'raw_syscalls:sys_enter', '-p', str(process.pid)],
            stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        requests = load(client, port, options, seconds)['requests']
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


def cpu_profile(words, port, client, options, seconds=2, top=12):
    """Where the server's CPU time goes, kernel included, by sampling: (symbols, programs), each as
    [[name, share]].
    """
    if not shutil.which('perf'):
        raise Unavailable('no perf')
    with tempfile.TemporaryDirectory() as folder, running(words, port) as process:
        load(client, port, options, 0)
        path = os.path.join(folder, 'perf')
        recorder = subprocess.Popen(
            ['perf', 'record', '-q', '-e', 'cpu-clock', '-F', '5000', '-p', str(process.pid),
             '-o', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        load(client, port, options, seconds)
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


def idle_connection(words, port, exchange, counts=(2000, 18000)):
    """Bytes per connection that has been answered once and is idle now: of the process, and of the
    kernel for both sides, as slopes between two counts; and the process at the first of them.
    """
    if raise_file_limit() < counts[-1] + 64:
        raise Unavailable(f'{counts[-1]} descriptors are not allowed here')
    connections, seen = [], []
    with running(words, port) as process:
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


def fill_resp(client, port, _first, keys):
    """The load client begins at 0; what is there already is overwritten in place."""
    load(client, port, ['--protocol', 'resp', '--prefill', '--keys', str(keys),
                        '--value', str(VALUE_BYTES), '--connections', '16'], 0)


def fill_expiring(_client, port, first, keys):
    form = (b'*5\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$' + b'%d\r\n%s\r\n' %
            (VALUE_BYTES, b'x' * VALUE_BYTES) + b'$2\r\nEX\r\n$6\r\n100000\r\n')
    with socket.create_connection(('127.0.0.1', port), 10) as connection:
        replies = connection.makefile('rb')
        for start in range(first, keys, FILL_BATCH):
            several = range(start, min(start + FILL_BATCH, keys))
            connection.sendall(b''.join(form % key for key in several))
            if replies.read(5 * len(several)) != b'+OK\r\n' * len(several):
                raise Unavailable('it takes no SET with EX')


def fill_memcached(_client, port, first, keys):
    form = b'set key:%012d 0 0 ' + b'%d noreply\r\n%s\r\n' % (VALUE_BYTES, b'x' * VALUE_BYTES)
    with socket.create_connection(('127.0.0.1', port), 10) as connection:
        for start in range(first, keys, FILL_BATCH):
            connection.sendall(b''.join(form % key
                                        for key in range(start, min(start + FILL_BATCH, keys))))
        round_trip(connection, (b'version\r\n', b'VERSION'))


def allocated_bytes(port):
    """What a Redis-like server says it has allocated, or None."""
    with socket.create_connection(('127.0.0.1', port), 10) as connection:
        connection.settimeout(2)
        connection.sendall(b'*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n')
        found = re.search(rb'used_memory:(\d+)', connection.recv(65536))
    return int(found.group(1)) if found else None


def memory_per_key(words, port, client, fill):
    """Bytes per key over key and value: (resident, allocated or None), means over 0.7 to 1.4
    million keys, so that no doubling of a table favours anybody. Counted from KEYS_BEFORE keys on,
    because by then the buffers that all clients share have been touched.
    """
    says = fill is not fill_memcached
    resident, allocated = [], []
    with running(words, port) as process:
        fill(client, port, 0, KEYS_BEFORE)
        time.sleep(0.3)
        before = resident_bytes(process.pid), allocated_bytes(port) if says else None
        last = KEYS_BEFORE
        for keys in range(KEYS_FIRST, KEYS_LAST + 1, KEYS_STEP):
            fill(client, port, last, keys)
            last = keys
            time.sleep(0.3)
            added = keys - KEYS_BEFORE
            resident.append((resident_bytes(process.pid) - before[0]) / added)
            if before[1] is not None:
                allocated.append((allocated_bytes(port) - before[1]) / added)
    payload = KEY_BYTES + VALUE_BYTES
    return (sum(resident) / len(resident) - payload,
            sum(allocated) / len(allocated) - payload if allocated else None)
