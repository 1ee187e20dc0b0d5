"""`triton-hf bench` against real servers of tiny models."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from converters.entry import CONFIG, is_entry, place, write_config
from server.bench.candidates import Candidate, stated
from tests.models import texts
from tests.serving import Server, run_cli

QUICK = ("--seconds", "0.5", "--rounds", "1")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts(16, longest=8)) + "\n")
    return file


def test_a_running_endpoint_is_measured_and_reported(server: Server, tmp_path: Path, lines: Path) -> None:
    out = tmp_path / "out"
    ended = run_cli(
        *("bench", str(server.port), "--name", "classifier", "--texts", str(lines), "--clients", "2,4", "--rate", "40"),
        *(*QUICK, "--out", str(out)),
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 clients" in ended.stdout and "40 arrivals/s" in ended.stdout
    assert ended.stdout.splitlines()[-1] == str(out / "report.html")
    report = json.loads((out / "report.json").read_text("utf-8"))
    by_load = {(each["load"], each["clients"], each["offered"]): each["rounds"] for each in report["measurements"]}
    assert list(by_load) == [("closed", 2, None), ("closed", 4, None), ("open", None, 40.0)]
    for [seen] in by_load.values():
        assert seen["requests"] > 0 and seen["errors"] == seen["rejected"] == 0
        assert 0 < seen["p50_ms"] <= seen["p99_ms"] and seen["mean_batch"] >= 1
        assert seen["cpu_ms_per_request"] > 0 and 50 < seen["rss_mb"] < 5000
    [stages, _] = report["stages"]
    assert {"queue", "tokenise", "infer", "encode"} <= stages["wall_ms"].keys()
    assert {"adapter", "triton", "backend", "infer", "client"} <= stages["cpu_us"].keys()
    assert "Throughput" in (out / "report.html").read_text("utf-8")


def test_bodies_are_sent_as_they_are_and_failures_are_told(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "bodies.jsonl"
    file.write_text('{"inputs": "tea", "parameters": {"top_k": 1}}\n{"inputs": "tea", "parameters": {"topk": 1}}\n')
    url = f"{server.url}/models/classifier/invoke"
    ended = run_cli("bench", url, "--texts", str(file), "--clients", "1", *QUICK, "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr
    assert "most errors: 422:" in ended.stderr and "top_k" in ended.stderr
    [measured] = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["measurements"]
    assert measured["rounds"][0]["errors"] > 0 and measured["rounds"][0]["requests"] > 0


def test_built_in_requests(server: Server, tmp_path: Path) -> None:
    ended = run_cli(
        *("bench", server.url, "--name", "minilm", "--clients", "1", *QUICK, "--out", str(tmp_path / "out"))
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("bench", "{port}", "--name", "nobody"), 1, "answers 404: model nobody is not loaded"),
        (("bench", "{port}", "--name", "classifier", "--texts", "{wrong}"), 1, "answers 422: "),
        (("bench", "{closed}"), 1, "nobody answers at http://127.0.0.1:{closed}: Connection refused"),
        (("bench", "gopher://host"), 2, "neither a port nor a URL"),
        (("bench", "--tune", "x"), 2, "--tune needs --p99 and --texts"),
        (("bench", "--clients", "0"), 2, "numbers above 0"),
        (("bench", "--tune", "{wrong}", "--p99", "10", "--texts", "{wrong}"), 2, "--repository"),
    ],
)
def test_what_goes_wrong_is_a_line(
    server: Server, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"inputs": 3}\n')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = str(probe.getsockname()[1])
    known = {"{port}": str(server.port), "{wrong}": str(wrong), "{closed}": closed}
    ended = run_cli(*(known.get(each, each) for each in arguments))
    assert ended.returncode == code, ended.stderr
    assert told.replace("{closed}", closed) in ended.stderr
    assert "Traceback" not in ended.stderr
    if code == 1:
        assert len(ended.stderr.strip().splitlines()) == 1


def test_tuning_writes_what_the_next_server_uses(
    tmp_path: Path, lines: Path, repository: Path, start: Callable[..., Server]
) -> None:
    entry = place(repository / "classifier", tmp_path / "models", "tuned")
    # A start that any layout beats: one row a run.
    write_config(entry, {"rows_per_run": "1", "token_budget": "1"})
    ended = run_cli(
        *("bench", "--tune", str(entry), "--p99", "60000", "--texts", str(lines), "--clients", "8"),
        *("--seconds", "0.4", "--rounds", "1", "--minutes", "1"),
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    assert "as it is: " in ended.stdout and ended.stdout.splitlines()[-1] == str(entry / "tuning.html")
    evidence = json.loads((entry / "tuning.json").read_text("utf-8"))
    tuning = evidence["tuning"]
    assert tuning["trials"][0]["setting"] == "as it is" and len(tuning["trials"]) >= 2
    assert all(each["within"] for each in tuning["trials"])
    config = (entry / CONFIG).read_text("utf-8")
    read = text_format.Parse(config, model_config_pb2.ModelConfig())
    assert stated(config) == {"rows_per_run": "1", "token_budget": "1", **tuning["parameters"]}
    assert read.instance_group[0].count == (tuning["instances"] or 1)
    # The evidence goes where the entry goes, and the entry serves.
    moved = place(entry, tmp_path / "others", "tuned")
    assert is_entry(moved) and (moved / "tuning.json").is_file()
    server = start("--repository", str(moved.parent)).wait()
    assert server.post({"inputs": "tea"}).status_code == 200


def test_a_written_setting_is_used(tmp_path: Path, repository: Path, start: Callable[..., Server]) -> None:
    """What tuning writes reaches the model's processes."""
    entry = place(repository / "classifier", tmp_path / "models", "tuned")
    setting = Candidate().having({"token_budget": 1, "lanes": 1, "threads": 1}, 2)
    (entry / CONFIG).write_text(setting.applied((entry / CONFIG).read_text("utf-8")))
    server = start("--repository", str(entry.parent)).wait()
    backends = [child for child in server.tree() if "triton_python_backend_stub" in " ".join(child.cmdline()[:1])]
    assert len(backends) == 2
    assert server.post({"inputs": ["tea"] * 6}).status_code == 200
    deadline = 50
    while server.metric("triton_hf_rows_total") < 6 and deadline:
        deadline -= 1
        server.client.get("/ping")
        time.sleep(0.1)
    # A token budget of one leaves a row a run.
    assert server.metric("triton_hf_runs_total") == server.metric("triton_hf_rows_total")


def test_a_source_is_converted_and_its_copy_tuned(
    tmp_path: Path, lines: Path, built: Callable[..., Path], cache: Path
) -> None:
    models = tmp_path / "models"
    source = built("bert", num_labels=3)
    before = {path: path.read_bytes() for path in (cache / "artifacts").glob(f"*/{CONFIG}")}
    ended = run_cli(
        *("bench", "--tune", str(source), "--p99", "0.001", "--texts", str(lines), "--clients", "1"),
        *("--repository", str(models), "--name", "mine", "--cache", str(cache)),
        *("--seconds", "0.2", "--rounds", "1", "--minutes", "0.01"),
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    # No time for a second trial, and nothing answers within a microsecond.
    assert "not everything was tried" in ended.stdout
    assert "no setting tried stays within 0.001 ms" in ended.stdout
    assert is_entry(models / "mine") and (models / "mine" / "tuning.json").is_file()
    assert {path: path.read_bytes() for path in before} == before
