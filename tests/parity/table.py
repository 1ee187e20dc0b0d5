"""`python -m tests.parity.table [RESULTS]`: run the suite, or read what a run found, and write docs/tasks.md."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from converters.tasks import PIPELINE_TASKS
from tests.parity import parameters
from tests.parity.case import Subject
from tests.parity.cases import SUBJECTS
from tests.parity.results import RESULTS, Finding, Results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tasks.md"
TASKS = (*PIPELINE_TASKS, *parameters.OWN)

HEAD = """\
# Tasks

Each task runs in one of three tiers, and `triton-hf check` says which one a model gets. On the *fast* tier, ONNX
Runtime, numpy and tokenizers answer, and requests of many clients share a run. On the *accelerated* tier, a
transformers pipeline runs around ONNX Runtime models; on the *torch* tier it is the transformers pipeline itself, one
request after the other.

The tables are written by `python -m tests.parity.table`, which asks tiny models of each architecture every case of
`tests/parity` alone and inside mixed batches, and compares with transformers, sentence-transformers or diffusers on
the same weights. *Off by* is the largest deviation found, of numbers relative to the largest one of an answer where
that is above 1, and of pixels; text must be equal. At most 1e-4 passes, and one step in 255 of a pixel. Answers to
other inputs differ by at least a hundred times that, which is tested too.

## Models

| Task | Model | Tier | Cases | Off by, alone | in batches |
|---|---|---|--:|--:|--:|
"""
PARAMETERS = """
## Parameters

What a request's `parameters` may hold, as found in the pipelines of transformers 4.57, and whether a case has it.

| Task | Covered | Without a case |
|---|--:|---|
"""
EXCEPTIONS = """
## Parameters that no request can show

| Task | Parameter | Why |
|---|---|---|
"""


def page(results: Results) -> str:
    """docs/tasks.md from what a run found."""
    lines = [HEAD, *(f"{row}\n" for row in _models(results)), PARAMETERS]
    for task in TASKS:
        covered, missing = parameters.coverage(task)
        named = ", ".join(f"`{name}`" for name in missing)
        lines.append(f"| {task} | {len(covered)} of {len(covered) + len(missing)} | {named} |\n")
    lines.append(EXCEPTIONS)
    for (task, name), why in sorted(parameters.UNSAYABLE.items()):
        lines.append(f"| {'all' if task == '*' else task} | `{name}` | {why} |\n")
    lines += ["\n", *_failures(results)]
    return "".join(lines).rstrip() + "\n"


def _models(results: Results) -> Iterator[str]:
    for task in TASKS:
        subjects = [each for each in SUBJECTS if each.task == task or each.task.startswith(f"{task}_")]
        if not subjects:
            yield f"| {task} | no model small enough | | | | |"
        for subject in subjects:
            finding = results.findings.get(subject.id, Finding())
            yield (
                f"| {subject.task} | {subject.model} | {finding.tier or '–'} | {_cases(subject, finding)} "
                f"| {_size(finding.alone, finding)} | {_size(finding.crowded, finding)} |"
            )


def _cases(subject: Subject, finding: Finding) -> str:
    failed = len(subject.cases) if "(model)" in finding.failed else len(finding.failed)
    return f"{len(subject.cases)}, {failed} failed" if failed else str(len(subject.cases))


def _size(deviation: float, finding: Finding) -> str:
    if not finding.tier:
        return "–"
    return f"{deviation:.0e}" if deviation else "0"


def _failures(results: Results) -> Iterator[str]:
    failed = {name: finding.failed for name, finding in results.findings.items() if finding.failed}
    if not failed:
        return
    yield "## Not there yet\n\n| Task and model | Case | What came instead |\n|---|---|---|\n"
    for name, cases in failed.items():
        for case, message in cases.items():
            line = message.splitlines()[0].replace("|", "\\|")[:160]
            yield f"| {name} | {case} | {line} |\n"


def run(path: Path) -> None:
    """Run the suite in a process of its own; failures are in what it found."""
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent / "test_parity.py"), "-k", "answers"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, RESULTS: str(path)}, check=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "results.json"
        if not path.is_file():
            run(path)
        PAGE.write_text(page(Results.read(path)), "utf-8")


if __name__ == "__main__":
    main()
