"""A backend ends with its keeper."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from huggingface_backend.wire import KEEPER_ENV

# A call through PyDLL keeps the interpreter's lock: no Python thread of the process runs meanwhile.
BACKEND = """
import ctypes
from huggingface_backend import lifeline
lifeline.announce("model")
ctypes.PyDLL(None).sleep(60)
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "keeper.sock"))
        listener.listen()
        yield listener


def start(keeper: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BACKEND], env={**os.environ, KEEPER_ENV: keeper.getsockname()})


def test_it_ends_with_the_keeper_whoever_has_the_interpreters_lock(keeper: socket.socket) -> None:
    backend = start(keeper)
    connection, _ = keeper.accept()
    assert json.loads(connection.makefile().readline()) == {"model": "model"}
    with pytest.raises(subprocess.TimeoutExpired):
        backend.wait(1)
    connection.close()
    assert backend.wait(10) == -signal.SIGKILL


def test_it_ends_where_the_keeper_has_gone_already(keeper: socket.socket) -> None:
    backend = start(keeper)
    keeper.accept()[0].close()
    assert backend.wait(10) in (1, -signal.SIGKILL, -signal.SIGPIPE)
