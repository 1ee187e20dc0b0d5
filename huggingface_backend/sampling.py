"""Random numbers that belong to one call, so that a seed gives the same answer whoever else is served."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from huggingface_backend.errors import InvalidInput

_ONE = threading.RLock()
"""torch has one state for all threads."""


class Draws:
    """torch's random numbers from a seed on: inside the block they are this call's, outside untouched.

    They go on from block to block, as they would for the inputs of one call to a pipeline after `set_seed`.
    """

    def __init__(self, seed: int) -> None:
        import torch

        self._state: Any = torch.Generator().manual_seed(seed).get_state()
        self._outside: Any = None

    @classmethod
    def of(cls, seed: object) -> Draws | None:
        """None for None; InvalidInput for what is no seed."""
        if seed is None:
            return None
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise InvalidInput(f"seed must be a whole number from 0 to 2^63 - 1, not {seed!r}")
        return cls(seed)

    def skip(self) -> None:
        """Leave one number out."""
        import torch

        with self:
            torch.empty((), dtype=torch.int64).random_()

    def __enter__(self) -> None:
        import torch

        _ONE.acquire()
        self._outside = torch.get_rng_state()
        torch.set_rng_state(self._state)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        import torch

        self._state = torch.get_rng_state()
        torch.set_rng_state(self._outside)
        _ONE.release()


DRAWS: ContextVar[Draws | None] = ContextVar("draws", default=None)
"""The random numbers of the call that a thread runs, where it asked for its own (`seed`)."""
