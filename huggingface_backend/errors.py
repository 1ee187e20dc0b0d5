"""Every way a request can fail, and the one table from failure to HTTP status.

    RequestError                 500  InternalError
    ├── MalformedBody            400
    ├── UnacceptableType         406
    ├── UnsupportedType          415
    ├── InvalidInput             422
    ├── ModelError               500  the model or a script failed
    └── ScriptStatus             as the script said

A failure crosses Triton as the text of a `TritonError`, since Triton's own codes are fewer than HTTP's:
`[422 InvalidInput] message`.
"""

from __future__ import annotations

import re

MAX_MESSAGE = 2000
"""Characters of a message that reach the client; SageMaker's bodies stay under 2048."""
MAX_WIRE_BYTES = 2500
"""Bytes of a message in UTF-8. gRPC writes each that is not ASCII as three, and takes 8192 in all."""

_WIRE = re.compile(r"\[(\d{3}) (\w+)\] (.*)", re.DOTALL)


class RequestError(Exception):
    """A request that gets no answer, while its neighbours in the batch get theirs."""

    status = 500

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status

    @property
    def type(self) -> str:
        return type(self).__name__

    def to_wire(self) -> str:
        """The text that travels in Triton's error message."""
        text = str(self)[:MAX_MESSAGE].encode()[:MAX_WIRE_BYTES].decode("utf-8", "ignore")
        return f"[{self.status} {self.type}] {text}"


class MalformedBody(RequestError):
    """The body is not what its content type says."""

    status = 400


class UnacceptableType(RequestError):
    """No encoder for what Accept asks for."""

    status = 406


class UnsupportedType(RequestError):
    """No decoder for the Content-Type."""

    status = 415


class InvalidInput(RequestError):
    """Well-formed, but not inputs or parameters this task can take."""

    status = 422


class ModelError(RequestError):
    """The model or the user's script failed on this request."""


class ScriptStatus(RequestError):
    """A status that the user's script chose by raising an exception that carries one."""


class EntryError(Exception):
    """A repository entry that cannot be loaded; the message is one line for its owner."""


def parse_wire(message: str) -> tuple[int, str, str] | None:
    """`(status, type, message)` of an error that `RequestError.to_wire` wrote, else None."""
    match = _WIRE.match(message)
    return (int(match[1]), match[2], match[3]) if match else None


def first_line(error: BaseException) -> str:
    """An exception's first line, for messages; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


def describe(value: object) -> str:
    """A value's kind, for messages, in JSON's words where it has one."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:5])) or 'no keys'}"
    return f"a {type(value).__name__}"
