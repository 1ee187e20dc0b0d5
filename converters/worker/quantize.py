"""An fp32 graph in int8 whose answers do not depend on what else is in the batch.

ONNX Runtime's dynamic quantisation takes one scale for a whole batch, so that a text's answer changes with its
neighbours. Here the scale of an activation is either fixed beforehand, from calibration texts, or each row's own:

* what comes out of a layer norm or an attention is bounded, whatever the text: a fixed scale;
* everything else (GELU's outputs, mostly) has outliers that a text of its own kind brings: a scale for each row.

A layer norm's few large channels would take the precision of all others with them. They are made smaller, and the
weights behind them larger, before both are rounded (SmoothQuant, https://arxiv.org/abs/2211.10438).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converters.errors import PrecisionError
from converters.worker.int8_nodes import Floats, Range, Writer

LEAST = 32
"""Rows and columns of weights that are worth it; below it is a classifier's head, which answers depend on most."""
MOST = 1.5e9
"""Bytes of weights; beyond it a graph is not one message, and takes its size in memory several times."""


@dataclass(frozen=True)
class Place:
    """An activation and the multiplications with constant weights that it goes into."""

    activation: str
    weights: tuple[str, ...]
    """Of each multiplication, the name of its output."""
    normalised: bool
    """Whether a layer norm made it."""
    bounded: bool


@dataclass(frozen=True)
class Recipe:
    """How a graph is quantised."""

    rows: bool = False
    """Whether every activation has a scale for each row."""
    bits: int = 8
    """Of the weights. Processors without VNNI add two products in 16 bits, which 7 cannot overflow."""
    left: frozenset[str] = frozenset()
    """Activations whose multiplications stay in fp32."""

    def describe(self) -> str:
        fixed = "a scale for each row" if self.rows else "fixed scales where bounded, else one for each row"
        left = f", {len(self.left)} of these in fp32" if self.left else ""
        bits = "" if self.bits == 8 else f" of {self.bits} bits"
        return f"int8 weights{bits} per channel, activations with {fixed}{left}"


class Graph:
    """An fp32 graph that quantised ones are made of."""

    def __init__(self, path: Path) -> None:
        """PrecisionError where nothing of it can be quantised."""
        if sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")) > MOST:
            raise PrecisionError(f"int8 is for graphs of up to {MOST / 1e9:.1f} GB")
        self._model = onnx.load(str(path))
        self._initializers = {entry.name: entry for entry in self._model.graph.initializer}
        self._producers = {name: node for node in self._model.graph.node for name in node.output}
        self._consumers: dict[str, list[Any]] = {}
        for node in self._model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        self.places = tuple(self._places())
        if not self.places:
            raise PrecisionError("the graph has no multiplication with constant weights that int8 would be for")

    def watched(self) -> bytes:
        """The graph with the activations of all places as further outputs."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        known = {entry.name for entry in model.graph.output}
        for place in self.places:
            if place.activation not in known:
                model.graph.output.append(helper.make_tensor_value_info(place.activation, onnx.TensorProto.FLOAT, None))
        return bytes(model.SerializeToString())

    def write(self, target: Path, recipe: Recipe, ranges: Mapping[str, Range]) -> None:
        """Save the quantised graph."""
        writer = Writer(recipe.bits)
        chosen = {
            output: place for place in self.places if place.activation not in recipe.left for output in place.weights
        }
        sums: set[str] = set()
        for node in self._model.graph.node:
            place = chosen.get(node.output[0]) if node.output else None
            if place is None:
                if not (node.output and node.output[0] in sums):
                    writer.nodes.append(node)
                continue
            seen = ranges[place.activation]
            weights = self._weights(node)
            assert weights is not None  # noqa: S101
            if place.normalised:
                activation, factors = writer.smoothed(place.activation, seen, self._columns(place))
                weights = weights * factors[:, None]
                seen = Range(seen.low / factors, seen.high / factors)
            else:
                activation = place.activation
            bias, output = self._bias(node)
            sums.add(output)
            if recipe.rows or not place.bounded:
                writer.by_row(activation, weights, bias, output)
            else:
                writer.fixed(activation, seen, weights, bias, output)
        self._save(target, writer)

    def _save(self, target: Path, writer: Writer) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.node[:]
        used = {entry.name for entry in model.graph.output}
        needed = []
        for node in reversed(writer.nodes):
            if used.intersection(node.output):
                needed.append(node)
                used.update(node.input)
        model.graph.node.extend(reversed(needed))
        del model.graph.initializer[:]
        model.graph.initializer.extend(entry for name, entry in self._initializers.items() if name in used)
        model.graph.initializer.extend(writer.constants.values())
        del model.graph.value_info[:]
        if all(entry.domain != Writer.DOMAIN for entry in model.opset_import):
            model.opset_import.append(helper.make_opsetid(Writer.DOMAIN, 1))
        target.parent.mkdir(exist_ok=True)
        onnx.save(model, str(target))

    def _places(self) -> Iterator[Place]:
        found: dict[str, list[str]] = {}
        for node in self._model.graph.node:
            if self._weights(node) is not None:
                found.setdefault(node.input[0], []).append(node.output[0])
        for activation, outputs in found.items():
            maker = self._maker(activation)
            norm = maker in ("LayerNormalization", "SkipLayerNormalization")
            yield Place(activation, tuple(outputs), norm, norm or maker == "MatMul")

    def _maker(self, name: str) -> str:
        """The operator that made a tensor, but for those that only arrange it."""
        node = self._producers.get(name)
        while node is not None and node.op_type in ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity"):
            node = self._producers.get(node.input[0])
        return "" if node is None else str(node.op_type)

    def _weights(self, node: Any) -> Floats | None:
        """The constant matrix that a node multiplies with, if there is one of a size that matters."""
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Gemm":
            # Of rows that were flattened for it, as GPT-2's are; a pooler's are few.
            maker = self._producers.get(node.input[0])
            scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
            if maker is None or maker.op_type != "Reshape" or scaled or attributes.get("transA"):
                return None
        elif node.op_type != "MatMul":
            return None
        name, turned = node.input[1], bool(attributes.get("transB"))
        maker = self._producers.get(name)
        if maker is not None and maker.op_type == "Transpose":
            name, turned = maker.input[0], not turned
        entry = self._initializers.get(name)
        if (
            entry is None
            or entry.data_type != onnx.TensorProto.FLOAT
            or len(entry.dims) != 2
            or min(entry.dims) < LEAST
        ):
            return None
        array: Floats = numpy_helper.to_array(entry)
        return array.T if turned else array

    def _columns(self, place: Place) -> Floats:
        """The largest weight that each channel of an activation meets."""
        met = [np.abs(self._weights(self._producers[output])).max(1) for output in place.weights]  # type: ignore[arg-type]
        largest: Floats = np.max(met, 0)
        return largest

    def _bias(self, node: Any) -> tuple[str, str]:
        """The constant vector that is added to a product and to it alone, and the name of the sum."""
        output = node.output[0]
        if node.op_type == "Gemm":
            return (node.input[2] if len(node.input) > 2 else ""), output
        consumers = self._consumers.get(output, [])
        if len(consumers) == 1 and consumers[0].op_type == "Add":
            other = next((name for name in consumers[0].input if name != output), "")
            if other in self._initializers and len(self._initializers[other].dims) == 1:
                return other, str(consumers[0].output[0])
        return "", str(output)


def record(graph: Graph, session: Any, feeds: Iterable[Mapping[str, Any]]) -> dict[str, Range]:
    """What each place's activation is on inputs without padding; the session is of `graph.watched()`."""
    names = [place.activation for place in graph.places]
    found: dict[str, Range] = {}
    for feed in feeds:
        for name, array in zip(names, session.run(names, dict(feed)), strict=True):
            rows = array.reshape(-1, array.shape[-1])
            seen = Range(rows.min(0), rows.max(0))
            found[name] = found[name].joined(seen) if name in found else seen
    return found
