"""`triton-hf transform`: files in, files out, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from moto.server import ThreadedMotoServer

from tests.models import texts
from tests.serving import TRITON_HF, Server, free_port, run_cli

TEXTS = texts(600, longest=20)


def bodies(start: int, count: int) -> str:
    return "".join(json.dumps({"inputs": text}) + "\n" for text in TEXTS[start : start + count])


def labels(results: str) -> list[str]:
    return [json.loads(line)[0]["label"] for line in results.splitlines()]


@pytest.fixture(scope="module")
def alone(server: Server) -> list[str]:
    """Each text's label as a request of its own."""
    return [server.post({"inputs": text}, "/models/classifier/invoke").json()[0]["label"] for text in TEXTS]


@pytest.fixture
def transform(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command against the run's server."""

    def run(*arguments: object, env: Any = None) -> subprocess.CompletedProcess[str]:
        places = map(str, arguments)
        return run_cli("transform", *places, "--endpoint", server.url, "--name", "classifier", env=env)

    return run


def test_a_folder(tmp_path: Path, transform: Any, alone: list[str]) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "a.jsonl").write_text(bodies(0, 300))
    (source / "deep" / "b.NDJSON").write_text("\ufeff" + bodies(300, 3).replace("\n", "\r\n\r\n").rstrip())
    (source / "deep" / "er" / "empty.jsonl").write_text("")
    (source / "readme.txt").write_text("tea")
    ended = transform(source, target, "--lines-per-request", 7)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "1 file left out" in ended.stderr
    assert "3 of 3 files, 303 lines" in ended.stderr
    found = {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert sorted(found) == ["a.jsonl.out", "deep/b.NDJSON.out", "deep/er/empty.jsonl.out"]
    assert labels(found["a.jsonl.out"]) == alone[:300]
    assert labels(found["deep/b.NDJSON.out"]) == alone[300:303]
    assert found["deep/er/empty.jsonl.out"] == ""


def test_finished_files_are_not_done_again_unless_they_changed(tmp_path: Path, transform: Any) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.jsonl").write_text(bodies(0, 3))
    (source / "b.jsonl").write_text(bodies(3, 3))
    assert transform(source, target).returncode == 0
    for name in ("a", "b"):
        (target / f"{name}.jsonl.out").write_text(name)
    again = transform(source, target)
    assert (again.returncode, again.stderr.strip()) == (0, "2 files finished before")
    future = time.time() + 60
    os.utime(source / "a.jsonl", (future, future))
    assert transform(source, target).returncode == 0
    assert len((target / "a.jsonl.out").read_text().splitlines()) == 3
    assert (target / "b.jsonl.out").read_text() == "b"
    assert transform(source, target, "--redo").returncode == 0
    assert len((target / "b.jsonl.out").read_text().splitlines()) == 3


def test_bad_lines_are_told_of_by_file_and_line(tmp_path: Path, transform: Any, alone: list[str]) -> None:
    source = tmp_path / "in.txt"
    source.write_text(bodies(0, 2) + '\n{"inputs": \n' + bodies(2, 2) + '{"inputs": 3}\n' + bodies(4, 1))
    ended = transform(source, tmp_path / "out")
    assert ended.returncode == 1
    assert f"{source}:4: the body is not JSON" in ended.stderr
    assert f"{source}:7: " in ended.stderr
    assert ended.stderr.strip().endswith("triton-hf: 2 of 7 lines failed; they are listed above")
    found = (tmp_path / "out" / "in.txt.out").read_text().splitlines()
    assert [json.loads(found[index])["code"] for index in (2, 5)] == [400, 422]
    del found[5], found[2]
    assert labels("\n".join(found)) == alone[:5]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing", "out"), 1, "nothing: No such file or directory"),
        (("empty", "out"), 1, "no file of lines"),
        (("in.jsonl", "in.jsonl"), 1, "is a file"),
        (("in.jsonl", "out", "--endpoint", "localhost:1"), 2, "no URL"),
        (("in.jsonl", "out", "--model", "tea"), 2, "one of --model and --endpoint"),
        (("in.jsonl",), 2, "Missing argument"),
        (("s3://", "out"), 1, "names no bucket"),
    ],
)
def test_mistakes_are_told_in_a_line(
    tmp_path: Path, server: Server, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "in.jsonl").write_text("{}")
    (tmp_path / "empty").mkdir()
    endpoint = [] if "--endpoint" in arguments else ["--endpoint", server.url]
    ended = subprocess.run(
        [TRITON_HF, "transform", *arguments, *endpoint], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_an_endpoint_that_is_not_there(tmp_path: Path, server: Server) -> None:
    (tmp_path / "in.jsonl").write_text(bodies(0, 1))
    several = run_cli("transform", str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--endpoint", server.url)
    assert several.returncode == 1
    assert "several models are loaded" in several.stderr.splitlines()[-1]
    url = f"http://127.0.0.1:{free_port()}"
    nobody = run_cli("transform", str(tmp_path / "in.jsonl"), str(tmp_path / "out"), "--endpoint", url)
    assert nobody.returncode == 1
    assert nobody.stderr.strip() == f"triton-hf: {url} does not answer: Connection refused"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_of_its_own_and_a_kill_in_the_middle(
    tmp_path: Path, built: Callable[..., Path], cache: Path, alone: list[str]
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.jsonl").write_text(bodies(0, 10))
    (source / "b.jsonl").write_text(bodies(10, 500) * 40)
    model = str(built("bert", num_labels=3))
    command = [TRITON_HF, "transform", str(source), str(target), "--model", model, "--cache", str(cache)]
    first = subprocess.Popen([*command, "--lines-per-request", "50"], stderr=subprocess.PIPE)
    part = target / ".b.jsonl.out.part"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    started = psutil.Process(first.pid).children(recursive=True)
    assert len(started) >= 3
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    # The kernel ends what it started, in the middle of a batch too.
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert first.returncode == -signal.SIGKILL
    assert sorted(path.name for path in target.iterdir()) == [part.name, "a.jsonl.out"]
    assert labels((target / "a.jsonl.out").read_text()) == alone[:10]
    before = (target / "a.jsonl.out").stat()
    (source / "b.jsonl").write_text(bodies(10, 500))
    second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stderr
    assert "1 file finished before" in second.stderr
    assert sorted(path.name for path in target.iterdir()) == ["a.jsonl.out", "b.jsonl.out"]
    assert (target / "a.jsonl.out").stat() == before
    assert labels((target / "b.jsonl.out").read_text()) == alone[10:510]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """moto's S3 over HTTP, with two buckets."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    # Its buckets outlive it.
    httpx.post(f"http://{host}:{port}/moto-api/reset")
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    for bucket in ("here", "there"):
        client.create_bucket(Bucket=bucket)
    yield client
    client.close()
    moto.stop()


def keys(s3: Any, bucket: str) -> dict[str, str]:
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {entry["Key"]: s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode() for entry in listed}


def test_prefixes_in_s3(s3: Any, transform: Any, alone: list[str], tmp_path: Path) -> None:
    padding = " " * 5 * 2**20
    for key, body in {
        "data/a.jsonl": bodies(0, 20),
        "data/deep/b.jsonl": bodies(20, 5) + padding + "\n" + bodies(25, 5),
        "data/empty.jsonl": "",
        "data/deep/": "",
        "database/c.jsonl": bodies(0, 1),
    }.items():
        s3.put_object(Bucket="here", Key=key, Body=body)
    ended = transform("s3://here/data", "s3://there/results/")
    assert ended.returncode == 0, ended.stderr
    found = keys(s3, "there")
    assert sorted(found) == ["results/a.jsonl.out", "results/deep/b.jsonl.out", "results/empty.jsonl.out"]
    assert labels(found["results/a.jsonl.out"]) == alone[:20]
    assert labels(found["results/deep/b.jsonl.out"]) == alone[20:30]
    assert "3 files finished before" in transform("s3://here/data/", "s3://there/results").stderr
    # A single object, to a folder.
    assert transform("s3://here/data/deep/b.jsonl", tmp_path).returncode == 0
    assert labels((tmp_path / "b.jsonl.out").read_text()) == alone[20:30]


def test_what_goes_wrong_in_s3(s3: Any, transform: Any) -> None:
    s3.put_object(Bucket="here", Key="a.jsonl", Body=bodies(0, 2) + "tea\n")
    for place, message in (("s3://here/none", "no such object"), ("s3://nowhere/a", "NoSuchBucket")):
        ended = transform(place, "s3://there")
        assert ended.returncode == 1
        assert message in ended.stderr.splitlines()[-1]
        assert place in ended.stderr.splitlines()[-1]
    ended = transform("s3://here", "s3://there")
    assert ended.returncode == 1
    assert "s3://here/a.jsonl:3: the body is not JSON" in ended.stderr
    assert len(keys(s3, "there")["a.jsonl.out"].splitlines()) == 3
    assert transform("s3://here", "s3://nowhere").returncode == 1


def test_an_object_that_changes_while_it_is_read(s3: Any) -> None:
    from server.errors import ServerError
    from server.transform.s3 import BLOCK, Prefix

    s3.put_object(Bucket="here", Key="a.jsonl", Body=b"1\n" * BLOCK)
    prefix = Prefix("s3://here")
    [item] = prefix.items()
    file = prefix.open(item)
    assert file.readline() == b"1\n"
    s3.put_object(Bucket="here", Key="a.jsonl", Body=b"2\n" * BLOCK)
    with pytest.raises(ServerError, match="was changed"):
        file.read()
