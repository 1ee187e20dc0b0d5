"""Texts that are streamed by real servers: token by token, the same as unstreamed, and ended by those who go."""

from __future__ import annotations

import json
import queue
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from converters.entry import place
from huggingface_backend.torch_pipeline import build
from tests.models import texts
from tests.parity import zoo
from tests.serving import BACKEND, Server

pytestmark = pytest.mark.filterwarnings("ignore")

GREEDY = {"max_new_tokens": 8, "do_sample": False}
CHAT = [{"role": "user", "content": "who counts rain"}]
PROMPTS: list[Any] = [*texts(10, longest=20), "naïve café, 日本語 🙂", CHAT]
LONG = {"max_new_tokens": 4000, "min_new_tokens": 4000, "do_sample": False}
"""A minute and more."""
MODELS = ("writer", "slow-writer")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build("qwen2", tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, convert: Callable[..., Any], source: Path) -> Iterator[Server]:
    """`writer` on the accelerated tier, `slow-writer` on the torch tier, and `classifier`, which writes nothing."""
    root = tmp_path_factory.mktemp("streaming")
    for name, options, tier in zip(MODELS, ({}, {"torch": True}), ("accelerated", "torch"), strict=True):
        artifact = convert(source, task="text-generation", **options)
        assert artifact.manifest.tier == tier
        place(artifact.path, root / "repository", name)
    place(convert(zoo.build("bert-classifier", root)).path, root / "repository", "classifier")
    server = Server("--repository", str(root / "repository"), "--instances", "2", log=root / "serve.log").wait()
    yield server
    server.stop()


class Stream:
    """One streamed answer, event by event."""

    def __init__(self, server: Server, name: str, body: Any, **headers: str) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=60)
        request = self._client.build_request(
            "POST", f"/models/{name}/invoke", json={**body, "stream": True}, headers=headers
        )
        self.response = self._client.send(request, stream=True)
        self._lines = self.response.iter_lines()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._lines:
            if line:
                yield json.loads(line.removeprefix("data:"))

    def close(self) -> None:
        self.response.close()
        self._client.close()


def ask(server: Server, name: str, body: Any) -> Any:
    answer = server.post(body, f"/models/{name}/invoke")
    assert answer.status_code == 200, answer.text
    return answer.json()


def streamed(server: Server, name: str, body: Any) -> tuple[Any, str]:
    """The text of the last event, and the tokens' texts."""
    stream = Stream(server, name, body)
    assert stream.response.status_code == 200, stream.response.read()
    assert stream.response.headers["content-type"] == "text/event-stream"
    events = list(stream)
    stream.close()
    assert [event["index"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["generated_text"] is None for event in events[:-1])
    return events[-1]["generated_text"], "".join(event["token"]["text"] for event in events)


def new_part(answer: Any, prompt: Any) -> str:
    text: str = answer[-1]["content"] if isinstance(answer, list) else answer.removeprefix(prompt)
    return text


@pytest.mark.parametrize("name", MODELS)
def test_streamed_and_unstreamed_answers_are_the_pipelines(server: Server, source: Path, name: str) -> None:
    reference = build("text-generation", source)
    expected = [reference(prompt, **GREEDY)[0]["generated_text"] for prompt in PROMPTS]
    assert len({str(answer) for answer in expected}) == len(expected)
    order = [(index, stream) for index in range(len(PROMPTS)) for stream in (True, True, False)]
    random.Random(0).shuffle(order)
    before = {kind: server.metric(f"triton_hf_{kind}_total") for kind in ("runs", "rows")}

    def one(index: int, stream: bool) -> None:
        body = {"inputs": PROMPTS[index], "parameters": GREEDY}
        if stream:
            text, pieces = streamed(server, name, body)
            assert pieces == new_part(expected[index], PROMPTS[index])
        else:
            [answer] = ask(server, name, body)
            text = answer["generated_text"]
        assert text == expected[index]

    with ThreadPoolExecutor(12) as pool:
        for outcome in [pool.submit(one, *each) for each in order]:
            outcome.result()
    if name == "writer":
        ran = {kind: server.metric(f"triton_hf_{kind}_total") - count for kind, count in before.items()}
        assert ran["rows"] == len(order)
        assert ran["runs"] < len(order)


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_samples_the_same_text_streamed(server: Server, name: str) -> None:
    for seed in (1, 2):
        parameters = {"max_new_tokens": 12, "do_sample": True, "seed": seed, "return_full_text": False}
        body = {"inputs": "the quick", "parameters": parameters}
        text, pieces = streamed(server, name, body)
        assert ask(server, name, body) == [{"generated_text": text}]
        assert pieces == text


@pytest.mark.parametrize("name", MODELS)
def test_tokens_come_before_the_end_and_who_goes_ends_the_text(server: Server, name: str) -> None:
    given_up = server.metric("triton_hf_cancelled_total")
    stream = Stream(server, name, {"inputs": "seven wizards", "parameters": LONG})
    events = iter(stream)
    assert [next(events)["index"] for _ in range(3)] == [1, 2, 3]
    stream.close()
    began = time.monotonic()
    assert ask(server, name, {"inputs": "tea", "parameters": GREEDY})
    if name == "writer":
        # It waited for the end of the pass, and the whole text would have taken longer than the wait.
        assert time.monotonic() - began < 15
        assert server.metric("triton_hf_cancelled_total") == given_up + 1


@pytest.mark.parametrize("name", MODELS)
def test_who_goes_before_an_unstreamed_answer_ends_it(server: Server, name: str) -> None:
    given_up = server.metric("triton_hf_cancelled_total")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{server.url}/models/{name}/invoke", json={"inputs": "seven wizards", "parameters": LONG}, timeout=1
        )
    assert ask(server, name, {"inputs": "tea", "parameters": GREEDY})
    if name == "writer":
        assert server.metric("triton_hf_cancelled_total") == given_up + 1


def test_neighbours_of_who_goes_get_their_answers(server: Server, source: Path) -> None:
    parameters = {"max_new_tokens": 60, "min_new_tokens": 60, "do_sample": False}
    reference = build("text-generation", source)
    prompts = texts(6, longest=12, seed=3)
    expected = [reference(prompt, **parameters)[0]["generated_text"] for prompt in prompts]

    def go_early(prompt: str) -> None:
        stream = Stream(server, "writer", {"inputs": prompt, "parameters": parameters})
        next(iter(stream))
        stream.close()

    with ThreadPoolExecutor(12) as pool:
        staying = [
            pool.submit(streamed, server, "writer", {"inputs": prompt, "parameters": parameters}) for prompt in prompts
        ]
        going = [pool.submit(go_early, prompt) for prompt in prompts]
        assert [answer.result()[0] for answer in staying] == expected
        for gone in going:
            gone.result()


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("writer", {"inputs": "tea", "stream": 1}, "stream must be true or false"),
        ("writer", {"inputs": ["tea", "rain"], "stream": True}, "one prompt"),
        ("writer", {"inputs": "tea", "stream": True, "parameters": {"num_beams": 3}}, "num_beams"),
        ("writer", {"inputs": "tea", "stream": True, "parameters": {"lenght": 3}}, "lenght"),
        ("slow-writer", {"inputs": "tea", "stream": True, "parameters": {"num_return_sequences": 2}}, "num_return"),
        ("classifier", {"inputs": "tea", "stream": True}, "does not stream"),
    ],
)
def test_what_cannot_be_streamed_is_a_status(server: Server, name: str, body: Any, said: str) -> None:
    answer = server.post(body, f"/models/{name}/invoke")
    assert (answer.status_code, answer.json()["type"]) == (422, "InvalidInput")
    assert said in answer.json()["message"]
    assert "\n" not in answer.json()["message"]


def test_lines_of_json_for_who_accepts_them(server: Server) -> None:
    body = {"inputs": "tea", "parameters": GREEDY}
    stream = Stream(server, "writer", body, accept="application/jsonlines")
    assert stream.response.headers["content-type"] == "application/jsonlines"
    lines = stream.response.read().decode().splitlines()
    assert len(lines) == 8
    assert json.loads(lines[-1])["generated_text"] == ask(server, "writer", body)[0]["generated_text"]
    assert ask(server, "writer", {**body, "stream": False}) == ask(server, "writer", body)


def test_a_line_of_many_is_not_streamed(server: Server) -> None:
    body = json.dumps({"inputs": "tea", "parameters": GREEDY, "stream": True}).encode()
    for lines in (body, body + b"\n" + body):
        answer = server.post(lines, "/models/writer/invoke", content_type="application/jsonlines")
        assert (answer.status_code, answer.json()["type"]) == (422, "InvalidInput")


def test_boto3_reads_events(server: Server) -> None:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="eu-west-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )
    body = {"inputs": "the quick", "parameters": {**GREEDY, "return_full_text": False}}
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="writer", ContentType="application/json", Body=json.dumps({**body, "stream": True})
    )
    assert answer["ContentType"] == "text/event-stream"
    events = b"".join(part["PayloadPart"]["Bytes"] for part in answer["Body"]).split(b"\n\n")
    told = [json.loads(event.removeprefix(b"data:")) for event in events if event]
    assert len(told) == 8
    assert "".join(event["token"]["text"] for event in told) == told[-1]["generated_text"]
    assert ask(server, "writer", body) == [{"generated_text": told[-1]["generated_text"]}]


def test_a_plain_triton_client_reads_a_response_a_token(server: Server) -> None:
    tritonserver = server.child("tritonserver")
    port = next(word.partition("=")[2] for word in tritonserver.cmdline() if word.startswith("--grpc-port="))
    client = InferenceServerClient(f"127.0.0.1:{port}")
    body = {"inputs": "the quick", "parameters": GREEDY, "stream": True}
    inputs = []
    for name, value in (("body", json.dumps(body)), ("content_type", "application/json"), ("accept", "")):
        inputs.append(InferInput(name, [1, 1], "BYTES"))
        inputs[-1].set_data_from_numpy(np.array([[value.encode()]], dtype=np.object_))
    responses = queue.SimpleQueue[Any]()
    client.start_stream(lambda result, error: responses.put((result, error)))
    client.async_stream_infer("writer", inputs)
    events, last = [], False
    while not last:
        result, error = responses.get(timeout=60)
        assert error is None
        last = result.get_response().parameters["triton_final_response"].bool_param
        events.append(json.loads(result.as_numpy("body").item().removeprefix(b"data:")))
    client.stop_stream()
    client.close()
    assert len(events) == 8
    assert events[-1]["generated_text"] == ask(server, "writer", {**body, "stream": False})[0]["generated_text"]


@pytest.mark.parametrize("name", MODELS)
def test_a_process_killed_in_mid_stream_ends_it_with_an_error(server: Server, name: str) -> None:
    stream = Stream(server, name, {"inputs": "seven wizards", "parameters": LONG})
    events = iter(stream)
    next(events)
    for child in server.tree():
        if BACKEND in " ".join(child.cmdline()) and f"/{name}/" in str(child.cmdline()):
            child.kill()
    *_, last = events
    stream.close()
    assert last["error_type"] == "BackendDied"
    assert streamed(server, name, {"inputs": "tea", "parameters": GREEDY})
