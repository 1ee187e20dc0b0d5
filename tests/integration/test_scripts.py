"""code/inference.py through the real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models import texts
from tests.serving import Server, free_port, run_cli

USER_CODE = Path(__file__).parents[1] / "user_code"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, built: Callable[..., Path]) -> Callable[[str], Path]:
    """A model folder with a case's code/ in it."""
    root = tmp_path_factory.mktemp("scripted")

    def build(case: str) -> Path:
        folder = root / case
        if not folder.exists():
            shutil.copytree(built("bert", num_labels=3), folder)
            shutil.copytree(USER_CODE / case / "code", folder / "code")
        return folder

    return build


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory, scripted: Callable[[str], Path], convert: Any) -> Any:
    """One server with an entry for each case."""
    from converters.entry import place

    root = tmp_path_factory.mktemp("scripts")
    for case in ("hooks", "transform", "own_model", "collisions", "batched", "parallel"):
        place(convert(scripted(case)).path, root, case)
    server = Server("--repository", str(root), log=root / "serve.log").wait()
    yield server
    server.stop()


def test_hooks_around_a_batched_model(scripts: Server, built: Callable[..., Path]) -> None:
    import transformers

    theirs = transformers.pipeline("text-classification", model=str(built("bert", num_labels=3)), device=-1)
    inputs = texts(64, longest=30)

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=scripts.url, timeout=60) as client:
            return await asyncio.gather(
                *[client.post("/models/hooks/invoke", json={"sentence": text}) for text in inputs]
            )

    answers = asyncio.run(send())
    for text, answer in zip(inputs, answers, strict=True):
        assert (answer.status_code, answer.headers["x-labels"], answer.headers["x-threads"]) == (200, "3", "1")
        assert answer.json() == {"best": theirs(text)[0]["label"]}
    assert len({answer.json()["best"] for answer in answers}) > 1


def test_a_script_sets_its_status(scripts: Server) -> None:
    answer = scripts.post(
        {"sentence": "tea"}, "/models/hooks/invoke", **{"X-Amzn-SageMaker-Custom-Attributes": "teapot"}
    )
    assert (answer.status_code, set(answer.json())) == (418, {"best"})


def test_a_failing_hook_is_500_with_its_traceback_in_the_log_alone(scripts: Server) -> None:
    answer = scripts.post({"fail": 1}, "/models/hooks/invoke")
    assert (answer.status_code, answer.json()["type"]) == (500, "ModelError")
    assert answer.json()["message"] == "input_fn failed: KeyError: 'no such thing'"
    # The log takes another way than the answer.
    deadline = time.monotonic() + 10
    while 'inference.py", line' not in scripts.text and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 'inference.py", line' in scripts.text
    assert scripts.post({"sentence": "tea"}, "/models/hooks/invoke").status_code == 200


def test_transform_fn(scripts: Server) -> None:
    answer = scripts.post(b'"the fox"', "/models/transform/invoke", content_type="application/json; charset=utf-8")
    assert answer.json()["type"] == "application/json"
    assert answer.json()["answer"][0]["label"].startswith("LABEL_")
    busy = scripts.post(b'"busy"', "/models/transform/invoke")
    assert (busy.status_code, busy.json()["message"]) == (503, "come back later")


def test_a_model_of_the_scripts_own(scripts: Server) -> None:
    answer = scripts.post({"inputs": "tea"}, "/models/own_model/invoke").json()
    assert {"config.json", "model.safetensors", "code"} <= set(answer["files"])
    assert "model.onnx" not in answer["files"]
    assert (answer["echo"], answer["loaded"]) == ("tea", ["own_model"])


def test_names_of_our_packages_are_free(scripts: Server) -> None:
    answer = scripts.post({"inputs": "tea"}, "/models/collisions/invoke")
    assert answer.json() == dict.fromkeys(("server", "converters", "model", "utils"), "the user")


async def together(url: str, bodies: list[Any]) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=60) as client:
        return await asyncio.gather(*[client.post(url, json=body) for body in bodies])


def test_predict_batch_fn_gets_what_the_batcher_gathered(scripts: Server) -> None:
    url = f"{scripts.url}/models/batched/invoke"
    answers = asyncio.run(together(url, [{"inputs": f"tea {index}"} for index in range(40)]))
    assert [answer.json()["echo"] for answer in answers] == [f"tea {index}" for index in range(40)]
    assert max(answer.json()["together"] for answer in answers) > 4


def test_a_poisonous_request_fails_alone_in_its_batch(scripts: Server) -> None:
    url = f"{scripts.url}/models/batched/invoke"
    inputs = [f"tea {index}" for index in range(20)]
    inputs[3:3] = ["poison"]
    answers = asyncio.run(together(url, [{"inputs": text} for text in inputs]))
    for text, answer in zip(inputs, answers, strict=True):
        if text == "poison":
            assert (answer.status_code, answer.json()["type"]) == (500, "ModelError")
            assert answer.json()["message"] == "predict_batch_fn failed: ValueError: poison in the batch"
        else:
            assert (answer.status_code, answer.json()["echo"]) == (200, text)
    short = scripts.post({"inputs": "too few"}, "/models/batched/invoke")
    assert short.json()["message"] == "predict_batch_fn returned 0 predictions for 1 requests"


def test_a_script_that_predicts_one_by_one_has_a_process_a_core(scripts: Server) -> None:
    url = f"{scripts.url}/models/parallel/invoke"
    answers = asyncio.run(together(url, [{"inputs": index} for index in range(60)]))
    assert [answer.json()["echo"] for answer in answers] == list(range(60))
    assert len({answer.json()["process"] for answer in answers}) == len(os.sched_getaffinity(0))


def test_a_script_with_its_own_model_finds_the_libraries_unimported(scripts: Server) -> None:
    assert scripts.post({"inputs": 0}, "/models/parallel/invoke").json()["imported"] == []


def test_the_death_of_one_instance_costs_the_others_nothing(
    tmp_path: Path, cache: Path, start: Callable[..., Server]
) -> None:
    shutil.copytree(USER_CODE / "parallel" / "code", tmp_path / "model" / "code")
    server = start(str(tmp_path / "model"), "--cache", str(cache), "--instances", "3").wait()
    bodies: list[Any] = [{"inputs": index} for index in range(60)]
    bodies[10] = {"inputs": "die"}
    answers = asyncio.run(together(f"{server.url}/invocations", bodies))
    failed = [index for index, answer in enumerate(answers) if answer.status_code != 200]
    # The one that dies, and at most one more that Triton had handed to the dead process.
    assert 10 in failed
    assert len(failed) <= 2, [answers[index].text for index in failed]
    server.wait(10)
    assert server.post({"inputs": 1}).status_code == 200
    assert len({answer.json()["process"] for answer in answers if answer.status_code == 200}) >= 3


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "def transform_fn(a, b, c, d): ...\ndef input_fn(a, b): ...",
            "transform_fn cannot be used together with input_fn",
        ),
        ("def predict_fn(data): ...", "predict_fn takes 1 parameters; it must take 2, or 3 with the context"),
        ("def output_fn(*args): ...", "output_fn takes 1 parameters"),
        ("import nowhere_to_be_found", "inference.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1\n\nboom()", "inference.py:3: NameError: name 'boom' is not defined"),
        (
            "def model_fn(model_dir):\n    raise OSError('no weights')",
            "inference.py:2: model_fn failed: OSError: no weights",
        ),
    ],
)
def test_a_script_that_cannot_be_loaded_is_one_line(
    script: str, expected: str, built: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built("bert", num_labels=3), folder)
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(script)
    ended = run_cli("serve", str(folder), "--cache", str(cache), "--port", str(free_port()), "--host", "127.0.0.1")
    assert ended.returncode == 1
    assert expected in ended.stderr.splitlines()[-1]


def test_a_syntax_error_is_found_before_anything_is_converted(built: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built("bert", num_labels=3), folder)
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text("def model_fn(:\n")
    ended = run_cli("convert", str(folder), "--cache", str(tmp_path / "cache"))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("triton-hf: inference.py:1: SyntaxError: invalid syntax")


def test_a_script_and_its_files_beside_the_weights(
    built: Callable[..., Path], tmp_path: Path, cache: Path, start: Callable[..., Server]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built("bert", num_labels=3), folder)
    (folder / "beside.py").write_text("WORD = 'tea'\n")
    (folder / "words.txt").write_text("rain")
    (folder / "inference.py").write_text(
        "import beside\nwith open('words.txt') as file:\n    WORDS = [beside.WORD, file.read()]\n"
        "def output_fn(prediction, accept):\n    return str([*WORDS, prediction[0]['label']])\n"
    )
    server = start(str(folder), "--cache", str(cache)).wait()
    assert server.post({"inputs": "tea"}).text.startswith("['tea', 'rain', 'LABEL_")
    assert "fast tier" in server.text


def test_a_script_gets_lists_where_the_pipeline_of_transformers_gives_them(
    built: Callable[..., Path], tmp_path: Path, convert: Any, start: Callable[..., Server]
) -> None:
    from converters.entry import place

    source = built("distilbert", head=False)
    scripts = {
        "output": "import json\ndef output_fn(prediction, accept):\n    return json.dumps(prediction)\n",
        "predict": "import json\ndef predict_fn(data, model):\n    return json.loads(json.dumps(model(**data)))\n",
    }
    for name, code in scripts.items():
        folder = tmp_path / "models" / name
        shutil.copytree(source, folder)
        (folder / "inference.py").write_text(code)
        place(convert(folder, task="feature-extraction").path, tmp_path / "repository", name)
    server = start("--repository", str(tmp_path / "repository")).wait()
    for inputs in ("tea", ["tea", "seven green foxes"]):
        answers = [server.post({"inputs": inputs}, f"/models/{name}/invoke") for name in scripts]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        asked = [inputs] if isinstance(inputs, str) else inputs
        assert [len(answer.json()) for answer in answers] == [len(asked)] * 2
        # Each conversion chooses its own graph.
        for first, second in zip(*[answer.json() for answer in answers], strict=True):
            assert np.abs(np.array(first) - np.array(second)).max() < 1e-5


async def around_a_deadly_one(url: str) -> tuple[httpx.Response, list[httpx.Response]]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        before = [client.post("/invocations", json={"inputs": text}) for text in texts(16)]
        deadly = client.post("/invocations", json={"inputs": "die"})
        after = [client.post("/invocations", json={"inputs": text}) for text in texts(16, seed=1)]
        answers = await asyncio.gather(*before, deadly, *after)
        return answers[16], [*answers[:16], *answers[17:]]


def test_a_script_is_not_run_twice_unless_the_operator_says_so(
    scripted: Callable[[str], Path], cache: Path, start: Callable[..., Server]
) -> None:
    server = start(str(scripted("deadly")), "--cache", str(cache)).wait()
    deadly, _ = asyncio.run(around_a_deadly_one(server.url))
    assert deadly.status_code == 500
    assert deadly.json()["message"] == "the model's process died while this request was in it"
    assert server.metric("triton_hf_retries") == 0
    server.wait(10)
    assert server.post({"inputs": "tea"}).status_code == 200


def test_a_second_death_is_the_culprits_alone(
    scripted: Callable[[str], Path], cache: Path, start: Callable[..., Server]
) -> None:
    server = start(str(scripted("deadly")), "--cache", str(cache), "--retry-scripts").wait()
    for _ in range(3):
        deadly, others = asyncio.run(around_a_deadly_one(server.url))
        assert deadly.status_code == 500
        assert "died twice" in deadly.json()["message"]
        assert {answer.status_code for answer in others} == {200}, [a.text for a in others if a.status_code != 200]
    assert server.metric("triton_hf_retries") >= 3


FORKING = """
import gc
import multiprocessing


def model_fn(model_dir):
    return None


def predict_fn(data, model):
    gc.disable()  # what is kept in a cycle stays until the child collects it
    if data["inputs"] == "keep":
        try:
            raise ValueError
        except ValueError as error:
            error.itself = error
            return None
    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    child.join()
    return child.exitcode
"""


def test_a_forked_child_frees_nothing_of_its_parents(convert: Any, tmp_path: Path) -> None:
    """Its collector finds requests that tracebacks kept alive, whose memory is shared with tritonserver."""
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(FORKING)
    server = Server(
        str(convert(tmp_path / "model", task="fill-mask").path), "--instances", "1", log=tmp_path / "serve.log"
    ).wait()
    try:
        for _ in range(20):
            assert server.post({"inputs": "keep"}).json() is None
            assert server.post({"inputs": "fork"}).json() == 0
        assert server.metric("triton_hf_restarts") == 0
    finally:
        server.stop()
