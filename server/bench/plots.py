"""The plots of a report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from server.bench import drawing
from server.bench.drawing import DASHES, MARKERS, colour, nines, thousands
from server.bench.reading import Measurement, Report, Series, Stat

STAGES = {
    "client": 0,
    "adapter": 1,
    "wire": 2,
    "triton": 3,
    "backend": 4,
    "queue": 5,
    "tokenise": 6,
    "infer": 7,
    "encode": 8,
}
"""Where a request's time goes, in the order it goes there, with colours."""
PERCENTS = (0, 50, 90, 99, 99.9)


class Plots:
    """Draws one report; each method returns an SVG element, or "" where there is nothing to draw."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._drawn = 0
        names = list(dict.fromkeys(series.system for series in report.series))
        self._colours = {name: colour(index) for index, name in enumerate(names)}

    def legend(self, loads: Sequence[str]) -> list[tuple[str, str, str]]:
        """The name, the colour on the page and the precision of each line that these loads have."""
        shown = {each.series for each in self._report.measurements if each.load in loads}
        return [
            (self._report.label(series), drawing.variable(self._colours[series.system]), series.precision)
            for series in self._report.series
            if series in shown
        ]

    def throughput(self, workload: str) -> str:
        """Requests a second against clients; the ceiling is a line across."""
        lines = self._lines(workload, "closed", "rate")
        tried = [(series, self._report.best(workload, series)) for series in self._report.series]
        across = [(series, stat) for series, best in tried if best and (stat := best.stat("rate"))]
        if not lines:
            return ""
        with self._draw(4.4, 3.0) as (figure, drawn):
            axes = figure.add_subplot()
            counts = sorted({each.clients for points in lines.values() for each in points if each.clients})
            for series, points in lines.items():
                self._line(axes, series, [(each.clients, each.stat("rate")) for each in points])
            for series, stat in across:
                shade = self._colours[series.system]
                axes.axhspan(stat.low, stat.high, color=shade, alpha=0.15, linewidth=0)
                axes.axhline(stat.median, color=shade, linestyle=DASHES.get(series.precision, "-"))
            drawing.clients_axis(axes, counts)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(thousands))
            axes.set_ylabel("requests/s")
        return drawn[0]

    def latencies(self, workload: str) -> str:
        """Milliseconds against percentiles, a panel for each number of clients."""
        points = [each for each in self._report.pick(workload, "closed") if each.percentiles]
        counts = sorted({each.clients for each in points if each.clients})
        if not counts:
            return ""
        with self._draw(max(4.4, 2.35 * len(counts) + 0.4), 2.7) as (figure, drawn):
            panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
            for axes, count in zip(panels, counts, strict=True):
                for each in points:
                    if each.clients == count:
                        known = [(nines(p), stat) for p, stat in each.percentiles if p <= PERCENTS[-1]]
                        self._line(axes, each.series, known, marker="")
                drawing.milliseconds_axis(axes)
                axes.set_title(f"{count} client{'' if count == 1 else 's'}")
                drawing.percent_axis(axes, PERCENTS)
            panels[0].set_ylabel("ms")
            figure.supxlabel("percent of the requests, answered within", fontsize=9)
        return drawn[0]

    def offered(self, workload: str) -> str:
        """Milliseconds, median and 99th percentile, against the share of the maximum that arrives."""
        lines = self._lines(workload, "open", "p50_ms")
        if not lines:
            return ""
        with self._draw(4.4, 3.0) as (figure, drawn):
            axes = figure.add_subplot()
            shares = all(each.fraction is not None for points in lines.values() for each in points)
            # Shares stand side by side: 80 and 95 % would else lie on each other beside 400 %.
            ticks = sorted({each.fraction or 0.0 for points in lines.values() for each in points})
            for series, points in lines.items():
                at = [ticks.index(each.fraction or 0.0) if shares else each.offered for each in points]
                for name, style in (("p50_ms", "-"), ("p99_ms", (0, (1.5, 1.5)))):
                    stats = [(x, each.stat(name)) for x, each in zip(at, points, strict=True)]
                    self._line(axes, series, stats, style=style)
            drawing.milliseconds_axis(axes)
            axes.set_ylabel("ms")
            axes.set_xlabel("arrivals, as a share of the maximum" if shares else "arrivals/s")
            if shares:
                axes.set_xticks(range(len(ticks)), [f"{tick:.0%}" for tick in ticks])
                axes.margins(x=0.12)
        return drawn[0]

    def stages(self, key: str, unit: str) -> str:
        """Stacked bars of shares: where the time of a request goes, `wall_ms` or `cpu_us`; each with its total."""
        rows = [each for each in self._report.part("stages") if each.get(key)]
        if not rows:
            return ""
        found = [name for name in STAGES if any(name in each[key] for each in rows)]
        found += sorted({name for each in rows for name in each[key]} - STAGES.keys())
        names = [_row_name(each, rows) for each in rows]
        with self._draw(9.0, 0.95 + 0.3 * len(rows)) as (figure, drawn):
            axes = figure.add_subplot()
            values = [{name: max(0.0, each[key].get(name) or 0.0) for name in found} for each in rows]
            totals = [sum(each.values()) or 1.0 for each in values]
            left = [0.0] * len(rows)
            for name in found:
                shares = [100 * each[name] / total for each, total in zip(values, totals, strict=True)]
                shade = colour(STAGES.get(name, 9))
                axes.barh(names, shares, left=left, color=shade, height=0.62, label=name)
                left = [a + b for a, b in zip(left, shares, strict=True)]
            for index, total in enumerate(totals):
                axes.annotate(f"{_short(total)} {unit}", (100, index), (5, 0), textcoords="offset points", va="center")
            axes.invert_yaxis()
            axes.grid(visible=False, axis="y")
            axes.set_xlim(0, 108)
            axes.set_xticks(range(0, 101, 20), [f"{share}%" for share in range(0, 101, 20)])
            figure.legend(loc="outside upper left", ncols=len(found), handlelength=1, columnspacing=1.2)
        return drawn[0]

    def memory(self) -> str:
        """Resident megabytes of each system, by workload."""
        found: dict[str, dict[Series, Stat]] = {}
        for workload in self._report.workloads:
            for series in self._report.series:
                points = [
                    each
                    for each in self._report.measurements
                    if (each.workload, each.series) == (workload, series) and each.load != "batch"
                ]
                stat = Stat.of(each.get("rss_mb") for point in points for each in point.rounds)
                if stat:
                    found.setdefault(workload, {})[series] = stat
        shown = [series for series in self._report.series if any(series in each for each in found.values())]
        if not shown:
            return ""
        bars = sum(map(len, found.values()))
        with self._draw(9.0, 0.75 + 0.2 * bars + 0.12 * len(found)) as (figure, drawn):
            axes = figure.add_subplot()
            place, ticks = 0.0, []
            for known in found.values():
                first = place
                for series, stat in known.items():
                    strength = 1.0 if series.precision == "fp32" else 0.6
                    axes.barh(place, stat.high, color=self._colours[series.system], height=0.85, alpha=strength)
                    label = f"{stat.high:,.0f}  {self._report.label(series)}"
                    axes.annotate(label, (stat.high, place), (4, 0), textcoords="offset points", va="center")
                    place += 1
                ticks.append((first + place - 1) / 2)
                place += 0.6
            axes.set_yticks(ticks, list(found))
            axes.invert_yaxis()
            axes.grid(visible=False, axis="y")
            axes.margins(x=0.2, y=0.01)
            axes.xaxis.set_major_formatter(FuncFormatter(thousands))
            axes.set_xlabel("MB resident, whole tree, at most")
        return drawn[0]

    def _lines(self, workload: str, load: str, name: str) -> dict[Series, list[Measurement]]:
        """Each system's points that have a figure of that name."""
        found = {
            series: [each for each in self._report.pick(workload, load, series) if each.stat(name)]
            for series in self._report.series
        }
        return {series: points for series, points in found.items() if points}

    def _line(
        self,
        axes: Any,
        series: Series,
        points: Sequence[tuple[float | None, Stat | None]],
        *,
        style: Any = None,
        marker: str | None = None,
    ) -> None:
        """The medians, in the band of the rounds."""
        known = [(x, stat) for x, stat in points if x is not None and stat is not None]
        shade, at = self._colours[series.system], [x for x, _ in known]
        axes.fill_between(
            at, [stat.low for _, stat in known], [stat.high for _, stat in known], color=shade, alpha=0.18, linewidth=0
        )
        axes.plot(
            at,
            [stat.median for _, stat in known],
            color=shade,
            linestyle=style or DASHES.get(series.precision, "-"),
            marker=MARKERS.get(series.precision, "o") if marker is None else marker,
        )

    def _draw(self, width: float, height: float) -> AbstractContextManager[tuple[Figure, list[str]]]:
        self._drawn += 1
        return drawing.drawing(f"plot-{self._drawn}", width, height)


def _row_name(stage: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """What tells a row of stages from the others."""
    several = len({each["system"] for each in rows}) > 1
    count = stage.get("clients")
    clients = f" · {count} client{'' if count == 1 else 's'}" if count else ""
    return str(stage["workload"]) + (f" · {stage['system']}" if several else "") + clients


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
