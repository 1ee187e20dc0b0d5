"""Triton over gRPC: Triton's generated messages over raw calls, without tritonclient's numpy detour.

Short calls go over HTTP (`quick.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from server.errors import BackendFailure, HTTPError
from server.triton.failures import LoadFailed, ProcessDied, TritonDied, failure, load_reason
from server.triton.messages import Answer, Call, answers_of, request_of
from server.triton.process import Ports
from server.triton.quick import QuickCalls

_SERVICE = "/inference.GRPCInferenceService/"
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)
_HELD = ("READY", "LOADING", "UNLOADING")
_SHORT = 4096
"""Bytes of quick calls that go over HTTP: what they take is hardly worth ending for a client that has gone."""
QUIET = 0.5
"""Seconds without an answer after which the calls that are left are taken for those of a dead process."""


class TritonClient:
    """The connections to one tritonserver."""

    def __init__(self, ports: Ports) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}", options=_OPTIONS)
        self._quick = QuickCalls(ports.http)
        self._infer = self._method("ModelInfer", pb.ModelInferRequest, pb.ModelInferResponse)
        self._infer_in_parts = self._channel.stream_stream(
            _SERVICE + "ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        self._load = self._method("RepositoryModelLoad", pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse)
        self._index = self._method("RepositoryIndex", pb.RepositoryIndexRequest, pb.RepositoryIndexResponse)
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
        self._quick.close()
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

    async def wait_until_unloaded(self, model: str, timeout: float) -> None:
        """Returns once Triton holds nothing of a model, shared memory included; at the latest after the timeout."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                index = await self._index(pb.RepositoryIndexRequest(), timeout=timeout)
            except grpc.aio.AioRpcError as error:
                raise ProcessDied(error.details()) from error
            if not any(each.name == model and each.state in _HELD for each in index.models):
                return
            await asyncio.sleep(0.01)

    async def infer(
        self, calls: Sequence[Call], timeout: float, *, decoupled: bool = False, quick: bool = False
    ) -> list[Answer | HTTPError]:
        """The answers to calls of one model, sent as one request; the failure of one among several is in its place.

        A `decoupled` model may give a single call the first part of an answer, and has no deadline here. Short calls
        that are `quick` go over HTTP, also without one. Raises the failure of a single call, DeadlineExceeded,
        ProcessDied or NotReached.
        """
        in_flight = self._calls.setdefault(calls[0].model, set())
        if decoupled:
            return await self._first(Parts(self._infer_in_parts([request_of(calls)]), in_flight, self), calls[0])
        quick = quick and sum(len(call.body) for call in calls) <= _SHORT
        pending: Any
        if quick:
            pending = asyncio.ensure_future(self._quick.infer(calls))
        else:
            pending = self._infer(request_of(calls), timeout=timeout)
        in_flight.add(pending)
        try:
            response = await pending
        except grpc.aio.AioRpcError as error:
            raise failure(error.code(), error.details() or "", timeout) from None
        except asyncio.CancelledError:
            if pending in in_flight:
                raise
            raise self.death() from None
        finally:
            in_flight.discard(pending)
        return response if quick else answers_of(response)

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
            raise failure(error.code(), error.details() or "") from None
        except asyncio.CancelledError:
            if self._pending in self._in_flight:
                raise
            raise self._client.death() from None
        if response is grpc.aio.EOF:
            raise ProcessDied("the answer ended before its end")
        if response.error_message:
            raise failure(None, response.error_message)
        last = response.infer_response.parameters["triton_final_response"].bool_param
        return answers_of(response.infer_response), last

    def close(self) -> None:
        """End the request; Triton tells the backend where it was not answered to its end."""
        self._in_flight.discard(self._pending)
        self._pending.cancel()
        on_close, self.on_close = self.on_close, lambda: None
        on_close()
