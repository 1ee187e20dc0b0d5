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


@dataclass(slots=True)
class Request:
    body: bytes
    content_type: str = JSON
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = never
    """Whether the client has gone."""


@dataclass(slots=True)
class Response:
    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Response | RequestError], None]
"""Told a request's end, once, from any thread."""


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
