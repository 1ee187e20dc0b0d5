"""Which backend processes are alive, told by the processes themselves and by the kernel.

Each backend connects to a Unix socket when it starts (`huggingface_backend.lifeline`). The kernel names the
process behind the connection, and a pidfd on it becomes readable when it ends, whatever way.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class Backend:
    """One backend process."""

    model: str
    pid: int
    pidfd: int
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Lifelines:
    """The backends that are alive now."""

    def __init__(self, path: Path, on_death: Callable[[str, int], None]) -> None:
        """`on_death` is told model and process id of every backend that ends."""
        self.path = path
        self._on_death = on_death
        self._backends: set[Backend] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.path)
        self.path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for backend in list(self._backends):
            self._forget(backend)

    def of(self, model: str) -> list[Backend]:
        return [backend for backend in self._backends if backend.model == model]

    async def wait_until_ended(self, model: str, timeout: float) -> None:
        """Returns once no process of the model is left; kills what is left after the timeout (seconds)."""
        waiting = self.of(model)
        try:
            async with asyncio.timeout(timeout):
                for backend in waiting:
                    await backend.ended.wait()
        except TimeoutError:
            for backend in waiting:
                self._kill(backend)
            await asyncio.gather(*[backend.ended.wait() for backend in waiting])

    def kill_all(self) -> None:
        for backend in list(self._backends):
            self._kill(backend)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", credentials)[0]
        try:
            model = str(json.loads(await reader.readline())["model"])
            pidfd = os.pidfd_open(pid)
        except (ValueError, KeyError, TypeError, OSError):
            writer.close()
            return
        backend = Backend(model, pid, pidfd, writer)
        self._backends.add(backend)
        asyncio.get_running_loop().add_reader(pidfd, self._ended, backend)

    def _ended(self, backend: Backend) -> None:
        self._forget(backend)
        self._on_death(backend.model, backend.pid)

    def _forget(self, backend: Backend) -> None:
        asyncio.get_running_loop().remove_reader(backend.pidfd)
        os.close(backend.pidfd)
        backend.writer.close()
        self._backends.discard(backend)
        backend.ended.set()

    def _kill(self, backend: Backend) -> None:
        if backend in self._backends:
            try:
                signal.pidfd_send_signal(backend.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
