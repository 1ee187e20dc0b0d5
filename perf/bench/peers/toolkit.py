"""The SageMaker Hugging Face Inference Toolkit behind multi-model-server."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from perf.bench import requests
from perf.bench.peers.child import tree
from perf.bench.peers.environment import ensure
from perf.bench.system import Unavailable
from tests.toolkit import server
from tests.toolkit.environment import PACKAGES

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

_TASKS = {"sentence-embedding": "feature-extraction"}
"""What the toolkit calls a task, where that differs."""


class Toolkit:
    """The toolkit with a number of workers, each with a number of torch's threads; None is torch's own choice.

    One at a time on a machine: it looks for its server among all processes.
    """

    name = "toolkit"
    path = "/invocations"

    def __init__(self, workers: int = 2, threads: int | None = 1) -> None:
        self.workers, self.threads = workers, threads
        self.port = 0
        self._task = ""
        self._running: server.Toolkit | None = None

    @property
    def version(self) -> str:
        pinned = dict(package.split("==") for package in PACKAGES if "==" in package)
        workers = f"{self.workers} worker{'s' * (self.workers > 1)}"
        threads = "torch's own threads" if self.threads is None else f"{self.threads} thread{'s' * (self.threads > 1)}"
        return (
            f"sagemaker-huggingface-inference-toolkit {pinned['sagemaker-huggingface-inference-toolkit']} on "
            f"multi-model-server {pinned['multi-model-server']}, {workers} × {threads}"
        )

    def takes(self, workload: Workload) -> bool:  # noqa: ARG002
        return True

    def tune(
        self, workload: Workload, folder: Path, rate: Callable[[Toolkit], float]
    ) -> dict[tuple[int, int | None], float]:
        """Start it with each sensible number of workers and threads, and keep the one with the highest `rate`.

        `rate` is given the running toolkit and measures it as it will be measured. Returns what it said by (workers,
        threads); the toolkit is stopped afterwards.
        """
        found: dict[tuple[int, int | None], float] = {}
        for self.workers, self.threads in layouts():
            within = folder / f"{self.workers}x{self.threads or 'own'}"
            within.mkdir()
            self.start(workload, within)
            try:
                found[self.workers, self.threads] = rate(self)
            finally:
                self.stop()
        self.workers, self.threads = max(found, key=found.__getitem__)
        return found

    def start(self, workload: Workload, folder: Path) -> None:
        """Unavailable where its environment cannot be made, or without Java."""
        ensure(self.name)
        self.stop()
        self._task = workload.task
        env = {
            "HF_TASK": _TASKS.get(workload.task, workload.task),
            "OMP_NUM_THREADS": None if self.threads is None else str(self.threads),
        }
        try:
            self._running = server.Toolkit(workload.folder, folder / "toolkit.log", self.workers, env)
        except RuntimeError as error:
            raise Unavailable(f"toolkit: {error}") from None
        self.port = self._running.port
        try:
            self._running.wait()
        except BaseException:
            self.stop()
            raise

    def body(self, item: Any) -> tuple[bytes, dict[str, str]]:
        return requests.body(item)

    def answer(self, response: bytes) -> Any:
        """An embedding is the mean of what it gives for each token, of length 1: it has no such task itself."""
        if self._task == "sentence-embedding":
            return _mean(json.loads(response))
        return requests.answer(self._task, response)

    def processes(self) -> list[psutil.Process]:
        return [] if self._running is None else tree(self._running.process.pid)

    def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()


def layouts() -> list[tuple[int, int | None]]:
    """(workers, threads) that may be best: one worker or one a core, threads alike or as torch chooses."""
    cores = len(os.sched_getaffinity(0))
    counts = sorted({1, cores})
    return [(workers, threads) for workers in counts for threads in (None, *counts)]


def _mean(found: Any) -> list[float]:
    """Of [[token, …]] as feature-extraction gives it."""
    while isinstance(found[0][0], list):
        found = found[0]
    middle = [sum(column) / len(found) for column in zip(*found, strict=True)]
    length = math.sqrt(sum(value * value for value in middle))
    return [value / length for value in middle]
