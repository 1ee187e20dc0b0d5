"""A report of `check` for people: one screen, the verdict last."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from converters.check import Report

_WIDE = 1000
"""Columns of a pipe."""

_TIERS = {
    "fast": "fast path: an ONNX graph, requests batched",
    "accelerated": "accelerated: ONNX graphs in the transformers pipeline, requests batched where answers allow",
    "torch": "torch: the transformers pipeline, not accelerated",
    "script": "script: the script's own model, nothing is converted",
}


def show(report: Report) -> None:
    """Print a report to stdout. Lines wrap on a terminal and stay whole in a pipe."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print(report, console)
        return
    console = Console(highlight=False, width=_WIDE)
    with console.capture() as captured:
        _print(report, console)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def _print(report: Report, console: Console) -> None:
    title = Text(report.source, style="bold")
    if report.kind:
        files = f", {report.files} file{'' if report.files == 1 else 's'}" if report.files else ""
        title.append(f"  {report.kind}{files}", style="dim not bold")
    console.print(title)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, cell in _rows(report):
        table.add_row(f"  {name}", cell)
    if table.row_count:
        console.print(table)
    # The verdict says a single problem already.
    problems = report.problems if len(report.problems) > 1 else []
    for mark, style, lines in (("!", "yellow", report.notes), ("✗", "red", problems)):
        for line in lines:
            grid = Table.grid(padding=(0, 1, 0, 0))
            grid.add_row(Text(f"  {mark}", style=style), Text(line))
            console.print(grid)
    console.print(Text(verdict(report), style="bold green" if report.serves else "bold red"))


def verdict(report: Report) -> str:
    """The last line."""
    if not report.serves:
        more = f" (and {len(report.problems) - 1} more)" if len(report.problems) > 1 else ""
        return f"would not serve: {report.problems[0]}{more}"
    how = {
        "fast": "on the fast path"
        if report.certain
        else "on the fast path if its export passes, else on a slower tier",
        "accelerated": "accelerated if its export passes, else on torch",
        "torch": "on torch, not accelerated",
        "script": "by its script",
    }[report.tier]
    count = f"{report.instances} instance{'' if report.instances == 1 else 's'}"
    return f"serves: {report.task} {how}, {count}"


def _rows(report: Report) -> list[tuple[str, Text | Table]]:
    rows: list[tuple[str, Text | Table]] = []
    if report.task:
        rows.append(("task", _with(report.task, report.task_reason)))
    if report.weights:
        rows.append(("weights", Text(report.weights)))
    if report.tier:
        tier = Text(_TIERS[report.tier])
        if not report.certain:
            tier.append("; whether the export works is decided at conversion", style="dim")
        for reason in report.reasons:
            tier.append(f"\n{reason}", style="dim")
        rows.append(("tier", tier))
    if report.hooks:
        rows.append(("hooks", _hooks(report)))
    if report.tier and report.serves:
        why = ", one a core here: requests are answered one by one" if report.instances > 1 else ""
        rows.append(("instances", _with(str(report.instances), why.lstrip(", "))))
    if report.requirements:
        rows.append(("needs", _pairs([(row["requirement"], row["outcome"]) for row in report.requirements])))
    if report.missing:
        rows.append(("missing", _pairs([(row["module"], f"{row['where']}: {row['hint']}") for row in report.missing])))
    return rows


def _hooks(report: Report) -> Table:
    rows = []
    for hook in report.hooks:
        detail = hook["where"]
        if hook["context"]:
            detail += ", gets the context"
        elif hook["signature"] is None and hook["where"]:
            detail += ", signature unknown"
        rows.append((f"{hook['name']}{hook['signature'] or ''}", detail))
    return _pairs(rows)


def _with(text: str, detail: str) -> Text:
    line = Text(text)
    if detail:
        line.append(f"  {detail}", style="dim")
    return line


def _pairs(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for left, right in rows:
        table.add_row(Text(left, overflow="fold"), Text(right, style="dim"))
    return table
