"""Bodies of many JSON lines: which they are, their lines, and what stands on the lines of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import BinaryIO

import orjson

from huggingface_backend.errors import MAX_MESSAGE
from huggingface_backend.media_types import JSON, acceptable, charset, media_type
from server.errors import BackendFailure

JSON_LINES = "application/jsonlines"
NDJSON = "application/x-ndjson"
TYPES = {JSON_LINES: JSON_LINES, "application/jsonl": JSON_LINES, "application/x-jsonlines": JSON_LINES, NDJSON: NDJSON}
"""Media types of lines, each with the one that its answer carries."""
WRITABLE = (JSON, *TYPES)

SPLIT = "split"
"""Parameter of a Content-Type: `split=line` makes each line a call even where a script reads the model's bodies."""
BAD_LINES = "bad-lines"
"""Parameter of a Content-Type: what becomes of a line that fails, `mark` or `fail`."""
COUNT_HEADER = "x-triton-hf-bad-lines"
"""How many lines of an answer are failures."""

BOM = b"\xef\xbb\xbf"
_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")


@dataclass(frozen=True, slots=True)
class Reading:
    """The operator's words on lines."""

    batch: bool = False
    """Whether this is a batch transform job, in which JSON bodies may be lines too."""
    mark: bool = False
    """Whether a line that fails gets an error object in place of its answer, unless the client says otherwise."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one body of lines is answered."""

    answer_type: str
    mark: bool = False
    """Whether a line that fails gets an error object in place of an answer; else it fails the request."""
    whole: bool = False
    """Whether the body is one record, however many lines it is printed on."""


def recognise(
    content_type: str, accept: str, open_body: Callable[[], BinaryIO], reading: Reading, *, own_reader: bool
) -> Format | None:
    """How to answer a body line by line; None for a body that is one request.

    `own_reader` says that a script reads the bodies, which it then gets whole, unless the client asks for lines.
    HTTPError for lines in another charset or answers of another type.
    """
    kind = media_type(content_type)
    lines = kind in TYPES
    if not (lines or (reading.batch and kind == JSON)):
        return None
    parameters = _parameters(content_type)
    if own_reader and parameters.get(SPLIT) != "line":
        return None
    readable = acceptable(accept, WRITABLE)
    whole = False
    if not lines:
        with open_body() as body:
            records = _count_records(body)
        if not records or (records == 1 and not readable):
            return None
        whole = records == 1
    if not readable:
        raise BackendFailure(406, "UnacceptableType", f"lines are answered with {', '.join(TYPES)}, not with {accept}")
    if charset(content_type) not in _UTF8:
        raise BackendFailure(415, "UnsupportedType", f"lines must be UTF-8, not {charset(content_type)}")
    mark = parameters[BAD_LINES] == "mark" if BAD_LINES in parameters else reading.mark
    return Format(TYPES[kind] if lines else TYPES.get(readable[0], JSON), mark, whole)


def records(body: BinaryIO, form: Format) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, without their ends and with their numbers from 1, read as they are asked for."""
    if form.whole:
        yield 1, body.read().strip()
        return
    for number, line in enumerate(body, 1):
        text = (line.removeprefix(BOM) if number == 1 else line).strip()
        if text:
            yield number, text


def one_line(body: bytes, content_type: str, *, trusted: bool) -> bytes:
    """An answer as one line of JSON. `trusted` says that it is compact JSON already.

    JSON of several lines is written anew. Other text, which a script's output_fn may make, becomes a JSON string.
    HTTPError for what is no text.
    """
    if trusted and media_type(content_type) == JSON:
        return body
    compact = body.strip()
    try:
        orjson.loads(compact)
        if b"\n" not in compact and b"\r" not in compact:
            return compact
        # The standard library keeps integers over 64 bits.
        return json.dumps(json.loads(compact), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        pass
    try:
        return orjson.dumps(body.decode())
    except UnicodeDecodeError:
        raise BackendFailure(406, "UnacceptableType", f"the answer is {content_type}, which is no line") from None


def error_line(status: int, kind: str, message: str) -> bytes:
    """What stands on the line of a failure."""
    return orjson.dumps({"error": message[:MAX_MESSAGE], "code": status, "type": kind})


def failure(line: bytes) -> str | None:
    """The message of a line that `error_line` wrote; None for an answer."""
    if not line.startswith(b'{"error":'):
        return None
    said = orjson.loads(line)
    return str(said["error"]) if list(said) == ["error", "code", "type"] else None


def _count_records(body: BinaryIO) -> int:
    """0, 1, or 2 for more."""
    found = (line for line in map(bytes.strip, body) if line)
    first = next(found, b"").removeprefix(BOM)
    several = next(found, None) is not None
    if not several or _is_json(first):
        return 2 if several else int(bool(first))
    # One document printed on several lines, or lines of which the first is broken.
    body.seek(0)
    return 1 if _is_json(body.read().removeprefix(BOM)) else 2


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        # The standard parser takes NaN, as bodies may have it.
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True


def _parameters(content_type: str) -> dict[str, str]:
    if ";" not in content_type:
        return {}
    message = Message()
    message["content-type"] = content_type
    return {name.lower(): value.lower() for name, value in message.get_params([])[1:]}
