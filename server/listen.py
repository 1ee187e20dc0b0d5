"""The listening socket, in a module that imports nothing slow: clients are let in before the server is loaded."""

from __future__ import annotations

import socket

from server.errors import ServerError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Listen. ServerError where the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ServerError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener
