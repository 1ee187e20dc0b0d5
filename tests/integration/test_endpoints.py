"""boto3's own client against a server on the loopback: nothing but `endpoint_url` is not as in the cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from server.event_stream import MAX_PART
from tests.parity.zoo.generation import gpt2
from tests.serving import Server

JSON = "application/json"


@contextmanager
def client(url: str, **config: Any) -> Iterator[Any]:
    made = boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="anyone",
        aws_secret_access_key="anything",
        config=Config(**config),
    )
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def runtime(server: Server) -> Iterator[Any]:
    with client(server.url) as made:
        yield made


def invoke(runtime: Any, endpoint: str, inputs: Any = "tea", **more: Any) -> Any:
    """boto3's answer, its body read."""
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=json.dumps({"inputs": inputs}), **{"ContentType": JSON, **more}
    )
    return {**answer, "Body": answer["Body"].read()}


def stream(runtime: Any, endpoint: str, body: Any, **more: Any) -> tuple[Any, list[bytes]]:
    """boto3's answer and the parts of its body."""
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, Body=json.dumps(body), **{"ContentType": JSON, **more}
    )
    return answer, [event["PayloadPart"]["Bytes"] for event in answer["Body"]]


def test_an_endpoint_is_named_after_its_model(server: Server, runtime: Any) -> None:
    for name in ("classifier", "minilm"):
        answer = invoke(runtime, name, Accept=JSON)
        assert answer["Body"] == server.post({"inputs": "tea"}, f"/models/{name}/invoke").content
        assert answer["ContentType"] == JSON
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        assert answer["ResponseMetadata"]["RequestId"]
    assert invoke(runtime, "classifier", TargetVariant="blue")["InvokedProductionVariant"] == "blue"


@pytest.mark.parametrize(
    "named",
    [
        {"TargetModel": "minilm"},
        {"TargetModel": "minilm.tar.gz"},
        {"TargetModel": "/minilm.tar.gz"},
        {"InferenceComponentName": "minilm"},
    ],
    ids=str,
)
def test_a_request_may_name_its_model(runtime: Any, named: dict[str, str]) -> None:
    assert len(json.loads(invoke(runtime, "any-name", **named)["Body"])) == 384


def test_a_single_model_answers_under_any_name(repository: Path, start: Callable[..., Server]) -> None:
    with client(start(str(repository / "classifier")).wait().url) as runtime:
        answer = invoke(runtime, "huggingface-pytorch-inference-2026-01-01-00-00-00-000")
        assert json.loads(answer["Body"])[0]["label"].startswith("LABEL_")


@pytest.mark.parametrize("more", [{}, {"TargetModel": "none.tar.gz"}], ids=str)
def test_unknown_names(runtime: Any, more: dict[str, str]) -> None:
    with pytest.raises(runtime.exceptions.ValidationError, match="classifier, features, minilm") as caught:
        invoke(runtime, "none", **more)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(runtime.exceptions.ValidationError, match="Endpoint none of account"):
        stream(runtime, "none", {"inputs": "tea"})


@pytest.mark.parametrize("streamed", [False, True])
def test_what_the_model_refuses_is_a_model_error(server: Server, runtime: Any, streamed: bool) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        if streamed:
            stream(runtime, "classifier", {"inputs": 3})
        else:
            invoke(runtime, "classifier", 3)
    answer = caught.value.response
    original = server.post({"inputs": 3}, "/models/classifier/invoke")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (422, original.text)
    assert 'Received client error (422) from primary with message "{' in answer["Error"]["Message"]
    for wrong, status in (({"ContentType": "application/pdf"}, 415), ({"Accept": "image/png"}, 406)):
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            invoke(runtime, "classifier", **wrong)
        assert caught.value.response["OriginalStatusCode"] == status


def test_asynchronous_invocations_are_refused_with_a_reason(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ValidationError, match="S3"):
        runtime.invoke_endpoint_async(EndpointName="classifier", InputLocation="s3://bucket/key")


def test_an_answer_as_a_response_stream(server: Server, runtime: Any) -> None:
    answer, parts = stream(runtime, "classifier", {"inputs": "tea"}, Accept=JSON)
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == (JSON, "AllTraffic")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/vnd.amazon.eventstream"
    assert b"".join(parts) == server.post({"inputs": "tea"}, "/models/classifier/invoke").content
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        stream(runtime, "classifier", {"inputs": "tea"}, Accept="image/png")
    assert caught.value.response["OriginalStatusCode"] == 406


def test_a_long_answer_is_many_parts(server: Server, runtime: Any) -> None:
    body = {"inputs": ["fox tea"] * 2000}
    _, found = stream(runtime, "features", body)
    assert len(found) > 1
    assert max(map(len, found)) <= MAX_PART
    assert b"".join(found) == server.post(body, "/models/features/invoke").content


def test_tokens_arrive_one_by_one(tmp_path: Path, cache: Path, start: Callable[..., Server]) -> None:
    server = start(str(gpt2(tmp_path / "gpt2")), "--cache", str(cache)).wait()
    asked = {"inputs": "the quick brown", "parameters": {"max_new_tokens": 5, "do_sample": False}}
    whole = server.post(asked).json()
    with client(server.url) as runtime:
        answer, parts = stream(runtime, "gpt2", {**asked, "stream": True})
        assert answer["ContentType"].startswith("text/event-stream")
        events = [json.loads(line[5:]) for line in b"".join(parts).splitlines() if line.startswith(b"data:")]
        assert len(parts) > 1
        assert events[-1]["generated_text"] in whole[0]["generated_text"]
        # Whoever takes it as a whole gets the same events at once.
        together = runtime.invoke_endpoint(
            EndpointName="gpt2", Body=json.dumps({**asked, "stream": True}), ContentType=JSON
        )
        assert together["Body"].read() == b"".join(parts)


SCRIPT = """
def model_fn(model_dir, context):
    return "a model"

def transform_fn(model, body, content_type, accept, context):
    seen = context.get_all_request_header(0)
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "of the script")
    context.set_response_header(0, "X-Secret", "stays here")
    if body == "refuse":
        context.set_response_status(429, idx=0)
    return __import__("json").dumps(sorted(seen.items())), "application/json"
"""


def test_what_passes_between_client_and_script(
    built: Callable[..., Path], tmp_path: Path, start: Callable[..., Server]
) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(SCRIPT)
    with client(start(str(tmp_path / "model")).wait().url) as runtime:
        named = {"CustomAttributes": "of the client", "InferenceId": "7", "TargetVariant": "blue"}
        answer = invoke(runtime, "any", Accept=JSON, **named)
        # Scripts find each header in more than one spelling.
        assert {key.lower(): value for key, value in json.loads(answer["Body"])} == {
            "accept": JSON,
            "content-length": "17",
            "content-type": JSON,
            "x-amzn-sagemaker-custom-attributes": "of the client",
            "x-amzn-sagemaker-inference-id": "7",
            "x-amzn-sagemaker-target-variant": "blue",
        }
        assert answer["CustomAttributes"] == "of the script"
        assert "x-secret" not in answer["ResponseMetadata"]["HTTPHeaders"]
        streamed, _ = stream(runtime, "any", {}, CustomAttributes="of the client")
        assert streamed["CustomAttributes"] == "of the script"
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            runtime.invoke_endpoint(EndpointName="any", Body="refuse", ContentType=JSON)
        assert caught.value.response["OriginalStatusCode"] == 429


def test_clients_may_come_before_the_model(repository: Path, start: Callable[..., Server]) -> None:
    server = start("--repository", str(repository))
    with client(server.url, retries={"max_attempts": 1, "mode": "standard"}) as impatient:
        while True:
            try:
                invoke(impatient, "classifier")
            except impatient.exceptions.ServiceUnavailable as early:
                assert "is being created" in str(early)
                break
            except EndpointConnectionError:
                time.sleep(0.05)
    with client(server.url, retries={"max_attempts": 12, "mode": "standard"}) as patient:
        assert invoke(patient, "classifier")["Body"]


def test_it_can_be_switched_off(repository: Path, start: Callable[..., Server]) -> None:
    server = start("--repository", str(repository), env={"TRITON_HF_LOCAL_ENDPOINT": "false"}).wait()
    assert server.post({"inputs": "tea"}, "/endpoints/classifier/invocations").status_code == 404
    with client(server.url) as runtime, pytest.raises(ClientError, match="404"):
        invoke(runtime, "classifier")
