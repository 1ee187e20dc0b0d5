"""What is measured of which workload, in a full run and in a quick one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perf.bench import workloads


@dataclass(frozen=True)
class Plan:
    """The loads of a workload. Clients are those of closed loops; empty where there are none."""

    clients: tuple[int, ...] = (1, 8, 32, 128)
    """Of ours in fp32."""
    grpc: tuple[int, ...] = ()
    """Of ours through gRPC alone."""
    int8: tuple[int, ...] = ()
    """Of ours in int8."""
    peers: tuple[int, ...] = ()
    """Of the others."""
    toolkit: tuple[int, ...] = ()
    """Of the toolkit, where its own maximum is looked for; else `peers`."""
    fractions: tuple[float, ...] = (0.5, 0.8, 0.95)
    """Of the found maximum, offered in an open loop."""
    naive: tuple[int, ...] = ()
    """Batches padded in order of arrival, by rows."""
    rounds: int = 99
    """Rounds at most."""
    turns: float = 2.0
    """Answers that each client of ours has time for, at least; one where it is another system's."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """That the ceiling tries, in rows."""

    def of(self, system: str, precision: str) -> tuple[int, ...]:
        """The clients of a system's closed loops; a system without any is not worth starting."""
        if system == "ours":
            return self.int8 if precision == "int8" else self.clients
        return self.toolkit or self.peers if system == "toolkit" else self.peers


_EVERYONE = (1, 8, 32, 64, 128)
_FEW_ROWS = (1, 2, 4, 8, 16)
_SOME_ROWS = (1, 4, 16, 64)
_FULL = {
    "short-distilbert": Plan(
        (1, 8, 32, 128), (1, 32), (1, 32, 128), (1, 32), (1, 8, 32), fractions=(0.5, 0.8, 0.95, 4.0)
    ),
    "short-minilm": Plan(_EVERYONE, (1, 8, 32, 128), (1, 32, 64, 128), (1, 32)),
    "long-distilbert": Plan((1, 8, 32, 128), (1, 32), (1, 32), (1, 32), rounds=3),
    "long-minilm": Plan(_EVERYONE, (1, 32), (1, 64), (1, 32)),
    "mixed-minilm": Plan(_EVERYONE, (1, 32), naive=(8, 32, 64)),
    "mixed-distilbert": Plan(_EVERYONE, (1, 32), naive=(8, 32, 64)),
    # What takes seconds an answer has fewer rounds. More rows of these in a batch gain nothing and take long.
    "qa": Plan((1, 8, 32, 128), (1, 32), rounds=3, turns=1.5, batches=_FEW_ROWS),
    "image": Plan((1, 8, 32, 128), rounds=3, turns=1, batches=_FEW_ROWS),
    "generation": Plan((1, 8, 32, 128), fractions=(), rounds=2, turns=1),
}
_QUICK = {
    "short-distilbert": Plan((1, 32), int8=(32,), toolkit=(1, 8, 32), fractions=(), batches=_SOME_ROWS),
    "short-minilm": Plan((1, 32, 64, 128), grpc=(32,), int8=(64,), fractions=(0.5, 0.95), batches=_SOME_ROWS),
    "long-minilm": Plan((1, 64), fractions=(), batches=_SOME_ROWS),
    "mixed-minilm": Plan((1, 64), naive=(32,), fractions=(), batches=_SOME_ROWS),
}
DEFAULT = tuple(name for name in workloads.NAMES if name != "mixed-distilbert")
"""Without the one that shows nothing which mixed-minilm does not show."""
QUICK = tuple(_QUICK)
MOST_SECONDS = 60.0
"""Of a measurement, whatever `turns` asks for."""


def plan(name: str, *, quick: bool) -> Plan:
    """The plan of a workload; a quick run of one that has no place in it does the first loads of a full one."""
    if not quick:
        return _FULL[name]
    found = _QUICK.get(name)
    if found is not None:
        return found
    full = _FULL[name]
    return replace(full, clients=full.clients[:2], grpc=(), int8=(), peers=(), toolkit=(), fractions=())
