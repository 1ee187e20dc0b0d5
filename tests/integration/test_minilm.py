"""Real weights through the real server: the numbers sentence-transformers gives."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton

from server.triton.binary import find
from server.triton.process import TritonProcess, free_ports
from tests.models import texts
from tests.serving import BACKEND, TRITON, Server

CLIENTS = 64
TEXTS = texts(128, longest=400, seed=1)


@pytest.fixture(scope="module")
def reference(minilm: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm), device="cpu")
    # Alone each: what a text's neighbours are must not matter.
    return np.stack([model.encode(text) for text in TEXTS])


@pytest.fixture(scope="module")
def minilm_server(
    tmp_path_factory: pytest.TempPathFactory, minilm: Path, cache: Path, minilm_entry: Any
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("minilm") / "serve.log"
    server = Server(str(minilm), "--cache", str(cache), log=log).wait()
    yield server
    server.stop()


async def ask_all(
    url: str, bodies: list[Any], disturb: Callable[[], None] | None = None
) -> list[tuple[int, Any, float]]:
    """Every body from one of CLIENTS concurrent clients: status, answer and the time of the answer."""
    queue = list(enumerate(bodies))
    answers: list[Any] = [None] * len(bodies)

    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:

        async def one() -> None:
            while queue:
                index, body = queue.pop(0)
                response = await client.post("/invocations", json=body)
                answers[index] = (response.status_code, response.json(), time.monotonic())
                if disturb is not None and index == len(bodies) // 4:
                    disturb()

        await asyncio.gather(*[one() for _ in range(CLIENTS)])
    return answers


def check(answers: list[tuple[int, Any, float]], reference: Any) -> None:
    assert {status for status, _, _ in answers} == {200}, [body for status, body, _ in answers if status != 200][:3]
    vectors = np.array([body for _, body, _ in answers])
    assert vectors.shape == (len(answers), 384)
    expected = np.resize(reference, vectors.shape)
    assert np.abs(vectors - expected).max() < 1e-4
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    # The check must be able to fail: another text's vector is far off.
    assert np.abs(vectors - np.roll(expected, 1, axis=0)).max(axis=1).min() > 1e-2


def test_one_text_is_one_unit_vector(minilm_server: Server, reference: Any) -> None:
    answer = minilm_server.post({"inputs": TEXTS[0]})
    assert answer.headers["content-type"] == "application/json"
    vector = np.array(answer.json())
    assert float(vector @ reference[0]) >= 0.9999
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_64_clients_get_their_own_answers_in_batches(minilm_server: Server, reference: Any) -> None:
    time.sleep(0.5)  # metrics are sent when the engine idles
    runs, rows = (minilm_server.metric(f"triton_hf_{name}_total") for name in ("runs", "rows"))
    check(asyncio.run(ask_all(minilm_server.url, [{"inputs": text} for text in TEXTS])), reference)
    time.sleep(0.5)
    runs = minilm_server.metric("triton_hf_runs_total") - runs
    rows = minilm_server.metric("triton_hf_rows_total") - rows
    assert rows == len(TEXTS)
    assert 0 < runs <= rows


def test_the_texts_of_a_list_share_runs(minilm_server: Server) -> None:
    time.sleep(0.5)
    before = minilm_server.metric("triton_hf_runs_total")
    vectors = minilm_server.post({"inputs": texts(128, longest=10)}).json()
    time.sleep(0.5)
    assert len(vectors) == 128
    assert 128 / (minilm_server.metric("triton_hf_runs_total") - before) > 4


@pytest.mark.parametrize(("victim", "seconds"), [(BACKEND, 5), (TRITON, 10)])
def test_a_killed_process_comes_back_and_no_request_is_lost(
    minilm_server: Server, reference: Any, victim: str, seconds: float
) -> None:
    killed: list[float] = []

    def kill() -> None:
        os.kill(minilm_server.child(victim).pid, signal.SIGKILL)
        killed.append(time.monotonic())

    before = minilm_server.metric("triton_hf_restarts")
    answers = asyncio.run(ask_all(minilm_server.url, [{"inputs": text} for text in TEXTS * 2], kill))
    check(answers, reference)
    after_death = sorted(when - killed[0] for _, _, when in answers if when > killed[0] + 0.05)
    assert after_death[0] < seconds
    assert minilm_server.metric("triton_hf_restarts") == before + 1
    assert minilm_server.metric("triton_hf_retries") > 0
    minilm_server.wait(10)


def test_a_list_of_thousands_does_not_hold_up_a_short_text(minilm_server: Server, reference: Any) -> None:
    async def both() -> tuple[httpx.Response, float]:
        async with httpx.AsyncClient(base_url=minilm_server.url, timeout=60) as client:
            many = asyncio.create_task(client.post("/invocations", json={"inputs": TEXTS[:64] * 6}))
            await asyncio.sleep(0.3)
            await client.post("/invocations", json={"inputs": TEXTS[0]})
            assert not many.done()
            return await many, time.monotonic()

    response, _ = asyncio.run(both())
    vectors = np.array(response.json())
    assert np.abs(vectors - np.concatenate([reference[:64]] * 6)).max() < 1e-4


def test_no_torch_in_any_process(minilm_server: Server) -> None:
    minilm_server.post({"inputs": "a"})
    for process in minilm_server.tree():
        mapped = {Path(region.path).name for region in process.memory_maps()}
        assert not {name for name in mapped if "torch" in name}, process.cmdline()
    assert any("onnxruntime" in region.path for region in minilm_server.child(BACKEND).memory_maps())


def test_a_plain_triton_serves_the_entry_to_a_plain_client(repository: Path, reference: Any, tmp_path: Path) -> None:
    async def scenario() -> Any:
        ports = free_ports()
        environ = {key: value for key, value in os.environ.items() if not key.startswith("TRITON_HF")}
        triton = await TritonProcess.start(
            find(tmp_path, environ), repository, ports, "triton_hf_test_", environ, control="none"
        )
        try:
            return await asyncio.to_thread(ask_plainly, ports.grpc)
        finally:
            await triton.stop()

    vector = np.array(asyncio.run(scenario()))
    assert np.abs(vector - reference[0]).max() < 1e-4


def ask_plainly(port: int) -> Any:
    """What a stranger's tritonclient gets for the first text, and that `body_file` opens nothing."""
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if client.is_model_ready("minilm"):
                break
        except triton.InferenceServerException:
            pass
        time.sleep(0.1)

    def tensor(name: str, *values: str) -> Any:
        item = triton.InferInput(name, [len(values), 1], "BYTES")
        item.set_data_from_numpy(np.array([[value.encode()] for value in values], dtype=object))
        return item

    inputs = [tensor("body", json.dumps({"inputs": TEXTS[0]})), tensor("content_type", ""), tensor("accept", "")]
    result = client.infer("minilm", inputs, client_timeout=10)
    with pytest.raises(triton.InferenceServerException, match="400 MalformedBody"):
        client.infer("minilm", [*inputs, tensor("body_file", "/etc/passwd")], client_timeout=10)
    body = json.dumps({"inputs": TEXTS[0]})
    bodies = tensor("body", body, "{", body, "")
    rows = client.infer("minilm", [bodies, *(tensor(name, "", "", "", "") for name in ("content_type", "accept"))])
    first, failed, third = (json.loads(row or "null") for row in rows.as_numpy("body")[:, 0])
    assert failed is None
    assert first == third == json.loads(result.as_numpy("body")[0][0])
    assert "400 MalformedBody" in json.loads(rows.as_numpy("attributes")[1][0])["error"]
    client.close()
    return json.loads(result.as_numpy("body")[0][0])


def test_the_readmes_examples(minilm_server: Server) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    examples = re.findall(r"^\$ curl .* -d '(.*)'\n(.*)$", readme, re.MULTILINE)
    assert len(examples) == 2
    (body, numbers), (mistake, message) = examples
    shown = [float(number) for number in re.findall(r"-?\d+\.\d+", numbers)]
    assert len(shown) == 4
    assert minilm_server.post(body.encode()).json()[:4] == pytest.approx(shown, abs=1e-4)
    assert minilm_server.post(mistake.encode()).text == message
