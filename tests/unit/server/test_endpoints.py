"""Containers whose answer breaks off. Ours says in its answer what went wrong, so these are written for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.exceptions import EventStreamError
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from server.endpoints import LocalEndpoint
from tests.serving import free_port


@contextmanager
def client(container: Callable[..., Any], *, ready: bool = True) -> Iterator[Any]:
    """boto3's client of an endpoint with one container."""
    app = Router(LocalEndpoint(container, ["model"], lambda: ready).routes())
    port = free_port()
    http = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None))
    thread = threading.Thread(target=lambda: asyncio.run(http.serve()))
    thread.start()
    made = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-central-1",
        aws_access_key_id="anyone",
        aws_secret_access_key="anything",
    )
    try:
        yield made
    finally:
        made.close()
        http.should_exit = True
        thread.join()


async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: a cup of", "more_body": True})
    raise OSError("no more tea")


async def never_begins(scope: Scope, receive: Receive, send: Send) -> None:
    raise OSError("no tea")


@pytest.fixture
def streamed() -> list[bytes]:
    return []


def stream(runtime: Any, into: list[bytes]) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="any", Body=b"{}")
    # Closed here, since it is not read to its end.
    with closing(answer["Body"]) as events:
        for event in events:
            into += [event["PayloadPart"]["Bytes"]]


def test_a_stream_that_breaks_off_is_a_stream_error(streamed: list[bytes]) -> None:
    with client(breaks_off) as runtime, pytest.raises(EventStreamError, match="ended before its end") as caught:
        stream(runtime, streamed)
    assert caught.value.response["Error"]["Code"] == "ModelStreamError"
    assert streamed == [b"data: a cup of"]


@pytest.mark.parametrize("container", [breaks_off, never_begins])
def test_an_answer_that_breaks_off_is_a_model_error(container: Callable[..., Any]) -> None:
    with client(container) as runtime, pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="any", Body=json.dumps({}))
    assert caught.value.response["OriginalStatusCode"] == 500


def test_a_stream_that_never_begins_is_a_model_error(streamed: list[bytes]) -> None:
    with client(never_begins) as runtime, pytest.raises(runtime.exceptions.ModelError):
        stream(runtime, streamed)
    assert streamed == []
