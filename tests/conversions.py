"""Conversions in this process: a child for each would load torch again, which takes longer than its work here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from converters.convert import Artifact, Converter, Options
from converters.errors import ConversionError, GateError
from converters.progress import Lines, Progress
from converters.worker import main, protocol

FAILURES: dict[str, Callable[[str], Exception]] = {
    "failed": ConversionError,
    "gate": GateError,
    "not-exportable": protocol.NotExportableError,
}


def convert(source: Path, cache: Path, **options: Any) -> Artifact:
    """`Converter.convert` with the work of its child process done here."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(protocol, "run", _work)
        return Converter(cache).convert(str(source), Options(**options), Lines(lambda _line: None))


def _work(job: protocol.Job, _progress: Progress, _cancelled: Event | None = None) -> dict[str, Any]:
    outcome, fields = main.work(job, lambda _event, **_fields: None)
    if outcome in FAILURES:
        raise FAILURES[outcome](fields["message"])
    result: dict[str, Any] = fields["fields"]
    return result
