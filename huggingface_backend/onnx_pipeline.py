"""The accelerated tier: the transformers pipeline around ONNX graphs, its forward pass batched over all requests."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_backend import torch_pipeline
from huggingface_backend.diffusion import on_graphs
from huggingface_backend.errors import EntryError, first_line
from huggingface_backend.forwards import Forwards
from huggingface_backend.manifest import Manifest
from huggingface_backend.messages import Done, Tell, never
from huggingface_backend.onnx_models import beyond_graphs, load_model, loading
from huggingface_backend.sampling import DRAWS, Draws
from huggingface_backend.session import Counters

CALLS = 64
"""Calls under way at once; each has a thread, which waits for the model most of the time."""


class OnnxPipeline(torch_pipeline.TorchPipeline):
    """Answers when the rows of a call are done, while other calls go on."""

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        threads: int = 0,
        *,
        rows_per_run: int = 0,
        follow: bool = False,
        report: Callable[[Counters], None] = lambda _counters: None,
    ) -> None:
        """`rows_per_run` 0 leaves the rows of a forward pass to the model.

        EntryError where torch, transformers or optimum is missing or the graphs cannot be loaded.
        """
        self._manifest, self._folder, self._threads = manifest, folder, threads
        self._on_torch: Any = None
        self._one_on_torch = threading.Lock()
        super().__init__(manifest, folder, follow=follow)
        self._forwards = Forwards(self.pipeline, manifest.batching, report, rows_per_run)
        self._calls = ThreadPoolExecutor(CALLS, "call")

    def submit(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool] = never,
        tell: Tell | None = None,
        *,
        waits: bool = False,  # noqa: ARG002
    ) -> None:
        """Take a call; `done` is told its end later, from another thread."""
        self._calls.submit(self._run, inputs, parameters, done, cancelled, tell)

    def ask_together(self, calls: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[Any]:
        """The outcomes of calls whose rows are all in the queue before the first of them runs."""
        outcomes: list[Any] = [None] * len(calls)
        finished: queue.SimpleQueue[int] = queue.SimpleQueue()

        def keep(index: int, outcome: object) -> None:
            outcomes[index] = outcome
            finished.put(index)

        self._forwards.open.clear()
        before = self._forwards.gathered
        for index, (inputs, parameters) in enumerate(calls):
            self.submit(inputs, parameters, partial(keep, index))
        while self._forwards.gathered - before + finished.qsize() < len(calls):
            time.sleep(0.001)
        self._forwards.open.set()
        for _ in calls:
            finished.get()
        return outcomes

    def close(self) -> None:
        """End after the pass that runs."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._forwards.close()

    def _watch(self) -> None:
        """`Forwards` does, which knows whose rows run."""

    def _build(self, manifest: Manifest, folder: Path) -> Any:
        with _said_in_one_line(manifest.task, folder):
            model = load_model(manifest.task, folder, self._threads)
        with loading(model):
            return torch_pipeline.build(manifest.task, folder, trust_remote_code=manifest.trust_remote_code)

    def _call(self, inputs: Any, parameters: Mapping[str, Any], draws: Draws | None) -> object:
        if self._manifest.weights and beyond_graphs(self._manifest.task, parameters):
            return self._call_on_torch(inputs, parameters, draws)
        token = DRAWS.set(draws)
        try:
            return self.pipeline(inputs, **parameters)
        finally:
            DRAWS.reset(token)

    def _call_on_torch(self, inputs: Any, parameters: Mapping[str, Any], draws: Draws | None) -> object:
        """What no graph answers, one call after the other; the weights are loaded when the first one comes."""
        with self._one_on_torch, draws or nullcontext():
            if self._on_torch is None:
                self._on_torch = super()._build(self._manifest, self._folder)
            return self._on_torch(inputs, **parameters)


class PaintingGraphs(torch_pipeline.TorchPipeline):
    """text-to-image on ONNX graphs, which no pipeline of transformers is around: one call after the other."""

    def __init__(self, manifest: Manifest, folder: Path, threads: int = 0) -> None:
        self._threads = threads
        super().__init__(manifest, folder)

    def _build(self, manifest: Manifest, folder: Path) -> Any:
        with _said_in_one_line(manifest.task, folder):
            return on_graphs(folder, self._threads)


@contextmanager
def _said_in_one_line(task: str, folder: Path) -> Iterator[None]:
    """What keeps graphs from being loaded, as an EntryError."""
    try:
        yield
    except ImportError as error:
        raise EntryError(f"{task} runs with optimum, which the convert extra brings: {first_line(error)}") from error
    except Exception as error:
        raise EntryError(f"the graphs of {folder} cannot be loaded: {first_line(error)}") from error
