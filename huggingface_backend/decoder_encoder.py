"""Request bodies to Python objects and predictions to response bodies, as the toolkit does both."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import orjson

from huggingface_backend.errors import MalformedBody, ModelError, UnacceptableType, UnsupportedType

JSON = "application/json"
ANY = "*/*"
TEXT_TYPES = frozenset({JSON, "text/csv"})
"""Bodies that reach a script's input_fn as str and not as bytes."""


def media_type(value: str) -> str:
    """A Content-Type without its parameters, in lower case; JSON where there is none."""
    return value.partition(";")[0].strip().lower() or JSON


def accepted(accept: str) -> list[str]:
    """The media types of an Accept header, best first, those with q=0 left out; JSON for none or any."""
    ranked: list[tuple[float, str]] = []
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if name and quality > 0:
            ranked.append((quality, JSON if name in (ANY, "application/*") else name))
    ranked.sort(key=lambda entry: -entry[0])
    return [name for _, name in ranked] or [JSON]


def choose(accept: str) -> str:
    """The first accepted media type that has an encoder; UnacceptableType if none has."""
    for name in accepted(accept):
        if name in ENCODERS:
            return name
    raise UnacceptableType(f"cannot answer with {accept}; can with {', '.join(ENCODERS)}")


def decode(body: str | bytes, content_type: str = JSON) -> Any:
    """A body as the object its media type describes; UnsupportedType or MalformedBody where it is not."""
    decoder = DECODERS.get(media_type(content_type))
    if decoder is None:
        raise UnsupportedType(f"cannot read {content_type}; can read {', '.join(DECODERS)}")
    return decoder(body)


def encode(content: Any, accept: str = JSON) -> bytes:
    """A prediction as a body of the first accepted media type that has an encoder."""
    return ENCODERS[choose(accept)](content)


def decode_json(body: str | bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # The standard parser also takes NaN, huge integers and lone surrogates, as the toolkit does.
    try:
        return json.loads(body if isinstance(body, str) else body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error


def encode_json(content: Any) -> bytes:
    """Compact, non-ASCII kept, arrays and tensors as lists, NaN refused."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATETIME
    try:
        body = orjson.dumps(content, default=_plain, option=options)
    except TypeError:
        return _encode_json_slowly(content)
    # orjson writes NaN as null; only the standard encoder can tell the two apart.
    return _encode_json_slowly(content) if b"null" in body else body


def _encode_json_slowly(content: Any) -> bytes:
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ModelError(f"the prediction cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


DECODERS: dict[str, Callable[[Any], Any]] = {JSON: decode_json}
ENCODERS: dict[str, Callable[[Any], bytes]] = {JSON: encode_json}
