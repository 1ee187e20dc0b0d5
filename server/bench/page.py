"""report.json as one page: plots, tables and style in it, nothing fetched from anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from server.bench.looks import STYLE
from server.bench.plots import Plots
from server.bench.reading import Measurement, Report, Stat

_EMPTY = re.compile("<td[^>]*></td>")
_VERDICTS = {
    True: '<span class="good">met</span>',
    False: '<span class="bad">missed</span>',
    None: '<span class="weak">not measured</span>',
}
_LINES = {"fp32": "", "int8": "5 2", "fp16": "2 2"}


def write(report: Mapping[str, Any], target: Path) -> None:
    """Write the page of a report; parts that it has not are left out. ValueError where it is of another format."""
    target.write_text(page(report), "utf-8")


def page(report: Mapping[str, Any]) -> str:
    """The page itself."""
    read = Report(report)
    plots = Plots(read)
    sections = [(title, content) for title, make in _SECTIONS.items() if (content := make(read, plots))]
    anchors = [title.lower().replace(" ", "-") for title, _ in sections]
    links = "".join(f'<a href="#{at}">{escape(title)}</a>' for at, (title, _) in zip(anchors, sections, strict=True))
    body = "".join(
        f'<section><h2 id="{at}">{escape(title)}</h2>{content}</section>'
        for at, (title, content) in zip(anchors, sections, strict=True)
    )
    title = escape(str(report.get("title") or "Benchmark"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1>{_about(read)}<nav>{links}</nav>{body}</body></html>\n"
    )


def _about(report: Report) -> str:
    stored, machine = report.stored, report.stored.get("machine") or {}
    when = datetime.fromisoformat(stored["created"]).strftime("%Y-%m-%d %H:%M") if stored.get("created") else ""
    rounds, seconds = stored.get("rounds"), stored.get("seconds")
    alternating = "alternating " if len(report.systems) > 1 else ""
    many = f"{rounds} {alternating}rounds" if rounds and rounds > 1 else f"{rounds} round"
    how = f"{many} of {seconds:g} s" if rounds and seconds else ""
    if stored.get("quick"):
        how += ", quick: fewer rounds and points than a full run"
    cores = machine.get("cores")
    what = [machine.get("cpu"), f"{cores} cores" if cores else None, _gb(machine.get("memory_gb")), machine.get("gpu")]
    versions = ", ".join(f"{name} {version}" for name, version in (machine.get("versions") or {}).items())
    rows = [
        ("When", when),
        ("Machine", ", ".join(str(each) for each in what if each)),
        ("How", how),
        ("Python", " · ".join(each for each in (str(machine.get("python") or ""), versions) if each)),
    ]
    rows += [
        (each["name"], " — ".join(str(each[key]) for key in ("what", "version") if each.get(key)))
        for each in report.part("systems")
        if each.get("what") or each.get("version")
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows if text)
    return f"<dl>{listed}</dl>"


def _targets(report: Report, _plots: Plots) -> str:
    rows = []
    for each in report.part("targets"):
        unit = {"x": "×"}.get(each.get("unit", ""), f" {each.get('unit', '')}".rstrip())
        sign = {">=": "≥", "<=": "≤"}.get(each["op"], each["op"])
        met = _VERDICTS[each.get("met")]
        stat = None if each.get("median") is None else Stat(each["median"], each["low"], each["high"])
        measured = _spread(stat, 3, unit)
        cells = (_cell(each["name"]), _number(f"{sign} {each['target']:g}{unit}"), _number(measured), _raw(met))
        rows.append((*cells, _cell(each.get("note", ""))))
    return _table(("", "target", "measured", "", "note"), rows, numbers=(1, 2))


def _throughput(report: Report, plots: Plots) -> str:
    found = _figures(report, plots.throughput)
    if not found:
        return ""
    text = "Clients that each wait for their answer; medians in the band of the rounds. Higher is better."
    if any(report.best(workload, series) for workload in report.workloads for series in report.series):
        text += " A line across is the best of all batches, for what is not asked by clients."
    return f"<p>{text}</p>{_legend(plots, 'closed', 'batch')}<div class=grid>{found}</div>"


def _latencies(report: Report, plots: Plots) -> str:
    found = _figures(report, plots.latencies)
    text = "What so many percent of the requests took at most, medians in the band of the rounds. Lower is better."
    return found and f"<p>{text}</p>{_legend(plots, 'closed')}{found}"


def _offered(report: Report, plots: Plots) -> str:
    found = _figures(report, plots.offered)
    text = (
        "Requests that arrive at random moments and wait for nobody, as those of many users do. Solid is the median, "
        "dotted the 99th percentile, from the moment that a request was due."
    )
    return found and f"<p>{text}</p>{_legend(plots, 'open')}<div class=grid>{found}</div>"


def _stages(_report: Report, plots: Plots) -> str:
    wall, cpu = plots.stages("wall_ms", "ms"), plots.stages("cpu_us", "µs")
    parts = [
        f"<figure><figcaption>{title}</figcaption>{plot}</figure>"
        for title, plot in (("Time of a request", wall), ("Processor time of a request", cpu))
        if plot
    ]
    return "".join(parts)


def _memory(_report: Report, plots: Plots) -> str:
    plot = plots.memory()
    return plot and f"<figure>{plot}</figure>"


def _checks(report: Report, _plots: Plots) -> str:
    rows = []
    for each in report.part("checks"):
        verdict = '<span class="good">equal</span>' if each["ok"] else '<span class="bad">differs</span>'
        difference, tolerance = (
            "" if each.get(key) is None else f"{each[key]:.3g}" for key in ("max_difference", "tolerance")
        )
        cells = (_cell(each["workload"]), _cell(each["system"]), _cell(each["against"]))
        rows.append((*cells, _number(difference), _number(tolerance), _raw(verdict)))
    header = ("workload", "system", "against", "largest difference", "tolerance", "")
    table = _table(header, rows, numbers=(3, 4))
    return table and f"<p>Answers were compared before anything was timed.</p>{table}"


def _all(report: Report, _plots: Plots) -> str:
    text = (
        "Medians of the rounds, with the range of some. CPU is processor time a request, MB is resident memory, both "
        "of the whole tree of processes; batch is rows in a run of the graph."
    )
    asked = [each for each in report.measurements if each.load != "batch"]
    batches = [each for each in report.measurements if each.load == "batch"]
    parts = [
        f"<details{opened}><summary>{len(rows)} {what}</summary>{_measured(report, rows)}</details>"
        for rows, what, opened in ((asked, "measurements", " open"), (batches, "batches without clients", ""))
        if rows
    ]
    return f"<p>{text}</p>{''.join(parts)}" if parts else ""


def _measured(report: Report, measurements: Sequence[Measurement]) -> str:
    rows = [_row(report, each) for each in measurements]
    header = ("workload", "system", "load", *(title for title, _, _, _ in _COLUMNS), "errors", "503s")
    return _table(header, rows, numbers=range(3, len(header)))


_SECTIONS: dict[str, Callable[[Report, Plots], str]] = {
    "Targets": _targets,
    "Throughput": _throughput,
    "Latency": _latencies,
    "Latency under arrivals": _offered,
    "Where the time goes": _stages,
    "Memory": _memory,
    "Checks": _checks,
    "All measurements": _all,
}


def _row(report: Report, each: Measurement) -> tuple[str, ...]:
    spreads = [_spread(each.stat(name), digits, ranged=ranged) for _, name, digits, ranged in _COLUMNS]
    counts = [f"{total:,}" if (total := each.total(name)) else "" for name in ("errors", "rejected")]
    cells = (_cell(each.workload, "w"), _cell(report.label(each.series), "w"), _cell(_load(each), "w"))
    return (*cells, *map(_number, [*spreads, *counts]))


_COLUMNS = (
    ("requests/s", "rate", 1, True),
    ("p50 ms", "p50_ms", 2, False),
    ("p95 ms", "p95_ms", 2, False),
    ("p99 ms", "p99_ms", 2, True),
    ("CPU ms", "cpu_ms_per_request", 3, False),
    ("MB", "rss_mb", 0, False),
    ("batch", "mean_batch", 1, False),
)
"""Title, key, digits, and whether the range is shown."""


def _load(each: Measurement) -> str:
    """What the load was, in words."""
    if each.load == "closed":
        words = f"{each.clients} client{'' if each.clients == 1 else 's'}"
    elif each.load == "open":
        share = "" if each.fraction is None else f"{each.fraction:.0%} of the maximum, "
        words = f"{share}{each.offered:,.0f}/s" if each.offered else share.rstrip(", ")
    else:
        words = f"batches of {each.batch}" if each.batch else each.load
    return words + (f", {each.variant}" if each.variant else "")


def _figures(report: Report, plot: Callable[[str], str]) -> str:
    return "".join(
        f"<figure><figcaption>{escape(workload)}<small class=weak>{escape(report.what(workload))}</small></figcaption>"
        f"{drawn}</figure>"
        for workload in report.workloads
        if (drawn := plot(workload))
    )


def _legend(plots: Plots, *loads: str) -> str:
    lines = plots.legend(loads)
    if len(lines) < 2:
        return ""
    entries = "".join(
        f'<span><svg viewBox="0 0 26 10" aria-hidden="true"><path d="M1 5H25" stroke="{shade}" stroke-width="3" '
        f'stroke-dasharray="{_LINES.get(precision, "")}"/></svg>{escape(name)}</span>'
        for name, shade, precision in lines
    )
    return f"<div class=legend>{entries}</div>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Rows of cells; "" where there are none. Columns without anything in them are left out."""
    if not rows:
        return ""
    kept = [index for index in range(len(header)) if not all(_EMPTY.fullmatch(row[index]) for row in rows)]
    head = "".join(f"<th{' class=n' if index in numbers else ''}>{escape(header[index])}</th>" for index in kept)
    body = "".join(f"<tr>{''.join(row[index] for index in kept)}</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>'


def _number(text: str) -> str:
    return _cell(text, "n")


def _raw(content: str) -> str:
    return f"<td>{content}</td>"


def _spread(stat: Stat | None, digits: int, unit: str = "", *, ranged: bool = True) -> str:
    """Median, and the range where there is one to show."""
    if stat is None:
        return ""
    middle, low, high = (f"{value:,.{digits}f}" for value in (stat.median, stat.low, stat.high))
    return f"{middle}{unit}" if low == high or not ranged else f"{middle}{unit} ({low}–{high})"


def _gb(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} GB"
