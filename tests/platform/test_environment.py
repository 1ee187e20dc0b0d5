"""Every variable of the contract takes effect in a real container."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.models import WORDS
from tests.platform.conftest import Run
from tests.platform.container import Container
from tests.platform.simulator import MB, invoke
from tests.platform.test_errors import refused
from tests.serving import BACKEND, TRITON

BATCHING = """\
def model_fn(model_dir):
    return None


def predict_batch_fn(data, model):
    return [{"together": len(data)}] * len(data)
"""


def backends(container: Container) -> int:
    return len([process for process in container.processes() if BACKEND in process.cmdline()[0]])


@pytest.fixture(scope="module")
def doomed(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """A container whose model takes a minute to load, where it may take two seconds."""
    return run(ml(obedient(load_seconds=60)), {"SAGEMAKER_STARTUP_TIMEOUT": "2"})


@pytest.fixture(scope="module")
def first(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    folder = ml(obedient(word="model"))
    shutil.copytree(obedient(word="elsewhere"), folder / "elsewhere")
    code = folder / "elsewhere" / "code"
    (code / "inference.py").rename(code / "brew.py")
    env = {
        "HF_MODEL_DIR": "/opt/ml/elsewhere",
        "SAGEMAKER_PROGRAM": "brew.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "30",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "1",
        "SAGEMAKER_MAX_REQUEST_SIZE": "1000",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "40",
    }
    return run(folder, env).wait()


@pytest.fixture(scope="module")
def second(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    folder = ml(obedient(word="model"))
    shutil.copytree(obedient(word="base"), folder / "base" / "model")
    shutil.copytree(obedient(word="submitted") / "code", folder / "submitted")
    env = {
        "SAGEMAKER_BASE_DIR": "/opt/ml/base",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/submitted",
        "SAGEMAKER_NUM_MODEL_WORKERS": "3",
        "MMS_MAX_REQUEST_SIZE": "1000",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-tea",
        "SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": str(5 * MB),
        "SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE": str(3 * MB),
    }
    return run(folder, env).wait()


@pytest.fixture(scope="module")
def third(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    folder = ml()
    shutil.copytree(obedient(word="base"), folder / "base" / "model")
    env = {
        "SAGEMAKER_BASE_DIR": "/opt/ml/base",
        "MMS_DEFAULT_WORKERS_PER_MODEL": "3",
        "TS_MAX_REQUEST_SIZE": "1000",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "debug",
        "SAGEMAKER_TRITON_LOG_VERBOSE": "1",
        "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--metrics-interval-ms=1234 --log-format ISO8601",
    }
    return run(folder, env).wait()


def told(container: Container) -> dict[str, Any]:
    answer: dict[str, Any] = invoke(container, {}).json()
    return answer


@pytest.mark.clause("env.HF_MODEL_DIR", "env.SAGEMAKER_PROGRAM")
def test_folder_and_script(doomed: Container, first: Container) -> None:
    assert told(first)["word"] == "elsewhere"


@pytest.mark.clause("env.SAGEMAKER_SUBMIT_DIRECTORY")
def test_submitted_code(second: Container) -> None:
    assert told(second)["word"] == "submitted"


@pytest.mark.clause("env.SAGEMAKER_BASE_DIR")
def test_the_base_folder(third: Container) -> None:
    assert told(third)["word"] == "base"


@pytest.mark.clause("env.SAGEMAKER_MODEL_SERVER_WORKERS")
def test_workers(first: Container) -> None:
    assert backends(first) == 3


@pytest.mark.clause("env.SAGEMAKER_NUM_MODEL_WORKERS")
def test_workers_by_another_name(second: Container) -> None:
    assert backends(second) == 3


@pytest.mark.clause("env.MMS_DEFAULT_WORKERS_PER_MODEL")
def test_workers_by_a_third_name(third: Container) -> None:
    assert backends(third) == 3


@pytest.mark.clause("env.SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS")
def test_the_deadline_in_seconds_wins(first: Container) -> None:
    began = time.monotonic()
    refused(invoke(first, {"sleep": 2}), 504)
    assert time.monotonic() - began < 1.8


def caps_at_a_thousand(container: Container) -> None:
    assert invoke(container, b"x" * 1000, content_type="text/x-tea").status_code == 200
    refused(invoke(container, b"x" * 1001, content_type="text/x-tea"), 413)


@pytest.mark.clause("env.SAGEMAKER_MAX_REQUEST_SIZE")
def test_the_cap_in_bytes(first: Container) -> None:
    caps_at_a_thousand(first)


@pytest.mark.clause("env.MMS_MAX_REQUEST_SIZE")
def test_the_cap_by_another_name(second: Container) -> None:
    caps_at_a_thousand(second)


@pytest.mark.clause("env.TS_MAX_REQUEST_SIZE")
def test_the_cap_by_a_third_name(third: Container) -> None:
    caps_at_a_thousand(third)


@pytest.mark.clause("env.SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
def test_the_type_for_those_who_take_any(second: Container) -> None:
    for accept in ("", "*/*"):
        assert invoke(second, {}, accept=accept).json()["accept"] == "application/x-tea"
    assert invoke(second, {}, accept="application/json").json()["accept"] == "application/json"


@pytest.mark.clause("env.SAGEMAKER_CONTAINER_LOG_LEVEL")
def test_the_log_level(first: Container, second: Container, third: Container) -> None:
    levels = [set(re.findall(r"^\S+ \S+ ([A-Z]+) ", each.text, re.MULTILINE)) for each in (first, second, third)]
    assert not levels[0] & {"DEBUG", "INFO", "WARNING"}
    assert "INFO" in levels[1] and "DEBUG" not in levels[1]
    assert {"DEBUG", "INFO"} <= levels[2]


@pytest.mark.clause("env.SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE")
def test_shared_memory(second: Container) -> None:
    regions = list(second.shared_memory.iterdir())
    assert [path.stat().st_size for path in regions if path.stat().st_size >= 5 * MB] == [5 * MB] * 3


@pytest.mark.clause("env.SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE")
def test_growing_shared_memory(second: Container) -> None:
    arguments = second.process_named(TRITON).cmdline()
    assert f"--backend-config=python,shm-growth-byte-size={3 * MB}" in arguments


@pytest.mark.clause("env.SAGEMAKER_TRITON_LOG_VERBOSE")
def test_tritons_verbose_log(second: Container, third: Container) -> None:
    told(second), told(third)
    # Triton names its files in verbose lines alone so often.
    assert len(third.text.splitlines()) > 3 * len(second.text.splitlines())
    assert "model_lifecycle" in third.text or "AsyncLoad" in third.text


@pytest.mark.clause("env.SAGEMAKER_TRITON_ADDITIONAL_ARGS")
def test_tritons_other_arguments(third: Container) -> None:
    arguments = third.process_named(TRITON).cmdline()
    assert "--metrics-interval-ms=1234" in arguments
    assert arguments[arguments.index("--log-format") + 1] == "ISO8601"


@pytest.mark.clause("env.SAGEMAKER_STARTUP_TIMEOUT")
def test_a_load_that_takes_too_long(doomed: Container) -> None:
    assert doomed.process.wait(30) == 1
    assert doomed.text.splitlines()[-1].startswith("triton-hf: ")


@pytest.fixture(scope="module")
def batching(run: Run, ml: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Container:
    """A model that answers how many requests it was handed at once."""
    folder = tmp_path_factory.mktemp("batching")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(BATCHING)
    env = {
        "SAGEMAKER_TS_BATCH_SIZE": "4",
        "SAGEMAKER_TS_MAX_BATCH_DELAY": "1500",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }
    return run(ml(folder), env).wait()


@pytest.mark.clause("env.SAGEMAKER_TS_BATCH_SIZE")
def test_a_full_batch_does_not_wait(batching: Container) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = [answer.json() for answer in pool.map(lambda _: invoke(batching, {"inputs": "tea"}), range(4))]
    assert answers == [{"together": 4}] * 4
    assert time.monotonic() - began < 1.4


@pytest.mark.clause("env.SAGEMAKER_TS_MAX_BATCH_DELAY")
def test_a_batch_waits_for_others(batching: Container) -> None:
    began = time.monotonic()
    assert invoke(batching, {"inputs": "tea"}).json() == {"together": 1}
    assert 1.4 < time.monotonic() - began < 5


@pytest.fixture(scope="module")
def shaped(run: Run, ml: Callable[..., Path], classifier_entry: Path) -> Container:
    env = {"HF_OPTIMUM_BATCH_SIZE": "2", "HF_OPTIMUM_SEQUENCE_LENGTH": "8", "MMS_JOB_QUEUE_SIZE": "1"}
    return run(ml(classifier_entry), env).wait()


@pytest.mark.clause("env.HF_OPTIMUM_SEQUENCE_LENGTH")
def test_tokens_of_a_row(shaped: Container, classifier: Container) -> None:
    short, long = {"inputs": " ".join(WORDS[:5])}, {"inputs": " ".join(WORDS[:20])}
    assert invoke(shaped, short).json() == invoke(classifier, short).json()
    assert invoke(classifier, long).status_code == 200
    answer = invoke(shaped, long)
    assert answer.status_code == 422 or answer.json() != invoke(classifier, long).json()


@pytest.mark.clause("env.HF_OPTIMUM_BATCH_SIZE")
def test_rows_of_a_run(shaped: Container, classifier: Container) -> None:
    body = {"inputs": list(WORDS[:9])}
    ours, theirs = (invoke(each, body).json() for each in (shaped, classifier))
    assert [row["label"] for row in ours] == [row["label"] for row in theirs]
    # Which rows share a run is seen from nowhere outside; what the backend is told is.
    [config] = (shaped.root / "tmp").glob("triton-hf-*/repository/*/config.pbtxt")
    assert re.search(r'key: "\w*rows\w*"\s+value \{\s+string_value: "2"', config.read_text())


@pytest.mark.clause("env.MMS_JOB_QUEUE_SIZE-lines")
def test_lines_are_no_requests(shaped: Container) -> None:
    body = b"\n".join(json.dumps({"inputs": WORDS[number % 20]}).encode() for number in range(500))
    answer = invoke(shaped, body, content_type="application/jsonlines")
    assert answer.status_code == 200, answer.text
    assert len(answer.content.split(b"\n")) == 500
