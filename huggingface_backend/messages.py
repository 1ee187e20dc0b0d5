"""A request and a response between Triton's tensors and the handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_backend.errors import InvalidInput, RequestError, describe
from huggingface_backend.media_types import JSON

Done = Callable[[object], None]
"""Takes a call's answer or its RequestError, once, from any thread."""


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text that is being written."""

    id: int
    text: str
    """What it adds to the text; empty while a character is incomplete, and for what the text leaves out."""
    special: bool
    last: bool


Tell = Callable[[Token], None]
"""Told a call's tokens as they come, in order and from one thread at a time, before its end."""


@dataclass(slots=True)
class Request:
    body: bytes
    content_type: str = JSON
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = never
    """Whether the client has gone."""
    piece: Callable[[Response], None] | None = None
    """Sends a part of a streamed answer, before the last, which goes to `Respond`; None where there can be one only."""


@dataclass(slots=True)
class Response:
    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Response | RequestError], None]
"""Told a request's end, once, from any thread."""


def wants_stream(data: object) -> bool:
    """Whether decoded data asks for its answer token by token: `"stream": true` beside `inputs`."""
    if not isinstance(data, dict) or "inputs" not in data:
        return False
    stream = data.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidInput(f"stream must be true or false, not {describe(stream)}")
    return bool(stream)


def split(data: Any) -> tuple[object, Mapping[str, Any]]:
    """`(inputs, parameters)` of decoded data, by the toolkit's rule: `inputs`, else the data as a whole."""
    if not isinstance(data, dict):
        raise InvalidInput(
            f'the body must be an object like {{"inputs": …, "parameters": {{…}}}}, not {describe(data)}'
        )
    data = dict(data)
    inputs = data.pop("inputs", data)
    parameters = data.pop("parameters", None)
    if parameters is None:
        return inputs, {}
    if not isinstance(parameters, dict):
        raise InvalidInput(f"parameters must be an object, not {describe(parameters)}")
    return inputs, parameters
