"""The graph in fewer bits: made, and held against the reference with a tolerance of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from converters.errors import GateError, PrecisionError
from converters.worker import gate, quantize, timing
from converters.worker.fp16 import to_fp16
from converters.worker.int8_nodes import Range
from huggingface_backend.batches import Pixels
from huggingface_backend.manifest import GRAPH, Gate, Manifest, Quantization
from huggingface_backend.processor import has_vnni
from huggingface_backend.session import session_options

_FEW = 8
"""Examples by which places are compared with each other."""


@dataclass(frozen=True)
class Lowered:
    """A graph that passed."""

    precision: Literal["fp16", "int8"]
    graph: Path
    """In a folder of its own."""
    gate: Gate
    quantization: Quantization | None = None

    def into(self, manifest: Manifest) -> Manifest:
        """The manifest of an entry with this graph."""
        return replace(
            manifest,
            precision=self.precision,
            graph=self.graph.parent.name,
            gate=self.gate,
            quantization=self.quantization,
        )


def fp16(
    plain: Path, config: dict[str, Any], examples: gate.Examples, emit: Callable[..., None], *, fused: bool
) -> Lowered:
    """PrecisionError where there is no such graph, or none that answers alike."""
    emit("stage", name="converting to fp16")
    graph = to_fp16(plain, config, fused=fused)
    try:
        verdict = examples.compare(graph, gate.FP16)
    except GateError as error:
        raise PrecisionError(str(error)) from error
    if verdict.verdict != "passed":
        raise PrecisionError(f"the fp16 graph does not answer like fp32: {verdict.describe()}")
    return Lowered("fp16", graph, verdict)


class Int8:
    """The search for an int8 graph of one model that answers alike."""

    def __init__(self, plain: Path, examples: gate.Examples, emit: Callable[..., None]) -> None:
        """PrecisionError where nothing in the graph could be quantised."""
        self._graph = quantize.Graph(plain)
        self._examples, self._emit = examples, emit
        self._target = plain.parent.parent / "int8" / GRAPH
        features = examples.task.manifest.task in gate.FEATURES
        self._allowed = gate.INT8_FEATURES if features else gate.INT8
        self._bits = 8 if has_vnni() else 7
        self._ranges: dict[str, Range] = {}

    def find(self, fastest: Path, image: Pixels | None) -> Lowered:
        """The graph, written beside the plain one's folder, and how it compares with the fastest fp32 one.

        PrecisionError where none passes.
        """
        self._emit("stage", name="quantising to int8")
        self._ranges = self._seen()
        verdict = Gate()
        for recipe in self._recipes():
            verdict = self._judge(recipe)
            if verdict.verdict == "passed":
                break
            self._emit("note", text=f"{recipe.describe()}: {verdict.describe()}")
        else:
            raise PrecisionError(f"no int8 graph answers like fp32: {verdict.describe()}")
        neighbours = self._examples.neighbours(self._target, gate.NEIGHBOURS)
        if neighbours.verdict != "passed":
            raise PrecisionError(f"an int8 answer depends on what else is in its batch: {neighbours.describe()}")
        longest = self._examples.task.manifest.max_tokens
        times = timing.time_graphs({"fp32": fastest, "int8": self._target}, longest, image, rounds=3)
        speedup = round(times["fp32"] / times["int8"], 2)
        if speedup < 1:
            self._emit("note", text=f"int8 is slower than fp32 here: {1 / speedup:.2f} times the processor time")
        left = tuple(
            output for place in self._graph.places if place.activation in recipe.left for output in place.weights
        )
        how = Quantization(recipe.describe(), left, neighbours.max_abs_diff or 0.0, speedup, self._bits)
        return Lowered("int8", self._target, verdict, how)

    def _seen(self) -> dict[str, Range]:
        """From every second example, so that the gate has others too."""
        session = onnxruntime.InferenceSession(
            self._graph.watched(), session_options(), providers=["CPUExecutionProvider"]
        )
        names = [entry.name for entry in session.get_inputs()]
        task = self._examples.task
        return quantize.record(
            self._graph, session, (task.batch([item]).feed(names) for item in self._examples.items[::2])
        )

    def _recipes(self) -> Iterator[quantize.Recipe]:
        """The faster ones first; then with more and more of the worst places left in fp32, up to half of all."""
        yield quantize.Recipe(bits=self._bits)
        rows = quantize.Recipe(rows=True, bits=self._bits)
        yield rows
        self._emit("stage", name="looking for what int8 hurts most")
        worst = self._worst(rows)
        count = 1
        while count <= len(worst) // 2:
            yield replace(rows, left=frozenset(worst[:count]))
            count *= 2

    def _worst(self, recipe: quantize.Recipe) -> list[str]:
        """The places, by how far the answers are from fp32's when each alone is quantised."""
        everything = frozenset(place.activation for place in self._graph.places)
        few = replace(self._examples, items=self._examples.items[:_FEW], expected=self._examples.expected[:_FEW])
        harm: dict[str, float] = {}
        for place in self._graph.places:
            self._graph.write(self._target, replace(recipe, left=everything - {place.activation}), self._ranges)
            verdict = few.compare(self._target, self._allowed)
            off = 0.0 if verdict.min_cosine is None else 1 - verdict.min_cosine
            harm[place.activation] = off or verdict.max_abs_diff or 0.0
        return sorted(harm, key=lambda name: -harm[name])

    def _judge(self, recipe: quantize.Recipe) -> Gate:
        self._graph.write(self._target, recipe, self._ranges)
        try:
            return self._examples.compare(self._target, self._allowed)
        except GateError as error:
            raise PrecisionError(f"int8: {error}") from error
