"""The page of the contract leaves no clause out, and no clause is without a test or a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.platform.clauses import CLAUSES, SECTIONS, Clause
from tests.platform.results import Results, tidy
from tests.platform.table import PAGE, page, row

HERE = Path(__file__).parent
MARK = re.compile(r"mark\.clause\(([^)]*)\)")


def shown() -> set[str]:
    """The clauses that tests say they show."""
    marks = [found for path in HERE.glob("test_*.py") for found in MARK.findall(path.read_text("utf-8"))]
    return {name for found in marks for name in re.findall(r'"([^"]+)"', found)}


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_every_clause_has_a_test_or_a_reason(clause: Clause) -> None:
    assert (clause.id in shown()) != bool(clause.untested)
    assert clause.section in SECTIONS
    assert "|" not in clause.text


def test_no_test_shows_what_is_no_clause() -> None:
    assert shown() <= set(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_every_clause_has_its_row(clause: Clause) -> None:
    [cell] = re.findall(rf"^\| {re.escape(row(clause))} \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert re.match(r"passed|not run: |\*\*failed\*\*: ", cell), "run: python -m tests.platform.table"


def test_the_page_is_made_of_what_a_run_found(tmp_path: Path) -> None:
    results = Results()
    results.note("batch.crlf", "passed")
    results.note("batch.crlf", "failed", "AssertionError: 1 line |\nand more")
    results.note("batch.whole", "passed")
    results.note("batch.ndjson", "skipped", "Skipped: no mount namespaces here")
    results.write(tmp_path / "results.json")
    written = page(Results.read(tmp_path / "results.json"))
    assert f"| {row(CLAUSES['batch.crlf'])} | **failed**: AssertionError: 1 line \\| |\n" in written
    assert f"| {row(CLAUSES['batch.whole'])} | passed |\n" in written
    assert f"| {row(CLAUSES['batch.ndjson'])} | not run: no mount namespaces here |\n" in written
    assert f"1 of {len(CLAUSES)} clauses passed, 1 failed" in written


def test_paths_of_this_machine_stay_out() -> None:
    assert tidy("no /tmp/pytest-of-x/0/ml here") == "no … here"
