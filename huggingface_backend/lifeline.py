"""The backend's side of the keeper's watch: a Unix socket that stays open as long as both live.

The keeper learns the backend's process from the connection and sees it close when that process dies, which
Triton does not tell. The backend ends itself when the keeper's side closes, so that no process is left behind.
Without the keeper's variable (a plain Triton) nothing happens.
"""

from __future__ import annotations

import json
import os
import socket
import threading

from huggingface_backend.wire import KEEPER_ENV


def announce(model: str) -> None:
    """Connect to the keeper, say which model this process serves, and watch for the keeper's end."""
    path = os.environ.get(KEEPER_ENV)
    if not path:
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    connection.sendall(json.dumps({"model": model}).encode() + b"\n")
    threading.Thread(target=_follow, args=(connection,), name="lifeline", daemon=True).start()


def _follow(connection: socket.socket) -> None:
    try:
        while connection.recv(1):
            pass
    except OSError:
        pass
    os._exit(1)
