"""One invocation: admitted, sent to Triton, tried again if its process died, answered."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

from huggingface_backend import wire
from server import bodies
from server.bodies import Body, Chunks
from server.bulk import Bulk
from server.errors import TOO_MANY, BackendDied, BadRequest, DeadlineExceeded, HTTPError, Unavailable
from server.groups import Groups, InTurn, Together
from server.keeper import Keeper
from server.lines import Reading
from server.model import Model
from server.streams import Turns, relay
from server.triton.failures import NotReached, ProcessDied, TritonDied
from server.triton.messages import Answer, Call

MAX_TRITON_DEATHS = 3
"""Deaths of tritonserver that a call on its own is carried over."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What the client gets."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Chunks | None = None
    """The body in pieces, in place of `body`."""


class Invoker:
    """Admission, deadline and the one retry, for every model."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        queue_size: int,
        timeout: float,
        retry_scripts: bool,
        default_accept: str,
        reading: Reading | None = None,
    ) -> None:
        """`timeout` in seconds. `queue_size` requests of a model may wait beside those of one full batch.

        `default_accept` is the media type for clients that take any. `reading` says which bodies are lines.
        """
        self.draining = False
        self.in_flight = 0
        self.retries = 0
        self.in_triton = 0.0
        """Seconds that calls spent in requests to Triton, each call's own."""
        self._keeper = keeper
        self._ways: WeakKeyDictionary[Model, Groups | Turns] = WeakKeyDictionary()
        self._limit = queue_size + wire.MAX_BATCH_SIZE
        self._timeout = timeout
        self._retry_scripts = retry_scripts
        self._default_accept = default_accept
        self._bulk = Bulk(self, keeper.spool, reading or Reading())

    async def invoke(self, name: str | None, body: Body, headers: Mapping[str, str]) -> Result:
        """Answer a request; whoever sent the body removes it, and closes the answer's chunks if it has any.

        HTTPError has the status of whatever went wrong.
        """
        if self.draining:
            raise Unavailable("the server is stopping")
        model = self._model(name)
        if model.calls >= self._limit:
            raise Unavailable(TOO_MANY)
        self.in_flight += 1
        model.calls += 1
        result: Result | None = None
        try:
            call = Call(
                model.name,
                body.data,
                headers.get("content-type", wire.MEDIA_TYPE_JSON),
                self._accept(headers),
                json.dumps(dict(headers)) if model.runs_user_code else "",
                body.stored,
                in_parts=True,
            )
            try:
                async with asyncio.timeout(self._timeout):
                    lines = await self._bulk.answer(model, body, headers)
                    if lines is None:
                        result = self._result(model, await self._call(model, call))
                    else:
                        result = Result(lines.body, lines.content_type, 200, lines.headers, lines.chunks(self._leave))
            except TimeoutError:
                raise DeadlineExceeded(f"no answer within {self._timeout:g} s") from None
            return result
        finally:
            model.calls -= 1
            if result is None or result.chunks is None:
                self.in_flight -= 1

    def admits(self, name: str | None) -> bool:
        """Whether there is room for a request to a model, made in this turn of the event loop; None is the only one.

        One for a model that is not there is let in, to be told so.
        """
        models = self._keeper.models
        if name is None and len(models) == 1:
            model: Model | None = next(iter(models.values()))
        else:
            model = models.get(name or "")
        if model is None or self.draining:
            return True
        if model.calls + model.coming >= self._limit:
            return False
        model.coming += 1
        asyncio.get_running_loop().call_soon(model.came)
        return True

    def _accept(self, headers: Mapping[str, str]) -> str:
        accept = headers.get("accept", "")
        return self._default_accept if accept.strip() in ("", "*/*") else accept

    async def infer(self, model: Model, calls: Sequence[Call]) -> list[Answer | HTTPError]:
        """The answers to calls of one client, which may share a request to Triton; a call's failure is in its place."""
        if len(calls) == 1 or model.in_turn:
            return await asyncio.gather(*[_outcome(self._call(model, call)) for call in calls])
        while True:
            try:
                return await self._send(model, calls)
            except NotReached as error:
                self._keeper.suspect(model, error.generation, str(error))
            except ProcessDied as death:
                return [await _outcome(self._again(model, call, death)) for call in calls]

    async def _call(self, model: Model, call: Call) -> Answer:
        """The answer, with one more try, alone, for a call whose process died with it."""
        way = self._way(model)
        while True:
            try:
                return await way.infer(call) if way else _one(await self._send(model, [call]))
            except NotReached as error:
                self._keeper.suspect(model, error.generation, str(error))
            except ProcessDied as death:
                return await self._again(model, call, death)

    async def _again(self, model: Model, call: Call, death: ProcessDied) -> Answer:
        """The answer to a call after the death of a process that had it, alone with the next one."""
        generation = death.generation
        self._keeper.suspect(model, generation, str(death))
        if model.runs_user_code and not self._retry_scripts:
            raise BackendDied("the model's process died while this request was in it") from death
        self.retries += 1
        alone = replace(call, alone=True)
        tritons = 0
        async with model.quarantine():
            while True:
                generation = await model.up(after=generation)
                try:
                    return _one(await self._infer(model, [alone]))
                except NotReached as error:
                    self._keeper.suspect(model, generation, str(error))
                except TritonDied as death:
                    # Triton 2.51 sometimes aborts a moment after a backend has died: not this call's doing.
                    tritons += 1
                    if tritons == MAX_TRITON_DEATHS:
                        raise BackendDied(f"tritonserver died {tritons} times under this request") from death
                except ProcessDied as death:
                    self._keeper.suspect(model, generation, str(death))
                    raise BackendDied("the model's process died twice while this request was in it") from death

    async def _send(self, model: Model, calls: Sequence[Call], *, quick: bool = False) -> list[Answer | HTTPError]:
        """What Triton makes of calls, once the model is up; a death says which start of the model died."""
        generation = await model.ready()
        try:
            return await self._infer(model, calls, quick=quick)
        except (NotReached, ProcessDied) as error:
            error.generation = generation
            raise

    async def _infer(self, model: Model, calls: Sequence[Call], *, quick: bool = False) -> list[Answer | HTTPError]:
        began = time.perf_counter()
        try:
            return await self._keeper.client.infer(calls, self._timeout, decoupled=model.manifest.streams, quick=quick)
        finally:
            self.in_triton += (time.perf_counter() - began) * len(calls)

    def _way(self, model: Model) -> Groups | Turns | None:
        if model.concurrency is None:
            return None
        if model not in self._ways:
            kind = Turns if model.manifest.streams else InTurn if model.in_turn else Together
            self._ways[model] = kind(partial(self._send, model), model.concurrency)
        return self._ways[model]

    def _result(self, model: Model, answer: Answer) -> Result:
        stated = answer.attributes
        chunks = None
        if answer.rest is not None:
            model.calls += 1
            streamed = partial(self._streamed, model)
            chunks = relay(answer, answer.rest, self._timeout, self._keeper.spool, streamed)
        elif answer.body_file:
            spool, name = self._keeper.spool, answer.body_file
            chunks = bodies.sent(spool.open(name), partial(self._sent, name))
        return Result(answer.body, answer.content_type, stated.get("status", 200), stated.get("headers", {}), chunks)

    def _leave(self) -> None:
        self.in_flight -= 1

    def _streamed(self, model: Model) -> None:
        self._leave()
        model.calls -= 1

    def _sent(self, name: str) -> None:
        self._leave()
        self._keeper.spool.remove(name)

    def _model(self, name: str | None) -> Model:
        models = self._keeper.models
        if name is not None:
            return self._keeper.model(name)
        if len(models) == 1:
            return next(iter(models.values()))
        if not models:
            raise Unavailable("the model is not loaded yet")
        raise BadRequest(f"several models are loaded; use /models/NAME/invoke with one of {', '.join(sorted(models))}")


async def _outcome(answer: Awaitable[Answer]) -> Answer | HTTPError:
    try:
        return await answer
    except HTTPError as error:
        return error


def _one(answers: Sequence[Answer | HTTPError]) -> Answer:
    [answer] = answers
    if isinstance(answer, HTTPError):
        raise answer
    return answer
