"""What a run of the suite found, kept for the table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.parity.compare import Difference

RESULTS = "PARITY_RESULTS"
"""The environment variable that names the file a run's findings go to."""


@dataclass
class Finding:
    """One subject's part of the table."""

    tier: str = ""
    alone: float = 0.0
    """The largest deviation of a case asked alone, of numbers or pixels."""
    crowded: float = 0.0
    """The same inside mixed batches."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cases that did not pass, and how."""


class Results:
    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def of(self, subject: str) -> Finding:
        return self.findings.setdefault(subject, Finding())

    def note(self, subject: str, case: str, difference: Difference, *, crowded: bool) -> None:
        finding = self.of(subject)
        size = max(difference.deviation, difference.pixels)
        if crowded:
            finding.crowded = max(finding.crowded, size)
        else:
            finding.alone = max(finding.alone, size)
        if not difference.passed:
            finding.failed[case] = str(difference)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({name: asdict(finding) for name, finding in self.findings.items()}, indent=1))

    @classmethod
    def read(cls, path: Path) -> Results:
        results = cls()
        results.findings = {name: Finding(**fields) for name, fields in json.loads(path.read_text()).items()}
        return results
