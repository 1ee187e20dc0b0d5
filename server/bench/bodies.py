"""What is sent: the user's own requests, or a few that every model of a task answers."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.bench.connection import Shot
from server.errors import ServerError

JSON = "application/json"
JSON_LINES = (".jsonl", ".jsonlines", ".ndjson")
TEXTS = (
    "The parcel came two days early and nothing in it was broken.",
    "No.",
    "I have waited for an answer since Monday, and nobody has called me back.",
    "Could you send me the invoice for March once more, please?",
    "The bridge was closed for the winter, so the bus takes the road along the river, which adds twenty minutes.",
    "Great value!",
    "The manual says that the lamp blinks twice when the battery is full. Mine blinks three times and then goes out.",
    "Where is the nearest post office?",
)
_CONTEXT = (
    "The lighthouse on the northern cape was built in 1871 from stone that had been cut on the mainland. It has been "
    "kept by machines since 1988, and its light can be seen for thirty kilometres in clear weather."
)


def read(file: Path) -> list[Shot]:
    """A request a line: a body of JSON where the file's name says so, else a text. ServerError where there is none."""
    try:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not lines:
        raise ServerError(f"{file} has no line in it")
    if file.suffix not in JSON_LINES:
        return [_json({"inputs": line}) for line in lines]
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)
        except ValueError as error:
            raise ServerError(f"{file}, line {number} is no JSON: {error}") from error
    return [Shot(line.encode(), {"content-type": JSON, "accept": JSON}) for line in lines]


def examples() -> Iterator[list[Shot]]:
    """Requests of one task after the other; the first that an endpoint answers are for it."""
    yield [_json({"inputs": text}) for text in TEXTS]
    yield [
        _json({"inputs": {"question": text, "context": _CONTEXT}}) for text in ("When was it built?", "Who keeps it?")
    ]
    for mask in ("[MASK]", "<mask>"):
        yield [_json({"inputs": f"{text} This is {mask}."}) for text in TEXTS]
    labels = {"candidate_labels": ["delivery", "billing", "product"]}
    yield [_json({"inputs": text, "parameters": labels}) for text in TEXTS]
    yield [_json({"inputs": {"source_sentence": TEXTS[0], "sentences": list(TEXTS[1:4])}})]
    yield [_json({"inputs": {"query": TEXTS[7], "texts": list(TEXTS[:4])}})]
    yield [_raw(_picture(), "image/png")]
    yield [_raw(_sound(), "audio/wav")]


def to(path: str, shots: list[Shot]) -> list[Shot]:
    """The same requests to another path."""
    return [replace(shot, path=path) for shot in shots]


def _json(body: Any) -> Shot:
    return _raw(json.dumps(body, ensure_ascii=False).encode(), JSON)


def _raw(body: bytes, kind: str) -> Shot:
    return Shot(body, {"content-type": kind, "accept": JSON})


def _picture() -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.linear_gradient("L").resize((320, 240)).convert("RGB").save(written, "PNG")
    return written.getvalue()


def _sound() -> bytes:
    """A second of a quiet sawtooth."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(b"".join((index % 80 * 20).to_bytes(2, "little") for index in range(16_000)))
    return written.getvalue()
