"""`python -m tests.toolkit.record [CASE...]`: ask the real toolkit, and keep its answers.

An answer that says the same as the one kept already is left as it is, so that running this twice changes nothing.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx

from tests.models import builder
from tests.toolkit.cases import Answer, Case, load, names
from tests.toolkit.compare import difference
from tests.toolkit.server import Toolkit


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build = builder(root / "models")
        for name in wanted or names():
            case, started = load(name), time.monotonic()
            answers = ask(case, case.build(root / name, build), root / f"{name}.log")
            changed = keep(case, answers)
            took = time.monotonic() - started
            print(f"{name}: {len(answers)} answers, {changed} changed, {took:.0f} s", file=sys.stderr)


def ask(case: Case, model: Path, log: Path) -> dict[str, Answer]:
    """What the toolkit answers, with one worker, so that a script's globals see every request in turn."""
    toolkit = Toolkit(model, log, workers=1)
    try:
        toolkit.wait()
        with httpx.Client(base_url=toolkit.url, timeout=120) as client:
            return {request.name: _clean(request.send(client), toolkit.base) for request in case.requests}
    finally:
        toolkit.stop()


def keep(case: Case, answers: dict[str, Answer]) -> int:
    """Write the recording; returns how many answers are others than those kept."""
    kept: dict[str, Answer] = {}
    for name, answer in answers.items():
        before = case.recording.get(name)
        same = before is not None and difference(before, answer) is None and difference(answer, before) is None
        kept[name] = before if before is not None and same else answer
    stored = {name: answer.stored() for name, answer in kept.items()}
    case.recording_file.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")
    return sum(kept[name] is answer for name, answer in answers.items())


def _clean(answer: Answer, base: Path) -> Answer:
    """Without the folder that the model lay in, and without addresses in memory."""
    body = answer.body.replace(str(base).encode(), b"/opt/ml")
    return replace(answer, body=re.sub(rb"\b0x[0-9a-f]{8,16}\b", b"0x0", body) if answer.status >= 400 else body)


if __name__ == "__main__":
    main(sys.argv[1:])
