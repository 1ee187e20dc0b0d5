"""Starting, stopping and dying, as a platform and an operator see it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from converters.entry import place
from server.triton.process import remove_shared_memory
from tests.models import texts
from tests.serving import BACKEND, TRITON, Server, free_port, run_cli


def gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those still alive after so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_converted_model_is_ready_within_seconds(
    start: Callable[..., Server], minilm: Path, cache: Path, minilm_entry: Any
) -> None:
    server = start(str(minilm), "--cache", str(cache)).wait()
    took = time.monotonic() - server.started
    assert "is converted already" in server.text
    assert took < 4


def test_connections_are_accepted_while_the_model_is_converted(
    start: Callable[..., Server], built: Callable[..., Path], tmp_path: Path
) -> None:
    server = start(str(built("bert", num_labels=3)), "--cache", str(tmp_path / "cache"))
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=0.25).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() - server.started < 2
            time.sleep(0.02)
    assert server.client.get("/ping").status_code == 503
    early = server.post({"inputs": "tea"})
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    server.wait()
    assert server.post({"inputs": "tea"}).status_code == 200
    assert "exporting to ONNX: done" in server.text
    assert "Traceback" not in server.text


def test_sigterm_lets_requests_finish_and_ends_with_0(start: Callable[..., Server], repository: Path) -> None:
    server = start("--repository", str(repository)).wait()
    processes = server.tree()
    assert len(processes) >= 5
    answers: list[httpx.Response] = []
    body = {"inputs": texts(400, longest=100)}
    slow = threading.Thread(target=lambda: answers.append(server.post(body, "/models/minilm/invoke")))
    slow.start()
    time.sleep(0.7)
    with httpx.Client(base_url=server.url) as other:
        assert other.get("/ping").status_code == 200
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert other.get("/ping").status_code == 503
        assert other.post("/models/minilm/invoke", json={"inputs": "late"}).status_code == 503
    slow.join(30)
    assert answers[0].status_code == 200
    assert len(answers[0].json()) == 400
    assert server.process.wait(25) == 0
    assert time.monotonic() - began < 25
    assert not gone(processes, 1)


def test_a_backend_ends_without_a_crash(start: Callable[..., Server], repository: Path) -> None:
    if subprocess.run(["dmesg"], capture_output=True, check=False).returncode:
        pytest.skip("only the kernel's log tells of it, and it cannot be read here")
    server = start("--repository", str(repository)).wait()
    assert server.post({"inputs": "tea"}, "/models/classifier/invoke").status_code == 200
    backends = [process.pid for process in server.tree() if BACKEND in " ".join(process.cmdline()[:1])]
    assert backends and server.stop() == 0
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    assert [pid for pid in backends if f"[{pid}]: segfault" in said] == []


@pytest.mark.parametrize("after", ["ready", "early"])
def test_sigkill_leaves_no_process_behind(start: Callable[..., Server], repository: Path, after: str) -> None:
    server = start("--repository", str(repository))
    if after == "ready":
        server.wait()
    else:
        while len(server.tree()) < 2:
            time.sleep(0.01)
    processes = server.tree()
    server.process.kill()
    server.process.wait()
    assert not gone(processes, 5)


def test_a_later_server_sweeps_what_a_killed_one_left(
    start: Callable[..., Server], repository: Path, tmp_path: Path
) -> None:
    env = {"TMPDIR": str(tmp_path)}
    first = start("--repository", str(repository), env=env).wait()
    first.process.kill()
    first.process.wait()
    [left] = tmp_path.glob("triton-hf-*")
    prefix = left.name.replace("-", "_")
    assert list(Path("/dev/shm").glob(f"{prefix}*"))
    second = start("--repository", str(repository), env=env).wait()
    assert not left.exists()
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
    second.stop()
    assert not list(tmp_path.glob("triton-hf-*"))


def test_two_deaths_at_once_are_survived(start: Callable[..., Server], repository: Path) -> None:
    server = start("--repository", str(repository)).wait()
    for process in server.tree()[1:]:
        process.kill()
    assert server.post({"inputs": "tea"}, "/models/classifier/invoke").status_code == 200
    server.wait(10)
    for name in ("minilm", "classifier", "features"):
        assert server.post({"inputs": "tea"}, f"/models/{name}/invoke").status_code == 200


def test_deaths_without_end_start_tritonserver_afresh(
    start: Callable[..., Server], minilm: Path, cache: Path, minilm_entry: Any
) -> None:
    server = start(str(minilm), "--cache", str(cache)).wait()
    first = server.child(TRITON).pid
    for _ in range(9):
        server.child(BACKEND).kill()
        time.sleep(0.1)
        server.wait(10)
    assert server.child(TRITON).pid != first
    assert server.post({"inputs": "tea"}).status_code == 200


@pytest.mark.parametrize("victim", [TRITON, BACKEND])
def test_what_cannot_be_brought_back_ends_the_server(
    victim: str, start: Callable[..., Server], repository: Path, tmp_path: Path
) -> None:
    entry = place(repository / "classifier", tmp_path / "models", "doomed")
    server = start("--repository", str(tmp_path / "models")).wait()
    processes = server.tree()
    (entry / "1" / "model.onnx").unlink()
    server.child(victim).kill()
    assert server.process.wait(60) == 1
    last = server.text.splitlines()[-1]
    assert last.startswith("triton-hf: ")
    assert "cannot be brought back: doomed: " in last
    assert "model.onnx cannot be loaded" in last
    assert not gone(processes, 1)


def test_a_taken_port_is_one_line(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run_cli("serve", "--repository", str(repository), "--host", "127.0.0.1", "--port", port)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"triton-hf: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in ended.stderr


def test_a_broken_entry_is_one_line(repository: Path, tmp_path: Path) -> None:
    entry = place(repository / "classifier", tmp_path, "broken")
    graph = entry / "1" / "model.onnx"
    graph.unlink()
    graph.write_bytes(b"not a graph")
    ended = run_cli("serve", "--repository", str(tmp_path), "--port", str(free_port()))
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("triton-hf: broken: ")
    assert "model.onnx cannot be loaded" in last
    assert "Traceback" not in ended.stderr


def test_an_empty_repository_is_one_line(tmp_path: Path) -> None:
    ended = run_cli("serve", "--repository", str(tmp_path), "--port", str(free_port()))
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, f"triton-hf: {tmp_path} has no entry of triton-hf")


def test_ctrl_c_during_a_conversion_ends_all_of_it(
    built: Callable[..., Path], tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(str(built("bert", num_labels=3)), "--cache", str(tmp_path / "cache"))
    while "converters.worker" not in "".join(" ".join(p.cmdline()) for p in server.tree()):
        time.sleep(0.02)
    processes = server.tree()
    assert server.stop(signal.SIGINT, timeout=10) == 0
    assert not gone(processes, 1)
    assert not [path for path in (tmp_path / "cache" / "artifacts").iterdir() if path.is_dir()]


def test_sagemakers_folder_is_served_read_only(
    built: Callable[..., Path], tmp_path: Path, start: Callable[..., Server]
) -> None:
    model = tmp_path / "ml" / "model"
    subprocess.run(["cp", "-r", built("bert", num_labels=3), tmp_path / "model"], check=True)
    (tmp_path / "ml").mkdir()
    (tmp_path / "model").rename(model)
    model.chmod(0o555)
    before = sorted(path.name for path in model.rglob("*"))
    server = start(env={"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "XDG_CACHE_HOME": str(tmp_path / "cache")}).wait()
    [answer] = server.post({"inputs": "tea"}).json()
    assert answer["label"].startswith("LABEL_")
    assert sorted(path.name for path in model.rglob("*")) == before


def test_shared_memory_of_others_is_left_alone(tmp_path: Path) -> None:
    other = Path("/dev/shm/triton_hf_test_other")
    other.write_bytes(b"")
    try:
        remove_shared_memory("triton_hf_test_mine_")
        assert other.exists()
    finally:
        other.unlink()


def test_what_waits_is_bounded_in_number_and_time(
    start: Callable[..., Server], minilm: Path, cache: Path, minilm_entry: Any
) -> None:
    server = start(str(minilm), "--cache", str(cache), "--queue-size", "1", "--timeout", "3").wait()
    slow = {"inputs": texts(600, longest=200)}

    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            first = asyncio.create_task(client.post("/invocations", json=slow))
            await asyncio.sleep(0.2)
            return [await first, *await asyncio.gather(*[client.post("/invocations", json=slow) for _ in range(80)])]

    first, *others = asyncio.run(send())
    assert (first.status_code, first.json()["type"]) == (504, "DeadlineExceeded")
    refused = [answer for answer in others if answer.status_code == 503]
    assert len(refused) >= 80 - 65
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    # What nobody waits for any more is dropped, and the model is free for others.
    began = time.monotonic()
    assert server.post({"inputs": "tea"}).status_code == 200
    assert time.monotonic() - began < 3
