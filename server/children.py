"""Processes started from the event loop, and never as a copy of this one.

uvloop starts a process by fork(), which runs the fork handlers of everything that is loaded. gRPC's are not safe
while calls are under way: under traffic a few in a hundred children died of SIGSEGV before their program began.
`subprocess` uses vfork(), which runs none.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence

from converters.children import bound


class Child:
    """A process, what it writes, and its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._process = process
        self._pipes: list[asyncio.BaseTransport] = []
        self._ended = asyncio.Event()
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        await self._ended.wait()
        code: int = self._process.returncode
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Read no more of what it, or what it started, writes."""
        for pipe in self._pipes:
            pipe.close()

    async def open(self, limit: int) -> None:
        """Read what it writes; a line has `limit` bytes at most."""
        self.stdout = await self._read(self._process.stdout, limit)
        self.stderr = await self._read(self._process.stderr, limit)

    async def _read(self, pipe: object, limit: int) -> asyncio.StreamReader | None:
        if pipe is None:
            return None
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit)
        transport, _ = await loop.connect_read_pipe(lambda: _Reading(reader), pipe)
        self._pipes.append(transport)
        return reader

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._ended.set()


class _Reading(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        super().eof_received()
        return False  # which has uvloop close the pipe


async def start(
    command: Sequence[str],
    *,
    limit: int,
    environ: Mapping[str, str] | None = None,
    stderr: int = subprocess.PIPE,
    start_new_session: bool = False,
) -> Child:
    """Start a command, which the kernel kills when this process ends; OSError where it cannot be run.

    Its standard output is a pipe, and its standard error what `stderr` says, as for `subprocess`.
    """
    child = Child(
        # It returns when the program has begun, in about a millisecond.
        subprocess.Popen(  # noqa: ASYNC220
            bound(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environ,
            start_new_session=start_new_session,
        )
    )
    await child.open(limit)
    return child
