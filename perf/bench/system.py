"""What can be measured: something that is started with a model, asked over HTTP, and gone when it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psutil

    from perf.bench.workloads import Workload


class Unavailable(Exception):
    """A system that cannot run here, or not this workload. The text is one line that says what is missing."""


class System(Protocol):
    """A server under measurement. One is started with one workload at a time; `stop` leaves nothing of it."""

    name: str
    """"ours", "toolkit", "litserve", "infinity", "pipeline"; unique in a report."""
    port: int
    path: str
    """Where to POST, from "/"."""

    @property
    def version(self) -> str:
        """What it is exactly, with versions and its workers and threads."""
        ...

    def takes(self, workload: Workload) -> bool:
        """Whether it can do this kind of work at all (infinity: embeddings only)."""
        ...

    def start(self, workload: Workload, folder: Path) -> None:
        """Start it with the model in `workload.folder`; returns once it answers.

        `folder` is an empty folder of its own for logs and whatever it keeps. Unavailable where something it needs
        cannot be had; RuntimeError with its last lines where it fails.
        """
        ...

    def body(self, item: Any) -> tuple[bytes, dict[str, str]]:
        """An item of the workload as the request this system takes: body and headers (Content-Type among them)."""
        ...

    def answer(self, response: bytes) -> Any:
        """Its response in the form that answers of all systems have.

        text-classification and image-classification: {label: score} of what it gave; sentence-embedding: list of
        floats; question-answering: {"answer": str, "score": float}; text-generation: the new text, str.
        """
        ...

    def processes(self) -> list[psutil.Process]:
        """Its living processes, children and grandchildren included."""
        ...

    def stop(self) -> None:
        """End it. A second call does nothing."""
        ...
