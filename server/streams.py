"""Answers that come in parts, on their way from Triton to the client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable

from huggingface_backend import wire
from huggingface_backend.errors import MAX_MESSAGE
from server.bodies import Chunks
from server.errors import BackendDied, DeadlineExceeded, HTTPError
from server.groups import Send
from server.triton.client import Parts
from server.triton.failures import NotReached, ProcessDied
from server.triton.messages import Answer, Call

logger = logging.getLogger(__name__)


class Turns:
    """A few calls at a time to a model that answers one after the other, each until its answer's end.

    As in `groups.Groups`, those that wait do so here, where the death of a process does not reach them.
    """

    def __init__(self, send: Send, width: int) -> None:
        """`width` is the number of requests that Triton holds at once."""
        self._send, self._free = send, asyncio.Semaphore(width)

    async def infer(self, call: Call) -> Answer:
        """The answer to a call, or what sending it raised."""
        await self._free.acquire()
        rest = None
        try:
            [answer] = await self._send([call], quick=False)
            if isinstance(answer, HTTPError):
                raise answer
            rest = answer.rest
            if rest is not None:
                rest.on_close = self._free.release
            return answer
        finally:
            if rest is None:
                self._free.release()


def relay(first: Answer, rest: Parts, timeout: float, spool: wire.Spool, on_close: Callable[[], None]) -> Chunks:
    """The parts of an answer as they come, at most `timeout` seconds from one to the next.

    What goes wrong on the way is the last of them, for the status is sent by then. Closing the chunks ends the request.
    """

    def close() -> None:
        rest.close()
        on_close()

    return Chunks(_parts(first, rest, timeout, spool), close)


async def _parts(first: Answer, rest: Parts, timeout: float, spool: wire.Spool) -> AsyncGenerator[bytes, None]:
    yield first.body
    last = False
    while not last:
        try:
            async with asyncio.timeout(timeout):
                [part], last = await rest.next()
            if isinstance(part, HTTPError):
                raise part
        except TimeoutError:
            yield _failure(DeadlineExceeded(f"no token within {timeout:g} s"), first.content_type)
            return
        except (ProcessDied, NotReached) as error:
            logger.error("a streamed answer ended early: %s", error)
            died = BackendDied("the model's process died while this request was in it")
            yield _failure(died, first.content_type)
            return
        except HTTPError as error:
            yield _failure(error, first.content_type)
            return
        if part.body_file:
            yield await asyncio.to_thread(spool.read, part.body_file)
            spool.remove(part.body_file)
        else:
            yield part.body


def _failure(error: HTTPError, content_type: str) -> bytes:
    told = {"error": str(error)[:MAX_MESSAGE], "error_type": error.type}
    return wire.event(json.dumps(told, ensure_ascii=False).encode(), content_type)
