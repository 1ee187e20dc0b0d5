"""`triton-hf check`: good and broken artifacts, what it says of each, and that a conversion then does the same."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from converters.check import Report, check
from converters.convert import Converter, Options
from converters.errors import ConversionError
from converters.progress import Lines
from converters.report import show, verdict
from tests import hub as hubs
from tests.serving import run_cli

CORES = len(os.sched_getaffinity(0))
MARK = 'import pathlib\npathlib.Path(__file__).with_name("it-ran").write_text("")\n'


@pytest.fixture(scope="module")
def model(built: Callable[..., Path]) -> Path:
    return built("bert", num_labels=3)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


def script(folder: Path, text: str, requirements: str = "", name: str = "inference.py") -> None:
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / name).write_text(MARK + text)
    if requirements:
        (folder / "code" / "requirements.txt").write_text(requirements)


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, **changes}))


def only(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"weights of another kind")


def deeper(folder: Path) -> None:
    (folder / "model").mkdir()
    for path in list(folder.iterdir()):
        if path.name != "model":
            path.rename(folder / "model" / path.name)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pointer(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def looked_at(source: Path, cache: Path, **options: Any) -> Report:
    return check(str(source), Options(**options), cache, Lines(lambda _line: None))


def shown(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    show(report)
    return capsys.readouterr().out


CALLS = "def predict_fn(data, model):\n    return model(data['inputs'])\n"
FAST = "serves: text-classification on the fast path, 1 instance"
TORCH = f"serves: text-classification on torch, not accelerated, {CORES} instance{'s' if CORES > 1 else ''}"
SCRIPT = f"serves: custom by its script, {CORES} instance{'s' if CORES > 1 else ''}"

Change = Callable[[Path], Any]

GOOD: dict[str, tuple[Change, dict[str, Any], str, str]] = {
    "plain": (lambda f: None, {}, FAST, "BertForSequenceClassification in config.json"),
    "input and output": (
        lambda f: script(f, "def input_fn(body: str, kind) -> dict: ...\ndef output_fn(p, accept, context): ..."),
        {},
        FAST,
        "output_fn(p, accept, context)  inference.py:4, gets the context",
    ),
    "predicts by calling": (
        lambda f: script(f, CALLS),
        {},
        FAST.replace("1 instance", f"{CORES} instances"),
        "predict_fn(data, model)  inference.py:3",
    ),
    "predicts in batches": (
        lambda f: script(f, "def predict_batch_fn(batch, model):\n    return [model(d) for d in batch]\n"),
        {},
        FAST,
        "predict_batch_fn(batch, model)",
    ),
    "uses the tokenizer": (
        lambda f: script(f, "def predict_fn(data, pipe):\n    return pipe.tokenizer(data)\n"),
        {},
        TORCH,
        "inference.py:4: predict_fn uses pipe.tokenizer",
    ),
    "own model": (
        lambda f: (script(f, "def model_fn(folder): ...\ndef predict_fn(data, model): ..."), only(f, "weights.h5")),
        {},
        SCRIPT,
        "inference.py brings the model (model_fn)",
    ),
    "another program": (
        lambda f: script(f, "def output_fn(p, a): ...", name="serve.py"),
        {"program": "serve"},
        FAST,
        "serve.py:3",
    ),
    "a program that is not there": (
        lambda f: script(f, "def output_fn(p, a): ...", name="serve.py"),
        {"program": "other.py"},
        FAST,
        "there is no other.py in code/ (it has serve.py): the model is served without a script",
    ),
    "no default program": (
        lambda f: script(f, "", name="serve.py"),
        {},
        FAST,
        "--program (SAGEMAKER_PROGRAM) names another script",
    ),
    "script at the top": (
        lambda f: (f / "inference.py").write_text("def model_fn(d): ..."),
        {},
        SCRIPT,
        "inference.py brings the model (model_fn)",
    ),
    "requirements": (
        lambda f: script(f, "def input_fn(b, t): ...", "click\nsix==1.16.0\nnumpy>=2\n"),
        {},
        FAST,
        "numpy>=2     the server's numpy",
    ),
    "a task without graphs": (
        lambda f: None,
        {"task": "vqa"},
        TORCH.replace("text-classification", "visual-question-answering"),
        "visual-question-answering has no ONNX export",
    ),
    "a task of the accelerated tier": (
        lambda f: config(f, architectures=["GPT2LMHeadModel"], model_type="gpt2"),
        {},
        "serves: text-generation accelerated if its export passes, else on torch, 1 instance",
        "ONNX graphs in the transformers pipeline",
    ),
    "no export": (
        lambda f: config(f, model_type="fnet"),
        {},
        TORCH,
        "optimum has no ONNX export of fnet for text-classification",
    ),
    "an export that may fail": (
        lambda f: config(f, model_type="camembert"),
        {},
        FAST.replace("path,", "path if its export passes, else on a slower tier,"),
        "whether the export works is decided at conversion",
    ),
    "star import": (
        lambda f: script(f, "from json import *\n"),
        {},
        FAST,
        "inference.py:3: from json import *: whether it brings hooks",
    ),
}

BROKEN: dict[str, tuple[Change, dict[str, Any], str]] = {
    "one folder too deep": (deeper, {}, "everything lies one folder too deep, in model/"),
    "TensorFlow": (lambda f: only(f, "tf_model.h5"), {}, "weights only for TensorFlow"),
    "Flax": (lambda f: only(f, "flax_model.msgpack"), {}, "weights only for Flax"),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        {},
        "no weights: there is neither a model.safetensors",
    ),
    "git-lfs weights": (lambda f: pointer(f, "model.safetensors"), {}, "model.safetensors is a git-lfs pointer"),
    "git-lfs tokenizer": (lambda f: pointer(f, "tokenizer.json"), {}, "tokenizer.json is a git-lfs pointer"),
    "cut weights": (cut, {}, "model.safetensors is cut short"),
    "zeros": (lambda f: (f / "model.safetensors").write_bytes(bytes(100)), {}, "model.safetensors is corrupt"),
    "no config": (lambda f: (f / "config.json").unlink(), {}, "has no config.json"),
    "no task": (lambda f: config(f, architectures=["BertModel"]), {}, "BertModel does not tell the task: give --task"),
    "unknown task": (lambda f: None, {"task": "clasification"}, "unknown task 'clasification'"),
    "unknown architecture": (lambda f: config(f, model_type="nobody-knows"), {}, "unknown architecture 'nobody-knows'"),
    "remote code": (
        lambda f: config(f, model_type="theirs", auto_map={"AutoConfig": "theirs.Config"}),
        {},
        "which needs HF_TRUST_REMOTE_CODE",
    ),
    "no tokenizer": (
        lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.txt") if (f / name).is_file()],
        {},
        "missing tokenizer",
    ),
    "syntax error": (lambda f: script(f, "def predict_fn(:"), {}, "inference.py:3: SyntaxError"),
    "wrong parameters": (
        lambda f: script(f, "def predict_fn(data): ..."),
        {},
        "inference.py: predict_fn takes 1 parameters; it must take 2, or 3 with the context",
    ),
    "transform and input": (
        lambda f: script(f, "def transform_fn(m, b, t, a): ...\ndef input_fn(b, t): ..."),
        {},
        "transform_fn cannot be used together with input_fn",
    ),
    "a module that is not there": (
        lambda f: script(f, "import no_such_module\n"),
        {},
        "inference.py:3: there is no module no_such_module: code/requirements.txt should name what brings it",
    ),
    "requirements that conflict": (
        lambda f: script(f, CALLS, "six<1.15\nsix>=1.16\n"),
        {},
        "requirements.txt:2: six>=1.16: conflicts with six<1.15 (requirements.txt:1)",
    ),
    "no requirement": (lambda f: script(f, CALLS, "\nsix=>1\n"), {}, "requirements.txt:2: six=>1: is no requirement"),
    "a wheel that is not there": (
        lambda f: script(f, CALLS, "./wheels/x-1-py3-none-any.whl\n"),
        {},
        "requirements.txt:1: ./wheels/x-1-py3-none-any.whl: is not there, in code/",
    ),
    "an adapter": (
        lambda f: (only(f, "x.gguf"), (f / "adapter_config.json").write_text("{}")),
        {},
        "only a PEFT adapter",
    ),
    "a shard that is not there": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
        {},
        "model.safetensors.index.json names model-2.safetensors, which is not there",
    ),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("case", GOOD)
def test_what_serves(case: str, packed: bool, copy: Path, tmp_path: Path, capsys: Any) -> None:
    change, options, last, telling = GOOD[case]
    change(copy)
    report = looked_at(pack(copy) if packed else copy, tmp_path / "cache", **options)
    text = shown(report, capsys)
    assert text.splitlines()[-1] == last.replace("1 instances", "1 instance"), text
    assert telling in text
    assert not (copy / "code" / "it-ran").exists()


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("case", BROKEN)
def test_what_would_not_serve(case: str, packed: bool, copy: Path, tmp_path: Path, capsys: Any) -> None:
    change, options, telling = BROKEN[case]
    change(copy)
    report = looked_at(pack(copy) if packed else copy, tmp_path / "cache", **options)
    text = shown(report, capsys)
    assert not report.serves
    assert telling in text.splitlines()[-1], text
    assert text.splitlines()[-1].startswith("would not serve: ")
    assert not (copy / "code" / "it-ran").exists()


def pack(folder: Path) -> Path:
    archive = folder.with_suffix(".tar.gz")
    subprocess.run(["tar", "czf", archive, "-C", folder, "."], check=True)
    return archive


@pytest.mark.parametrize(
    "case",
    ["input and output", "uses the tokenizer", "own model", "another program", "a task without graphs", "plain"],
)
def test_a_conversion_does_what_check_said(case: str, copy: Path, cache: Path) -> None:
    change, options, _, _ = GOOD[case]
    change(copy)
    report = looked_at(copy, cache, **options)
    manifest = Converter(cache).convert(str(copy), Options(**options), Lines(lambda _line: None)).manifest
    assert (report.task, report.tier) == (manifest.task, manifest.tier)
    assert [hook["name"] for hook in report.hooks] == list(manifest.hooks)
    if manifest.tier != "fast":
        assert tuple(report.reasons) == manifest.notes


@pytest.mark.parametrize(
    "case", ["transform and input", "wrong parameters", "syntax error", "no task", "no config", "unknown task"]
)
def test_a_conversion_fails_with_the_same_words(case: str, copy: Path, tmp_path: Path) -> None:
    change, options, telling = BROKEN[case]
    change(copy)
    with pytest.raises(ConversionError) as raised:
        Converter(tmp_path / "cache").convert(str(copy), Options(**options), Lines(lambda _line: None))
    assert telling in str(raised.value)


def test_the_command(copy: Path, tmp_path: Path) -> None:
    cache = ("--cache", str(tmp_path / "cache"))
    good = run_cli("check", str(copy), *cache)
    assert (good.returncode, good.stdout.splitlines()[-1], good.stderr) == (0, FAST, "")
    found = json.loads(run_cli("check", str(copy), "--json", *cache).stdout)
    assert set(found) >= {
        *("source", "serves", "task", "task_reason", "tier", "reasons", "hooks", "instances", "requirements"),
        *("missing", "problems", "notes"),
    }
    assert (found["serves"], found["task"], found["tier"]) == (True, "text-classification", "fast")
    (copy / "model.safetensors").unlink()
    bad = run_cli("check", str(copy), *cache)
    assert bad.returncode == 1
    absent = run_cli("check", str(tmp_path / "absent"), "--json", *cache)
    assert absent.returncode == 1
    assert "does not exist" in absent.stderr
    assert absent.stderr.count("\n") == 1
    assert "does not exist" in json.loads(absent.stdout)["problems"][0]
    assert run_cli("check").returncode == 2
    assert run_cli("check", str(copy), "--nonsense").returncode == 2
    assert not (tmp_path / "cache" / "artifacts").exists()


def test_import_runs_the_script_as_a_server_would(copy: Path, tmp_path: Path) -> None:
    def imported(text: str) -> Report:
        script(copy, text)
        return check(str(copy), Options(), tmp_path / "cache", Lines(lambda _line: None), run_script=True)

    good = imported("from helper import *\nimport sagemaker_huggingface_inference_toolkit\nprint('noise')\n")
    assert good.problems == ["inference.py:3: ModuleNotFoundError: No module named 'helper'"]
    assert (copy / "code" / "it-ran").exists()
    (copy / "code" / "helper.py").write_text("def output_fn(prediction, accept): ...\n")
    good = imported("from helper import *\nprint('noise')\n")
    assert good.serves
    assert [hook["name"] for hook in good.hooks] == ["output_fn"]
    assert imported("1 / 0\n").problems == ["inference.py:3: ZeroDivisionError: division by zero"]
    assert "ended its process with 7" in imported("import os\nos._exit(7)\n").problems[0]


def test_modules_beside_the_weights_are_found(copy: Path, tmp_path: Path) -> None:
    (copy / "beside_weights.py").write_text("")
    script(copy, "import beside_weights\n" + CALLS)
    assert looked_at(copy, tmp_path / "cache").serves
    assert check(str(copy), Options(), tmp_path / "cache", Lines(lambda _line: None), run_script=True).serves


def test_a_module_that_a_requirement_may_bring_is_no_problem(copy: Path, tmp_path: Path) -> None:
    script(copy, "import faiss, brought_along\n" + CALLS, "faiss-cpu\n")
    report = looked_at(copy, tmp_path / "cache")
    assert report.serves
    assert [entry["module"] for entry in report.missing] == ["brought_along"]


def test_hostile_archives_are_refused(tmp_path: Path) -> None:
    for name, kind in (("../outside", tarfile.REGTYPE), ("device", tarfile.CHRTYPE)):
        archive = tmp_path / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info, io.BytesIO(b""))
        with pytest.raises(ConversionError, match=r"model.tar.gz is refused"):
            looked_at(archive, tmp_path / "cache")
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(ConversionError, match="not a readable tar archive"):
        looked_at(tmp_path / "text.tar.gz", tmp_path / "cache")


def test_an_entry_is_told_from_its_manifest(model: Path, convert: Any, tmp_path: Path) -> None:
    report = looked_at(convert(model).path, tmp_path / "cache")
    assert verdict(report) == FAST


@pytest.fixture
def hub(copy: Path) -> Iterator[hubs.Hub]:
    script(copy, "def output_fn(prediction, accept): ...\n")
    with hubs.serve({"org/scripted": hubs.Repository({"main": ("e" * 40, copy)})}) as hub:
        yield hub


def test_of_a_hub_model_only_small_files_are_fetched(hub: hubs.Hub, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    plain = run_cli("check", "org/scripted", "--cache", str(tmp_path / "cache"), env=env)
    assert plain.returncode == 0, plain.stderr
    assert "inference.py of the Hub repository is left out: it runs only with HF_TRUST_REMOTE_CODE" in plain.stdout
    assert plain.stdout.splitlines()[-1] == FAST
    assert not [request for request in hub.requests if request.endswith(("model.safetensors", "tokenizer.json"))]
    trusted = run_cli(
        "check", "org/scripted", "--cache", str(tmp_path / "cache"), env={**env, "HF_TRUST_REMOTE_CODE": "1"}
    )
    assert "output_fn(prediction, accept)" in trusted.stdout
