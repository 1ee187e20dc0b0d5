"""Whether two answers say the same."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from tests.toolkit.cases import Answer, content

TOLERANCE = 1e-4
FAILURE = {"code", "type", "message"}
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
PNG = "iVBORw0KGgo"
"""How base64 of a PNG begins."""


def difference(expected: Answer, actual: Answer) -> str | None:
    """What differs first, in words; None where nothing does.

    Floats may differ by the tolerance and pictures in their encoding. Of a failure's body only `code` counts, and
    that the keys are the same: each server has words of its own.
    """
    if expected.status != actual.status:
        return f"status {actual.status} instead of {expected.status}: {actual.body[:200]!r}"
    if _media_type(expected) != _media_type(actual):
        return f"content type {actual.content_type!r} instead of {expected.content_type!r}"
    if dict(expected.headers) != dict(actual.headers):
        return f"headers {dict(actual.headers)} instead of {dict(expected.headers)}"
    if _same_body(expected, actual):
        return None
    return f"body {actual.body[:300]!r} instead of {expected.body[:300]!r}"


def intended(recorded: Answer, ours: Mapping[str, Any] | None) -> Answer:
    """The recorded answer with what a request's `ours` replaces in it."""
    if ours is None:
        return recorded
    answer = replace(
        recorded,
        status=ours.get("status", recorded.status),
        content_type=ours.get("content_type", recorded.content_type),
        headers=ours.get("headers", recorded.headers),
    )
    if {"text", "base64", "body"} & set(ours):
        return replace(answer, body=content(ours))
    if answer.status >= 400 and ("message" in ours or failure(recorded) is not None):
        stated = {"code": answer.status, "type": "", "message": ours.get("message", "")}
        return replace(answer, body=json.dumps(stated).encode())
    return answer


def failure(answer: Answer) -> dict[str, Any] | None:
    """The body of a failure that the server itself worded."""
    if answer.status < 400:
        return None
    stated = _json(answer.body)
    return stated if isinstance(stated, dict) and set(stated) == FAILURE else None


def _media_type(answer: Answer) -> str:
    return answer.content_type.partition(";")[0].strip().lower()


def _same_body(expected: Answer, actual: Answer) -> bool:
    if expected.body == actual.body:
        return True
    failed = failure(expected)
    if failed is not None:
        stated = failure(actual)
        return stated is not None and stated["code"] == failed["code"]
    kind = _media_type(expected)
    try:
        if kind.startswith("image/"):
            return _same_picture(expected.body, actual.body)
        if kind == "application/x-npy":
            return _same_array(expected.body, actual.body)
    except (OSError, ValueError):
        return False
    wanted, got = _json(expected.body), _json(actual.body)
    if wanted is not None and got is not None:
        return _same_value(wanted, got)
    return _same_text(expected.body, actual.body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_value, one, other))
    if isinstance(one, float) and isinstance(other, float):
        close = math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return close or (math.isnan(one) and math.isnan(other))
    if isinstance(one, str) and isinstance(other, str) and one.startswith(PNG) and other.startswith(PNG):
        return _same_picture(base64.b64decode(one), base64.b64decode(other))
    return type(one) is type(other) and bool(one == other)


def _same_picture(one: bytes, other: bytes) -> bool:
    first, second = Image.open(io.BytesIO(one)), Image.open(io.BytesIO(other))
    return (first.format, first.mode, first.size) == (second.format, second.mode, second.size) and np.array_equal(
        np.asarray(first), np.asarray(second)
    )


def _same_array(one: bytes, other: bytes) -> bool:
    first, second = np.load(io.BytesIO(one)), np.load(io.BytesIO(other))
    return (first.dtype, first.shape) == (second.dtype, second.shape) and np.allclose(
        first, second, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
    )


def _same_text(one: bytes, other: bytes) -> bool:
    """The same but for the last digits of decimal fractions."""
    first, second = one.decode("utf-8", "replace"), other.decode("utf-8", "replace")
    numbers = [list(map(float, NUMBER.findall(text))) for text in (first, second)]
    return NUMBER.sub("", first) == NUMBER.sub("", second) and _same_value(*numbers)
