"""The targets, as data, and what a report says of them.

Every figure is a ratio or a difference within a round, of things that were measured one after the other in it; then the
median of the rounds, the lowest and the highest are told.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS, GRPC, CEILING, TOOLKIT, NAIVE = "ours", "ours-grpc", "ceiling", "toolkit", "naive padding"
NAIVE_ROWS = 32
NOISE = 0.02
"""By what share ours may be over the ceiling in the median, at least, before the report is called wrong."""

Measurements = Sequence[Mapping[str, Any]]
Values = list[float] | None
"""One a round; None where it was not measured."""


@dataclass(frozen=True)
class Target:
    """What is to be reached."""

    name: str
    op: str
    """">=" or "<="."""
    target: float
    unit: str
    values: Callable[[Mapping[str, Any]], Values]
    """From a report."""
    note: str = ""

    def met_by(self, value: float) -> bool:
        return value >= self.target if self.op == ">=" else value <= self.target


def evaluate(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report's `targets`; `met` is None for what was not measured."""
    found = []
    for each in TARGETS:
        values = each.values(report)
        median = statistics.median(values) if values else None
        found.append(
            {
                "name": each.name,
                "target": each.target,
                "op": each.op,
                "median": median,
                "low": min(values) if values else None,
                "high": max(values) if values else None,
                "met": None if median is None else each.met_by(median),
                "unit": each.unit,
                "note": each.note,
            }
        )
    return found


def beaten_ceilings(report: Mapping[str, Any]) -> list[str]:
    """A line for each ceiling that ours is over, which makes the report wrong: what is beaten was no ceiling.

    Ours is over it where the median of the rounds' ratios exceeds 1 by more than half the range of the ceiling's own
    rates, as a share of their median, by more than one answer that a round counted or did not, and by more than NOISE.
    """
    found = []
    measurements = report["measurements"]
    for workload, precision in sorted({(each["workload"], each["precision"]) for each in measurements}):
        ceiling = ceiling_rates(report, workload, precision)
        if not ceiling:
            continue
        spread = (max(ceiling) - min(ceiling)) / statistics.median(ceiling) / 2
        for each in _all(report, workload, precision):
            rates = _column(each, "rate")
            if each["system"] not in (OURS, GRPC) or each["load"] != "closed" or not rates:
                continue
            ratio = statistics.median(_ratios(rates, ceiling))
            answers = _column(each, "requests")
            if ratio > 1 + max(NOISE, spread, 1 / statistics.median(answers) if answers else 0.0):
                found.append(
                    f"{workload} {precision}: {each['system']} with {each['clients']} clients does {ratio:.2f} of the "
                    f"ceiling, which therefore is none"
                )
    return found


def ceiling_rates(report: Mapping[str, Any], workload: str, precision: str) -> Values:
    """The best of the ceiling's finalists in each round."""
    columns = [_column(each, "rate") for each in _all(report, workload, precision) if each["system"] == CEILING]
    kept = [column for column in columns if column]
    return [max(rates) for rates in zip(*kept, strict=False)] if kept else None


def _all(report: Mapping[str, Any], workload: str, precision: str) -> Iterable[Mapping[str, Any]]:
    return (each for each in report["measurements"] if (each["workload"], each["precision"]) == (workload, precision))


def _column(measurement: Mapping[str, Any] | None, name: str) -> list[float]:
    """A figure of every round; nothing where one has it not."""
    values = [] if measurement is None else [each.get(name) for each in measurement["rounds"]]
    return [] if any(value is None or value != value for value in values) else [float(value) for value in values]


def _find(report: Mapping[str, Any], workload: str, system: str, precision: str = "fp32", **about: Any) -> Any:
    """The first measurement like that; None where there is none."""
    return next(
        (
            each
            for each in _all(report, workload, precision)
            if each["system"] == system and all(each.get(key) == value for key, value in about.items())
        ),
        None,
    )


def _closed(report: Mapping[str, Any], workload: str, system: str, precision: str, clients: int, figure: str) -> Any:
    return _column(_find(report, workload, system, precision, load="closed", clients=clients), figure)


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=False) if b]


def _of_ceiling(workload: str, precision: str, clients: int) -> Callable[[Mapping[str, Any]], Values]:
    def values(report: Mapping[str, Any]) -> Values:
        rates = _closed(report, workload, OURS, precision, clients, "rate")
        return _ratios(rates, ceiling_rates(report, workload, precision) or []) or None

    return values


def _of_toolkit(precision: str, figure: str) -> Callable[[Mapping[str, Any]], Values]:
    def values(report: Mapping[str, Any]) -> Values:
        ours = _closed(report, "short-distilbert", OURS, precision, 32, figure)
        theirs = _closed(report, "short-distilbert", TOOLKIT, "fp32", 32, figure)
        return _ratios(ours, theirs) or None

    return values


def _tail(report: Mapping[str, Any]) -> Values:
    """p99 of ours, at the rate that is the toolkit's greatest, by the toolkit's at that rate."""
    theirs = [
        each
        for each in _all(report, "short-distilbert", "fp32")
        if each["system"] == TOOLKIT and each["load"] == "closed" and _column(each, "rate")
    ]
    ours = _find(report, "short-distilbert", OURS, load="open", variant="the toolkit's maximum")
    if not theirs:
        return None
    best = max(theirs, key=lambda each: statistics.median(_column(each, "rate")))
    return _ratios(_column(ours, "p99_ms"), _column(best, "p99_ms")) or None


def _padding(report: Mapping[str, Any]) -> Values:
    ours = _closed(report, "mixed-minilm", OURS, "fp32", 64, "rate")
    naive = _column(_find(report, "mixed-minilm", NAIVE, batch=NAIVE_ROWS), "rate")
    return _ratios(ours, naive) or None


def _alone(report: Mapping[str, Any]) -> Values:
    ours = _closed(report, "short-minilm", OURS, "fp32", 1, "p50_ms")
    bare = _column(_find(report, "short-minilm", CEILING, load="batch", clients=1), "p50_ms")
    return [a - b for a, b in zip(ours, bare, strict=False)] or None


def _memory(report: Mapping[str, Any]) -> Values:
    """None where the toolkit ran otherwise than with two workers."""
    toolkit = next((each for each in report["systems"] if each["name"] == TOOLKIT), None)
    return None if toolkit is None or "2 workers" not in toolkit["version"] else _of_toolkit("fp32", "pss_mb")(report)


def _cold(report: Mapping[str, Any]) -> Values:
    return list(report.get("cold_start") or []) or None


TARGETS = (
    Target(
        "ours ÷ ceiling: short, MiniLM fp32, 64 clients",
        *(">=", 0.88, "x"),
        _of_ceiling("short-minilm", "fp32", 64),
        "requests/s through /invocations by texts/s of bare ONNX Runtime, the best of its finalists in each round",
    ),
    Target("ours ÷ ceiling: long, MiniLM fp32, 64 clients", *(">=", 0.97, "x"), _of_ceiling("long-minilm", "fp32", 64)),
    Target("ours ÷ toolkit: DistilBERT short, 32 clients, fp32", *(">=", 6.0, "x"), _of_toolkit("fp32", "rate")),
    Target("ours int8 ÷ toolkit: DistilBERT short, 32 clients", *(">=", 15.0, "x"), _of_toolkit("int8", "rate")),
    Target(
        "ours int8 ÷ int8 ceiling: short, MiniLM, 64 clients",
        *(">=", 0.8, "x"),
        _of_ceiling("short-minilm", "int8", 64),
        "the int8 graphs are our entry's and ONNX Runtime's dynamic quantisation per channel of the plain export",
    ),
    Target(
        "p99 ÷ toolkit's p99, at the toolkit's maximum load",
        *("<=", 0.2, "x"),
        _tail,
        "DistilBERT short; ours gets the toolkit's greatest rate as random arrivals, the toolkit is asked by the "
        "clients with whom it reached it, which wait for their answers and so spare it a queue",
    ),
    Target(
        "mixed lengths: ours ÷ the same texts padded naively",
        *(">=", 2.0, "x"),
        _padding,
        f"MiniLM, 64 clients through /invocations by bare ONNX Runtime on batches of {NAIVE_ROWS} texts in order of "
        "arrival, each padded to its longest: about what waits at once with 64 clients, half of them being computed",
    ),
    Target(
        "one client, short: ours − bare ONNX Runtime",
        *("<=", 1.0, "ms"),
        _alone,
        "MiniLM fp32, medians of a round; bare is the quickest of every graph on one or all cores",
    ),
    Target(
        "converted model: process start to first answer",
        *("<=", 2.5, "s"),
        _cold,
        "MiniLM fp32 in a read-only folder",
    ),
    Target(
        "resident memory, whole tree: ours ÷ toolkit with 2 workers",
        *("<=", 0.4, "x"),
        _memory,
        "DistilBERT fp32 after 32 clients; proportional set size, which counts shared pages once",
    ),
)
