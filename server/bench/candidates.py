"""What --tune may change of an entry, and in which order it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from huggingface_backend.manifest import Manifest

BUDGETS = (128, 256, 512, 1024, 2048, 4096, 8192)
ROWS = (4, 8, 16, 32, 64)
START_BUDGET, START_ROWS = 512, 32
"""What neighbours are counted from where an entry says nothing."""


@dataclass(frozen=True)
class Candidate:
    """Changes to a config.pbtxt; none leaves it as it is."""

    parameters: tuple[tuple[str, str], ...] = ()
    """Names and values, by name."""
    instances: int | None = None

    def __str__(self) -> str:
        words = [f"{name.replace('_', ' ')} {value}" for name, value in self.parameters]
        words += [f"{self.instances} instance{'' if self.instances == 1 else 's'}"] if self.instances else []
        return ", ".join(words) or "as it is"

    def having(self, parameters: Mapping[str, int], instances: int | None = None) -> Candidate:
        """This one with further changes."""
        merged = dict(self.parameters) | {name: str(value) for name, value in parameters.items()}
        return Candidate(tuple(sorted(merged.items())), instances or self.instances)

    def applied(self, config: str) -> str:
        """The text of a config.pbtxt with the changes in it."""
        from tritonclient.grpc import model_config_pb2

        read = text_format.Parse(config, model_config_pb2.ModelConfig())
        for name, value in self.parameters:
            read.parameters[name].string_value = value
        if self.instances is not None:
            group = read.instance_group[0] if read.instance_group else read.instance_group.add()
            group.count = self.instances
        return str(text_format.MessageToString(read))


def stated(config: str) -> dict[str, str]:
    """The parameters that a config.pbtxt sets."""
    from tritonclient.grpc import model_config_pb2

    read: Any = text_format.Parse(config, model_config_pb2.ModelConfig())
    return {name: value.string_value for name, value in read.parameters.items()}


def layouts(manifest: Manifest, cores: int) -> list[Candidate]:
    """Ways to share the cores among instances, lanes and threads."""
    base = Candidate()
    if manifest.one_at_a_time:
        # Placing gives such a model an instance a core at least.
        return [base.having({"threads": 1}, cores), base.having({"threads": 1}, 2 * cores)]
    found = []
    if manifest.tier == "fast":
        counts = sorted({1, cores // 2, cores - 1, cores} - {0})
        # One lane uses every thread; several have one each.
        found = [base.having({"lanes": lanes, "threads": cores if lanes == 1 else lanes}) for lanes in counts]
        found += [
            base.having({"lanes": cores // instances, "threads": cores // instances}, instances)
            for instances in (2, 4)
            if cores >= instances
        ]
        return found
    found += [base.having({"threads": threads}) for threads in sorted({max(1, cores // 2), max(1, cores - 1)})]
    found += [base.having({"threads": cores // instances}, instances) for instances in (2,) if cores >= instances]
    return found


def ladder(manifest: Manifest, config: Mapping[str, str]) -> tuple[str, list[int], int]:
    """The parameter that bounds a run of the graph, its steps, and the one to begin from; no steps where it has none.

    `config` are the parameters that the entry sets.
    """
    if manifest.one_at_a_time:
        return "", [], 0
    if manifest.tier == "fast":
        now = int(config.get("token_budget", 0)) or manifest.token_budget or START_BUDGET
        steps, name = sorted({*BUDGETS, now}), "token_budget"
    else:
        now = int(config.get("rows_per_run", 0)) or START_ROWS
        steps, name = sorted({*ROWS, now}), "rows_per_run"
    return name, steps, steps.index(now)
