# SPDX-License-Identifier: MIT
"""What a server does in user space for one request, counted by callgrind: instructions, calls of
the allocator, system calls per turn, and the functions that the instructions are in.

Everything is a slope: the same program under the same load for a short and for a long time, the
difference over the difference in requests. So start-up, connecting and prefilling do not count, and
what is left does not depend on how busy the machine is, except that a server which finds more
requests in a turn does less per request.
"""
import collections
import os
import re
import shutil
import subprocess
import tempfile

import probes

SHORT_SECONDS, LONG_SECONDS = 0.5, 2
TOP = 12            # functions of a profile
ALLOCATORS = {'malloc', 'calloc', 'realloc', 'memalign', 'posix_memalign', 'aligned_alloc',
              'mallocx', 'rallocx'}
TURN, ENTER = 'rota__reactor_turn', 'io_uring_enter2'


class Counts:
    """What one run counted: per function its own instructions, those below it, its calls."""

    def __init__(self):
        self.own = collections.Counter()
        self.below = collections.Counter()
        self.calls = collections.Counter()
        self.recursive = set()      # switching tasks looks so as well: what is below is not known
        self.requests = 0


def read_counts(path):
    """Read a callgrind file. A line of costs belongs to the last fn=, or, right after calls=, is
    what that call of cfn= cost in all. Names are written out once and then numbered; 'N behind one
    is its Nth nested call.
    """
    counts, names, objects = Counts(), {}, {}
    function = called = folder = None
    is_call = False

    def named(table, text):
        number, _, name = text.partition(' ')
        if name:
            table[number] = name
        return table.get(number, number)

    def label(name):
        plain, nested, _ = name.partition("'")
        if nested:
            counts.recursive.add(plain)
        return f'{plain} in {os.path.basename(folder or "")}' if plain.startswith(('0x', '?')) \
            else plain

    with open(path) as file:
        for line in file:
            line = line.rstrip('\n')
            if line.startswith('fn='):
                function = label(named(names, line[3:]))
            elif line.startswith('cfn='):
                called = label(named(names, line[4:]))
            elif line.startswith('ob='):
                folder = named(objects, line[3:])
            elif line.startswith('cob='):
                named(objects, line[4:])
            elif line.startswith('calls='):
                counts.calls[called] += int(line[6:].split()[0])
                is_call = True
            elif function and line[:1] in '0123456789+-*' and line:
                words = line.split()
                cost = int(words[1]) if len(words) > 1 else 0
                (counts.below if is_call else counts.own)[function] += cost
                is_call = False
    return counts


def count_once(words, options, seconds):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        with probes.running(['valgrind', '--quiet', '--tool=callgrind',
                             f'--callgrind-out-file={out}', *words]) as (_, port):
            requests = probes.load(port, options, seconds)['requests']
        counts = read_counts(out)
    counts.requests = requests
    return counts


def difference(short, long):
    """What the long run did and the short one did not."""
    counts = Counts()
    counts.own, counts.below, counts.calls = (
        collections.Counter({name: more[name] - less[name] for name in more})
        for more, less in ((long.own, short.own), (long.below, short.below),
                           (long.calls, short.calls)))
    counts.recursive = long.recursive
    counts.requests = long.requests - short.requests
    return counts


def top_functions(counts, unit):
    """[name, its own, with what it calls or None], in units of so many instructions."""
    return [[name, own / unit,
             None if name in counts.recursive else (own + counts.below[name]) / unit]
            for name, own in counts.own.most_common(TOP) if own > 0]


def per_request(counts):
    enters, turns = counts.calls[ENTER], counts.calls[TURN]
    return {'instructions': sum(counts.own.values()) / counts.requests,
            'allocations': sum(counts.calls[name] for name in ALLOCATORS) / counts.requests,
            'calls_per_turn': enters / turns if enters and turns else None,
            'functions': top_functions(counts, counts.requests)}


def measure(words, options):
    """Figures of one request to the server that `words` start, under load with `options`."""
    if not shutil.which('valgrind'):
        raise probes.Unavailable('no valgrind')
    short = count_once(words, options, SHORT_SECONDS)
    long = count_once(words, options, LONG_SECONDS)
    if long.requests <= short.requests:
        raise probes.Unavailable('the long run served no more than the short one')
    return per_request(difference(short, long))


def count_program(words):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        done = subprocess.run(['valgrind', '--quiet', '--tool=callgrind',
                               f'--callgrind-out-file={out}', *words],
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise probes.Unavailable(f'{words[0]} ended with status {done.returncode}')
        return read_counts(out)


def profile_of_program(short_words, long_words):
    """The functions of a program that ends by itself, in shares of all instructions: what a long
    run does more than a short one.
    """
    if not shutil.which('valgrind'):
        raise probes.Unavailable('no valgrind')
    counts = difference(count_program(short_words), count_program(long_words))
    return top_functions(counts, sum(counts.own.values()))
