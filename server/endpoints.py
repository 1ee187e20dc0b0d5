"""SageMaker's runtime API in front of the container's: what boto3 and the SageMaker SDK talk to, on a laptop.

SageMaker stands between a client and a container: it passes a few headers on, and wraps what the container refuses.
This does the same around the routes of `server/app.py`, so that a client needs no more than another `endpoint_url`.
Signatures are not looked at.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from huggingface_backend import wire
from huggingface_backend.errors import MAX_MESSAGE
from server import event_stream

ACCOUNT = "000000000000"
"""Stands where messages of SageMaker name the account."""

VARIANT = "AllTraffic"
"""The production variant that the SDK creates, for clients that ask for none."""

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
TARGET_MODEL = "x-amzn-sagemaker-target-model"
TARGET_VARIANT = "x-amzn-sagemaker-target-variant"
INFERENCE_COMPONENT = "x-amzn-sagemaker-inference-component"
STREAM_ACCEPT = "x-amzn-sagemaker-accept"

FORWARDED = frozenset(
    {"accept", "content-length", "content-type", CUSTOM_ATTRIBUTES, TARGET_MODEL, TARGET_VARIANT}
    | {"x-amzn-sagemaker-inference-id", "x-amzn-sagemaker-session-id"}
)
"""Headers that reach the container, and with it a user's script: no credentials, no signature."""

STATUSES = {"ValidationError": 400, "ModelError": 424, "ServiceUnavailable": 503}
"""The exceptions of the service's model that are raised here."""

logger = logging.getLogger(__name__)


class _ServiceError(Exception):
    """One of the exceptions that clients know by name; `members` are the service model's."""

    def __init__(self, kind: str, message: str, **members: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.members = {"Message": message[:MAX_MESSAGE], **members}


class LocalEndpoint:
    """`POST /endpoints/{name}/invocations`, and the same as a response stream, answered by a container's own route."""

    def __init__(self, container: ASGIApp, models: Collection[str], ready: Callable[[], bool]) -> None:
        """`container` answers `/invocations`, or `/models/{name}/invoke` where `path_params` has a name.

        `models` are the names of those loaded, as they are when it is asked.
        """
        self._container, self._models, self._ready = container, models, ready

    def routes(self) -> list[Route]:
        below = "/endpoints/{endpoint}"
        return [
            Route(f"{below}/invocations", _Invocation(self, _Whole), methods=["POST"]),
            Route(f"{below}/invocations-response-stream", _Invocation(self, _Stream), methods=["POST"]),
            Route(f"{below}/async-invocations", _refuse_async, methods=["POST"]),
        ]

    async def invoke(self, request: Request, answer: _Whole, receive: Receive) -> None:
        """Have the container answer. _ServiceError for whatever becomes of no answer."""
        name = self._model(request.path_params["endpoint"], request.headers)
        headers = {key: value for key, value in request.headers.items() if key in FORWARDED}
        if answer.accept_header in request.headers:
            headers["accept"] = request.headers[answer.accept_header]
        scope = {
            **request.scope,
            "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()],
            "path": f"/models/{name}/invoke",
            "raw_path": f"/models/{name}/invoke".encode(),
            "path_params": {"name": name},
        }
        await self._container(scope, receive, answer.take)

    def _model(self, endpoint: str, headers: Mapping[str, str]) -> str:
        """Whom a request is for: the model it names, the one the endpoint is named after, or the only one."""
        if not self._ready():
            raise _ServiceError("ServiceUnavailable", f"Endpoint {endpoint} is being created: its model is not loaded.")
        for header in (TARGET_MODEL, INFERENCE_COMPONENT):
            if header in headers:
                # Of a multi-model endpoint clients name the archive.
                asked = headers[header].removeprefix("/")
                for name in (asked, asked.removesuffix(".tar.gz")):
                    if name in self._models:
                        return name
                raise _ServiceError("ValidationError", f"Model {asked} is not loaded; {self._loaded()}")
        if endpoint in self._models:
            return endpoint
        if len(self._models) == 1:
            return next(iter(self._models))
        raise _ServiceError("ValidationError", f"Endpoint {endpoint} of account {ACCOUNT} not found; {self._loaded()}")

    def _loaded(self) -> str:
        return f"there is {', '.join(sorted(self._models)) or 'none'}."


@dataclass
class _Whole:
    """The container's answer on its way to the client, sent when all of it has come."""

    send: Send
    variant: str
    status: int = 0
    headers: Headers = field(default_factory=Headers)
    content: list[bytes] = field(default_factory=list)
    begun: bool = False
    """Whether the client has its status line."""

    accept_header = "accept"

    async def take(self, message: Message) -> None:
        """One of the container's ASGI messages."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message.get("headers", []))
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), last=not message.get("more_body", False))

    async def fail(self, error: _ServiceError) -> None:
        """Send an exception instead of an answer."""
        await self._start(STATUSES[error.kind], {"content-type": wire.MEDIA_TYPE_JSON, "x-amzn-errortype": error.kind})
        await self.send({"type": "http.response.body", "body": json.dumps(error.members).encode()})

    async def broken(self) -> None:
        """The container failed in the middle of its answer."""
        await self.fail(_model_error(500, "the answer ended before its end"))

    async def _body(self, part: bytes, *, last: bool) -> None:
        self.content.append(part)
        if last and self._refused:
            await self._refuse()
        elif last:
            body = b"".join(self.content)
            headers = {"content-length": str(len(body)), **self._passed_on("content-type")}
            await self._start(200, headers)
            await self.send({"type": "http.response.body", "body": body})

    @property
    def _refused(self) -> bool:
        return not 200 <= self.status < 300

    async def _refuse(self) -> None:
        await self.fail(_model_error(self.status, b"".join(self.content).decode("utf-8", "replace")))

    def _passed_on(self, content_type: str) -> dict[str, str]:
        """The headers that clients are to see of the container's; its type under a name of the operation's."""
        names = {"content-type": content_type, CUSTOM_ATTRIBUTES: CUSTOM_ATTRIBUTES}
        passed = {names[name]: self.headers[name] for name in names if name in self.headers}
        return {**passed, "x-amzn-invoked-production-variant": self.variant}

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        raw = {**headers, "x-amzn-requestid": str(uuid.uuid4())}
        encoded = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in raw.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})


class _Stream(_Whole):
    """The container's answer as events, each sent when it comes."""

    accept_header = STREAM_ACCEPT

    async def broken(self) -> None:
        if not self.begun:
            await super().broken()
            return
        members = {"Message": "the answer ended before its end; see the server's log", "ErrorCode": "StreamBroken"}
        body = event_stream.exception("ModelStreamError", members)
        await self.send({"type": "http.response.body", "body": body})

    async def _body(self, part: bytes, *, last: bool) -> None:
        if self._refused:
            await super()._body(part, last=last)
            return
        if not self.begun:
            headers = {"content-type": event_stream.MEDIA_TYPE, **self._passed_on("x-amzn-sagemaker-content-type")}
            await self._start(200, headers)
        for event in event_stream.payload_parts(part):
            await self.send({"type": "http.response.body", "body": event, "more_body": True})
        if last:
            await self.send({"type": "http.response.body"})


class _Invocation:
    """A route: every request ends with the container's answer or an exception of the service's model."""

    def __init__(self, endpoint: LocalEndpoint, answer: type[_Whole]) -> None:
        self._endpoint, self._answer = endpoint, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = self._answer(send, request.headers.get(TARGET_VARIANT, VARIANT))
        try:
            await self._endpoint.invoke(request, answer, receive)
        except _ServiceError as error:
            await answer.fail(error)
        except ClientDisconnect:
            return
        except Exception:
            logger.exception("an answer broke off")
            await answer.broken()


def _model_error(status: int, original: str) -> _ServiceError:
    """What a client gets of an answer that is none."""
    whose = "client" if 400 <= status < 500 else "server"
    return _ServiceError(
        "ModelError",
        f'Received {whose} error ({status}) from primary with message "{original}". See the server\'s log.',
        OriginalStatusCode=status,
        OriginalMessage=original[:MAX_MESSAGE],
        LogStreamArn="",
    )


async def _refuse_async(request: Request) -> Response:
    name = request.path_params["endpoint"]
    message = f"Endpoint {name} takes no asynchronous invocations: those are read from and written to S3 by SageMaker."
    headers = {"x-amzn-errortype": "ValidationError"}
    return Response(json.dumps({"Message": message}), 400, headers=headers, media_type=wire.MEDIA_TYPE_JSON)
