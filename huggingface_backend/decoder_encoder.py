"""Request bodies to Python objects and predictions to response bodies, as the toolkit does both."""

from __future__ import annotations

import csv
import datetime
import json
import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import orjson

from huggingface_backend.errors import (
    MalformedBody,
    ModelError,
    UnacceptableType,
    UnsupportedType,
    describe,
    first_line,
)
from huggingface_backend.images import decode_image, encode_image, is_image, to_base64
from huggingface_backend.media_types import (
    AUDIO_TYPES,
    CSV,
    IMAGE_FORMATS,
    JSON,
    NPY,
    acceptable,
    charset,
    media_type,
)

CSV_HEADERS = ("question", "context", "inputs")
"""One of them must stand in the first line of a CSV body."""

_LONG_NUMBER = re.compile(rb"\d{19}")


@lru_cache(maxsize=64)
def writable(accept: str) -> tuple[str, ...]:
    """The accepted media types that have an encoder, the best first; UnacceptableType if none has."""
    found = acceptable(accept, ENCODERS)
    if not found:
        raise UnacceptableType(f"cannot answer with {accept}; can with {', '.join(ENCODERS)}")
    return tuple(found)


def text(body: str | bytes, content_type: str) -> str:
    """A body as text in its charset; MalformedBody where it is not, UnsupportedType for an unknown charset."""
    if isinstance(body, str):
        return body
    name = charset(content_type)
    try:
        return body.decode(name)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not {name}: {error}") from error
    except LookupError as error:
        raise UnsupportedType(f"the charset {name} is not known") from error


def decode(body: str | bytes, content_type: str = JSON) -> Any:
    """A body as the object its media type describes; UnsupportedType or MalformedBody where it is not."""
    decoder = DECODERS.get(media_type(content_type))
    if decoder is None:
        raise UnsupportedType(f"cannot read {content_type}; can read {', '.join(DECODERS)}")
    if isinstance(body, bytes) and charset(content_type) != "utf-8":
        body = text(body, content_type)
    return decoder(body)


def encode(content: Any, accept: str = JSON) -> bytes:
    """A prediction as a body of the best accepted type that can hold it; see `write`."""
    return write(content, accept)[0]


def write(content: Any, accept: str) -> tuple[bytes, str]:
    """A prediction as a body, with its media type: the best accepted one that can hold it.

    UnacceptableType where none of them can, ModelError where nothing can.
    """
    types = writable(accept)
    for name in types[:-1]:
        try:
            return ENCODERS[name](content), name
        except UnacceptableType:
            continue
    return ENCODERS[types[-1]](content), types[-1]


def decode_json(body: str | bytes) -> Any:
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    # orjson makes floats of integers over 64 bits.
    if not _LONG_NUMBER.search(data):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    # The standard parser also takes NaN, huge integers and lone surrogates, as the toolkit does.
    try:
        return json.loads(body if isinstance(body, str) else body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error


def decode_csv(body: str | bytes) -> dict[str, Any]:
    """`{"inputs": [text, …]}` of a column `inputs`, else `{"inputs": [{column: text}, …]}`."""
    content = text(body, CSV)
    lines = content.splitlines()
    if not lines or not any(header in lines[0].lower() for header in CSV_HEADERS):
        raise MalformedBody(f"a CSV body needs a header line with one of {', '.join(CSV_HEADERS)}")
    try:
        rows = list(csv.DictReader(StringIO(content)))
    except csv.Error as error:
        raise MalformedBody(f"the body is not CSV: {error}") from error
    if not rows:
        raise MalformedBody("the CSV body has a header and no rows")
    return {"inputs": [row["inputs"] for row in rows] if "inputs" in rows[0] else rows}


def decode_npy(body: str | bytes) -> np.ndarray[Any, Any]:
    """An array. Pickled objects are refused, and so is a header that announces more than the body holds."""
    data = body.encode("latin-1", "replace") if isinstance(body, str) else body
    stream = BytesIO(data)
    npy: Any = np.lib.format
    try:
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version[0]}.{version[1]} is not read")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject:
            raise ValueError("it holds pickled objects, which are never read")
        if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
            raise ValueError(f"it should hold {math.prod(shape) * dtype.itemsize} bytes of data")
        stream.seek(0)
        array: np.ndarray[Any, Any] = npy.read_array(stream, allow_pickle=False)
    except (ValueError, TypeError, SyntaxError, MemoryError) as error:
        raise MalformedBody(f"the body is no NPY array: {first_line(error)}") from error
    return array


def encode_json(content: Any) -> bytes:
    """Compact, non-ASCII kept, arrays and tensors as lists, images as base64 PNG, NaN refused."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATETIME
    try:
        body = orjson.dumps(content, default=plain, option=options)
    except TypeError:
        return _encode_json_slowly(content)
    # orjson writes NaN as null; only the standard encoder can tell the two apart.
    return _encode_json_slowly(content) if b"null" in body else body


def encode_csv(content: Any) -> bytes:
    """Objects as rows under the first one's keys."""
    try:
        rows = content if isinstance(content, list) else list(content)
        stream = StringIO()
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError, csv.Error) as error:
        raise UnacceptableType(
            f"the prediction is {describe(content)}; only a list of objects with the same keys becomes {CSV}"
        ) from error
    return stream.getvalue().encode("utf-8")


def encode_npy(content: Any) -> bytes:
    """An array of whatever numpy makes one of without pickling."""
    stream = BytesIO()
    try:
        np.save(stream, content, allow_pickle=False)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnacceptableType(f"the prediction is {describe(content)}, which is no array of numbers") from error
    return stream.getvalue()


def _encode_json_slowly(content: Any) -> bytes:
    try:
        body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
        return body.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ModelError(f"the prediction cannot be written as JSON: {error}") from error


def plain(value: Any) -> Any:
    """What JSON writes for a value that is none of its own; TypeError where there is nothing."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return str(value)
    if is_image(value):
        return to_base64(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _image(body: str | bytes) -> dict[str, Any]:
    return {"inputs": decode_image(body if isinstance(body, bytes) else body.encode())}


def _audio(body: str | bytes) -> dict[str, Any]:
    """The bytes as they are: only the pipeline knows its sampling rate."""
    return {"inputs": body}


DECODERS: dict[str, Callable[[Any], Any]] = {
    JSON: decode_json,
    CSV: decode_csv,
    NPY: decode_npy,
    **dict.fromkeys(IMAGE_FORMATS, _image),
    **dict.fromkeys(AUDIO_TYPES, _audio),
}
ENCODERS: dict[str, Callable[[Any], bytes]] = {
    JSON: encode_json,
    CSV: encode_csv,
    NPY: encode_npy,
    # PNG first: it is what image/* means.
    **{name: partial(encode_image, media_type=name) for name in sorted(IMAGE_FORMATS, key=lambda n: n != "image/png")},
}
