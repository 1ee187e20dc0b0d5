"""A call and its answer, and the messages of Triton that they travel in."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritonclient.grpc import service_pb2 as pb

from huggingface_backend import wire
from huggingface_backend.errors import parse_wire
from server.errors import BackendFailure, HTTPError

if TYPE_CHECKING:
    from server.triton.client import Parts

_LENGTH = struct.Struct("<I")
_PADDING = b"\0\0\0\0"
"""An empty BYTES item."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request on the wire."""

    model: str
    body: bytes
    content_type: str
    accept: str
    attributes: str = ""
    body_file: str = ""
    alone: bool = False
    """As wide as a whole batch, so that Triton puts nothing beside it."""
    in_parts: bool = False
    """Whether the caller reads an answer that comes in parts."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    content_type: str
    attributes: Mapping[str, Any]
    body_file: str
    rest: Parts | None = None
    """The parts that follow this one, for who closes them; None where it is the only one, or the last."""


def request_of(calls: Sequence[Call]) -> pb.ModelInferRequest:
    width = wire.MAX_BATCH_SIZE if calls[0].alone else len(calls)
    padding = _PADDING * (width - len(calls))
    request = pb.ModelInferRequest(model_name=calls[0].model)
    values = {
        wire.BODY: [call.body for call in calls],
        wire.CONTENT_TYPE: [call.content_type.encode() for call in calls],
        wire.ACCEPT: [call.accept.encode() for call in calls],
        wire.ATTRIBUTES: [call.attributes.encode() for call in calls],
        wire.BODY_FILE: [call.body_file.encode() for call in calls],
    }
    for name, column in values.items():
        if name in wire.INPUTS or any(column):
            request.inputs.add(name=name, datatype="BYTES", shape=(width, 1))
            packed = b"".join(part for value in column for part in (_LENGTH.pack(len(value)), value))
            request.raw_input_contents.append(packed + padding)
    return request


def answers_of(response: pb.ModelInferResponse) -> list[Answer | HTTPError]:
    items = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=True))
    columns = [_unpack(items[name]) for name in wire.OUTPUTS]
    return [_answer(*row) for row in zip(*columns, strict=True)]


def _unpack(raw: bytes) -> list[bytes]:
    """The items of a BYTES tensor: each has its length before it."""
    items, at = [], 0
    while at < len(raw):
        end = at + 4 + _LENGTH.unpack_from(raw, at)[0]
        items.append(raw[at + 4 : end])
        at = end
    return items


def _answer(body: bytes, content_type: bytes, attributes: bytes, body_file: bytes) -> Answer | HTTPError:
    """A row of the outputs, which are in the order of `wire.OUTPUTS`."""
    stated = json.loads(attributes) if attributes else {}
    if "error" in stated:
        return BackendFailure(*(parse_wire(stated["error"]) or (500, "InternalError", "a failure that cannot be read")))
    return Answer(body, content_type.decode(), stated, body_file.decode())
