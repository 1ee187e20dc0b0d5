"""The nodes of a quantised graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]

SMOOTHING = 0.5
"""How much of the large channels goes into the weights: 0 nothing, 1 all."""
_TINY = 1e-9


@dataclass(frozen=True)
class Range:
    """What an activation was seen to be, a number for each channel (its last axis)."""

    low: Floats
    high: Floats

    @property
    def peak(self) -> Floats:
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def joined(self, other: Range) -> Range:
        return Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


class Writer:
    """Nodes of a quantised graph, in order, and their constants.

    Activations become unsigned bytes and weights signed ones, for which processors have the fastest instruction.
    """

    DOMAIN = "com.microsoft"

    def __init__(self, bits: int) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._largest = 2 ** (bits - 1) - 1
        self._done: set[str] = set()

    def smoothed(self, name: str, seen: Range, columns: Floats) -> tuple[str, Floats]:
        """The activation divided by a factor a channel, and the factors."""
        factors = np.maximum(seen.peak, 1e-5) ** SMOOTHING / np.maximum(columns, 1e-5) ** (1 - SMOOTHING)
        factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
        output = f"{name}/smooth"
        if self._first(output):
            self._node("Mul", [name, self._constant(f"{output}/factors", 1 / factors)], output)
        return output, factors

    def fixed(self, name: str, seen: Range, weights: Floats, bias: str, output: str) -> None:
        """`output` = `name` × weights + bias, with the scale of what was seen."""
        low, high = min(float(seen.low.min()), 0.0), max(float(seen.high.max()), 0.0)
        scale = max((high - low) / 255, _TINY)
        scales = self._constant(f"{name}/scale", np.float32(scale))
        zero = self._constant(f"{name}/zero", np.uint8(round(-low / scale)))
        if self._first(f"{name}/fixed"):
            self._node("QuantizeLinear", [name, scales, zero], f"{name}/fixed")
        columns = self._weights(weights, output)
        inputs = [f"{name}/fixed", columns[0], scales, columns[1], zero, "", *([bias] if bias else [])]
        self._node("MatMulIntegerToFloat", inputs, output, self.DOMAIN)

    def by_row(self, name: str, weights: Floats, bias: str, output: str) -> None:
        """`output` = `name` × weights + bias, with a scale for each row of the activation's last axis."""
        one, zero = self._constant("quantized/one", np.float32(1)), self._constant("quantized/zero", np.uint8(128))
        if self._first(f"{name}/row"):
            axis = self._constant("quantized/last", np.array([-1], np.int64))
            self._node("Abs", [name], f"{name}/abs")
            self._node("ReduceMax", [f"{name}/abs", axis], f"{name}/peak", keepdims=1)
            self._node("Max", [f"{name}/peak", self._constant("quantized/tiny", np.float32(_TINY))], f"{name}/largest")
            self._node(
                "Div", [self._constant("quantized/steps", np.float32(127)), f"{name}/largest"], f"{name}/inverse"
            )
            part = self._constant("quantized/step", np.float32(1 / 127))
            self._node("Mul", [f"{name}/largest", part], f"{name}/scale")
            self._node("Mul", [name, f"{name}/inverse"], f"{name}/scaled")
            self._node("QuantizeLinear", [f"{name}/scaled", one, zero], f"{name}/row")
        columns = self._weights(weights, output)
        inputs = [f"{name}/row", columns[0], one, columns[1], zero]
        self._node("MatMulIntegerToFloat", inputs, f"{output}/steps", self.DOMAIN)
        product = f"{output}/product" if bias else output
        self._node("Mul", [f"{output}/steps", f"{name}/scale"], product)
        if bias:
            self._node("Add", [product, bias], output)

    def _weights(self, weights: Floats, output: str) -> tuple[str, str]:
        scales = np.maximum(np.abs(weights).max(0), _TINY) / self._largest
        steps = np.clip(np.rint(weights / scales), -self._largest, self._largest).astype(np.int8)
        return self._constant(f"{output}/weights", steps), self._constant(f"{output}/scales", scales.astype(np.float32))

    def _constant(self, name: str, value: Any) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _first(self, output: str) -> bool:
        new = output not in self._done
        self._done.add(output)
        return new

    def _node(self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> None:
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", domain=domain, **attributes)
        )
