"""A server of a job's own: a real `triton-hf serve` on a free port of the loopback address."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import TracebackType
from typing import Self

from converters.children import bound
from server.errors import ServerError

END = 30.0
"""Seconds that the server gets to end."""
HOST = "127.0.0.1"
TIMEOUT = 3600
"""Seconds for one body."""


class LocalServer:
    """The process. It ends with the block, and with this process whatever ends that."""

    def __init__(self, *served: str) -> None:
        """`served` are arguments of `serve` that name the model. Of its log, what is wrong comes through."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        # -P: the folder that a job is started in is none to import from.
        command = [sys.executable, "-P", "-m", "server.cli", "serve", *served, "--host", HOST]
        command += ["--port", str(port), "--log-level", "warning", "--timeout", str(TIMEOUT)]
        command += ["--max-payload-in-mb", "0"]
        self._process = subprocess.Popen(bound(command), stdin=subprocess.DEVNULL, start_new_session=True)

    def check(self) -> None:
        """ServerError once it has ended."""
        if self._process.poll() is not None:
            raise ServerError("the model's server has ended; its own lines say why")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
