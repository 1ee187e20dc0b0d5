"""The conversion gate: the graph in mixed batches against PyTorch, each text alone."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from converters.errors import GateError
from converters.worker.texts import TEXTS
from huggingface_backend.batches import Batch, Pixels
from huggingface_backend.errors import first_line
from huggingface_backend.manifest import Gate
from huggingface_backend.providers import HERE, Place
from huggingface_backend.session import Session
from huggingface_backend.tasks.base import Task
from huggingface_backend.tasks.scores import sigmoid, softmax
from huggingface_backend.tokenization import Text, TokenizeOptions

BATCH_SIZES = (1, 2, 5, 8, 13)


@dataclass(frozen=True)
class Tolerance:
    """How far a graph's answers may be from the reference's."""

    absolute: float
    """Of an output's largest magnitude where that is above 1."""
    cosine: float
    """The least, where outputs are directions."""
    agreement: float
    """The least share of answers with the same best choice, or one as good within `absolute`, elsewhere."""
    probabilities: bool = False
    """Whether `absolute` is of the probabilities that logits come to."""


FP32 = Tolerance(1e-4, 0.9999, 1.0)
FP16 = Tolerance(2e-2, 0.999, 1.0)
INT8 = Tolerance(0.1, 0.99, 1.0, probabilities=True)
INT8_FEATURES = Tolerance(0.25, 0.99, 1.0)
NEIGHBOURS = Tolerance(0.01, 0.9999, 1.0, probabilities=True)
"""Of an answer alone and the same graph's answer in a mixed batch, where both are in int8: a last bit of attention may
turn one step of 255 into the next."""
FEATURES = frozenset({"feature-extraction", "sentence-embedding", "sentence-similarity"})
"""Tasks whose outputs are directions; of the others' the largest counts."""
MAX_PROBED = 1024
"""Positions up to which the longest input is found by trying; longer runs would cost more than they tell."""


Outputs = tuple[NDArray[Any], ...]
"""One row's part of the graph's outputs, without padding."""


@dataclass(frozen=True)
class Examples:
    """The gate's texts as ids, or images as pixels, and what PyTorch answers to each alone."""

    task: Task
    items: Sequence[Encoding | Pixels]
    expected: list[Outputs]

    @classmethod
    def of(
        cls, model: Any, task: Task, source: Path, trust_remote_code: bool, texts: Sequence[str] = TEXTS
    ) -> Examples:
        """GateError where our tokenizer and the one of transformers disagree."""
        options = _options(task)
        encodings = task.tokenizer.encode([Text(text) for text in texts], options)
        expected = _ask_torch(model, task, texts, encodings, options, source, trust_remote_code)
        return cls(task, encodings, expected)

    @classmethod
    def of_graph(cls, graph: Path, task: Task, images: Sequence[Pixels], texts: Sequence[str] = TEXTS) -> Examples:
        """With the answers of an fp32 graph in place of PyTorch's."""
        items: Sequence[Encoding | Pixels] = images
        if not images:
            items = task.tokenizer.encode([Text(text) for text in texts], _options(task))
        return cls(task, items, alone(Session(graph, outputs=task.outputs, lanes=1), task, items))

    @classmethod
    def of_images(cls, model: Any, task: Task, images: Sequence[Pixels]) -> Examples:
        import torch

        expected: list[Outputs] = []
        for image in images:
            with torch.inference_mode():
                logits = model(pixel_values=torch.from_numpy(image.values)[None]).logits
            expected.append((logits[0].numpy(),))
        return cls(task, images, expected)

    def compare(self, graph: Path, tolerance: Tolerance = FP32, place: Place = HERE) -> Gate:
        """How far the graph is from PyTorch when the texts are padded into batches of mixed lengths."""
        return self._judge(self._mixed(graph, place), self.expected, tolerance)

    def neighbours(self, graph: Path, tolerance: Tolerance) -> Gate:
        """How far the graph's answer to an item in a mixed batch is from its answer to that item alone."""
        session = Session(graph, outputs=self.task.outputs, lanes=1)
        return self._judge(self._mixed(graph), alone(session, self.task, self.items), tolerance)

    def _judge(self, rows: list[Outputs], expected: list[Outputs], tolerance: Tolerance) -> Gate:
        task, problem = self.task.manifest.task, self.task.manifest.problem_type
        if tolerance.probabilities and task not in FEATURES and problem != "regression":
            several = problem == "multi_label_classification"
            rows, expected = _probabilities(rows, several), _probabilities(expected, several)
        return verdict(task, rows, expected, tolerance)

    def _mixed(self, graph: Path, place: Place = HERE) -> list[Outputs]:
        try:
            session = Session(graph, outputs=self.task.outputs, lanes=1, place=place)
            rows: list[Outputs] = []
            for items in _batches(self.items):
                batch = self.task.batch(items)
                rows += _rows(self.task, session.run(batch), batch.lengths)
        except Exception as error:
            raise GateError(f"the ONNX graph does not run on the gate's examples: {first_line(error)}") from error
        return rows


def verdict(task: str, rows: Sequence[Outputs], expected: Sequence[Outputs], allowed: Tolerance = FP32) -> Gate:
    """Compare each row's outputs with their reference, arrays of equal shape."""
    pairs = [
        (array, reference)
        for row, wanted in zip(rows, expected, strict=True)
        for array, reference in zip(row, wanted, strict=True)
    ]
    if any(array.shape != reference.shape for array, reference in pairs):
        return Gate("failed", "the shapes differ", len(rows), float("inf"), allowed.absolute)
    # numpy's maximum, which does not lose a NaN.
    worst = float(np.max([np.abs(array - reference).max() for array, reference in pairs]))
    largest = max(float(np.abs(reference).max()) for _array, reference in pairs)
    tolerance = allowed.absolute * max(1.0, largest)
    cosine = agreement = None
    passed = worst <= tolerance
    if task in FEATURES:
        cosine = float(np.min([_cosine(array, reference) for array, reference in pairs]))
        passed = passed and cosine >= allowed.cosine
    else:
        agreement = float(np.mean([_agrees(array, reference, tolerance) for array, reference in pairs]))
        passed = passed and agreement >= allowed.agreement
    return Gate("passed" if passed else "failed", "", len(rows), worst, tolerance, cosine, agreement)


def _probabilities(rows: Sequence[Outputs], several: bool) -> list[Outputs]:
    """Logits as the probabilities of the last axis, which exclude each other unless there are `several` at once."""

    def of(logits: NDArray[Any]) -> NDArray[Any]:
        if several or logits.shape[-1] == 1:
            return sigmoid(logits)
        return softmax(logits)

    return [tuple(of(array) for array in row) for row in rows]


def _agrees(array: NDArray[Any], reference: NDArray[Any], tolerance: float) -> bool:
    """Whether the best of the last axis is the same everywhere, or as good."""
    best = np.take_along_axis(reference, array.argmax(-1)[..., None], -1)[..., 0]
    return bool((best >= reference.max(-1) - tolerance).all())


def longest_input(graph: Path, config: dict[str, Any]) -> int | None:
    """The tokens a graph takes, found by trying around what the configuration says; None where nothing bounds it."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or not 0 < positions <= MAX_PROBED:
        return None
    session = Session(graph, lanes=1)
    if _runs(session, positions + 1):
        return None
    return next((length for length in range(positions, max(positions - 8, 0), -1) if _runs(session, length)), None)


def _runs(session: Session, tokens: int) -> bool:
    ones = np.ones((1, tokens), np.int64)
    try:
        session.run(Batch(ones * 5, ones, ones * 0, [tokens]))
    except Exception:
        return False
    return True


def alone(session: Session, task: Task, items: Sequence[Encoding | Pixels]) -> list[Outputs]:
    """What a graph answers to each item without any other beside it."""
    rows: list[Outputs] = []
    for item in items:
        batch = task.batch([item])
        rows += _rows(task, session.run(batch), batch.lengths)
    return rows


def _options(task: Task) -> TokenizeOptions:
    manifest = task.manifest
    return TokenizeOptions(truncate_to=min(manifest.max_tokens or 512, manifest.tokenizer.model_max_length or 512))


def _batches(items: Sequence[Any]) -> list[Sequence[Any]]:
    batches, start, turn = [], 0, 0
    while start < len(items):
        size = BATCH_SIZES[turn % len(BATCH_SIZES)]
        batches.append(items[start : start + size])
        start, turn = start + size, turn + 1
    return batches


def _ask_torch(
    model: Any,
    task: Task,
    texts: Sequence[str],
    encodings: Sequence[Encoding],
    options: TokenizeOptions,
    source: Path,
    trust_remote_code: bool,
) -> list[Outputs]:
    """What the model answers to each text alone, fed by its own tokenizer as a pipeline feeds it."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    known = inspect.signature(model.forward).parameters
    results: list[Outputs] = []
    for text, encoding in zip(texts, encodings, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=options.truncate_to, return_tensors="pt")
        if inputs["input_ids"][0].tolist() != encoding.ids:
            raise GateError(f"tokenizer.json does not tokenise like transformers: {text[:40]!r}")
        with torch.inference_mode():
            output = model(**{name: value for name, value in inputs.items() if name in known})
        named = [output[name] for name in task.outputs] or [output[0]]
        results += _rows(task, [array.numpy() for array in named], [len(encoding)])
    return results


def _rows(task: Task, outputs: Sequence[NDArray[Any]], lengths: Sequence[int]) -> list[Outputs]:
    """Each row's part of the outputs; where they are one a token, without the padding."""
    return [
        tuple(array[row, : length if task.per_token else None] for array in outputs)
        for row, length in enumerate(lengths)
    ]


def _cosine(row: NDArray[Any], reference: NDArray[Any]) -> float:
    a, b = row.ravel().astype(np.float64), reference.ravel().astype(np.float64)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 1.0
