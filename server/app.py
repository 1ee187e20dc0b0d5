"""The HTTP routes. Endpoints translate and delegate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from server import bodies
from server.endpoints import LocalEndpoint
from server.errors import HTTPError
from server.gone import WhileConnected
from server.metrics import Metrics
from server.responses import Endpoint, Pieces, Whole, answered

if TYPE_CHECKING:
    from server.invocations import Invoker
    from server.keeper import Keeper


_MODELS, _INVOKE = b"/models/", b"/invoke"


class Adapter:
    """SageMaker's container contract over a keeper."""

    def __init__(self, keeper: Keeper, invoker: Invoker, metrics: Metrics, max_body: int) -> None:
        """`max_body` in bytes."""
        self._keeper, self._invoker, self._metrics = keeper, invoker, metrics
        self._max_body = max_body
        self.ready = False
        """Set once the first models are loaded."""

    def app(
        self,
        further: Sequence[Route] = (),
        *,
        local_endpoint: bool = False,
        execution_parameters: Mapping[str, Any] | None = None,
    ) -> Router:
        """The routes alone: Starlette's middleware would catch what `invoke` has caught, at a tenth of its time."""
        invoke = Endpoint(self.invoke)
        routes = [
            # They are tried in this order.
            Route("/invocations", invoke, methods=["POST"]),
            Route("/models/{name}/invoke", invoke, methods=["POST"]),
            Route("/ping", self.ping),
            Route("/metrics", self.metrics),
            *further,
        ]
        if execution_parameters:
            answer = JSONResponse(execution_parameters)
            routes.append(Route("/execution-parameters", lambda request: answer))  # noqa: ARG005
        if local_endpoint:
            routes += LocalEndpoint(invoke, self._keeper.models, lambda: self.ready).routes()
        return Router(routes)

    def admits(self, target: bytes) -> bool:
        """Whether there is room for a POST to a request target; for all that is no invocation there always is."""
        if target == b"/invocations":
            return self._invoker.admits(None)
        if target.startswith(_MODELS) and target.endswith(_INVOKE):
            return self._invoker.admits(target[len(_MODELS) : -len(_INVOKE)].decode("latin-1"))
        return True

    async def ping(self, request: Request) -> Response:  # noqa: ARG002
        serving = self.ready and self._keeper.healthy and not self._invoker.draining
        return Response(status_code=200 if serving else 503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        text = await self._metrics.render(self._keeper.metrics_port)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def invoke(self, request: Request) -> Response | Whole:
        started, status = time.perf_counter(), HTTPError.status
        try:
            response = await answered(self._invoke, request)
            status = response.status_code
        finally:
            self._metrics.request(status, time.perf_counter() - started)
        return response

    async def _invoke(self, request: Request) -> Response | Whole:
        spool = self._keeper.spool
        body = await bodies.read(request, self._max_body, spool)
        # The first of equal names counts, as for Starlette, whose mapping looks through them all each time.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"][::-1]}
        try:
            with WhileConnected(request.receive):
                result = await self._invoker.invoke(request.path_params.get("name"), body, headers)
        finally:
            body.remove(spool)
        if result.chunks is None:
            return Whole(result.body, result.status, result.content_type, result.headers)
        response = Pieces(result.chunks, result.status, dict(result.headers))
        # Not as media_type: Starlette would add a charset to text types.
        response.headers["content-type"] = result.content_type
        return response
