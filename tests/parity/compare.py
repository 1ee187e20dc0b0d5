"""How far an answer is from the reference: numbers by size, everything else exactly."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

TOLERANCE = 1e-4
"""Of the reference's largest magnitude where that is above 1."""
PIXEL_TOLERANCE = 1.5 / 255
"""One step of a colour: where a float falls between two bytes, rounding decides."""
SPREAD = 100
"""How many tolerances the answer to another input must be away at least."""

_PNG = "iVBORw0KGgo"


@dataclass(frozen=True)
class Difference:
    """What a comparison found."""

    mismatch: str = ""
    """The first difference that no tolerance covers: a key, a length, a text."""
    deviation: float = 0.0
    """Of numbers, relative to the reference's largest magnitude where that is above 1."""
    pixels: float = 0.0
    """Of images, of the full range."""

    @property
    def passed(self) -> bool:
        return not self.mismatch and self.deviation <= TOLERANCE and self.pixels <= PIXEL_TOLERANCE

    @property
    def spread(self) -> bool:
        """Whether it is so large that no tolerance could hide a wrong answer."""
        return bool(self.mismatch) or self.deviation > SPREAD * TOLERANCE or self.pixels > 20 / 255

    def __str__(self) -> str:
        if self.mismatch:
            return self.mismatch
        return f"numbers differ by {self.deviation:.3g} of {TOLERANCE:g}, pixels by {self.pixels:.3g}"


def compare(answer: Any, reference: Any) -> Difference:
    """An answer against the reference, both as JSON holds them."""
    mismatches: list[str] = []
    worst, largest, pixels = 0.0, 1.0, 0.0
    for path, given, wanted in _pairs(answer, reference, "answer"):
        if _is_number(given) and _is_number(wanted):
            if not (math.isfinite(given) and math.isfinite(wanted)):
                if not (given == wanted or (math.isnan(given) and math.isnan(wanted))):
                    mismatches.append(f"{path}: {given} in place of {wanted}")
                continue
            worst, largest = max(worst, abs(given - wanted)), max(largest, abs(wanted))
        elif isinstance(given, np.ndarray) and isinstance(wanted, np.ndarray):
            if given.shape != wanted.shape:
                mismatches.append(f"{path}: shape {given.shape} in place of {wanted.shape}")
            elif given.size:
                worst = max(worst, float(np.abs(given - wanted).max()))
                largest = max(largest, float(np.abs(wanted).max()))
        elif _is_png(given) and _is_png(wanted):
            a, b = _pixels(given), _pixels(wanted)
            if a.shape != b.shape:
                mismatches.append(f"{path}: image of {a.shape} in place of {b.shape}")
            else:
                pixels = max(pixels, float(np.abs(a - b).max()) / 255)
        elif given != wanted or type(given) is not type(wanted):
            mismatches.append(f"{path}: {_short(given)} in place of {_short(wanted)}")
    return Difference(mismatches[0] if mismatches else "", worst / largest, pixels)


def _pairs(given: Any, wanted: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(given, dict) and isinstance(wanted, dict):
        if list(given) != list(wanted) and set(given) != set(wanted):
            yield f"{path}: keys", sorted(given), sorted(wanted)
            return
        for key in wanted:
            yield from _pairs(given[key], wanted[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(wanted, list):
        if len(given) != len(wanted):
            yield f"{path}: length", str(len(given)), str(len(wanted))
            return
        arrays = _array(given), _array(wanted)
        if arrays[0] is not None and arrays[1] is not None:
            yield path, *arrays
            return
        for index, (a, b) in enumerate(zip(given, wanted, strict=True)):
            yield from _pairs(a, b, f"{path}[{index}]")
    else:
        yield path, given, wanted


def _array(value: list[Any]) -> Any:
    """A rectangular list of finite numbers as an array, for speed; None for anything else."""
    inner: Any = value
    while isinstance(inner, list) and inner:
        inner = inner[0]
    if not _is_number(inner):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array.astype(np.float64) if array.dtype.kind in "if" and np.isfinite(array).all() else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_png(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_PNG)


def _pixels(text: str) -> Any:
    from PIL import Image

    with Image.open(BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image).astype(np.float64)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"
