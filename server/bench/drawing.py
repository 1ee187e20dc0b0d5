"""How plots look: SVG whose colours are the page's, so that it is readable in light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

COLOURS = 10
"""Colours of lines that the page has, `--c0` and so on."""
_INK, _GRID = "#010203", "#010204"
_NAMED = {_INK: "var(--ink)", _GRID: "var(--grid)", "#0a0b63": "var(--weak)"}
_NAMED |= {f"#0a0b{index:02x}": f"var(--c{index})" for index in range(COLOURS)}
WEAK = "#0a0b63"
DASHES: dict[str, Any] = {"fp32": "-", "int8": (0, (5, 2)), "fp16": (0, (1.5, 1.5))}
MARKERS = {"fp32": "o", "int8": "s", "fp16": "^"}
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}
_PIXELS = 110
"""An inch on the page, at most."""


def colour(index: int) -> str:
    """A colour of a line, which the page replaces by its own."""
    return f"#0a0b{index % COLOURS:02x}"


def variable(shade: str) -> str:
    """What the page puts for a colour."""
    return _NAMED[shade]


@contextmanager
def drawing(name: str, width: float, height: float) -> Iterator[tuple[Figure, list[str]]]:
    """A figure of so many inches; its SVG element is in the list when the block has ended.

    `name` is unique on the page: parts of a plot are found by names made of it.
    """
    drawn: list[str] = []
    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure((width, height), layout="constrained")
        yield figure, drawn
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn.append(_for_page(written.getvalue(), width))


def clients_axis(axes: Any, counts: Sequence[int]) -> None:
    """Counts of clients, in doublings."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(count) for count in counts])
    axes.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)
    axes.set_xlabel("clients")


def milliseconds_axis(axes: Any) -> None:
    """Milliseconds in powers of ten, with 1, 2 and 5 where there are few."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high / low < 500 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(10, steps))
    axes.yaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def percent_axis(axes: Any, shown: Sequence[float]) -> None:
    """Percentiles by their nines."""
    axes.xaxis.set_major_locator(FixedLocator([nines(percent) for percent in shown]))
    axes.set_xticklabels([f"{percent:g}" for percent in shown])


def nines(percent: float) -> float:
    """Where a percentile stands: 90 at 1, 99 at 2, 99.9 at 3."""
    return -math.log10(1 - percent / 100)


def thousands(value: float, _place: int | None = None) -> str:
    """A number as an axis has it."""
    return f"{value:,.10g}"


def _for_page(svg: str, width: float) -> str:
    """The element alone, as wide as there is room, in the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', rf'\1 style="max-width:{width * _PIXELS:.0f}px"', svg, count=1)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    for shade, name in _NAMED.items():
        svg = svg.replace(shade, name)
    return svg.strip()
