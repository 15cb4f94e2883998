# SPDX-License-Identifier: MIT
"""What all tests that start programs need: how long to wait, a port nobody else has, engines."""
import socket

# Whoever takes longer hangs. No machine is so slow, and no test may depend on less.
HANG_SECONDS = 240


def reserve_port():
    """A socket and the port it is bound to. While the socket is open, the kernel gives the port to
    nobody who does not ask for that one, be it to listen on or to connect from; a server that sets
    SO_REUSEADDR, as all do, may bind it as well, because this one does not listen."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved, reserved.getsockname()[1]


def engines_here(server_class):
    """Those that work here: containers may have no io_uring. `server_class` starts a program."""
    for backend in ("uring", "epoll"):
        with server_class("rota-echo", "--backend", backend) as server:
            if server.ready:
                yield backend
            else:
                print(f"{backend} is not tested: {server.process.stderr.readline()}", end="")
