"""One load on one running system, and what came of it, as a round of the report has it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from perf.bench import frozen, wrk
from perf.bench.analyzer import Analyzer, write_data
from perf.bench.ours import Ours
from perf.bench.peers.pipeline import Pipeline
from perf.bench.system import System
from perf.bench.workloads import Workload
from server.bench import prometheus, usage
from server.bench.connection import Shot
from server.bench.load import closed_loop, open_loop
from server.bench.outcome import Load

Round = dict[str, Any]
SLOW = 120.0
"""Requests a second. Below it our own sender takes wrk's place: it fills the server before it counts, where wrk's count
lacks what is under way at its end, a share that matters with few answers; and what it costs does not matter then."""
_SPINS = 0.05
"""Of a core; what takes more with nothing to do is frozen while others are measured."""
_QUIET, _BUSY = 0.1, 0.5
"""Of a core: below it a system has nothing to do any more, one that spins below the second."""
_PATIENCE = 60.0
"""Seconds for that."""


@dataclass
class Seen:
    """Sums over the rounds of one load, for where the time goes."""

    counters: prometheus.Counters = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    client_cpu: float = 0.0
    requests: int = 0

    def add(self, counters: Mapping[tuple[str, str], float], cpu: Mapping[str, float]) -> None:
        for key, value in counters.items():
            self.counters[key] = self.counters.get(key, 0.0) + value
        for kind, seconds in cpu.items():
            self.cpu[kind] = self.cpu.get(kind, 0.0) + seconds


class Running:
    """A system that serves a workload, with everything that loads it."""

    def __init__(self, system: System, workload: Workload, precision: str, folder: Path, analyzer: Analyzer) -> None:
        self.system, self.workload, self.precision = system, workload, precision
        self._folder, self._analyzer = folder, analyzer
        requests = [system.body(item) for item in workload.items]
        self._file = wrk.write_requests(folder / "requests", system.port, system.path, requests)
        self._shots = [Shot(body, headers, system.path) for body, headers in requests]
        self._data: Path | None = None
        self._start = 0
        self.seen: dict[tuple[str, int], Seen] = {}
        """By load and clients."""
        self.about = SLOW
        """Roughly the requests a second that it answers."""
        self.spins = False

    def warm_up(self, clients: int) -> None:
        """Let it run for some seconds, see about how fast it is, and whether it spins with nothing to do."""
        self.closed(clients, 1.5, slow=True)
        self.about = max(float(self.closed(clients, 2.0, slow=True)["rate"]), 0.1)
        self.seen.clear()
        self.settle()
        self.spins = self._idle() > _SPINS

    def closed(self, clients: int, seconds: float, *, slow: bool | None = None) -> Round:
        """Clients that each wait for their answer. `slow` is whether it answers few a second, if that is known."""
        with _Watch(self) as watch:
            if isinstance(self.system, Pipeline):
                # No server: it is kept busy with batches.
                seen = self.system.measure(self.workload.items, clients, seconds)
                outcome, requests, client_cpu = _of_wrk(seen), seen.requests, 0.0
            elif self.about < SLOW if slow is None else slow:
                turn = min(clients, len(self._shots))
                shots = self._shots[self._start % turn :] + self._shots[: self._start % turn]
                found = _apart(closed_loop, self.system.port, shots, clients, seconds, warm_up=seconds / 3)
                outcome = found.figures()
                requests, client_cpu = found.answered, 0.0
            else:
                seen = wrk.run(self.system.port, self._file, clients, max(round(seconds), 1), self._start)
                outcome, requests, client_cpu = _of_wrk(seen), seen.requests, seen.cpu_seconds
        self._start += 977
        return watch.round(outcome, "closed", clients, requests, client_cpu)

    def grpc(self, clients: int, seconds: float) -> Round:
        """Ours without its adapter: as many calls at once."""
        assert isinstance(self.system, Ours)
        if self._data is None:
            bodies = [self.system.body(item) for item in self.workload.items[:512]]
            self._data = write_data(
                self._folder / "data.json", [(body, headers["Content-Type"]) for body, headers in bodies]
            )
        with _Watch(self) as watch:
            seen = self._analyzer.run(self.system.grpc_port, self.workload.model, self._data, clients, seconds)
        return watch.round(_of_wrk(seen), "grpc", clients, seen.requests, seen.cpu_seconds)

    def open(self, rate: float, seconds: float) -> Round:
        """Requests at random moments, counted from the moment that each was due."""
        self._start += 977
        with _Watch(self) as watch:
            found = _apart(
                open_loop, self.system.port, self._shots, rate, seconds, warm_up=seconds / 4, seed=self._start
            )
        return watch.round(found.figures(), "open", 0, found.answered, 0.0)

    def _idle(self, seconds: float = 0.5) -> float:
        """The share of a core that it takes just now."""
        before = usage.cpu(self.system.processes())
        time.sleep(seconds)
        return usage.cpu(self.system.processes()).since(before) / seconds

    def settle(self) -> None:
        """Wait until what the last load left is done."""
        until = time.monotonic() + _PATIENCE
        while self._idle(0.1) > (_BUSY if self.spins else _QUIET) and time.monotonic() < until:
            pass

    def freeze(self) -> None:
        if self.spins:
            frozen.freeze(self.system.processes())

    def thaw(self) -> None:
        if self.spins:
            frozen.thaw(self.system.processes())


def _counters(port: int) -> prometheus.Counters:
    return prometheus.read(f"http://127.0.0.1:{port}") or {}


class _Watch:
    """What the system does while a load runs."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._ours = isinstance(running.system, Ours)

    def __enter__(self) -> _Watch:
        system = self._running.system
        self._before = _counters(system.port) if self._ours else {}
        self._cpu = usage.cpu(system.processes())
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        system = self._running.system
        processes = system.processes()
        self._used = usage.cpu(processes).by_kind(self._cpu)
        self._lasted = time.monotonic() - self._began
        self._added = prometheus.difference(self._before, _counters(system.port)) if self._ours else {}
        self._memory = usage.memory_mb(processes)
        self._running.settle()

    def round(self, outcome: Round, load: str, clients: int, requests: int, client_cpu: float) -> Round:
        # With a warm-up the processes worked for longer than was counted.
        share = min(outcome["seconds"] / self._lasted, 1.0) if self._lasted else 1.0
        used = {kind: seconds * share for kind, seconds in self._used.items()}
        seen = self._running.seen.setdefault((load, clients), Seen())
        seen.add(self._added, used)
        seen.client_cpu += client_cpu
        seen.requests += requests
        proportional, resident = self._memory
        return {
            **outcome,
            "cpu_ms_per_request": 1e3 * sum(used.values()) / requests if requests else None,
            "pss_mb": proportional,
            "rss_mb": resident,
            "mean_batch": prometheus.mean_batch(self._added),
        }


def _of_wrk(seen: wrk.Outcome) -> Round:
    return {
        "requests": seen.requests - seen.failed,
        "seconds": seen.seconds,
        "rate": seen.rate,
        **{f"p{percent}_ms": seen.percentile_ms(percent) for percent in (50, 95, 99)},
        "errors": seen.failed + seen.broken,
        "rejected": 0,
        "percentiles": [[percent, seen.percentile_ms(percent)] for percent in wrk.PERCENTS],
    }


_sender: ProcessPoolExecutor | None = None


def _apart(load: Any, port: int, shots: Sequence[Shot], *arguments: float, **named: float) -> Load:
    """A load of ours from a process of its own, which stays for the next one."""
    global _sender
    if _sender is None:
        _sender = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    found: Load = _sender.submit(load, port, shots, *arguments, **named).result()
    return found
