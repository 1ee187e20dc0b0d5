"""Runs on a card: inputs go there and outputs come back once each, without ONNX Runtime's own copies between."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.providers import device


class Bound:
    """A session with its inputs and outputs bound; on the processor it does the same, for tests.

    Any thread may run it: each has a binding of its own, as one holds the state of a run.
    """

    def __init__(self, session: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        number = device(session)
        self._session, self._inputs, self._outputs = session, tuple(inputs), tuple(outputs)
        self._device = ("cpu", 0) if number is None else ("cuda", number)
        self._threads = threading.local()

    def run(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs in their order, arrays that nothing else writes to; `feed` has an array for each input."""
        binding = getattr(self._threads, "binding", None)
        if binding is None:
            binding = self._threads.binding = self._session.io_binding()
        for name in self._inputs:
            binding.bind_cpu_input(name, np.ascontiguousarray(feed[name]))
        # Anew for every run: an output that is bound already keeps the shape and the memory of the last one.
        for name in self._outputs:
            binding.bind_output(name, *self._device)
        try:
            self._session.run_with_iobinding(binding)
            outputs: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
        finally:
            # What is bound holds memory of the card until the next run, which may be long in coming.
            binding.clear_binding_inputs()
            binding.clear_binding_outputs()
        return outputs
