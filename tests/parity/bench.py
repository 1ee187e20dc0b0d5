"""A subject's entry and its reference, both loaded in this process.

A conversion usually has a child process, which would load torch again; that takes longer than its work here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from converters.convert import Artifact, Converter, Options
from converters.errors import ConversionError, GateError
from converters.progress import Lines, Progress
from converters.worker import main, protocol
from huggingface_backend.handler import Handler
from huggingface_backend.loading import load
from tests.parity.case import Subject
from tests.parity.reference import Reference

FAILURES: dict[str, Callable[[str], Exception]] = {
    "failed": ConversionError,
    "gate": GateError,
    "not-exportable": protocol.NotExportableError,
}


def work_here(job: protocol.Job, _progress: Progress, _cancelled: Event | None = None) -> dict[str, Any]:
    """`protocol.run` without its child process: the same work, the same outcomes."""
    outcome, fields = main.work(job, lambda _event, **_fields: None)
    if outcome in FAILURES:
        raise FAILURES[outcome](fields["message"])
    result: dict[str, Any] = fields["fields"]
    return result


class Bench:
    def __init__(self, subject: Subject, folder: Path, cache: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(protocol, "run", work_here)
            options = Options(task=subject.task)
            self.artifact: Artifact = Converter(cache).convert(str(folder), options, Lines(lambda _line: None))
        self.tier = self.artifact.manifest.tier
        self.handler: Handler = load(subject.id, self.artifact.path / "1")
        self._task, self._folder = subject.task, folder

    @cached_property
    def reference(self) -> Reference:
        return Reference(self._task, self._folder)


BuildBench = Callable[[Subject], Bench]
