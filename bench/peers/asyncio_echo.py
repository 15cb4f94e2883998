#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An echo server on asyncio, as a protocol or with streams, on asyncio's own loop or on uvloop's. A
peer of the benchmarks; one thread. Both loops set TCP_NODELAY by themselves.

    asyncio_echo.py --port N [--style protocol|streams] [--loop asyncio|uvloop]
"""
import argparse
import asyncio
import importlib
import signal

BACKLOG = 4096
BUFFER_BYTES = 65536


class Echo(asyncio.Protocol):
    """Writes what came; while the socket does not take it, nothing is read."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def echo(reader, writer):
    try:
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(arguments):
    loop = asyncio.get_running_loop()
    ends = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ends.set)
    options = {'host': '127.0.0.1', 'port': arguments.port, 'backlog': BACKLOG}
    if arguments.style == 'streams':
        server = await asyncio.start_server(echo, **options)
    else:
        server = await loop.create_server(Echo, **options)
    await ends.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--style', choices=('protocol', 'streams'), default='protocol')
    parser.add_argument('--loop', choices=('asyncio', 'uvloop'), default='asyncio')
    arguments = parser.parse_args()
    if arguments.loop == 'uvloop':
        importlib.import_module('uvloop').install()
    asyncio.run(serve(arguments))


if __name__ == '__main__':
    main()
