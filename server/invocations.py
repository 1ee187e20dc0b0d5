"""One invocation: admitted, sent to Triton, tried again if its process died, answered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakKeyDictionary

from huggingface_backend import wire
from server.errors import BackendDied, BadRequest, DeadlineExceeded, HTTPError, Unavailable, UnknownModel
from server.keeper import Keeper
from server.lanes import Lane
from server.model import Model
from server.triton.client import Answer, Call, NotReached, ProcessDied, TritonDied

MAX_TRITON_DEATHS = 3
"""Deaths of tritonserver that a call on its own is carried over."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What the client gets."""

    body: bytes
    content_type: str
    status: int
    headers: Mapping[str, str]


class Invoker:
    """Admission, deadline and the one retry, for every model."""

    def __init__(
        self, keeper: Keeper, *, queue_size: int, timeout: float, retry_scripts: bool, default_accept: str
    ) -> None:
        """`timeout` in seconds. `queue_size` requests may wait beside those of one full batch.

        `default_accept` is the media type for clients that take any.
        """
        self.draining = False
        self.in_flight = 0
        self.retries = 0
        self._keeper = keeper
        self._lanes: WeakKeyDictionary[Model, Lane] = WeakKeyDictionary()
        self._limit = queue_size + wire.MAX_BATCH_SIZE
        self._timeout = timeout
        self._retry_scripts = retry_scripts
        self._default_accept = default_accept

    async def invoke(self, name: str | None, body: bytes, headers: Mapping[str, str]) -> Result:
        """Answer a request. HTTPError has the status of whatever went wrong."""
        if self.draining:
            raise Unavailable("the server is stopping")
        model = self._model(name)
        if self.in_flight >= self._limit:
            raise Unavailable(f"{self.in_flight} requests are waiting already")
        self.in_flight += 1
        spool, stored = self._keeper.spool, ""
        try:
            if len(body) > wire.SPOOL_ABOVE:
                stored = await asyncio.to_thread(spool.write, body)
                body = b""
            call = Call(
                model.name,
                body,
                headers.get("content-type", wire.MEDIA_TYPE_JSON),
                self._accept(headers),
                json.dumps(dict(headers)) if model.runs_user_code else "",
                stored,
            )
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._call(model, call)
            except TimeoutError:
                raise DeadlineExceeded(f"no answer within {self._timeout:g} s") from None
            return await self._result(answer)
        finally:
            self.in_flight -= 1
            if stored:
                spool.remove(stored)

    def _accept(self, headers: Mapping[str, str]) -> str:
        accept = headers.get("accept", "")
        return self._default_accept if accept.strip() in ("", "*/*") else accept

    async def _call(self, model: Model, call: Call) -> Answer:
        """The answer, with one more try, alone, for a call whose process died with it."""
        lane = self._lane(model)
        while True:
            try:
                return await lane.infer(call) if lane else _one(await self._send(model, [call]))
            except NotReached as error:
                self._keeper.suspect(model, error.generation, str(error))
            except ProcessDied as death:
                generation = death.generation
                self._keeper.suspect(model, generation, str(death))
                if model.runs_user_code and not self._retry_scripts:
                    raise BackendDied("the model's process died while this request was in it") from death
                break
        self.retries += 1
        alone = replace(call, alone=True)
        tritons = 0
        async with model.quarantine():
            while True:
                generation = await model.up(after=generation)
                try:
                    return _one(await self._keeper.client.infer([alone], self._timeout))
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

    async def _send(self, model: Model, calls: Sequence[Call]) -> list[Answer | HTTPError]:
        """What Triton makes of calls, once the model is up; a death says which start of the model died."""
        generation = await model.ready()
        try:
            return await self._keeper.client.infer(calls, self._timeout)
        except (NotReached, ProcessDied) as error:
            error.generation = generation
            raise

    def _lane(self, model: Model) -> Lane | None:
        if model.concurrency is None:
            return None
        if model not in self._lanes:
            self._lanes[model] = Lane(partial(self._send, model), model.concurrency)
        return self._lanes[model]

    async def _result(self, answer: Answer) -> Result:
        body = answer.body
        if answer.body_file:
            spool = self._keeper.spool
            body = await asyncio.to_thread(spool.read, answer.body_file)
            spool.remove(answer.body_file)
        stated = answer.attributes
        return Result(body, answer.content_type, stated.get("status", 200), stated.get("headers", {}))

    def _model(self, name: str | None) -> Model:
        models = self._keeper.models
        if name is not None:
            if name not in models:
                raise UnknownModel(f"model {name} is not loaded")
            return models[name]
        if len(models) == 1:
            return next(iter(models.values()))
        if not models:
            raise Unavailable("the model is not loaded yet")
        raise BadRequest(f"several models are loaded; use /models/NAME/invoke with one of {', '.join(sorted(models))}")


def _one(answers: Sequence[Answer | HTTPError]) -> Answer:
    [answer] = answers
    if isinstance(answer, HTTPError):
        raise answer
    return answer
