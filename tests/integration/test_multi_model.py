"""Models loaded, listed, called and unloaded while the server runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from converters.entry import place
from server.memory import MIB, used
from tests.integration.test_requirements import scripted, wheel
from tests.models import texts
from tests.serving import BACKEND, TRITON, Server

SLOW = """
import time
def model_fn(model_dir): return None
def predict_fn(data, model):
    time.sleep(data.get("seconds", 0))
    return "slept"
"""
CONFLICTING = """
import {package}
import helper
def model_fn(model_dir): return None
def predict_fn(data, model): return [helper.NAME, {package}.VERSION]
"""


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, built: Callable[..., Path], convert: Callable[..., Any]
) -> Iterator[Path]:
    """SageMaker's folder: entries `a` to `e`, the raw weights `raw`, scripts that conflict, and broken models."""
    base = tmp_path_factory.mktemp("ml")
    models = base / "models"
    entry = convert(built("bert", num_labels=3)).path
    for name in "abcde":
        place(entry, models, name)
    place(entry, models, "broken")
    (models / "broken" / "1" / "model.onnx").write_bytes(b"no graph")
    (models / "nothing").mkdir()
    # Of its own size, so that no other test has converted it.
    subprocess.run(["cp", "-r", built("distilbert", num_labels=6), models / "raw"], check=True)
    wheels = [wheel(base / "wheels", "shared_thing", release) for release in ("1.0", "2.0")]
    for name, file in zip(("one", "two"), wheels, strict=True):
        scripted(models / name, f"./{file.name}\n", CONFLICTING.format(package="shared_thing"))
        (models / name / "code" / file.name).write_bytes(file.read_bytes())
        (models / name / "code" / "helper.py").write_text(f"NAME = {name!r}\n")
    scripted(models / "slow", "", SLOW)
    yield base


class Platform(Server):
    """What a multi-model endpoint asks of a container."""

    def load(self, name: str, url: Path | str) -> httpx.Response:
        return self.client.post("/models", json={"model_name": name, "url": str(url)}, timeout=200)

    def unload(self, name: str) -> httpx.Response:
        return self.client.delete(f"/models/{name}")

    def loaded(self) -> list[str]:
        return [model["modelName"] for model in self.client.get("/models").json()["models"]]

    def ask(self, name: str, inputs: str = "tea and rain") -> httpx.Response:
        return self.post({"inputs": inputs}, f"/models/{name}/invoke")

    def backends(self) -> list[psutil.Process]:
        return [process for process in self.tree() if BACKEND in " ".join(process.cmdline()[:1])]


def endpoint(base: Path, cache: Path, log: Path, *arguments: str) -> Platform:
    env = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_BASE_DIR": str(base), "HF_TASK": ""}
    return Platform("--cache", str(cache), "--instances", "1", *arguments, log=log, env=env).wait()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def platform(base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    server = endpoint(base, cache, tmp_path_factory.mktemp("platform") / "serve.log")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def emptied(platform: Platform) -> Iterator[None]:
    yield
    for name in platform.loaded():
        platform.unload(name)


def shared_memory(server: Server) -> set[str]:
    """Regions of this server's backends."""
    [inside] = {
        variable.partition("=")[2]
        for variable in Path(f"/proc/{server.child(TRITON).pid}/environ").read_bytes().decode().split("\0")
        if variable.startswith("TRITON_HF_SPOOL=")
    }
    prefix = Path(inside).parent.name.replace("-", "_")
    return {path.name for path in Path("/dev/shm").glob(f"{prefix}*")}


def test_there_is_none_at_first(platform: Platform) -> None:
    assert platform.client.get("/ping").status_code == 200
    assert platform.client.get("/models").json() == {"models": []}
    assert platform.ask("a").status_code == 404
    assert platform.post({"inputs": "tea"}).status_code == 503


def test_the_life_of_a_model(platform: Platform, base: Path) -> None:
    url = str(base / "models" / "a")
    described = {"modelName": "a", "modelUrl": url}
    answer = platform.load("a", url)
    assert (answer.status_code, answer.json()) == (200, described)
    again = platform.load("a", url)
    assert (again.status_code, again.json()["type"]) == (409, "AlreadyLoaded")
    assert platform.client.get("/models/a").json() == described
    assert platform.client.get("/models").json() == {"models": [described]}
    assert platform.ask("a").json()[0]["label"].startswith("LABEL_")
    assert platform.post({"inputs": "tea"}).json() == platform.post({"inputs": "tea"}, "/models/a/invoke").json()
    assert len(platform.backends()) == 1
    assert platform.unload("a").status_code == 200
    assert platform.backends() == []
    assert shared_memory(platform) == set()
    for method, path in (("GET", "/models/a"), ("DELETE", "/models/a"), ("POST", "/models/a/invoke")):
        assert platform.client.request(method, path, json={"inputs": "tea"}).status_code == 404
    assert platform.load("a", url).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"model_name": "a"}',
        b'{"model_name": 3, "url": "/x"}',
        b'{"model_name": "../a", "url": "BASE/models/a"}',
        b'{"model_name": "a/b", "url": "BASE/models/a"}',
        b'{"model_name": ".a", "url": "BASE/models/a"}',
        b'{"model_name": "", "url": "BASE/models/a"}',
        b'{"model_name": "a", "url": "models/a"}',
        b'{"model_name": "a", "url": "/etc"}',
        b'{"model_name": "a", "url": "BASE"}',
        b'{"model_name": "a", "url": "BASE/models/../../etc"}',
        b'{"model_name": "a", "url": "BASE/models/absent"}',
        b'{"model_name": "a", "url": "BASE/models/a\\u0000"}',
        b'{"model_name": "a", "url": "s3://bucket/a"}',
    ],
)
def test_a_request_that_names_no_model(platform: Platform, base: Path, body: bytes) -> None:
    answer = platform.post(body.replace(b"BASE", str(base).encode()), "/models")
    assert (answer.status_code, answer.json()["type"]) == (400, "BadRequest")
    assert platform.loaded() == []


def test_a_link_out_of_the_folder_is_no_way_out(platform: Platform, base: Path, tmp_path: Path) -> None:
    (base / "models" / "link").symlink_to(tmp_path)
    assert platform.load("link", base / "models" / "link").status_code == 400


def test_one_that_fails_leaves_no_trace(platform: Platform, base: Path) -> None:
    assert platform.load("a", base / "models" / "a").status_code == 200
    before, processes = shared_memory(platform), {process.pid for process in platform.backends()}
    for name, says in (("broken", "broken"), ("nothing", "nothing")):
        answer = platform.load(name, base / "models" / name)
        assert answer.status_code == 422, answer.text
        assert "Traceback" not in answer.text and len(answer.json()["message"].splitlines()) == 1
        assert says in answer.json()["message"]
        assert platform.loaded() == ["a"]
        assert platform.ask(name).status_code == 404
        assert platform.ask("a").status_code == 200
        assert platform.client.get("/ping").status_code == 200
        assert shared_memory(platform) == before
        assert {process.pid for process in platform.backends()} == processes
        # Its name is free for one that works.
        assert platform.load(name, base / "models" / "b").status_code == 200
        assert platform.unload(name).status_code == 200


def test_loads_run_side_by_side_and_one_of_a_name(platform: Platform, base: Path) -> None:
    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda name: platform.load(name, base / "models" / name), "abcdeabcde"))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [409] * 5
    assert platform.loaded() == list("abcde")
    assert [platform.ask(name).status_code for name in "abcde"] == [200] * 5


def test_others_answer_while_raw_weights_are_converted(platform: Platform, base: Path) -> None:
    platform.load("a", base / "models" / "a")
    asked = texts(40, longest=30)
    expected = {text: platform.ask("a", text).json() for text in asked}
    with ThreadPoolExecutor(5) as clients:
        loading = clients.submit(platform.load, "raw", base / "models" / "raw")
        rounds, niceness = 0, set()
        while not loading.done():
            answers = list(clients.map(lambda text: platform.ask("a", text), asked))
            assert [answer.json() for answer in answers] == [expected[text] for text in asked]
            niceness |= {_nice(process) for process in platform.tree() if "converters.worker.main" in _command(process)}
            rounds += 1
        assert loading.result().status_code == 200, loading.result().text
    assert rounds > 1 and niceness == {19}
    assert platform.ask("raw").status_code == 200


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _nice(process: psutil.Process) -> int:
    try:
        return int(process.nice())
    except psutil.Error:
        return 19


def test_modules_and_packages_that_conflict_live_side_by_side(platform: Platform, base: Path) -> None:
    for name in ("one", "two"):
        answer = platform.load(name, base / "models" / name)
        assert answer.status_code == 200, answer.text
    for _ in range(3):
        assert platform.ask("one").json() == ["one", "1.0"]
        assert platform.ask("two").json() == ["two", "2.0"]


def test_an_unload_waits_for_the_calls_under_way(platform: Platform, base: Path) -> None:
    platform.load("slow", base / "models" / "slow")
    with ThreadPoolExecutor(4) as clients:
        calls = [clients.submit(platform.post, {"seconds": 1}, "/models/slow/invoke") for _ in range(3)]
        time.sleep(0.3)
        assert platform.unload("slow").status_code == 200
        assert [call.result().json() for call in calls] == ["slept"] * 3
        assert platform.backends() == []


def test_a_dead_backend_is_brought_back_and_the_endpoint_stays_well(platform: Platform, base: Path) -> None:
    for name in "ab":
        platform.load(name, base / "models" / name)
    os.kill(platform.backends()[0].pid, signal.SIGKILL)
    assert platform.client.get("/ping").status_code == 200
    assert [platform.ask(name).status_code for name in "ab"] == [200, 200]
    os.kill(platform.child(TRITON).pid, signal.SIGKILL)
    assert [platform.ask(name).status_code for name in "ab"] == [200, 200]
    assert platform.loaded() == ["a", "b"]


def test_one_that_cannot_be_brought_back_ends_alone(base: Path, cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "ml"
    place(base / "models" / "a", own / "models", "a")
    place(base / "models" / "b", own / "models", "b")
    server = endpoint(own, cache, tmp_path / "serve.log")
    try:
        for name in "ab":
            assert server.load(name, own / "models" / name).status_code == 200
        graph = own / "models" / "b" / "1" / "model.onnx"
        graph.unlink()
        graph.write_bytes(b"no graph")
        os.kill(server.child(TRITON).pid, signal.SIGKILL)
        assert server.ask("a").status_code == 200
        assert server.ask("b").status_code == 404
        assert (server.loaded(), server.client.get("/ping").status_code) == (["a"], 200)
    finally:
        assert server.stop() == 0


def test_507_is_what_was_measured(base: Path, cache: Path, tmp_path: Path) -> None:
    unlimited = endpoint(base, cache, tmp_path / "before.log")
    try:
        empty = _used(unlimited)
        unlimited.load("a", base / "models" / "a")
        one = _used(unlimited) - empty
    finally:
        unlimited.stop()
    limit = (empty + 2 * one) // MIB + 130
    server = endpoint(base, cache, tmp_path / "serve.log", "--memory-limit", str(limit))
    try:
        statuses = {name: server.load(name, base / "models" / name).status_code for name in "abcde"}
        loaded = [name for name, status in statuses.items() if status == 200]
        assert set(statuses.values()) == {200, 507}, statuses
        assert server.loaded() == loaded
        assert [server.ask(name).status_code for name in loaded] == [200] * len(loaded)
        assert _used(server) / MIB < limit
        refused = next(name for name, status in statuses.items() if status == 507)
        assert server.load(refused, base / "models" / refused).json()["type"] == "OutOfSpace"
        for name in loaded:
            server.unload(name)
        assert server.load(refused, base / "models" / refused).status_code == 200
    finally:
        server.stop()


def _used(server: Server) -> int:
    return used(psutil.Process(server.process.pid))


def test_without_the_mode_there_are_no_such_calls(server: Server) -> None:
    assert server.client.get("/models").status_code == 404
    assert server.client.post("/models", content=json.dumps({})).status_code in (404, 405)
