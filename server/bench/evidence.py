"""What a tuning came to: written into the entry as parameters and evidence, and told."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from converters.entry import CONFIG
from server.bench.candidates import Candidate
from server.bench.measure import Rounds, report
from server.bench.search import Score, Trial
from server.bench.writing import keep
from server.errors import ServerError

FILE = "tuning"
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Goal:
    """What is looked for, and how long."""

    p99_ms: float
    most_clients: int
    seconds: float
    """Of a measurement."""
    rounds: int
    """Of the comparison at the end."""
    limit: float
    """Seconds for everything."""


@dataclass
class Compared:
    """A setting in the alternating rounds at the end."""

    candidate: Candidate
    rounds: Rounds

    def score(self, bound_ms: float) -> Score | None:
        """From medians; None where a round answered nothing."""
        rates = [cost.load.rate for cost in self.rounds.costs]
        p99 = [cost.load.percentile_ms(99) for cost in self.rounds.costs]
        if not rates or None in p99:
            return None
        median = statistics.median(each for each in p99 if each is not None)
        return Score(median <= bound_ms, statistics.median(rates), median, self.rounds.point.clients or 0)


@dataclass
class Result:
    """What came of it."""

    before: Compared
    after: Compared
    chosen: Candidate
    trials: list[Trial] = field(default_factory=list)
    measured: dict[str, list[Rounds]] = field(default_factory=dict)
    complete: bool = True
    """Whether everything was tried before the time was over."""


def write(entry: Path, result: Result, goal: Goal, texts: str, requests: int) -> str:
    """Write the evidence and then the parameters into an entry; returns the evidence's path."""
    path = keep(evidence(entry.name, result, goal, texts, requests), entry, FILE)
    config = entry / CONFIG
    unfinished = config.with_name(f".{CONFIG}")
    try:
        unfinished.write_text(result.chosen.applied(config.read_text("utf-8")), "utf-8")
        unfinished.replace(config)
    except OSError as error:
        raise ServerError(f"{config} cannot be written: {error.strerror or error}") from error
    return path


def tell(result: Result, goal: Goal, path: str) -> None:
    """What was found, on stdout."""
    first, last = result.before.score(goal.p99_ms), result.after.score(goal.p99_ms)
    click.echo(f"as it is: {worded(first, goal.p99_ms) if first else 'not every round was answered'}")
    if result.chosen == result.before.candidate:
        click.echo("nothing tried was better: the entry stays as it is")
    elif last:
        ratio = f", {last.rate / first.rate:.2f} times the requests" if first and first.within == last.within else ""
        click.echo(f"{result.chosen}: {worded(last, goal.p99_ms)}{ratio}")
    best = last if last and result.chosen != result.before.candidate else first
    if best and not best.within:
        click.echo(f"no setting tried stays within {goal.p99_ms:g} ms: the one with the lowest p99 was kept")
    if not result.complete:
        click.echo("not everything was tried: give it more --minutes")
    click.echo(path)


def worded(score: Score, bound_ms: float) -> str:
    """A score in words."""
    sign = "" if score.within else f", over the {bound_ms:g} asked for"
    clients = f"{score.clients} client{'' if score.clients == 1 else 's'}"
    return f"{score.rate:,.1f} requests/s from {clients}, p99 {score.p99_ms:,.1f} ms{sign}"


def evidence(name: str, result: Result, goal: Goal, texts: str, requests: int) -> dict[str, Any]:
    """A report with the comparison, every trial, and what was chosen."""
    made = report(f"{name}, tuned for a p99 of {goal.p99_ms:g} ms", goal.rounds, goal.seconds)
    compared = [(BEFORE, result.before)] + ([(AFTER, result.after)] if result.after is not result.before else [])
    made["workloads"] = [{"name": texts, "task": "", "model": name, "what": f"{requests} requests in turn"}]
    made["systems"] = [{"name": system, "version": "", "what": str(each.candidate)} for system, each in compared]
    made["systems"] += [{"name": setting, "version": "", "what": ""} for setting in result.measured]
    made["measurements"] = [each.rounds.measurement(texts, system) for system, each in compared]
    made["measurements"] += [
        rounds.measurement(texts, setting) for setting, found in result.measured.items() for rounds in found
    ]
    made["stages"] = [stages for system, each in compared if (stages := each.rounds.stages(texts, system))]
    made["targets"] = [_target(system, each, goal) for system, each in compared]
    made["tuning"] = {
        "p99_ms": goal.p99_ms,
        "texts": texts,
        "parameters": dict(result.chosen.parameters),
        "instances": result.chosen.instances,
        "complete": result.complete,
        "trials": [_trial(each) for each in result.trials],
    }
    return made


def _target(system: str, each: Compared, goal: Goal) -> dict[str, Any]:
    took = [p99 for cost in each.rounds.costs if (p99 := cost.load.percentile_ms(99)) is not None]
    score = each.score(goal.p99_ms)
    return {
        "name": f"p99 {system} ({each.candidate}), {each.rounds.point}",
        "target": goal.p99_ms,
        "op": "<=",
        "median": statistics.median(took) if took else None,
        "low": min(took, default=None),
        "high": max(took, default=None),
        "met": score.within if score else None,
        "unit": "ms",
        "note": f"{score.rate:,.1f} requests/s" if score else "",
    }


def _trial(each: Trial) -> dict[str, Any]:
    score = each.score
    reached = (
        {"within": score.within, "rate": round(score.rate, 2), "p99_ms": score.p99_ms, "clients": score.clients}
        if score
        else {"problem": each.problem}
    )
    return {"setting": str(each.candidate), **reached}
