"""An endpoint of many models, loaded and unloaded as its clients ask for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.platform.conftest import Run
from tests.platform.container import Container
from tests.platform.simulator import ATTRIBUTES, MultiModel, invoke
from tests.platform.test_errors import refused

MULTI = {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


@pytest.fixture(scope="module")
def empty(run: Run, ml: Callable[..., Path], artifacts: dict[str, Path], cache: Path) -> MultiModel:
    """A container in multi-model mode, before its first model."""
    return MultiModel(run(ml(), {**MULTI, "TRITON_HF_CACHE": str(cache)}).wait(), artifacts)


@pytest.mark.clause("mme.starts-empty")
def test_ready_with_no_model(empty: MultiModel) -> None:
    assert empty.container.ping() == 200
    assert empty.pages() == [{"models": []}]


@pytest.fixture
def models(empty: MultiModel) -> MultiModel:
    """The same with `green` and `black` loaded, and nothing else."""
    for target in empty.loaded[:]:
        if target not in ("green.tar.gz", "black.tar.gz"):
            empty.unload(target)
    for target in ("green.tar.gz", "black.tar.gz"):
        if target not in empty.loaded:
            answer = empty.load(target)
            assert answer.status_code == 200, answer.text
    return empty


@pytest.mark.clause("mme.load", "mme.invoke")
def test_loading_and_calling(models: MultiModel) -> None:
    for word in ("green", "black"):
        answer = models.invoke(f"{word}.tar.gz", {})
        assert (answer.status_code, answer.json()["word"]) == (200, word)
    assert models.container.ping() == 200


@pytest.mark.clause("mme.invoke")
def test_a_model_loaded_on_demand(models: MultiModel, classifier: Container) -> None:
    body = {"inputs": ["tea", "rain"]}
    assert models.invoke("entry.tar.gz", body).json() == invoke(classifier, body).json()
    refused(models.invoke("entry.tar.gz", {"inputs": 5}), 422)
    refused(models.invoke("entry.tar.gz", body, accept="text/html"), 406)


@pytest.mark.clause("mme.load-archive")
def test_a_folder_of_weights(models: MultiModel, classifier: Container) -> None:
    body = {"inputs": ["tea", "rain"]}
    assert models.invoke("weights.tar.gz", body).json() == invoke(classifier, body).json()


@pytest.mark.clause("mme.load-twice")
def test_loading_twice(models: MultiModel) -> None:
    refused(models.post("green.tar.gz"), 409)
    # Two at once: one of them.
    models.bring("slow.tar.gz")
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda _: models.post("slow.tar.gz").status_code, range(2)))
    models.loaded.append("slow.tar.gz")
    assert sorted(statuses) == [200, 409]


@pytest.mark.clause("mme.load-failed")
def test_a_model_that_cannot_be_loaded(models: MultiModel) -> None:
    answer = models.post("broken.tar.gz")
    assert answer.status_code >= 400 and answer.status_code not in (409, 507)
    assert "stewed" in refused(answer, answer.status_code)["message"]
    assert models.container.ping() == 200
    assert models.invoke("green.tar.gz", {}).status_code == 200
    assert models.container.request("GET", f"/models/{models.name('broken.tar.gz')}").status_code == 404


@pytest.mark.clause("mme.load-bad-json")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"tea"', b"5", b"null", b"\xff"])
def test_loading_with_no_json_object(models: MultiModel, body: bytes) -> None:
    refused(models.container.request("POST", "/models", body, content_type="application/json"), 400)


@pytest.mark.clause("mme.load-incomplete")
@pytest.mark.parametrize("name", ["model_name", "url"])
def test_loading_with_half_of_it(models: MultiModel, name: str) -> None:
    wanted: dict[str, Any] = {"model_name": "tea", "url": models.url("green.tar.gz")}
    for value in (None, 5, ["tea"], ""):
        refused(models.container.request("POST", "/models", {**wanted, name: value}), 400)
    del wanted[name]
    refused(models.container.request("POST", "/models", wanted), 400)


NAMES = (
    *("../tea", "..", ".", "a/b", "/tea", "a\\b", "tea\x00", "tea\n", ".tea", "%2e%2e%2ftea", "te a", "茶/.."),
    "x" * 5000,
)


@pytest.mark.clause("mme.load-name-tricks")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_that_are_paths(models: MultiModel, name: str) -> None:
    wanted = {"model_name": name, "url": models.url("green.tar.gz")}
    refused(models.container.request("POST", "/models", wanted), 400)


URLS = (
    "/etc",
    "/",
    "/opt",
    "/opt/ml-other/model",
    "/opt/ml/../../etc",
    "/opt/ml/models/../../../etc",
    "opt/ml/models",
    "../etc",
    "file:///etc",
    "https://example.com/model",
    "s3://bucket/model.tar.gz",
    "sentence-transformers/all-MiniLM-L6-v2",
    "/opt/ml/models/\x00/model",
    "/proc/self/cwd",
    "/opt/ml/models/outside/model",
)


@pytest.mark.clause("mme.load-url-tricks")
@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_urls_that_lead_elsewhere(models: MultiModel, url: str, obedient: Callable[..., Path]) -> None:
    outside = models.container.ml / "models" / "outside"
    if not outside.exists():
        outside.mkdir()
        # A model that would load, behind a link.
        (outside / "model").symlink_to(obedient())
    refused(models.container.request("POST", "/models", {"model_name": "tea", "url": url}), 400)
    assert models.container.request("GET", "/models/tea").status_code == 404


@pytest.mark.clause("mme.error-bodies")
def test_refusals_have_one_shape(models: MultiModel) -> None:
    refused(models.post("green.tar.gz"), 409)
    refused(models.container.request("POST", "/models", b"{"), 400)
    for method in ("GET", "DELETE"):
        refused(models.container.request(method, "/models/nobody"), 404)
    refused(invoke(models.container, {}, path="/models/nobody/invoke"), 404)


@pytest.mark.clause("mme.list", "mme.get")
def test_what_is_loaded(models: MultiModel) -> None:
    known = [
        {"modelName": models.name(target), "modelUrl": models.url(target)}
        for target in ("green.tar.gz", "black.tar.gz")
    ]
    [page] = models.pages()
    assert sorted(page["models"], key=str) == sorted(known, key=str)
    for model in known:
        answer = models.container.request("GET", f"/models/{model['modelName']}")
        assert (answer.status_code, answer.json()) == (200, model)


@pytest.mark.clause("mme.get-unknown", "mme.delete-unknown")
def test_what_is_not_loaded(models: MultiModel) -> None:
    for name in ("nobody", "%2e%2e", models.name("heavy-0")):
        for method in ("GET", "DELETE"):
            assert models.container.request(method, f"/models/{name}").status_code == 404


@pytest.mark.clause("mme.invoke-unknown")
def test_calling_what_is_not_loaded(models: MultiModel) -> None:
    refused(invoke(models.container, {}, path=f"/models/{models.name('heavy-0')}/invoke"), 404)


@pytest.mark.clause("mme.delete", "mme.delete-frees", "mme.delete-load")
def test_unloading(models: MultiModel) -> None:
    shm = models.container.shared_memory
    temporary = models.container.root / "tmp"
    before = {*shm.iterdir(), *temporary.rglob("*")}
    for _ in range(3):
        models.load("light-0")
        told = models.invoke("light-0", {}).json()
        assert psutil.pid_exists(told["pid"])
        assert {*shm.iterdir(), *temporary.rglob("*")} > before
        assert models.unload("light-0").status_code == 200
        # A process that has ended holds nothing, though its parent may not have asked yet what became of it.
        assert not psutil.pid_exists(told["pid"]) or psutil.Process(told["pid"]).status() == psutil.STATUS_ZOMBIE
        assert {*shm.iterdir(), *temporary.rglob("*")} <= before
        assert models.container.request("GET", f"/models/{models.name('light-0')}").status_code == 404
    assert models.container.ping() == 200


@pytest.mark.clause("mme.target-model")
def test_the_path_alone_chooses(models: MultiModel) -> None:
    path = f"/models/{models.name('green.tar.gz')}/invoke"
    for header in ("black.tar.gz", "../../etc", ""):
        assert invoke(models.container, {}, path=path, target_model=header).json()["word"] == "green"


@pytest.mark.clause("mme.headers")
def test_headers_both_ways(models: MultiModel) -> None:
    order = {"headers": {ATTRIBUTES: "leaf=8"}}
    answer = models.invoke("green.tar.gz", order, attributes="trace=7", accept="application/json")
    assert answer.headers[ATTRIBUTES] == "leaf=8"
    told = answer.json()
    assert told["accept"] == "application/json"
    assert told["headers"][ATTRIBUTES.lower()] == "trace=7"
    assert told["headers"]["x-amzn-sagemaker-target-model"] == "green.tar.gz"


@pytest.mark.clause("mme.parallel")
def test_others_are_served_while_one_loads_or_unloads(models: MultiModel) -> None:
    def quick() -> float:
        began = time.monotonic()
        assert models.invoke("black.tar.gz", {}).status_code == 200
        assert models.container.ping() == 200
        return time.monotonic() - began

    path = f"/models/{models.name('light-0')}/invoke"
    assert models.load("light-0").status_code == 200
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(models.post, "slow.tar.gz")
        taken = [quick() for _ in range(20)]
        assert not loading.done(), (sum(taken), max(taken), loading.result().text)
        assert loading.result().status_code == 200
        models.loaded.append("slow.tar.gz")
        call = pool.submit(invoke, models.container, {"sleep": 2}, path=path)
        time.sleep(0.3)
        unloading = pool.submit(models.unload, "light-0")
        taken += [quick() for _ in range(20)]
        assert unloading.result().status_code == 200
        # It ends, or it is told that its model goes.
        assert call.result().status_code in (200, 404, 503)
    assert max(taken) < 1, taken


@pytest.mark.clause("mme.invoke-memory")
def test_a_call_that_runs_out_of_memory(models: MultiModel) -> None:
    refused(models.invoke("green.tar.gz", {"memory_error": True}), 507)
    assert models.invoke("green.tar.gz", {}).status_code == 200
