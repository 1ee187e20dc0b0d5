"""`python -m tests.platform.table [RESULTS…]`: run the suite, or read what runs found, and write docs/contract.md."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.platform.clauses import CLAUSES, SECTIONS, Clause
from tests.platform.results import RESULTS, Finding, Results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contract.md"

HEAD = """\
# The contract with SageMaker

What SageMaker expects of a container, clause by clause, and whether this server does it. The table is written by
`python -m tests.platform.table`, which runs the server as SageMaker does: started with `serve` and its environment
alone, `/opt/ml` read-only, 64 MB of `/dev/shm`, health checks with 2 s to answer, models brought and taken away,
objects split and put together again, SIGTERM and 30 s later SIGKILL. That is `tests/platform`. A clause with several
tests passed if all of them did. Tests that take minutes or gigabytes run with `CONTRACT_SLOW=1`.

"""


def page(results: Results) -> str:
    """docs/contract.md from what a run found."""
    verdicts = {name: verdict(clause, results) for name, clause in CLAUSES.items()}
    return HEAD + "\n".join(_lines(verdicts)).rstrip() + "\n"


def verdict(clause: Clause, results: Results) -> str:
    """A clause's last cell."""
    if clause.untested:
        return f"not run: {clause.untested}"
    return results.findings.get(clause.id, Finding()).verdict


def _lines(verdicts: dict[str, str]) -> Iterator[str]:
    count = sum(each == "passed" for each in verdicts.values())
    failed = sum(each.startswith("**failed**") for each in verdicts.values())
    yield f"{count} of {len(verdicts)} clauses passed, {failed} failed, {len(verdicts) - count - failed} did not run."
    for section, title in SECTIONS.items():
        yield f"\n## {title}\n\n| Clause | What holds | |\n|---|---|---|"
        for clause in CLAUSES.values():
            if clause.section == section:
                yield f"| {row(clause)} | {verdicts[clause.id]} |"


def row(clause: Clause) -> str:
    """A clause's own cells."""
    return f"`{clause.id}` | {clause.text}"


def run(path: Path) -> None:
    """Run the suite in a process of its own; failures are in what it found."""
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, RESULTS: str(path)}, check=False)


def main() -> None:
    paths = [Path(each) for each in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        if not paths:
            paths = [Path(folder) / "results.json"]
            run(*paths)
        results = Results()
        for path in paths:
            # What a later run found of a clause, one of its slow tests alone for instance, is what counts.
            results.findings |= Results.read(path).findings
        PAGE.write_text(page(results), "utf-8")


if __name__ == "__main__":
    main()
