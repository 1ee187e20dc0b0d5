"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.parity.media import replaced

MISSING = object()


@dataclass(frozen=True)
class Case:
    """One request, and another one that must not pass for it."""

    name: str
    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    wrong: Any = MISSING
    """Other inputs, whose answer must differ from this case's by much more than the tolerance."""
    idle: str = ""
    """Why the parameters change nothing here. Without it the answer without them must be another one."""

    def body(self, *, wrong: bool = False) -> dict[str, Any]:
        """The request as JSON holds it."""
        inputs = self.wrong if wrong else self.inputs
        body = {"inputs": replaced(inputs, lambda medium: medium.text())}
        if self.parameters:
            body["parameters"] = replaced(dict(self.parameters), lambda medium: medium.text())
        return body

    def names(self) -> Iterator[str]:
        """The parameters this case uses; those inside an object after its name and a dot as well."""
        for source in (self.parameters, self.inputs if isinstance(self.inputs, dict) else {}):
            for name, value in source.items():
                yield name
                if isinstance(value, dict):
                    yield from (f"{name}.{inner}" for inner in value)


@dataclass(frozen=True)
class Subject:
    """A task on one of the zoo's models."""

    task: str
    model: str
    cases: tuple[Case, ...]

    @property
    def id(self) -> str:
        return f"{self.task}-{self.model}"
