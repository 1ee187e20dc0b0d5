"""`python -m perf.mixed`: ten models of ten tasks in one server, many clients, every answer checked.

The models are the small ones of the parity suite and all-MiniLM-L6-v2; the answers are those of transformers on the
same weights, worked out before. What is looked for is a wrong answer, and what the processes hold in memory.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import click

from converters.convert import Converter, Options
from converters.entry import place
from converters.progress import for_console
from perf.load import Shot, measure
from tests.parity.case import Subject
from tests.parity.cases import SUBJECTS
from tests.parity.reference import Reference
from tests.parity.zoo import build
from tests.serving import Server
from tests.toolkit.cases import Answer

TASKS = (
    "sentence-embedding",
    "text-classification",
    "token-classification",
    "fill-mask",
    "question-answering",
    "image-classification",
    "zero-shot-classification",
    "text-generation",
    "summarization",
    "object-detection",
)
WARM_UP_SECONDS = 5.0


def subject(task: str) -> Subject:
    """The model of a task in the table: the one with real weights, else the first."""
    found = [subject for subject in SUBJECTS if subject.task == task]
    return next((subject for subject in found if subject.model == "minilm"), found[0])


def shots(subject: Subject, folder: Path, name: str) -> list[Shot]:
    """The cases of a model with their references, as requests to it."""
    reference = Reference(subject.task, folder)
    headers = {"content-type": "application/json", "accept": "application/json"}
    known = []
    for case in subject.cases:
        answer = Answer(200, "application/json", {}, json.dumps(reference.answer(case)).encode())
        known.append(Shot(headers, json.dumps(case.body()).encode(), answer, f"/models/{name}/invoke"))
    return known


def memory(server: Server) -> list[tuple[str, float]]:
    """Megabytes (proportional set size) of each process of a server's tree."""
    return [(" ".join(child.cmdline())[:60], child.memory_full_info().pss / 1e6) for child in server.tree()]


@click.command()
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=300.0, show_default=True)
def main(clients: int, seconds: float) -> None:
    """Requests, wrong answers and memory."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        known: list[Shot] = []
        converter, progress = Converter(folder / "cache"), for_console()
        for task in TASKS:
            chosen = subject(task)
            model = build(chosen.model, folder / "models")
            artifact = converter.convert(str(model), Options(task=task), progress)
            place(artifact.path, folder / "repository", task)
            found = shots(chosen, model, task)
            click.echo(f"{task:<26}{chosen.model:<24}{artifact.manifest.tier:<13}{len(found)} requests")
            known += found
        random.Random(0).shuffle(known)
        server = Server("--repository", str(folder / "repository"), log=folder / "serve.log", log_level="info")
        try:
            server.wait(300)
            before = sum(size for _, size in memory(server))
            warm = measure(server.port, known, clients, WARM_UP_SECONDS)
            outcome = measure(server.port, known, clients, seconds)
            after = memory(server)
        finally:
            server.stop()
        wrong = warm.wrong + outcome.wrong
        for problem in wrong[:5]:
            click.echo(problem, err=True)
        click.echo(
            f"{len(outcome.latencies)} answers in {outcome.seconds:.0f} s ({outcome.rate:.0f}/s), {len(wrong)} wrong; "
            f"median {outcome.median_ms:.0f} ms"
        )
        click.echo(f"memory: {before:.0f} MB when loaded, {sum(size for _, size in after):.0f} MB at the end")
        raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
