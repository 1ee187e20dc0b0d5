"""`python -m perf.bench`, which scripts/bench calls: everything measured in one run on one machine, and the report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from perf.bench import cold, grid, report, systems, targets, workloads, wrk
from perf.bench.analyzer import Analyzer, AnalyzerError
from perf.bench.answers import Different
from perf.bench.ceiling import CeilingError
from perf.bench.course import Course
from perf.bench.peers import environment
from perf.bench.peers.toolkit import Toolkit
from perf.bench.system import Unavailable

FOLDER = "TRITON_HF_BENCH"
"""The variable that puts models, conversions and exports somewhere else than `.bench/` in the repository."""
_ROUNDS, _SECONDS = 5, 2.0
_QUICK_ROUNDS, _QUICK_SECONDS = 3, 1.5
_STARTS = 5


@click.command()
@click.option("--quick", is_flag=True, help="Only what the targets need, in fewer and shorter rounds: ten minutes.")
@click.option(
    "--workload",
    "wanted",
    type=click.Choice(workloads.NAMES),
    multiple=True,
    help="Measure this one only; may be given several times.",
)
@click.option(
    "--system",
    "chosen",
    type=click.Choice(systems.NAMES),
    multiple=True,
    help="Measure this one only; may be given several times.",
)
@click.option("--rounds", type=click.IntRange(min=1), help=f"Alternating rounds.  [default: {_ROUNDS}]")
@click.option("--seconds", type=click.FloatRange(min=1), help=f"Of a measurement.  [default: {_SECONDS:g}]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/bench"),
    show_default=True,
    help="Folder for report.json, report.html and table.md.",
)
def main(
    quick: bool,
    wanted: tuple[str, ...],
    chosen: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    out: Path,
) -> None:
    """Measure ours, the ceiling and the others in turns, write the report, and fail where it cannot be right."""
    console = Console(stderr=True)
    # As an interrupt does, it lets everything that was started be stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    root = Path(os.environ.get(FOLDER) or Path(__file__).parents[2] / ".bench").absolute()
    rounds = rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
    seconds = seconds or (_QUICK_SECONDS if quick else _SECONDS)
    names = wanted or (grid.QUICK if quick else grid.DEFAULT)
    found = report.empty(quick=quick, rounds=rounds, seconds=seconds)
    try:
        wrk.ensure()
        Analyzer(root).ensure()
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            _measure(found, names, chosen or systems.NAMES, root, Path(scratch), console)
    except (Different, CeilingError, AnalyzerError, wrk.WrkError, RuntimeError, OSError) as error:
        # What was measured before is worth having.
        if found["measurements"]:
            _finish(found, out, console)
        raise click.ClickException(str(error)) from error
    _finish(found, out, console)
    if found["failures"]:
        raise click.ClickException("the report is wrong: " + "; ".join(found["failures"]))


def _measure(
    found: dict[str, Any], names: tuple[str, ...], chosen: tuple[str, ...], root: Path, scratch: Path, console: Console
) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def note(line: str) -> None:
            found["notes"].append(line)
            progress.console.print(line, markup=False, highlight=False)

        for name in {each.name for each, _ in systems.make(chosen, root)} & {*environment.NAMES}:
            progress.update(task, description=f"installing {name}")
            try:
                environment.ensure(name)
            except Unavailable as error:
                note(str(error))
        versions: dict[str, str] = {}
        everyone = systems.make(chosen, root)
        # Once a run, and not in a quick one: it takes two minutes.
        tune = not found["quick"]
        for place, name in enumerate(names, 1):

            def step(line: str, at: str = f"{name} ({place} of {len(names)})") -> None:
                progress.update(task, description=f"{at}: {line}")

            step("making the model")
            workload = workloads.build(name, root)
            plan = grid.plan(name, quick=found["quick"])
            course = Course(workload, plan, root, scratch, found["seconds"], note, step)
            taking_part = [(each, precision) for each, precision in everyone if plan.of(each.name, precision)]
            course.run(taking_part, found["rounds"], ceiling=systems.CEILING in chosen, tune=tune)
            tune = tune and not any(each.name == Toolkit.name for each, _ in taking_part)
            about = {"name": name, "task": workload.task, "model": workload.model, "what": workload.what}
            found["workloads"].append(about)
            found["measurements"] += course.measurements
            found["stages"] += course.stages
            found["checks"] += course.checks
            versions |= course.versions
            found["systems"] = systems.described(versions, found["measurements"])
            progress.console.print(f"{name} measured", markup=False, highlight=False)
        if systems.OURS in chosen and "short-minilm" in names:
            progress.update(task, description="cold starts")
            found["cold_start"] = _cold(scratch, note, _STARTS if found["rounds"] > 1 else 1)


def _cold(scratch: Path, note: Any, count: int) -> list[float]:
    (scratch / "cold").mkdir()
    try:
        return cold.starts(scratch / "cold", count)
    except (OSError, AssertionError, subprocess.SubprocessError, click.ClickException) as error:
        note(f"without cold starts: {str(error).strip().splitlines()[-1]}")
        return []


def _finish(found: dict[str, Any], out: Path, console: Console) -> None:
    found["targets"] = targets.evaluate(found)
    found["failures"] = targets.beaten_ceilings(found)
    report.write(found, out)
    for each in found["targets"]:
        if each["median"] is not None:
            verdict = "met" if each["met"] else "missed"
            spread = f"{each['median']:.3g} ({each['low']:.3g}–{each['high']:.3g})"
            line = f"{verdict:>6}  {each['name']}: {spread} {each['unit']}, {each['op']} {each['target']:g}"
            console.print(line, markup=False, highlight=False)
    console.print(f"report: {out / 'report.html'}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
