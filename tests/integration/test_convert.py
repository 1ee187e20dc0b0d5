"""`triton-hf convert` as a user runs it: every kind of source, and what each mistake looks like."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.images import encode_image
from tests import hub as hubs
from tests.models import build, pictures
from tests.parity import zoo
from tests.serving import Server, run_cli


@pytest.fixture(scope="module")
def model(built: Callable[..., Path]) -> Path:
    return built("bert", num_labels=3)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A copy of a model folder to break."""
    return Path(shutil.copytree(model, tmp_path / "broken"))


def fails(*arguments: str, cache: Path, env: dict[str, str] | None = None) -> str:
    """Convert in vain: exit code 1, one line without a traceback, no entry; returns the line."""
    ended = run_cli("convert", *arguments, "--cache", str(cache), env=env)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("triton-hf: ")
    assert not [path for path in cache.glob("artifacts/*") if path.is_dir()], "a half-written entry"
    assert not list(cache.glob("artifacts/.*")), "scratch left behind"
    return line


def manifest(entry: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(str(entry).strip()) / "1" / "manifest.json").read_text())
    return found


def test_a_folder(model: Path, tmp_path: Path) -> None:
    first = run_cli("convert", str(model), "--cache", str(tmp_path / "cache"), "--repository", str(tmp_path / "models"))
    assert first.returncode == 0, first.stderr
    entry = Path(first.stdout.strip())
    assert entry.parent == tmp_path / "models"
    assert {path.name for path in (entry / "1").iterdir()} == {
        "manifest.json",
        "model.onnx",
        "model.py",
        "tokenizer.json",
    }
    assert "exporting to ONNX" in first.stderr
    assert "label agreement 100.0%" in first.stderr
    found = manifest(entry)
    assert (found["task"], found["tier"], found["gate"]["verdict"]) == ("text-classification", "fast", "passed")
    assert set(found["candidates"]) == {"plain", "fused"}
    assert found["graph"] == min(found["candidates"], key=found["candidates"].get)

    durations = []
    for _ in range(3):
        began = time.monotonic()
        again = run_cli("convert", str(model), "--cache", str(tmp_path / "cache"))
        durations.append(time.monotonic() - began)
    assert min(durations) < 1
    assert again.stderr.startswith("converted already")

    other = run_cli("convert", str(model), "--cache", str(tmp_path / "cache"), "--task", "feature-extraction")
    assert other.stderr.splitlines()[-2].startswith("converted: feature-extraction")
    assert other.stdout != again.stdout


def test_a_changed_weight_is_converted_anew(copy: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    first = run_cli("convert", str(copy), "--cache", cache)
    weights = copy / "model.safetensors"
    stat, content = weights.stat(), bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = run_cli("convert", str(copy), "--cache", cache)
    assert second.returncode == 0
    assert first.stdout != second.stdout


def test_an_archive(model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", model, "."], check=True)
    ended = run_cli("convert", str(archive), "--cache", str(tmp_path / "cache"))
    assert ended.returncode == 0, ended.stderr
    assert "unpacking model.tar.gz" in ended.stderr
    assert manifest(ended.stdout)["tier"] == "fast"


@pytest.fixture
def hub(model: Path, built: Callable[..., Path]) -> Iterator[hubs.Hub]:
    other = built("distilbert", num_labels=2)
    repositories = {
        "org/public": hubs.Repository({"main": ("a" * 40, model), "v2": ("b" * 40, other)}),
        "org/private": hubs.Repository({"main": ("c" * 40, model)}, token="secret"),
        "org/tagged": hubs.Repository(
            {"main": ("d" * 40, built("bert", head=False))}, pipeline_tag="feature-extraction"
        ),
    }
    with hubs.serve(repositories) as hub:
        yield hub


def test_hub_ids_revisions_and_tokens(hub: hubs.Hub, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    cache = tmp_path / "cache"

    assert "no revision v9" in fails("org/public", "--revision", "v9", cache=cache, env=env)
    assert "needs HF_TOKEN" in fails("org/private", cache=cache, env=env)
    assert "org/absent is neither a folder here nor a model on the Hub" in fails("org/absent", cache=cache, env=env)

    main = run_cli("convert", "org/public", "--cache", str(cache), env=env)
    assert main.returncode == 0, main.stderr
    assert manifest(main.stdout)["revision"] == f"hub:org/public@{'a' * 40}"
    hub.requests.clear()
    again = run_cli("convert", "org/public", "--cache", str(cache), env=env)
    assert again.stdout == main.stdout
    assert len(hub.requests) == 1

    older = run_cli("convert", "org/public", "--cache", str(cache), env={**env, "HF_MODEL_REVISION": "v2"})
    assert len(manifest(older.stdout)["labels"]) == 2

    private = run_cli("convert", "org/private", "--cache", str(cache), env={**env, "HF_API_TOKEN": "secret"})
    assert private.returncode == 0, private.stderr
    tagged = run_cli("convert", "org/tagged", "--cache", str(cache), env=env)
    assert manifest(tagged.stdout)["task"] == "feature-extraction"

    offline = run_cli("convert", "org/public", "--cache", str(cache), env={**env, "HF_ENDPOINT": "http://127.0.0.1:9"})
    assert offline.returncode == 0, offline.stderr
    absent = {**env, "HF_ENDPOINT": "http://127.0.0.1:9"}
    ended = run_cli("convert", "org/never-seen", "--cache", str(cache), env=absent)
    assert (ended.returncode, "the Hub cannot be reached" in ended.stderr) == (1, True)


def test_serving_by_sagemakers_variables(hub: hubs.Hub, tmp_path: Path, start: Callable[..., Server]) -> None:
    env = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_MODEL_ID": "org/tagged",
        "HF_TASK": "feature-extraction",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "TRITON_HF_CACHE": str(tmp_path / "cache"),
    }
    server = start(env=env).wait()
    assert "serving org/tagged" in server.text
    assert len(server.post({"inputs": "tea"}).json()[0][0]) == 32


def test_sigterm_does_not_wait_for_a_download(hub: hubs.Hub, tmp_path: Path, start: Callable[..., Server]) -> None:
    hub.stalled.add("model.safetensors")
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    server = start("org/public", "--cache", str(tmp_path / "cache"), env=env)
    deadline = time.monotonic() + 30
    while "GET /org/public/resolve/" + "a" * 40 + "/model.safetensors" not in hub.requests:
        assert time.monotonic() < deadline, server.text
        time.sleep(0.05)
    assert server.stop(timeout=25) == 0
    left = list((tmp_path / "cache" / "artifacts").glob(".*-*"))
    hub.stalled.clear()
    again = run_cli("convert", "org/public", "--cache", str(tmp_path / "cache"), env=env)
    assert again.returncode == 0, again.stderr
    assert left
    assert not list((tmp_path / "cache" / "artifacts").glob(".*-*")), "what the first left is swept"


def test_a_hub_script_runs_only_when_trusted(hub: hubs.Hub, copy: Path, tmp_path: Path) -> None:
    (copy / "code").mkdir()
    (copy / "code" / "inference.py").write_text("def output_fn(prediction, accept):\n    return 'scripted'\n")
    hub.repositories["org/scripted"] = hubs.Repository({"main": ("e" * 40, copy)})
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    plain = run_cli("convert", "org/scripted", "--cache", str(tmp_path / "cache"), env=env)
    assert "runs only with HF_TRUST_REMOTE_CODE" in plain.stderr
    assert not (Path(plain.stdout.strip()) / "1" / "code").exists()
    env["HF_TRUST_REMOTE_CODE"] = "true"
    trusted = run_cli("convert", "org/scripted", "--cache", str(tmp_path / "cache"), env=env)
    assert (Path(trusted.stdout.strip()) / "1" / "code" / "inference.py").is_file()


def test_a_ready_graph_is_used_as_it_is(model: Path, copy: Path, convert: Any, tmp_path: Path) -> None:
    graph = convert(model).path / "1" / "model.onnx"
    (copy / "onnx").mkdir()
    shutil.copy(graph, copy / "onnx" / "model.onnx")
    compared = run_cli("convert", str(copy), "--cache", str(tmp_path / "cache"))
    found = manifest(compared.stdout)
    assert (found["graph"], found["gate"]["verdict"]) == ("as-is", "passed")

    (copy / "model.safetensors").unlink()
    alone = run_cli("convert", str(copy), "--cache", str(tmp_path / "cache"))
    assert "unverified" in alone.stderr
    found = manifest(alone.stdout)
    assert found["gate"]["verdict"] == "unverified"
    assert (Path(alone.stdout.strip()) / "1" / "model.onnx").read_bytes() == graph.read_bytes()


def test_a_ready_graph_needs_no_torch(model: Path, copy: Path, convert: Any, tmp_path: Path, ask: Any) -> None:
    shutil.copy(convert(model).path / "1" / "model.onnx", copy / "model.onnx")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    # An installation without the convert extra cannot be had beside this one; the finder hides what it lacks.
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers', 'optimum'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "def find_spec(name, package=None):\n"
        "    try:\n"
        "        return real(name, package)\n"
        "    except ModuleNotFoundError:\n"
        "        return None\n"
        "importlib.util.find_spec = find_spec\n"
    )
    env = {"PYTHONPATH": str(hidden)}
    ended = run_cli("convert", str(copy), "--cache", str(tmp_path / "cache"), env=env)
    assert ended.returncode == 0, ended.stderr
    found = manifest(ended.stdout)
    assert found["gate"]["reason"] == "torch and transformers are not installed here"
    with_torch = convert(model)
    assert found["labels"] == {str(k): v for k, v in with_torch.manifest.labels.items()}
    assert found["tokenizer"]["model_max_length"] == 64
    (copy / "tokenizer.json").unlink()
    assert "missing tokenizer" in fails(str(copy), cache=tmp_path / "other", env=env)
    (copy / "model.onnx").unlink()


def test_a_graph_that_answers_otherwise_does_not_pass(
    model: Path, copy: Path, convert: Any, tmp_path: Path, start: Any
) -> None:
    stranger = build(tmp_path / "stranger", "bert", num_labels=3, seed=1)
    shutil.copy(convert(stranger).path / "1" / "model.onnx", copy / "model.onnx")
    line = fails(str(copy), cache=tmp_path / "cache")
    assert "does not answer like PyTorch: failed on 36 examples: max |Δ|" in line
    assert "label agreement" in line

    strict = Server(str(copy), "--strict", "--cache", str(tmp_path / "cache"), log=tmp_path / "strict.log")
    assert strict.process.wait(60) == 1
    assert strict.text.splitlines()[-1] == line

    server = start(str(copy), "--cache", str(tmp_path / "cache")).wait()
    assert "WARNING server.serve: model broken is not accelerated" in server.text
    import transformers

    expected = transformers.pipeline("text-classification", model=str(model), device=-1)("tea", top_k=None)
    answer = server.post({"inputs": "tea", "parameters": {"top_k": None}}).json()
    assert [entry["label"] for entry in answer] == [entry["label"] for entry in expected]
    assert [e["score"] for e in answer] == pytest.approx([e["score"] for e in expected], abs=1e-5)
    assert server.post({"inputs": "tea", "parameters": {"nonsense": 1}}).status_code == 422


def test_a_task_without_graphs_runs_on_torch(tmp_path: Path, start: Any) -> None:
    folder = zoo.build("vilt", tmp_path)
    server = start(str(folder), "--task", "vqa", "--cache", str(tmp_path / "cache")).wait()
    assert "not accelerated (torch tier): visual-question-answering has no ONNX export" in server.text
    picture = base64.b64encode(encode_image(pictures(1)[0], "image/png")).decode()
    answer = server.post({"inputs": {"image": picture, "question": "who counts rain"}, "parameters": {"top_k": 2}})
    assert answer.status_code == 200
    assert [set(found) for found in answer.json()] == [{"score", "answer"}] * 2


def test_tasks(model: Path, built: Callable[..., Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    line = fails(str(model), "--task", "text-clasification", cache=cache)
    assert line.startswith("triton-hf: unknown task 'text-clasification': choose one of audio-classification, ")
    line = fails(str(built("bert", head=False)), cache=cache)
    assert "BertModel does not tell the task: give --task (or HF_TASK), one of " in line
    line = fails(str(built("bert", head=False)), cache=cache, env={"HF_TASK": "text-classification"})
    assert "the weights are not for text-classification" in line


def damage_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json is not a JSON object"),
        (lambda folder: damage_config(folder, model_type="nobody-knows"), "unknown architecture 'nobody-knows'"),
        (no_tokenizer, "missing tokenizer"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 100), "model.safetensors is corrupt"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:5000]
            ),
            "model.safetensors is corrupt",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "nothing to convert"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no graph"), "model.onnx cannot be loaded"),
    ],
)
def test_a_damaged_folder_is_one_line(damage: Callable[[Path], Any], expected: str, copy: Path, tmp_path: Path) -> None:
    damage(copy)
    assert expected in fails(str(copy), cache=tmp_path / "cache")


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "info",
    [
        member("../outside"),
        member("/absolute/../../outside"),
        member("link", tarfile.SYMTYPE, "../../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "../outside"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.linkname}",
)
def test_hostile_archives_are_refused(info: tarfile.TarInfo, tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "model.tar.gz", (info, b""), (member("config.json"), b"{}"))
    assert "model.tar.gz is refused" in fails(str(archive), cache=tmp_path / "cache")
    assert not (tmp_path / "outside").exists()


def test_broken_archives_and_bombs_are_refused(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    text = tmp_path / "model.txt"
    text.write_text("no archive")
    assert "not a readable tar archive" in fails(str(text), cache=cache)

    whole = tmp_path / "whole.tar.gz"
    subprocess.run(["tar", "czf", whole, "-C", model, "."], check=True)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:5000])
    assert "not a readable tar archive" in fails(str(cut), cache=cache)

    bomb = tar_with(tmp_path / "bomb.tar.gz", (member("weights"), bytes(200 * 2**20)))
    assert "MiB expanded" in fails(str(bomb), cache=cache)
    many = tar_with(tmp_path / "many.tar.gz", *[(member(f"file-{index}"), b"") for index in range(20_001)])
    assert "more than 20000 entries" in fails(str(many), cache=cache)

    empty = tar_with(tmp_path / "empty.tar.gz", (member("README"), b""))
    assert "has no config.json" in fails(str(empty), cache=cache)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
@pytest.mark.parametrize("megabytes", [1, 10])
def test_a_full_disk_is_one_line(megabytes: int, minilm: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", cache], check=False)
    if mounted.returncode:
        pytest.skip("mounts are not allowed here")
    try:
        line = fails(str(minilm), cache=cache)
        assert "No space left on device" in line or "no space left on the disk" in line
    finally:
        subprocess.run(["umount", cache], check=True)


def test_names_and_arguments(model: Path, tmp_path: Path) -> None:
    cache, repository = tmp_path / "cache", tmp_path / "models"
    assert run_cli("convert").returncode == 2
    assert run_cli("serve", "--port", "99999").returncode == 2
    assert run_cli("serve", env={"SAGEMAKER_BIND_TO_PORT": "http"}).returncode == 2
    bad = run_cli("convert", str(model), "--cache", str(cache), "--repository", str(repository), "--name", "../x")
    assert bad.returncode == 2
    (repository / "taken").mkdir(parents=True)
    taken = run_cli("convert", str(model), "--cache", str(cache), "--repository", str(repository), "--name", "taken")
    assert (taken.returncode, "is not an entry of triton-hf" in taken.stderr) == (1, True)
    assert list((repository / "taken").iterdir()) == []
    assert "does not exist, and is not a Hub id" in fails("/no/such/folder", cache=tmp_path / "other")
    assert "does not exist, and is not a Hub id" in fails("s3://bucket/model.tar.gz", cache=tmp_path / "other")
