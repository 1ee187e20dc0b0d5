"""What answers a call: the engine or the torch pipeline, built for an entry, and as a script sees it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from huggingface_backend.errors import EntryError, RequestError
from huggingface_backend.manifest import GRAPH, TOKENIZER, Manifest
from huggingface_backend.messages import Done, Tell, never

if TYPE_CHECKING:
    from huggingface_backend.session import Counters


@dataclass(frozen=True)
class Runtime:
    """How a model runs here: what the machine and the operator decide, and no conversion."""

    token_budget: int = 0
    """Tokens in one run of the graph; 0 for the default."""
    batch_size: int = 0
    """Requests that predict_batch_fn gets at once; 0 for as many as Triton hands over."""
    rows_per_run: int = 0
    """Rows in one run of the graph; 0 for as many as the budget takes."""
    sequence_length: int = 0
    """Tokens of a row; 0 for what the model takes."""
    threads: int = 0
    """Threads of ONNX Runtime; 0 for one a core."""
    lanes: int = 0
    """Runs of the graph beside each other; 0 for what suits the graph and the machine."""
    device: int | None = 0
    """The card's number; None for the processor. Where there is no card it is the processor anyway."""
    memory_limit: int = 0
    """Bytes of the card's memory for ONNX Runtime; 0 for no limit."""
    engines: Path | None = None
    """Where TensorRT's engines are kept that did not come with the entry."""
    follow_references: bool = False
    """Whether a pipeline may open URLs and paths in requests."""


class Predictor(Protocol):
    """The engine or the torch pipeline."""

    def submit(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool] = never,
        tell: Tell | None = None,
        *,
        waits: bool = False,
    ) -> None:
        """Take a call; `done` is told its end, before this returns or later.

        Where the caller has nothing else to do and `waits` anyway, the call may run in its thread.
        `tell` is told the tokens of a text before, by what generates one; nothing else is given it.
        """

    def close(self) -> None: ...


class Pipeline:
    """The engine to a script that overrides no model_fn: called like a transformers pipeline."""

    def __init__(self, task: str, predictor: Predictor) -> None:
        self.task = task
        self._predictor = predictor

    def __call__(self, inputs: object, **parameters: Any) -> Any:
        """The answer to one call; its failure is raised as a RequestError."""
        outcomes: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._predictor.submit(inputs, parameters, outcomes.put, waits=True)
        outcome = outcomes.get()
        if isinstance(outcome, RequestError):
            raise outcome
        return as_lists(outcome)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the accelerated pipeline can be called and knows its task; it has no {name!r}. "
            "A script that needs it defines model_fn and returns transformers.pipeline(…)"
        )


def as_lists(answer: object) -> object:
    """An answer as scripts know it: lists, like those of transformers' pipelines, where the engine's has arrays."""
    if isinstance(answer, list):
        return [as_lists(part) for part in answer] if answer and not isinstance(answer[0], float) else answer
    return answer.tolist() if hasattr(answer, "tolist") else answer


def build(manifest: Manifest, folder: Path, runtime: Runtime, report: Callable[[Counters], None]) -> Predictor | None:
    """The predictor of an entry's version folder; None where a script brings the model.

    The imports are here so that such a script finds ONNX Runtime, tokenizers and torch unimported, and its own
    versions of them win. EntryError says in one line what does not work.
    """
    if manifest.tier == "script":
        return None
    if manifest.tier == "torch":
        from huggingface_backend.torch_pipeline import TorchPipeline

        return TorchPipeline(manifest, folder, follow=runtime.follow_references)
    if manifest.tier == "accelerated":
        from huggingface_backend.onnx_pipeline import OnnxPipeline, PaintingGraphs

        if manifest.task == "text-to-image":
            return PaintingGraphs(manifest, folder, runtime.threads)
        return OnnxPipeline(
            manifest,
            folder,
            runtime.threads,
            rows_per_run=runtime.rows_per_run,
            follow=runtime.follow_references,
            report=report,
        )
    from huggingface_backend import tensorrt
    from huggingface_backend.engine import DEFAULT_TOKEN_BUDGET, Engine
    from huggingface_backend.processor import has_vnni
    from huggingface_backend.providers import Place
    from huggingface_backend.session import Session
    from huggingface_backend.tasks import TASKS
    from huggingface_backend.tokenization import TextTokenizer

    if manifest.quantization is not None and manifest.quantization.bits > 7 and not has_vnni():
        raise EntryError(
            "this int8 graph was made for a processor with VNNI, and this one has none: its sums would overflow. "
            "Convert again here"
        )
    if manifest.task not in TASKS:
        raise EntryError(f"{manifest.task} has no fast path; the manifest was written by another version")
    if runtime.sequence_length:
        manifest = manifest.limited(runtime.sequence_length)
    rows_per_run, engine = runtime.rows_per_run, tensorrt.Engine.of(manifest.tensorrt)
    if engine is not None:
        # An input beyond the engine's shapes would have TensorRT build it anew.
        manifest, rows_per_run = engine.clamp(manifest, rows_per_run)
    place = Place(runtime.device, runtime.memory_limit, manifest.tensorrt, runtime.engines)

    def tokenizer() -> TextTokenizer:
        return TextTokenizer(folder / TOKENIZER, manifest.tokenizer)

    task = TASKS[manifest.task](manifest, tokenizer() if (folder / TOKENIZER).is_file() else None)
    task.follow_references = runtime.follow_references
    session = Session(folder / GRAPH, runtime.threads, task.outputs, runtime.lanes or None, place)
    return Engine(
        task,
        session,
        tokenizer,
        runtime.token_budget or manifest.token_budget or DEFAULT_TOKEN_BUDGET,
        lambda: report(session.counters),
        rows_per_run,
    )


def for_script(manifest: Manifest, predictor: Predictor) -> Any:
    """The model that a script gets: the pipeline of transformers where that is what runs, else its likeness."""
    return getattr(predictor, "pipeline", None) or Pipeline(manifest.task, predictor)
