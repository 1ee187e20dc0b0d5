"""LitServe with a torch model that it hands batches to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from perf.bench.peers.environment import versions
from perf.bench.peers.served import Served

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

BATCH, WAIT_MS = 32, 5
"""Rows of a batch at most, and how long the first of them waits for others."""


class LitServe(Served):
    """One worker with torch's own number of threads: batches are what uses the processors."""

    name = "litserve"
    path = "/predict"
    tasks = ("text-classification", "sentence-embedding")

    def __init__(self) -> None:
        super().__init__()
        found = versions(self.name, "litserve", "torch", "transformers")
        self.version = (
            f"LitServe {found['litserve']}, transformers {found['transformers']} on torch {found['torch']}, "
            f"batches of {BATCH}, {WAIT_MS} ms"
        )

    def command(self, python: Path, workload: Workload) -> list[str | Path]:
        script = Path(__file__).parent / "inside" / "batches.py"
        return [python, script, workload.folder, workload.task, str(self.port), str(BATCH), str(WAIT_MS / 1000)]
