"""An endpoint's environment through the real server."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from converters.convert import Artifact
from converters.entry import place
from tests import hub
from tests.serving import BACKEND, TRITON, Server, free_port, run_cli

USER_CODE = Path(__file__).parents[1] / "user_code"
SMALL_SHM = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh")
MIB = 2**20


def script(case: str, folder: Path) -> Path:
    """A model folder with a script that brings the model, and nothing else."""
    shutil.copytree(USER_CODE / case / "code", folder / "code")
    return folder


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, convert: Callable[..., Artifact], built: Callable[..., Path]
) -> Iterator[Server]:
    """A classifier and sentence embeddings under an environment that asks for much."""
    root = tmp_path_factory.mktemp("limited")
    place(convert(built("bert", num_labels=3)).path, root / "models", "classifier")
    place(convert(built("bert", num_labels=3), task="sentence-embedding").path, root / "models", "embedding")
    env = {
        "HF_OPTIMUM_BATCH_SIZE": "4",
        "HF_OPTIMUM_SEQUENCE_LENGTH": "12",
        "MMS_MAX_REQUEST_SIZE": "2000",
        "SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": str(5 * MIB),
        "SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE": str(2 * MIB),
        "SAGEMAKER_TRITON_LOG_VERBOSE": "1",
        "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--id='the shop' --metrics-interval-ms 900",
    }
    server = Server("--repository", str(root / "models"), log=root / "log", env=env, log_level="info").wait()
    yield server
    server.stop()


def test_rows_of_a_run_are_bounded(limited: Server) -> None:
    def count(name: str) -> float:
        return limited.metric(f"triton_hf_{name}_total")

    def wait_for(wanted: float) -> None:
        deadline = time.monotonic() + 10
        while count("rows") < wanted and time.monotonic() < deadline:
            time.sleep(0.1)  # counters are sent when the engine has nothing to do

    wait_for(4)  # each model warms up with a row, on all cores and in a lane
    rows, runs = count("rows"), count("runs")
    answer = limited.post({"inputs": [f"tea {number}" for number in range(32)]}, "/models/classifier/invoke")
    assert (answer.status_code, len(answer.json())) == (200, 32)
    wait_for(rows + 32)
    assert (count("rows") - rows, count("runs") - runs) == (32, 8)


def test_a_sequence_has_no_more_tokens_than_asked_for(limited: Server) -> None:
    long = "tea river stone " * 5
    refused = limited.post({"inputs": long}, "/models/classifier/invoke")
    assert refused.status_code == 422
    assert "the text has 17 tokens, the model takes 12" in refused.json()["message"]
    cut = {"parameters": {"truncation": True}}
    shorter = " ".join(long.split()[:10])
    answers = [
        limited.post({"inputs": text, **cut}, "/models/classifier/invoke").json()[0]["score"]
        for text in (long, shorter, "tea")
    ]
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    assert answers[0] != pytest.approx(answers[2], abs=1e-6)
    # What cuts by itself cuts there.
    one, other, short = (
        np.array(limited.post({"inputs": text}, "/models/embedding/invoke").json()) for text in (long, shorter, "tea")
    )
    assert np.abs(one - other).max() < 1e-6 < np.abs(one - short).max()


def test_a_request_is_capped_in_bytes(limited: Server) -> None:
    assert limited.post(b'{"inputs": "%s"}' % (b"a" * 1800), "/models/embedding/invoke").status_code == 200
    assert limited.post(b'{"inputs": "%s"}' % (b"a" * 2000), "/models/embedding/invoke").status_code == 413


def test_tritons_own_settings_reach_it(limited: Server) -> None:
    triton = limited.child(TRITON)
    assert {"--id=the shop", "--metrics-interval-ms", "--log-verbose=1"} <= set(triton.cmdline())
    listening = {own.laddr.ip.removeprefix("::ffff:") for own in triton.net_connections() if own.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    assert "INFO" in limited.text and " DEBUG   triton: " in limited.text
    backends = [child for child in limited.tree() if BACKEND in " ".join(child.cmdline()[:1])]
    for backend in backends:
        regions = {r.path for r in backend.memory_maps() if r.path.startswith("/dev/shm/triton_hf_")}
        assert {Path(region).stat().st_size for region in regions} == {5 * MIB}


def test_torchserves_batching_is_tritons(start: Callable[..., Server], tmp_path: Path) -> None:
    env = {"SAGEMAKER_TS_BATCH_SIZE": "4", "SAGEMAKER_TS_MAX_BATCH_DELAY": "2000"}
    server = start(str(script("batched", tmp_path / "model")), "--cache", str(tmp_path / "cache"), env=env).wait()

    async def send(count: int) -> list[tuple[int, int]]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            answers = await asyncio.gather(
                *[client.post("/invocations", json={"inputs": index}) for index in range(count)]
            )
        return [(answer.json()["echo"], answer.json()["together"]) for answer in answers]

    # No batch is larger than asked for, and those that are as large do not wait.
    began = time.monotonic()
    answers = asyncio.run(send(16))
    assert [echo for echo, _ in answers] == list(range(16))
    assert max(together for _, together in answers) == 4
    assert time.monotonic() - began < 4
    # What does not fill one goes when its time is up.
    assert asyncio.run(send(3)) == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(("size", "processes"), [(15, 4), (31, 2)])
def test_processes_are_as_many_as_shared_memory_takes(
    size: int, processes: int, start: Callable[..., Server], tmp_path: Path
) -> None:
    env = {
        "SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": str(size * MIB),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "6",
    }
    model = script("parallel", tmp_path / "model")
    server = start(str(model), "--cache", str(tmp_path / "cache"), under=SMALL_SHM, env=env).wait()
    assert server.post({"inputs": "tea"}).json()["echo"] == "tea"
    assert len([child for child in server.tree() if BACKEND in " ".join(child.cmdline()[:1])]) == processes


def test_no_room_for_one_process_is_a_line(start: Callable[..., Server], tmp_path: Path) -> None:
    env = {"SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": str(80 * MIB)}
    model = script("parallel", tmp_path / "model")
    server = start(str(model), "--cache", str(tmp_path / "cache"), under=SMALL_SHM, env=env)
    assert server.process.wait(60) == 1
    last = server.text.strip().splitlines()[-1]
    assert last.startswith("triton-hf: /dev/shm has 64 MiB free, and a model's process takes 81: ")


def test_an_argument_that_triton_does_not_know_is_a_line(start: Callable[..., Server], tmp_path: Path) -> None:
    model = script("parallel", tmp_path / "model")
    env = {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--no-such-argument=3"}
    server = start(str(model), "--cache", str(tmp_path / "cache"), env=env, log_level="info")
    assert server.process.wait(60) == 1
    last = server.text.strip().splitlines()[-1]
    assert last == "triton-hf: tritonserver did not start: unrecognized option '--no-such-argument=3'"


def test_which_model_the_environment_means(tmp_path: Path) -> None:
    """HF_MODEL_ID, then HF_MODEL_DIR, then SageMaker's folder; none of them is there, and the line says which."""
    places = {
        "HF_MODEL_ID": "nobody/nothing",
        "HF_MODEL_DIR": str(tmp_path / "dir"),
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
    }
    for missed in ("nobody/nothing is neither", f"{tmp_path}/dir does not", f"{tmp_path}/ml/model does not"):
        with hub.serve({}) as empty:
            port = {"SAGEMAKER_BIND_TO_PORT": str(free_port())}
            ended = run_cli("serve", env={"HF_ENDPOINT": empty.url, **port, **places})
        assert ended.returncode == 1
        assert missed in ended.stderr.strip().splitlines()[-1]
        del places[next(iter(places))]


def test_a_model_folder_by_its_variable(
    start: Callable[..., Server], convert: Callable[..., Artifact], built: Callable[..., Path], tmp_path: Path
) -> None:
    entry = place(convert(built("bert", num_labels=3)).path, tmp_path, "sentiment")
    server = start(env={"HF_MODEL_DIR": str(entry), "SAGEMAKER_BASE_DIR": "/nowhere"}).wait()
    assert server.post({"inputs": "tea"}, "/models/sentiment/invoke").status_code == 200
