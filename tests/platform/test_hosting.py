"""One model behind one container, as a real-time endpoint has it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.platform.conftest import Run
from tests.platform.container import CONNECT_SECONDS, SERVE, Container
from tests.platform.simulator import ATTRIBUTES, invoke
from tests.serving import BACKEND

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


@pytest.fixture
def dockerfile() -> str:
    if not DOCKERFILE.is_file():
        pytest.skip("there is no image yet")
    return DOCKERFILE.read_text("utf-8")


@pytest.mark.clause("hosting.entrypoint")
def test_the_entry_point_is_in_exec_form(dockerfile: str) -> None:
    assert re.search(r"^ENTRYPOINT \[", dockerfile, re.MULTILINE)


@pytest.mark.clause("hosting.label-port")
def test_the_label_for_ports(dockerfile: str) -> None:
    assert re.search(r"com\.amazonaws\.sagemaker\.capabilities\.accept-bind-to-port=\"?true", dockerfile)


@pytest.mark.clause("mme.label")
def test_the_label_for_many_models(dockerfile: str) -> None:
    assert re.search(r"com\.amazonaws\.sagemaker\.capabilities\.multi-models=\"?true", dockerfile)


@pytest.mark.clause("hosting.serve")
def test_serve_is_all_it_is_started_with(classifier: Container) -> None:
    # No shell and no wrapper between: what gets the platform's signals is the server itself.
    assert classifier.processes()[0].cmdline()[-2:] == [SERVE[0], "serve"]
    [answer] = invoke(classifier, {"inputs": "tea"}).json()
    assert set(answer) == {"label", "score"}


@pytest.mark.clause("hosting.default-port")
def test_the_default_port(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> None:
    # In a network of its own, where 8080 is free; a process beside it asks.
    up = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    allowed = subprocess.run([*up, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode:
        pytest.skip(f"no network namespaces here: {allowed.stderr.strip()}")
    container = run(ml(obedient()), {"SAGEMAKER_BIND_TO_PORT": ""}, command=(*up, *SERVE))
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/ping', timeout=2).status)"
    beside = ["nsenter", "--net", "--target", str(container.process.pid), sys.executable, "-c", ask]
    deadline = time.monotonic() + 30
    while (asked := subprocess.run(beside, capture_output=True, text=True, check=False)).returncode:
        assert container.running and time.monotonic() < deadline, asked.stderr + container.text
    assert asked.stdout.strip() == "200"


@pytest.mark.clause("hosting.bind-to-port")
def test_the_port_it_is_told(scripted: Container) -> None:
    assert scripted.port in scripted.listening()
    assert scripted.port != 8080


@pytest.mark.clause("hosting.safe-port-range")
def test_other_ports_lie_in_the_safe_range(scripted: Container) -> None:
    others = scripted.listening() - {scripted.port}
    assert len(others) >= 2
    assert others <= set(scripted.safe_ports)


@pytest.fixture(scope="module")
def loading(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """A container whose model takes seconds to load."""
    return run(ml(obedient(load_seconds=3))).until_bound()


@pytest.mark.clause("hosting.ping-loading", "errors.503-not-ready")
def test_before_the_model_is_loaded(loading: Container) -> None:
    assert loading.ping() == 503
    early = invoke(loading, {})
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert early.json()["code"] == 503
    # Nothing was ready in between.
    assert set(loading.probes.pings) <= {0, 503}


@pytest.mark.clause("hosting.connect-loading")
def test_connections_while_a_model_loads(loading: Container) -> None:
    loading.wait()
    assert len(loading.probes.connections) > 20
    assert max(loading.probes.connections) < CONNECT_SECONDS
    assert loading.probes.first_connection < 2
    assert loading.probes.ready > 3


@pytest.fixture(scope="module")
def exporting(run: Run, ml: Callable[..., Path], built: Callable[..., Path]) -> Container:
    """A container that has to export its model, by the time that it is ready."""
    return run(ml(built("bert", num_labels=3))).wait()


@pytest.mark.clause("hosting.connect-exporting")
def test_connections_while_a_model_is_exported(exporting: Container) -> None:
    assert "exporting to ONNX: done" in exporting.text
    assert len(exporting.probes.connections) > 20
    assert max(exporting.probes.connections) < CONNECT_SECONDS


@pytest.mark.clause("hosting.ready-8min")
def test_ready_in_time(exporting: Container) -> None:
    assert exporting.probes.ready < 90
    # Of all health checks meanwhile, none took too long once the first was answered.
    assert 0 not in exporting.probes.pings[1:]


@pytest.mark.clause("hosting.read-only-model")
def test_a_read_only_model(exporting: Container, built: Callable[..., Path]) -> None:
    model = exporting.ml / "model"
    source = built("bert", num_labels=3)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    assert invoke(exporting, {"inputs": "tea"}).status_code == 200
    # The control: the container's own view of the folder takes nothing.
    inside = ["nsenter", "--mount", "--target", str(exporting.process.pid), "touch", "/opt/ml/model/x"]
    refused = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert "Read-only file system" in refused.stderr


@pytest.mark.clause("hosting.connect-installing")
def test_connections_while_requirements_are_installed(
    run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]
) -> None:
    model = obedient()
    wheel = model / "code" / "seven_wizards-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("seven_wizards.py", "")
        archive.writestr(
            "seven_wizards-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: seven-wizards\nVersion: 1\n"
        )
        archive.writestr(
            "seven_wizards-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("seven_wizards-1.dist-info/RECORD", "")
    script = model / "code" / "inference.py"
    script.write_text(f"import seven_wizards\n{script.read_text()}")
    (model / "code" / "requirements.txt").write_text(f"/opt/ml/model/code/{wheel.name}\n")
    with run(ml(model)) as container:
        container.wait()
        assert invoke(container, {}).status_code == 200
        assert len(container.probes.connections) > 10
        assert max(container.probes.connections) < CONNECT_SECONDS
        assert 503 in container.probes.pings


@pytest.mark.clause("hosting.ping-200")
def test_a_ready_container_says_so_with_an_empty_body(classifier: Container) -> None:
    answer = classifier.request("GET", "/ping")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.clause("hosting.ping-2s")
def test_health_checks_under_full_load(classifier: Container) -> None:
    stop = threading.Event()
    body = {"inputs": ["rain and tea " * 15] * 300}

    def load() -> int:
        count = 0
        while not stop.is_set():
            assert invoke(classifier, body).status_code == 200
            count += 1
        return count

    with ThreadPoolExecutor(32) as pool:
        loads = [pool.submit(load) for _ in range(32)]
        try:
            statuses = []
            until = time.monotonic() + 3
            while time.monotonic() < until:
                statuses.append(classifier.ping())
                time.sleep(0.05)
        finally:
            stop.set()
    assert set(statuses) == {200}
    assert sum(load.result() for load in loads) >= 32


@pytest.mark.clause("hosting.ping-dead")
def test_a_dead_model_fails_the_health_check(scripted: Container) -> None:
    for process in [each for each in scripted.processes() if BACKEND in each.cmdline()[0]]:
        process.kill()
    deadline = time.monotonic() + 10
    while scripted.ping() == 200:
        assert time.monotonic() < deadline
    scripted.wait()
    assert invoke(scripted, {}).status_code == 200


@pytest.mark.clause("hosting.concurrency-100")
def test_a_hundred_requests_at_once(classifier: Container) -> None:
    def ask(number: int) -> bool:
        return len(invoke(classifier, {"inputs": ["tea"] * (number + 1)}).json()) == number + 1

    with ThreadPoolExecutor(100) as pool:
        assert all(pool.map(ask, range(100)))


@pytest.mark.clause("hosting.headers")
def test_the_headers_that_sagemaker_hands_on(scripted: Container) -> None:
    given = {
        "x-amzn-sagemaker-target-variant": "blue",
        "x-amzn-sagemaker-inference-id": "42",
    }
    attributes = "trace=7;" + "a" * 1016
    answer = invoke(
        scripted, {}, accept="application/json", attributes=attributes, target_model="m.tar.gz", **given
    ).json()
    assert (answer["content_type"], answer["accept"]) == ("application/json", "application/json")
    assert (
        answer["headers"].items()
        >= {
            **given,
            ATTRIBUTES.lower(): attributes,
            "x-amzn-sagemaker-target-model": "m.tar.gz",
            "content-type": "application/json",
            "accept": "application/json",
        }.items()
    )


@pytest.mark.clause("hosting.headers-others")
def test_other_headers_change_nothing(classifier: Container) -> None:
    body = {"inputs": "tea"}
    strange = {"x_amzn_sagemaker_session_id": "NEW_SESSION", "x_tea": "green", "range": "bytes=0-1", "cookie": "a=b"}
    assert invoke(classifier, body, **strange).content == invoke(classifier, body).content


@pytest.mark.clause("hosting.answer-type")
def test_the_answers_type(classifier: Container, scripted: Container) -> None:
    assert invoke(classifier, {"inputs": "tea"}).headers["content-type"] == "application/json"
    assert invoke(classifier, {"inputs": "tea"}, accept="text/csv").headers["content-type"] == "text/csv"
    assert invoke(scripted, {"type": "text/x-tea"}).headers["content-type"] == "text/x-tea"


@pytest.mark.clause("hosting.answer-attributes")
def test_attributes_are_answered_if_they_are_set(scripted: Container) -> None:
    assert ATTRIBUTES not in invoke(scripted, {}, attributes="trace=7").headers
    assert invoke(scripted, {"headers": {ATTRIBUTES: "leaf=8"}}).headers[ATTRIBUTES] == "leaf=8"


@pytest.mark.clause("hosting.metrics")
def test_metrics_on_the_same_port(classifier: Container) -> None:
    invoke(classifier, {"inputs": "tea"})
    answer = classifier.request("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in answer.text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"\w+(\{.*\})? [\d.e+-]+(Inf|NaN)?", line), line
    [count] = re.findall(r"^nv_inference_request_success\{.*\} ([\d.]+)$", answer.text, re.MULTILINE)
    assert float(count) >= 1


def test_bodies_of_the_platform_are_what_it_sent(scripted: Container) -> None:
    """The control of the tests of sizes: the obedient model answers other types as they are."""
    assert invoke(scripted, b"tea", content_type="text/x-tea").content == b"tea"
    assert json.loads(invoke(scripted, {}).content)["word"] == "tea"
