"""What a run showed of each clause, kept for the table."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = "CONTRACT_RESULTS"
"""The environment variable that names the file a run's findings go to."""


@dataclass
class Finding:
    """What the tests of one clause showed."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    """One line for each test that failed."""
    skipped: list[str] = field(default_factory=list)
    """Reasons of tests that did not run."""

    @property
    def verdict(self) -> str:
        """In the table's words. A clause is as good as the worst of its tests."""
        if self.failed:
            return f"**failed**: {self.failed[0]}"
        if self.passed:
            return "passed" if not self.skipped else f"passed in part; not run: {self.skipped[0]}"
        return f"not run: {self.skipped[0]}" if self.skipped else "not run"


class Results:
    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def note(self, clause: str, outcome: str, message: str = "") -> None:
        """`outcome` in pytest's words."""
        finding = self.findings.setdefault(clause, Finding())
        if outcome == "passed":
            finding.passed += 1
        else:
            (finding.failed if outcome == "failed" else finding.skipped).append(tidy(message))

    def write(self, path: Path) -> None:
        path.write_text(
            json.dumps({name: asdict(finding) for name, finding in sorted(self.findings.items())}, indent=1)
        )

    @classmethod
    def read(cls, path: Path) -> Results:
        results = cls()
        results.findings = {name: Finding(**fields) for name, fields in json.loads(path.read_text()).items()}
        return results


def tidy(message: str) -> str:
    """A message's first line for a table's cell: short, and without this machine's paths."""
    line = next(iter(message.strip().splitlines()), "").removeprefix("Skipped: ")
    return re.sub(r"(/[\w.@+-]+){2,}", "…", line).replace("|", "\\|")[:160]
