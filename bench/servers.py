# SPDX-License-Identifier: MIT
"""The servers that bench/performance.py measures: how each is started, and which are here.

A command's {port} and {threads} are filled in; memcached-meta: before it says how it is spoken to
(bench/limit/paired.py). Peers are those of bench/peers/peers.tsv.
"""
import os
import re
import shutil
import subprocess

import paired

BUILD = 'build/release'
CLIENT = f'{BUILD}/bench/limit-load'
ONE = '--reactors 1 --port {port}'
LIMIT = 'limit-'                # names of the raw loops begin so,
OURS = 'rota'                   # and ours so; everybody else is a peer

# What peers.tsv calls a kind, and what a command of it begins with here.
DIALECTS = {'echo': '', 'resp': '', 'memcached': 'memcached-meta:'}
# Of the echo servers there, those that can keep up: rows at one fixed rate take the slowest's.
FAST = ('asio', 'go', 'libev', 'libevent', 'libuv')


def with_threads(command, threads):
    return command.replace('{threads}', str(threads))


def listed_peers(*kinds):
    """{name: command} of the peers of those kinds, here or not."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'peers/peers.tsv')) as file:
        lines = [line.split('\t') for line in file if not line.startswith('#')]
    return {name: DIALECTS[kind] + command for name, kind, command, *_ in lines if kind in kinds}


ECHO = {
    'limit-uring': f'{BUILD}/bench/limit-uring --port {{port}}',
    'limit-epoll': f'{BUILD}/bench/limit-epoll --port {{port}}',
    'rota protocol, uring': f'{BUILD}/bench/echo-protocol --backend uring {ONE}',
    'rota protocol, epoll': f'{BUILD}/bench/echo-protocol --backend epoll {ONE}',
    'rota task, uring': f'{BUILD}/apps/rota-echo --backend uring {ONE}',
    'rota task, epoll': f'{BUILD}/apps/rota-echo --backend epoll {ONE}',
    **{name: with_threads(command, 1) for name, command in listed_peers('echo').items()
       if name in FAST},
}
RAW_KEYS = {
    'limit-uring': f'{BUILD}/bench/limit-uring --mode resp --port {{port}}',
    'limit-epoll': f'{BUILD}/bench/limit-epoll --mode resp --port {{port}}',
}
# Those with {threads} are compared with two of them as well.
KEYS = {
    'rota-kv, uring': f'{BUILD}/apps/rota-kv --backend uring --maxclients 19000 '
                      '--reactors {threads} --port {port}',
    'rota-kv, epoll': f'{BUILD}/apps/rota-kv --backend epoll --maxclients 19000 '
                      '--reactors {threads} --port {port}',
    **listed_peers('resp', 'memcached'),
}


def key_servers(peers, raw=True):
    """Key-value servers with one thread each: the raw loops, ours, the listed peers, `peers`."""
    every = {**(RAW_KEYS if raw else {}), **KEYS, **peers}
    return {name: with_threads(command, 1) for name, command in every.items()}


def is_peer(name):
    return not name.startswith((LIMIT, OURS))


def program_of(command):
    return paired.shlex.split(paired.split_dialect(command)[1])[0]


def words_of(command):
    return paired.shlex.split(paired.split_dialect(command)[1])


def available(commands, notes):
    """Those that can be started; what is missing goes to `notes`."""
    here = {}
    for name, command in commands.items():
        if shutil.which(program_of(command)):
            here[name] = command
        else:
            notes.append(f'{name} is left out: there is no {os.path.basename(program_of(command))}')
    return here


# Whose version a peer built here is known by.
LIBRARIES = {'build/peers/libevent-echo': 'libevent', 'build/peers/libuv-echo': 'libuv'}


def version_of(command):
    """What a peer says it is, or ''."""
    program = program_of(command)
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
    program = program_of(command)
    text = command.replace(program, os.path.basename(program), 1) if program.startswith('/') \
        else command
    version = version_of(command)
    return f'{name}{" " + version if version else ""}: {text}'


def parse_peers(texts):
    """--peer NAME=COMMAND, for key-value servers that speak RESP; in place of a listed one."""
    peers = paired.named_commands(texts)
    for name, command in peers.items():
        if not is_peer(name) or '{port}' not in command:
            raise paired.Failure(f'--peer {name}={command}: wants a name of its own and a {{port}}')
    return peers
