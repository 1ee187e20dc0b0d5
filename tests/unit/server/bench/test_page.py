"""The page and the tables of a report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from server.bench import table
from server.bench.page import page, write
from server.bench.reading import Report, Series
from tests.unit.server.bench.sample import SYSTEMS, WORKLOADS, report

VOID = {"meta", "br", "link", "img"}


class Nesting(HTMLParser):
    """Fails where a page's tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Nesting:
    parser = Nesting()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def made() -> str:
    return page(json.loads(json.dumps(report())))


def titles(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", text)


def test_a_page_has_everything_and_fetches_nothing(made: str) -> None:
    parser = parsed(made)
    assert titles(made) == [
        "Targets",
        "Throughput",
        "Latency",
        "Latency under arrivals",
        "Where the time goes",
        "Memory",
        "Checks",
        "All measurements",
    ]
    shown = " ".join(parser.text)
    assert all(name in shown for name in (*WORKLOADS, *SYSTEMS, "met", "missed", "not measured", "AMD EPYC 7B13"))
    for tag, attributes in parser.seen:
        assert tag not in ("script", "link", "img", "iframe")
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\((?!#)", made)


def test_plots_are_in_the_page_s_colours(made: str) -> None:
    drawn = re.findall(r"<svg .*?</svg>", made, re.DOTALL)
    assert len(drawn) > 3 * len(WORKLOADS)
    # A stray colour of matplotlib's would be black on black in one of the modes.
    assert not re.search(r"#0[01][0-9a-f]{4}\b|#000000|: black", "".join(drawn))
    used = set(re.findall(r"var\((--\w+)\)", made))
    declared = set(re.findall(r"(--\w+):", made))
    assert used <= declared
    light, dark = (re.findall(r"(--\w+):", part) for part in made.split("@media (prefers-color-scheme: dark)")[:2])
    assert set(light) == set(dark[: len(light)])


def test_names_of_parts_are_unique(made: str) -> None:
    names = re.findall(r' id="([^"]+)"', made)
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", made)) <= {(name, "") for name in names} | {
        ("", name) for name in names
    }


def test_what_a_report_lacks_is_left_out() -> None:
    small = report()
    small.update(stages=[], targets=[], checks=[], systems=[], workloads=[])
    small["measurements"] = [
        {key: value for key, value in each.items() if key in ("workload", "system", "load", "clients", "rounds")}
        for each in small["measurements"]
        if each["load"] == "closed" and each["workload"] == "qa" and each["system"] == "ours"
    ]
    for each in small["measurements"]:
        for seen in each["rounds"]:
            del seen["rss_mb"], seen["percentiles"], seen["mean_batch"]
    made = page(small)
    parsed(made)
    assert titles(made) == ["Throughput", "All measurements"]
    assert "<th class=n>MB</th>" not in made and "<th class=n>p99 ms</th>" in made


def test_nothing_measured_is_a_page_too() -> None:
    assert titles(page({"format": 1})) == []


def test_a_round_without_answers(tmp_path: Path) -> None:
    failed: dict[str, Any] = report()
    nothing = {"requests": 0, "seconds": 1.0, "rate": 0.0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "errors": 9}
    for each in failed["measurements"]:
        each["rounds"] = [nothing]
    write(failed, tmp_path / "report.html")
    assert "Latency" not in titles((tmp_path / "report.html").read_text("utf-8"))


def test_names_are_no_markup() -> None:
    odd = report()
    odd["title"] = "<script>alert(1)</script>"
    odd["targets"][0]["note"] = "a < b & c"
    made = page(odd)
    assert "<script" not in made and "a &lt; b &amp; c" in made
    parsed(made)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2"):
        page({"format": 2})


def test_series_are_told_apart_by_precision() -> None:
    read = Report(report())
    assert read.label(Series("ours", "int8")) == "ours int8"
    assert read.workloads == list(WORKLOADS)
    best = read.best("short-minilm", Series("ceiling", "fp32"))
    assert best is not None and best.variant.startswith("fused")
    others = [each.stat("rate") for each in read.pick("short-minilm", "batch", Series("ceiling", "fp32"))]
    assert best.stat("rate") == max(filter(None, others), key=lambda stat: stat.median)


def test_tables_are_put_between_their_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for _ in range(2):
        table.put(report(), readme)
        text = readme.read_text("utf-8")
    assert text.startswith(f"before\n{table.BEGIN}\n") and text.endswith(f"{table.END}\nafter\n") and "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| short-minilm")]
    assert [row.split(" | ")[1] for row in rows] == ["1", "32"]
    header = next(line for line in text.splitlines() if line.startswith("| workload"))
    assert {len(row.split(" | ")) for row in rows} == {len(header.split(" | "))}
    assert "| ours ÷ ceiling, long, MiniLM fp32, 64 clients | ≥ 0.97× | 0.958× (0.939–0.972) | **missed** |" in text
    # Nothing asks the ceiling, so it is the same for any number of clients; where nothing was measured, nothing stands.
    assert rows[0].split(" | ")[2] == rows[1].split(" | ")[2]
    with pytest.raises(ValueError, match="has no"):
        readme.write_text("nothing")
        table.put(report(), readme)
