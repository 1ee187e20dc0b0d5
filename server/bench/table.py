"""Tables of a report as Markdown, for a README: between markers, so that they can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.bench.reading import Measurement, Report, Series

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
CLIENTS = (1, 32)
"""Whose rows are shown; the most clients of a workload that has neither."""
_VERDICTS = {True: "met", False: "**missed**", None: "not measured"}


def put(report: Mapping[str, Any], target: Path) -> None:
    """Put the tables of a report between the markers in a file. ValueError where it has no markers."""
    text = target.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{target} has no {BEGIN} and {END}")
    target.write_text(f"{before}{BEGIN}\n\n{tables(report)}\n{END}{after}", "utf-8")


def tables(report: Mapping[str, Any]) -> str:
    """The machine, what was measured, and the targets."""
    read = Report(report)
    return "\n\n".join(part for part in (_machine(read), throughput(read), targets(read)) if part) + "\n"


def throughput(report: Report) -> str:
    """Requests a second of every system by workload and clients, with our 99th percentile."""
    measured = {each.series for each in report.measurements if each.load in ("closed", "batch")}
    shown = [series for series in report.series if series in measured]
    ours = next((series for series in shown if series.system == "ours"), None)
    header = ["workload", "clients", *map(report.label, shown), *(["p99 here"] if ours else [])]
    lines = [_line(header), "|---|--:|" + "--:|" * (len(header) - 2)]
    for workload in report.workloads:
        for clients in _clients(report, workload):
            cells = [_rate(report, workload, clients, series) for series in shown]
            if ours:
                point = _point(report, workload, clients, ours)
                stat = point and point.stat("p99_ms")
                cells.append(f"{stat.median:,.{1 if stat.median < 100 else 0}f} ms" if stat else "")
            lines.append(_line([workload, str(clients), *cells]))
    return "\n".join(lines) if len(lines) > 2 else ""


def targets(report: Report) -> str:
    """What was aimed at, and what came of it."""
    listed = report.part("targets")
    if not listed:
        return ""
    lines = [_line(["target", "", "measured", ""]), "|---|--:|--:|---|"]
    for each in listed:
        unit = {"x": "×"}.get(each.get("unit", ""), f" {each.get('unit', '')}".rstrip())
        sign = {">=": "≥", "<=": "≤"}.get(each["op"], each["op"])
        measured = ""
        if each.get("median") is not None:
            measured = f"{each['median']:.3g}{unit} ({each['low']:.3g}–{each['high']:.3g})"
        verdict = _VERDICTS[each.get("met")]
        lines.append(_line([each["name"], f"{sign} {each['target']:g}{unit}", measured, verdict]))
    return "\n".join(lines)


def _machine(report: Report) -> str:
    machine = report.stored.get("machine") or {}
    cores = machine.get("cores")
    what = [machine.get("cpu"), f"{cores} cores" if cores else None, machine.get("gpu")]
    where = ", ".join(str(each) for each in what if each)
    rounds, seconds = report.stored.get("rounds"), report.stored.get("seconds")
    how = f"medians of {rounds} alternating rounds of {seconds:g} s" if rounds and seconds else ""
    sentence = "; ".join(each for each in (where, how) if each)
    return f"Requests a second on {sentence}." if where else ""


def _clients(report: Report, workload: str) -> list[int]:
    counts = sorted({each.clients for each in report.pick(workload, "closed") if each.clients})
    return [count for count in counts if count in CLIENTS] or counts[-1:]


def _rate(report: Report, workload: str, clients: int | None, series: Series) -> str:
    """The rate of a system, the same for any number of clients where nothing asks it."""
    point = report.best(workload, series) or _point(report, workload, clients, series)
    stat = point and point.stat("rate")
    return f"{stat.median:,.{0 if stat.median >= 100 else 1}f}" if stat else ""


def _point(report: Report, workload: str, clients: int | None, series: Series) -> Measurement | None:
    return next((each for each in report.pick(workload, "closed", series) if each.clients == clients), None)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
