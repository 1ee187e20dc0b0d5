"""The HTTP routes. Endpoints translate and delegate."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from huggingface_backend.errors import MAX_MESSAGE
from server.errors import BodyTooLarge, HTTPError
from server.metrics import Metrics

if TYPE_CHECKING:
    from server.invocations import Invoker
    from server.keeper import Keeper

logger = logging.getLogger(__name__)


class _Endpoint:
    """A request's function as an ASGI application, without the wrappers that a route puts around functions."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)


class Adapter:
    """SageMaker's container contract over a keeper."""

    def __init__(self, keeper: Keeper, invoker: Invoker, metrics: Metrics, max_body: int) -> None:
        """`max_body` in bytes."""
        self._keeper, self._invoker, self._metrics = keeper, invoker, metrics
        self._max_body = max_body
        self.ready = False
        """Set once the first models are loaded."""

    def app(self) -> Router:
        """The routes alone: Starlette's middleware would catch what `invoke` has caught, at a tenth of its time."""
        invoke = _Endpoint(self.invoke)
        return Router(
            routes=[
                Route("/ping", self.ping),
                Route("/metrics", self.metrics),
                Route("/invocations", invoke, methods=["POST"]),
                Route("/models/{name}/invoke", invoke, methods=["POST"]),
            ]
        )

    async def ping(self, request: Request) -> Response:  # noqa: ARG002
        serving = self.ready and self._keeper.healthy and not self._invoker.draining
        return Response(status_code=200 if serving else 503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        text = await self._metrics.render(self._keeper.metrics_port)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def invoke(self, request: Request) -> Response:
        with self._metrics.request() as outcome:
            try:
                response = await self._invoke(request)
            except HTTPError as error:
                response = error_response(error)
            except ClientDisconnect:
                response = Response(status_code=499)
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("unexpected failure")
                response = error_response(HTTPError("unexpected failure in the server; see its log"))
            outcome.status = response.status_code
        return response

    async def _invoke(self, request: Request) -> Response:
        body = await self._read(request)
        result = await self._invoker.invoke(request.path_params.get("name"), body, request.headers)
        response = Response(result.body, result.status, headers=dict(result.headers))
        # Not as media_type: Starlette would add a charset to text types.
        response.headers["content-type"] = result.content_type
        return response

    async def _read(self, request: Request) -> bytes:
        """The body, refused as soon as it is known to be too large."""
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_body:
            raise BodyTooLarge(f"the body has {announced} bytes, {self._max_body} are allowed")
        chunks, total = [], 0
        async for chunk in request.stream():
            total += len(chunk)
            if total > self._max_body:
                raise BodyTooLarge(f"the body has more than the {self._max_body} bytes that are allowed")
            chunks.append(chunk)
        return b"".join(chunks)


def error_response(error: HTTPError) -> Response:
    """A failure as JSON with `code`, `type` and `message`."""
    body = {"code": error.status, "type": error.type, "message": str(error)[:MAX_MESSAGE]}
    headers = {"retry-after": str(error.retry_after)} if error.retry_after is not None else {}
    if error.status == BodyTooLarge.status:
        # What is left of the body is not worth reading.
        headers["connection"] = "close"
    return Response(json.dumps(body, ensure_ascii=False), error.status, headers=headers, media_type="application/json")
