# SPDX-License-Identifier: MIT
"""The servers that bench/performance.py measures: how each is started, and which are here.

Rounds compare engines of rota-compare's (`uring`, `epoll`: its own echo, and all of rota-kv but its
main), and commands. Figures of one server alone are of the programs themselves. A command's {port}
and {threads} are filled in. Peers are those of bench/peers/peers.tsv that `ninja peers` found here.
"""
import os
import re
import shlex
import shutil
import subprocess

import rounds

BUILD = 'build/release'
CLIENT = f'{BUILD}/bench/rota-load'
LISTED = 'bench/peers/peers.tsv'
READY = 'build/peers/ready.tsv'
ONE = '--reactors 1 --port {port}'
# What a kind of peers.tsv is spoken to in: memcached answers each classic `get` with a system call
# of its own, however many came together, so in its meta commands.
SPOKEN = {'echo': 'echo', 'resp': 'resp', 'memcached': 'memcached-meta'}
# Of the echo servers there, those that can keep up with us. The others have a row of their own, so
# that they set nobody's rate.
FAST = ('asio', 'libev', 'libevent', 'libuv')

ENGINES = {'uring': None, 'epoll': None}
LIMIT_URING = {'limit-uring': f'echo:{BUILD}/bench/limit-uring --port {{port}}'}
LIMIT_EPOLL = {'limit-epoll': f'echo:{BUILD}/bench/limit-epoll --port {{port}}'}
LIMIT_KEYS = {'limit-uring': f'resp:{BUILD}/bench/limit-uring --mode resp --port {{port}}'}
TASKS = {'rota task, uring': f'echo:{BUILD}/apps/rota-echo --backend uring {ONE}'}
# What one and two loops cost that share nothing and do nothing.
LIMITS_OF_TWO = {
    'limit-uring x1': LIMIT_KEYS['limit-uring'],
    'limit-uring x2': LIMIT_KEYS['limit-uring'] + ' --threads 2',
}
KV = f'{BUILD}/apps/rota-kv --maxclients 19000'
ONE_THREAD = {'rota x1': f'resp:{KV} --backend uring {ONE}'}

# Started alone.
ECHO_PROGRAMS = {
    'limit-uring': f'{BUILD}/bench/limit-uring --port {{port}}',
    'limit-epoll': f'{BUILD}/bench/limit-epoll --port {{port}}',
    'rota protocol, uring': f'{BUILD}/bench/echo-protocol --backend uring {ONE}',
    'rota protocol, epoll': f'{BUILD}/bench/echo-protocol --backend epoll {ONE}',
    'rota task, uring': f'{BUILD}/apps/rota-echo --backend uring {ONE}',
}
KEY_PROGRAMS = {
    'limit-uring': f'{BUILD}/bench/limit-uring --mode resp --port {{port}}',
    'rota-kv, uring': f'{KV} --backend uring --reactors {{threads}} --port {{port}}',
    'rota-kv, epoll': f'{KV} --backend epoll --reactors {{threads}} --port {{port}}',
}


def read_table(path):
    with open(path) as file:
        return [line.rstrip('\n').split('\t') for line in file if not line.startswith('#')]


def peers(kinds, more, notes):
    """{name: PROTOCOL:COMMAND} of the peers of these kinds that are here, and of those given by
    --peer, which replace them; who is missing goes to `notes`.
    """
    try:
        ready = {row[0] for row in read_table(READY)}
    except FileNotFoundError:
        raise rounds.Failure(f'there is no {READY}: ninja peers makes it') from None
    found = {}
    for name, kind, command, *_ in read_table(LISTED):
        if kind in kinds and name in ready:
            found[name] = f'{SPOKEN[kind]}:{command}'
        elif kind in kinds and name not in more:
            notes.append(f'{name} is not here')
    spoken = {SPOKEN[kind] for kind in kinds}
    found.update((name, command) for name, command in more.items()
                 if command.partition(':')[0] in spoken)
    return found


def echo_peers(more, notes, are_fast=True):
    return {name: command for name, command in peers(('echo',), more, notes).items()
            if not name.startswith('limit-') and (name in FAST or name in more) == are_fast}


def key_peers(more, notes):
    return peers(('resp', 'memcached'), more, notes)


def program_of(command):
    """A command without the protocol in front of it, for one thread."""
    first, colon, rest = command.partition(':')
    protocols = (*SPOKEN.values(), 'memcached')
    return (rest if colon and first in protocols else command).replace('{threads}', '1')


def split(command):
    return shlex.split(program_of(command))


def available(commands, notes):
    """Those of programs that can be started; what is missing goes to `notes`."""
    here = {}
    for name, command in commands.items():
        program = split(command)[0]
        if shutil.which(program):
            here[name] = program_of(command)
        else:
            notes.append(f'{name} is left out: there is no {os.path.basename(program)}')
    return here


# Whose version a peer built here is known by.
LIBRARIES = {'build/peers/libevent-echo': 'libevent', 'build/peers/libuv-echo': 'libuv'}


def version_of(command):
    """What a peer says it is, or ''."""
    program = split(command)[0]
    if program in LIBRARIES:
        words = ['pkg-config', '--modversion', LIBRARIES[program]]
    elif program.startswith('build/'):
        return ''
    else:
        words = [program, '--version']
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ''
    found = re.search(r'\d+\.\d+(\.\d+)*', said)
    return found.group() if found else ''


def shown(name, command):
    """A command as the page shows it: without folders outside of the tree."""
    program = split(command)[0]
    text = command.replace(program, os.path.basename(program), 1) if program.startswith('/') \
        else command
    version = version_of(command)
    return f'{name}{" " + version if version else ""}: {text}'


def parse_peers(texts):
    """--peer NAME=[PROTOCOL:]COMMAND as rota-compare's --server; without a protocol it is resp."""
    found = {}
    for text in texts:
        name, equals, command = text.partition('=')
        name = name.lower()     # as in targets.tsv
        if not equals or not name or name in found or '{port}' not in command or \
                name.startswith(('limit-', 'rota', 'uring', 'epoll')):
            raise rounds.Failure(f'--peer {text}: wants a name of its own, =, and a command with '
                                 '{port}')
        has_protocol = command.partition(':')[0] in SPOKEN.values()
        found[name] = command if has_protocol else f'resp:{command}'
    return found
