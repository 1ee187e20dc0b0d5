"""The libraries without a server: `transformers.pipeline`, or sentence-transformers, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench import requests
from perf.bench.peers.child import Child
from perf.bench.peers.environment import ensure, versions
from perf.bench.peers.peer import Peer
from perf.bench.wrk import Outcome

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

BATCHES = (1, 8, 32)
_BRIEFLY = 2.0
"""Seconds for which each batch size is tried."""


class Pipeline(Peer):
    """It has no port: `answers` and `measure` take the place of requests, and batches that of clients.

    `port` is 0, `path` empty; `body` and `answer` are there for the protocol.
    """

    name = "pipeline"
    port = 0
    path = ""

    def __init__(self) -> None:
        super().__init__()
        self._best: dict[int, int] = {}
        found = versions(self.name, "transformers", "sentence-transformers", "torch")
        self.version = (
            f"transformers.pipeline {found['transformers']}, for embeddings sentence-transformers "
            f"{found['sentence-transformers']}, on torch {found['torch']}, in process, the best batch size of "
            f"{', '.join(map(str, BATCHES))} up to the number of clients"
        )

    def takes(self, workload: Workload) -> bool:  # noqa: ARG002
        return True

    def start(self, workload: Workload, folder: Path) -> None:
        """Unavailable where its environment cannot be made."""
        python = ensure(self.name)
        self.stop()
        self.task, self._best = workload.task, {}
        script = Path(__file__).parent / "inside" / "pipeline.py"
        command: list[str | Path] = [python, script, workload.folder, workload.task]
        self._child = Child(command, folder / f"{self.name}.log", piped=True)
        try:
            self.answers(workload.items[:1])
        except BaseException:
            self.stop()
            raise

    def answers(self, items: Sequence[Any], batch: int = 1) -> list[Any]:
        """What it answers to items, so many of them in a batch; each as `System.answer` gives it."""
        found = self._ask(items=_plain(items), batch=batch)
        return [requests.normal(self.task, each) for each in found]

    def measure(self, items: Sequence[Any], clients: int, seconds: float) -> Outcome:
        """Keep it busy with batches of as many items as are best for so many clients, and no more.

        An answer's latency is that of its batch. The best size is looked for once after a start, in some seconds.
        """
        if clients not in self._best:
            sizes = [size for size in BATCHES if size <= clients]
            rates = {size: self._measure(items, size, _BRIEFLY).rate for size in sizes[-2:]}
            self._best[clients] = max(rates, key=rates.__getitem__)
        return self._measure(items, self._best[clients], seconds)

    def batch(self, clients: int) -> int | None:
        """The batch size that `measure` takes for so many clients; None where it has not looked for it yet."""
        return self._best.get(clients)

    def _measure(self, items: Sequence[Any], batch: int, seconds: float) -> Outcome:
        found = self._ask(items=_plain(items), batch=batch, seconds=seconds)
        latencies = tuple((micros, count) for micros, count in found["latencies"])
        return Outcome(sum(count for _, count in latencies), found["seconds"], 0, 0, latencies, 0.0)

    def _ask(self, **asked: Any) -> Any:
        child = self._child
        assert child is not None
        assert child.process.stdin is not None
        assert child.process.stdout is not None
        try:
            child.process.stdin.write(json.dumps(asked) + "\n")
            child.process.stdin.flush()
            line = child.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            child.process.wait(10)
            raise RuntimeError(f"{self.name} ended with {child.process.returncode}:\n{child.last_lines()}")
        return json.loads(line)


def _plain(items: Sequence[Any]) -> list[Any]:
    return [str(item) if isinstance(item, Path) else item for item in items]
