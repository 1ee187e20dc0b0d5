"""The backend's side of the keeper's watch: a Unix socket that stays open as long as both live.

The keeper learns the backend's process from the connection and sees it close when that process dies, which
Triton does not tell. When the keeper's side closes, the kernel kills the backend, so that no process is left behind.
Without the keeper's variable (a plain Triton) nothing happens.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket

from huggingface_backend.wire import KEEPER_ENV

_connections: list[socket.socket] = []
"""Open until the process ends."""


def announce(model: str) -> None:
    """Connect to the keeper, say which model this process serves, and end with the keeper."""
    path = os.environ.get(KEEPER_ENV)
    if not path:
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    connection.sendall(json.dumps({"model": model}).encode() + b"\n")
    _connections.append(connection)
    _end_with(connection)


def _end_with(connection: socket.socket) -> None:
    """Have the kernel end this process when the other side closes.

    A thread would not do: when tritonserver dies at the wrong moment, its stub waits for it with the interpreter's
    lock in its hands.
    """
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    try:
        # The keeper sends nothing: what can be read is its end, from before the kernel was asked.
        closed = connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        closed = False
    if closed:
        os._exit(1)
