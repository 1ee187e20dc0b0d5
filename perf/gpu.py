"""`python -m perf.gpu --out FOLDER`: how much of what a card can do comes through /invocations, in fp16.

The ceiling is bare ONNX Runtime on CUDA with tokenised input ready: the fastest of the plain and the fused graph, in
batches of 1 to 256, from the machine's memory or with input and output kept on the card. Ours is `triton-hf serve` of
what `triton-hf convert --precision fp16` made, asked for one text at a time by many clients, and for lists of texts.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import onnxruntime

from converters.convert import Converter, Options
from converters.errors import ConversionError
from converters.progress import for_console
from huggingface_backend import providers
from huggingface_backend.cards import NoCardError, card
from huggingface_backend.providers import CPU, CUDA
from perf.bench import answers, models, report, requests, workloads
from perf.bench.workloads import Workload
from perf.gpu_ceiling import Ceiling, Variant
from server.bench.connection import Shot
from server.bench.load import closed_loop
from server.bench.outcome import PERCENTS, Load, percentile
from tests.serving import Server

CLIENTS = (64, 256)
LISTS = (256, 8)
"""Texts in a request, and clients that send such."""
COUNT = 2048
"""Distinct texts."""
TOLERANCES = {"sentence-embedding": 2e-3, "text-classification": 2e-2}
"""Of the served fp16 answers from those of PyTorch in fp32: numbers of an embedding are about 0.05, scores up to 1."""
TARGETS = {workloads.SHORT: 0.88, workloads.LONG: 0.97}
"""What is asked of a processor, for comparison: nobody has set any for cards."""


def _bert(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    models._distilbert(folder, BertForSequenceClassification, BertConfig(num_labels=2), "classifier")


models.MODELS.setdefault("bert", models.Model("text-classification", _bert, "BERT-base's shape, random weights"))


def works(root: Path) -> Iterator[Workload]:
    """Short and long texts for MiniLM and for BERT-base's shape."""
    for model in ("minilm", "bert"):
        folder = models.ensure(model, root)
        for name, tokens in (("short", workloads.SHORT), ("long", workloads.LONG)):
            chance = random.Random(tokens)
            items = tuple(workloads.text_of(tokens, chance) for _ in range(COUNT))
            kind = models.MODELS[model]
            what = f"texts of {tokens} tokens; {kind.what}"
            yield Workload(f"{name}-{model}", model, kind.task, folder, items, what)


@contextmanager
def served(work: Workload, root: Path, chosen: list[providers.Provider]) -> Iterator[Server]:
    """Ours, with the model of a workload in fp16."""
    entry = Converter(root / "cache").convert(
        str(work.folder), Options(task=work.task, precision="fp16"), for_console()
    )
    arguments = ("--queue-size", "1024", "--timeout", "600")
    server = Server(str(entry.path), *arguments, log=root / f"{work.name}.log", log_level="warning").wait(600)
    try:
        if chosen != [CPU] and "on the processor instead" in server.text:
            raise click.ClickException(next(line for line in server.text.splitlines() if "instead" in line))
        yield server
    finally:
        server.stop()


def ask(server: Server, work: Workload, clients: int, texts: int, seconds: float) -> Load:
    """Closed-loop clients with so many texts a request; texts are what is counted."""
    groups = [work.items[start : start + texts] for start in range(0, len(work.items) - texts + 1, texts)]
    bodies = [requests.body(list(group) if texts > 1 else group[0]) for group in groups]
    load = closed_loop(server.port, [Shot(body, headers) for body, headers in bodies], clients, seconds, warm_up=1.0)
    load.answered *= texts
    return load


def figures(load: Load) -> dict[str, Any]:
    """As a round of a report has them."""
    took = sorted(load.latencies)
    percents = [[percent, 1e3 * (percentile(took, percent) or 0)] for percent in PERCENTS]
    return {**load.figures(), "percentiles": percents if took else []}


def check(server: Server, work: Workload, root: Path) -> dict[str, Any]:
    """Ours against PyTorch in fp32, each text alone."""
    worst = 0.0
    for item, expected in zip(answers.sample(work), answers.reference(work, root), strict=True):
        body, headers = requests.body(item)
        response = server.client.post("/invocations", content=body, headers=headers)
        response.raise_for_status()
        got = requests.answer(work.task, response.content)
        worst = max(worst, answers.difference(work.task, "fp32", expected, got))
    tolerance = TOLERANCES[work.task]
    found = {"workload": work.name, "system": "ours", "precision": "fp16", "against": "PyTorch in fp32"}
    return {**found, "max_difference": worst, "tolerance": tolerance, "ok": worst <= tolerance}


def measure(
    work: Workload, root: Path, rounds: int, seconds: float, chosen: list[providers.Provider]
) -> dict[str, Any]:
    """The parts of a report for one workload: measurements, checks and targets."""
    ceiling = Ceiling(work, root / "graphs" / work.name, chosen)
    with served(work, root, chosen) as server:
        checked = check(server, work, root)
        # The best of each way of feeding, by one look at each; the rounds measure those.
        looks = {variant: ceiling.run(variant, seconds / 5).rate for variant in ceiling.variants}
        best = {
            kept: max((v for v in looks if v.kept == kept), key=looks.__getitem__) for kept in {v.kept for v in looks}
        }
        ours = [*((clients, 1) for clients in CLIENTS), LISTS[::-1]]
        found: dict[Any, list[Load]] = {key: [] for key in (*best.values(), *ours)}
        for number in range(rounds):
            click.echo(f"{work.name}: round {number + 1} of {rounds}")
            for key, loads in found.items():
                bare = isinstance(key, Variant)
                loads.append(ceiling.run(key, seconds) if bare else ask(server, work, key[0], key[1], seconds))
    common = {"workload": work.name, "precision": "fp16", "offered": None, "fraction": None}
    measured = []
    for key, loads in found.items():
        told = {**common, "rounds": [figures(load) for load in loads]}
        if isinstance(key, Variant):
            measured.append(
                {**told, "system": "ceiling", "load": "batch", "clients": None, "batch": key.batch, "variant": str(key)}
            )
        else:
            texts = f"{key[1]} texts a request" if key[1] > 1 else ""
            measured.append(
                {**told, "system": "ours", "load": "closed", "clients": key[0], "batch": None, "variant": texts}
            )
    top = [
        max(each) for each in zip(*([load.rate for load in found[variant]] for variant in best.values()), strict=True)
    ]
    return {
        "measurements": measured,
        "checks": [checked],
        "targets": [ratio(work, key, found[key], top) for key in ours],
    }


def ratio(work: Workload, key: tuple[int, int], loads: list[Load], top: list[float]) -> dict[str, Any]:
    """Ours over the ceiling of the same round."""
    found = [load.rate / most for load, most in zip(loads, top, strict=True)]
    tokens = workloads.SHORT if work.name.startswith("short") else workloads.LONG
    return {
        "name": f"ours ÷ ceiling on the card, {work.name}, fp16, {key[0]} clients, {key[1]} texts a request",
        "target": TARGETS[tokens],
        "op": ">=",
        "median": statistics.median(found),
        "low": min(found),
        "high": max(found),
        "met": None,
        "unit": "x",
        "note": "the target is a processor's, for comparison",
    }


def card_or_exit(on_processor: bool) -> tuple[str, list[providers.Provider]]:
    """The card's name and the providers; ends with one line where there is no card to measure."""
    if on_processor:
        return "no card: a trial of this script", [CPU]
    try:
        name = card(0).name
        if CUDA not in onnxruntime.get_available_providers():
            raise NoCardError("the installed ONNX Runtime is the processor's: install triton-hf[gpu]")
    except NoCardError as error:
        click.echo(f"perf.gpu: nothing was measured: {error}", err=True)
        sys.exit(1)
    chosen = providers.choose(Path())
    if chosen == [CPU]:
        sys.exit(1)
    return name, chosen


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="For report.json and pages."
)
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each measurement.")
@click.option("--only", help="One workload, such as short-minilm.")
@click.option(
    "--on-processor", is_flag=True, help="Try the script out where there is no card; its figures say nothing."
)
def main(out: Path, rounds: int, seconds: float, only: str | None, on_processor: bool) -> None:
    """Measure ours and the ceiling on this machine's first card."""
    name, chosen = card_or_exit(on_processor)
    found = report.empty(quick=False, rounds=rounds, seconds=seconds)
    found["title"] = f"triton-hf beside what the card can do ({name})"
    found["machine"]["gpu"] = name
    found["systems"] = [
        {"name": "ceiling", "version": f"ONNX Runtime {onnxruntime.__version__}", "what": "bare, input ready, fp16"},
        {"name": "ours", "version": "triton-hf", "what": "/invocations, fp16"},
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for work in works(Path(scratch)):
            if only not in (None, work.name):
                continue
            found["workloads"].append({"name": work.name, "task": work.task, "model": work.model, "what": work.what})
            try:
                parts = measure(work, Path(scratch), rounds, seconds, chosen)
            except ConversionError as error:
                raise click.ClickException(str(error)) from error
            for part, entries in parts.items():
                found[part] += entries
    report.write(found, out)
    click.echo(f"{out}/report.html")


if __name__ == "__main__":
    main()
