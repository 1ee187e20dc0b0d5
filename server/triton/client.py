"""Triton over gRPC: Triton's generated messages over raw calls, without tritonclient's numpy detour."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from huggingface_backend import wire
from huggingface_backend.errors import parse_wire
from server.errors import BackendFailure, DeadlineExceeded, HTTPError

_SERVICE = "/inference.GRPCInferenceService/"
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)
_NOT_REACHED = ("unknown model", "is not ready", "failed to connect", "Connection refused")
QUIET = 0.5
"""Seconds without an answer after which the calls that are left are taken for those of a dead process."""
_LENGTH = struct.Struct("<I")
_PADDING = b"\0\0\0\0"
"""An empty BYTES item."""


class ProcessDied(Exception):
    """The backend died under a call."""

    generation = 0
    """Which start of the model's processes it was, where the caller knows."""


class TritonDied(ProcessDied):
    """tritonserver itself died under a call, which no model's input makes it do."""


class NotReached(Exception):
    """There was no process to take a call; it has cost nothing and may be sent again."""

    generation = 0


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


class TritonClient:
    """One channel to one tritonserver."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        self._infer = self._method("ModelInfer", pb.ModelInferRequest, pb.ModelInferResponse)
        self._infer_in_parts = self._channel.stream_stream(
            _SERVICE + "ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        self._load = self._method("RepositoryModelLoad", pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse)
        self._closed = False
        self._calls: dict[str, set[Any]] = {}
        """Inferences in flight, by model."""
        self._unload = self._method(
            "RepositoryModelUnload", pb.RepositoryModelUnloadRequest, pb.RepositoryModelUnloadResponse
        )

    async def wait_until_up(self) -> None:
        """Returns once Triton accepts calls; never, if it does not."""
        await self._channel.channel_ready()

    async def close(self) -> None:
        self._closed = True
        for model in self._calls:
            self.abandon(model)
        await self._channel.close()

    def abandon(self, model: str) -> None:
        """End the calls in flight to a model whose process is gone, with ProcessDied.

        Triton itself leaves a call open for ever when the backend that took it dies.
        """
        calls = self._calls.get(model, set())
        abandoned = list(calls)
        calls.clear()
        for call in abandoned:
            call.cancel()

    async def quiet(self, model: str, timeout: float) -> None:
        """Returns when calls to a model have stopped ending, at the latest after the timeout (seconds)."""
        deadline, last, calls = time.monotonic() + timeout, -1, self._calls.get(model, set())
        while len(calls) != last and calls and time.monotonic() < deadline:
            last = len(calls)
            await asyncio.sleep(QUIET)

    async def load(self, model: str, timeout: float) -> None:
        """Load a model. Raises LoadFailed with Triton's reason, or ProcessDied."""
        try:
            await self._load(pb.RepositoryModelLoadRequest(model_name=model), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise ProcessDied(error.details()) from error
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise LoadFailed(f"{model} was not loaded within {timeout:.0f} s") from error
            raise LoadFailed(load_reason(error.details() or "")) from error

    async def unload(self, model: str, timeout: float) -> None:
        """Unload a model. Triton answers before the backend's process has ended."""
        try:
            await self._unload(pb.RepositoryModelUnloadRequest(model_name=model), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise ProcessDied(error.details()) from error

    async def infer(
        self, calls: Sequence[Call], timeout: float, *, decoupled: bool = False
    ) -> list[Answer | HTTPError]:
        """The answers to calls of one model, sent as one request; the failure of one among several is in its place.

        A `decoupled` model may give a single call the first part of an answer, and has no deadline here. Raises the
        failure of a single call, DeadlineExceeded, ProcessDied or NotReached.
        """
        in_flight = self._calls.setdefault(calls[0].model, set())
        if decoupled:
            return await self._first(Parts(self._infer_in_parts([_request(calls)]), in_flight, self), calls[0])
        pending = self._infer(_request(calls), timeout=timeout)
        in_flight.add(pending)
        try:
            response = await pending
        except grpc.aio.AioRpcError as error:
            raise _failure(error.code(), error.details() or "", timeout) from None
        except asyncio.CancelledError:
            if pending in in_flight:
                raise
            raise self.death() from None
        finally:
            in_flight.discard(pending)
        return _answers(response)

    async def _first(self, parts: Parts, call: Call) -> list[Answer | HTTPError]:
        rest = None
        try:
            answers, last = await parts.next()
            if not last:
                if not call.in_parts:
                    raise BackendFailure(422, "InvalidInput", "there can be no stream here: leave stream out")
                rest = parts
        finally:
            if rest is None:
                parts.close()
        return [replace(answer, rest=rest) if isinstance(answer, Answer) else answer for answer in answers]

    def death(self) -> ProcessDied:
        """Why a call was ended that nobody here gave up."""
        if self._closed:
            return TritonDied("tritonserver ended")
        return ProcessDied("the backend that had the request ended")

    def _method(self, name: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            _SERVICE + name,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )


class Parts:
    """The responses to one request to a decoupled model."""

    def __init__(self, pending: Any, in_flight: set[Any], client: TritonClient) -> None:
        self._pending, self._in_flight, self._client = pending, in_flight, client
        in_flight.add(pending)
        self.on_close: Callable[[], None] = lambda: None
        """Called once, however often it is closed."""

    async def next(self) -> tuple[list[Answer | HTTPError], bool]:
        """The next part, and whether it is the last. Raises what `infer` raises, and then there are no more."""
        try:
            response = await self._pending.read()
        except grpc.aio.AioRpcError as error:
            raise _failure(error.code(), error.details() or "") from None
        except asyncio.CancelledError:
            if self._pending in self._in_flight:
                raise
            raise self._client.death() from None
        if response is grpc.aio.EOF:
            raise ProcessDied("the answer ended before its end")
        if response.error_message:
            raise _failure(None, response.error_message)
        last = response.infer_response.parameters["triton_final_response"].bool_param
        return _answers(response.infer_response), last

    def close(self) -> None:
        """End the request; Triton tells the backend where it was not answered to its end."""
        self._in_flight.discard(self._pending)
        self._pending.cancel()
        on_close, self.on_close = self.on_close, lambda: None
        on_close()


class LoadFailed(Exception):
    """A model that cannot be loaded; the message is one line."""


def _request(calls: Sequence[Call]) -> pb.ModelInferRequest:
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


def _answers(response: pb.ModelInferResponse) -> list[Answer | HTTPError]:
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


def _failure(code: grpc.StatusCode | None, details: str, timeout: float = 0) -> HTTPError | ProcessDied | NotReached:
    """What a failed call's code, where it has one, and Triton's words mean."""
    ours = parse_wire(details)
    if ours is not None:
        return BackendFailure(*ours)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"no answer within {timeout:.0f} s")
    # A model between its unload and its load is unknown or not ready, a tritonserver between two runs refuses.
    if code == grpc.StatusCode.NOT_FOUND or any(text in details for text in _NOT_REACHED):
        return NotReached(details)
    if "Stub process" in details:
        return ProcessDied(details)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return TritonDied(details)
    return BackendFailure(500, "TritonError", details.splitlines()[0] if details else str(code))


def load_reason(details: str) -> str:
    """The last cause in Triton's chain of reasons for a failed load, in one line."""
    lines = [line.strip() for line in details.splitlines() if line.strip()]
    reason = next((line for line in lines if "TritonModelException" in line), lines[0] if lines else "no reason given")
    return reason.rpartition("TritonModelException: ")[2].rpartition("Internal: ")[2]
