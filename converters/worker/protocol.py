"""Parent and child: a job as JSON on stdin, events as JSON lines on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from converters.children import bound
from converters.errors import ConversionError, GateError
from converters.progress import Progress


@dataclass(frozen=True)
class Job:
    """What the child is to do."""

    source: str
    target: str
    """A folder for model.onnx and tokenizer.json."""
    task: str
    trust_remote_code: bool = False
    pooling: dict[str, Any] | None = None
    precision: str = "fp32"
    format: str = "onnx"
    calibration: str | None = None
    """A file of texts, one a line."""
    fall_back: bool = False
    """Whether fp32 in ONNX will do where the precision or the format cannot be had."""


class NotFastError(Exception):
    """No fast path, though there may be a graph; one line why."""


class NotExportableError(Exception):
    """No exporter for this architecture or task; the model can still run on torch."""


def run(job: Job, progress: Progress, cancelled: Event | None = None) -> dict[str, Any]:
    """Run a job in a child process and return the manifest fields it found.

    Raises ConversionError, GateError or NotExportableError with the child's one line. The child dies with its
    parent, whatever way that goes.
    """
    command = [sys.executable, "-m", "converters.worker.main"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            bound(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8"
        )
        assert child.stdin and child.stdout  # noqa: S101
        finished = Event()
        if cancelled is not None:
            Thread(target=_cancel, args=(child, cancelled, finished), daemon=True).start()
        try:
            child.stdin.write(json.dumps(asdict(job)))
            child.stdin.close()
            outcome = _follow(child.stdout, progress, Path(job.target))
        finally:
            finished.set()
            if child.poll() is None and sys.exc_info()[0] is not None:
                child.kill()
            code = child.wait()
            child.stdout.close()
        if cancelled is not None and cancelled.is_set():
            raise ConversionError("the conversion was cancelled")
        if outcome is None:
            raise ConversionError(_death(code, _last_line(log)))
    kinds: dict[str, Callable[[str], Exception]] = {
        "failed": ConversionError,
        "gate": GateError,
        "not-exportable": NotExportableError,
    }
    if outcome["event"] in kinds:
        raise kinds[outcome["event"]](outcome["message"])
    fields: dict[str, Any] = outcome["fields"]
    return fields


def _follow(events: IO[str], progress: Progress, target: Path) -> dict[str, Any] | None:
    """Show stages as they come; the last event is the outcome, None where the child died without one."""
    with ExitStack() as stage:
        for line in events:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "stage":
                stage.close()
                stage.enter_context(progress.stage(event["name"], target))
            elif event["event"] == "note":
                progress.note(event["text"])
            else:
                return event
    return None


def _cancel(child: subprocess.Popen[str], cancelled: Event, finished: Event) -> None:
    while not finished.wait(0.2):
        if cancelled.is_set():
            child.kill()
            return


def _death(code: int, last: str) -> str:
    if code == -9:
        return "the conversion's process was killed, most likely for want of memory"
    return f"the conversion's process ended with {code}: {last}"


def _last_line(log: IO[str]) -> str:
    log.seek(max(0, log.seek(0, 2) - 8192))
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"
