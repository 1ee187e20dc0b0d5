"""Closed-loop clients: each sends its next request when the answer to the last one is there and has been checked."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.toolkit.cases import Answer
from tests.toolkit.compare import difference


@dataclass(frozen=True)
class Shot:
    """A request and its answer, as known before measuring."""

    headers: dict[str, str]
    body: bytes
    answer: Answer
    path: str = "/invocations"

    def encoded(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass
class Round:
    """What the clients saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def median_ms(self) -> float:
        return statistics.median(self.latencies) * 1000

    @property
    def p99_ms(self) -> float:
        """What one answer in a hundred takes longer than."""
        return sorted(self.latencies)[int(0.99 * len(self.latencies))] * 1000


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and the range of the rounds."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})"


def measure(port: int, shots: Sequence[Shot], clients: int, seconds: float) -> Round:
    """Let clients ask for some seconds, from a process of their own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, port, list(shots), clients, seconds).result()


def _run(port: int, shots: list[Shot], clients: int, seconds: float) -> Round:
    return asyncio.run(_clients(port, shots, clients, seconds))


async def _clients(port: int, shots: list[Shot], clients: int, seconds: float) -> Round:
    outcome, started = Round(), time.perf_counter()
    until = started + seconds
    await asyncio.gather(*[_client(port, shots, first, until, outcome) for first in range(clients)])
    outcome.seconds = time.perf_counter() - started
    return outcome


async def _client(port: int, shots: list[Shot], first: int, until: float, outcome: Round) -> None:
    encoded = [shot.encoded() for shot in shots]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    at = first
    while (sent := time.perf_counter()) < until:
        shot, at = shots[at % len(shots)], at + 1
        writer.write(encoded[(at - 1) % len(shots)])
        status, content_type, body, stays = await _answer(reader)
        took = time.perf_counter() - sent
        problem = _problem(shot.answer, status, content_type, body)
        if problem is None:
            outcome.latencies.append(took)
        else:
            outcome.wrong.append(problem)
        if not stays:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def _problem(expected: Answer, status: int, content_type: str, body: bytes) -> str | None:
    if (status, body) == (expected.status, expected.body):
        return None
    # Batches of other sizes move the last digits.
    return difference(expected, Answer(status, content_type, expected.headers, body))


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes, bool]:
    """Status, content type and body of a response with a Content-Length, and whether its connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    stays = headers.get("connection", "keep-alive").lower() != "close"
    return int(head[0].split()[1]), headers.get("content-type", ""), body, stays
