"""One run of tritonserver: started, its log followed, ended with everything it started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from server import children
from server.logs import MAX_LINE, log_triton_line
from server.triton.binary import Binary

TERMINATE = 5.0
"""Seconds that tritonserver gets to end by itself."""


@dataclass(frozen=True)
class Ports:
    grpc: int
    http: int
    metrics: int


class TritonProcess:
    """A running tritonserver. Everything it listens on is loopback."""

    def __init__(self, process: children.Child, ports: Ports, shm_prefix: str) -> None:
        self.ports = ports
        self.last_lines: deque[str] = deque(maxlen=20)
        """For the message about a start that failed."""
        self.complaint = ""
        """What it did not like of its command line."""
        self._process = process
        self._shm_prefix = shm_prefix
        self._log = asyncio.create_task(self._follow_log())

    @classmethod
    async def start(
        cls,
        binary: Binary,
        repository: Path,
        ports: Ports,
        shm_prefix: str,
        environ: Mapping[str, str],
        arguments: Sequence[str] = (),
        control: str = "explicit",
    ) -> TritonProcess:
        """`arguments` are further ones of its command line; `control` is its model control mode."""
        command = [
            str(binary.path),
            f"--model-repository={repository}",
            f"--model-control-mode={control}",
            "--http-address=127.0.0.1",
            f"--http-port={ports.http}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={ports.grpc}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports.metrics}",
            "--allow-gpu-metrics=false",
            "--disable-auto-complete-config",
            *([] if Path("/dev/nvidiactl").exists() else ["--pinned-memory-pool-byte-size=0"]),
            f"--exit-timeout-secs={int(TERMINATE)}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            *arguments,
        ]
        if binary.backends is not None:
            command.append(f"--backend-directory={binary.backends}")
        # Its stubs end with the keeper's socket (`huggingface_backend.lifeline`).
        process = await children.start(
            command,
            limit=2**20,
            environ={**environ, **binary.environment},
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, ports, shm_prefix)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it at once; whoever waits for it learns so."""
        self._process.kill()

    async def stop(self) -> None:
        """End it and whatever it started; returns when all of it is gone."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), TERMINATE)
            except TimeoutError:
                pass
        try:
            # Stubs and what scripts started share its session's process group.
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self._process.wait()
        await asyncio.wait([self._log], timeout=1)
        self._log.cancel()
        self._process.close()
        remove_shared_memory(self._shm_prefix)

    async def _follow_log(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    self._log_line(rest.partial)
                return
            except asyncio.LimitOverrunError as overrun:
                # A line longer than the stream's buffer: its beginning is enough.
                line = await stream.readexactly(overrun.consumed)
            self._log_line(line)

    def _log_line(self, raw: bytes) -> None:
        line = raw[:MAX_LINE].decode("utf-8", "replace")
        if line.startswith("Usage: ") and self.last_lines and not self.complaint:
            self.complaint = self.last_lines[-1].rpartition("tritonserver: ")[2]
        self.last_lines.append(line.rstrip())
        log_triton_line(line)


def remove_shared_memory(prefix: str) -> None:
    """Regions of a tritonserver that was killed stay in /dev/shm, which containers keep small."""
    for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108
        region.unlink(missing_ok=True)


def free_ports(allowed: range | None = None) -> Ports:
    """Three loopback ports that nobody listens on, out of an allowed range if there is one."""
    found: list[socket.socket] = []
    try:
        for candidate in allowed or (0, 0, 0):
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                probe.close()
                continue
            found.append(probe)
            if len(found) == 3:
                return Ports(*(each.getsockname()[1] for each in found))
    finally:
        for probe in found:
            probe.close()
    raise OSError("no three free ports in the allowed range")
