"""tritonserver to the point where it takes calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from server.errors import ServerError
from server.triton.binary import Binary
from server.triton.client import TritonClient
from server.triton.process import Ports, TritonProcess

START_DEADLINE = 60.0
"""Seconds for tritonserver to accept calls."""


async def start(
    binary: Binary,
    repository: Path,
    ports: Ports,
    shm_prefix: str,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
) -> tuple[TritonProcess, TritonClient]:
    """A running tritonserver without a model, and its client. ServerError where it does not come up."""
    process = await TritonProcess.start(binary, repository, ports, shm_prefix, environ, arguments)
    client = TritonClient(ports)
    up, ended = asyncio.create_task(client.wait_until_up()), asyncio.create_task(process.wait())
    await asyncio.wait({up, ended}, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    came_up = up.done() and not ended.done()
    for task in (up, ended):
        task.cancel()
    await asyncio.gather(up, ended, return_exceptions=True)
    if not came_up:
        await client.close()
        await process.stop()
        said = process.complaint or next(
            (line for line in reversed(process.last_lines) if line.strip()), "it said nothing"
        )
        raise ServerError(f"tritonserver did not start: {said}")
    return process, client
