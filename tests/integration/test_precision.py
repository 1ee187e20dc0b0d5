"""`--precision` and `--format`, from the option to the answer."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.check import check
from converters.convert import Artifact, Converter, Options
from converters.errors import ConversionError, PrecisionError
from converters.progress import Lines
from converters.worker import gate, protocol
from huggingface_backend.manifest import Manifest
from huggingface_backend.processor import has_vnni
from tests import conversions
from tests.models import texts
from tests.serving import run_cli

Convert = Callable[..., Artifact]


@pytest.fixture(scope="module")
def model(built: Callable[..., Path]) -> Path:
    return built("bert", num_labels=3)


@pytest.fixture
def leniently(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Convert:
    """Convert as `serve` does, falling back."""
    monkeypatch.setattr(protocol, "run", conversions._work)

    def convert(source: Path, **options: Any) -> Artifact:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Converter(cache).convert(str(source), Options(**options), Lines(lambda _line: None), fall_back=True)

    return convert


def test_int8_answers_alone_as_among_others(convert: Convert, model: Path, ask: Callable[..., list[Any]]) -> None:
    fp32, int8 = convert(model), convert(model, precision="int8")
    assert (int8.manifest.precision, int8.manifest.graph) == ("int8", "int8")
    assert int8.path != fp32.path
    assert (int8.path / "1" / "model.onnx").read_bytes() != (fp32.path / "1" / "model.onnx").read_bytes()
    bodies = [{"inputs": text, "parameters": {"top_k": None}} for text in texts(24, longest=40)]
    together, wanted = ask(int8, bodies), ask(fp32, bodies)
    alone = [ask(int8, [body])[0] for body in bodies]

    def scores(answers: list[Any]) -> Any:
        return np.array([[entry["score"] for entry in sorted(row, key=lambda e: e["label"])] for row in answers])

    assert np.abs(scores(together) - scores(alone)).max() < 1e-4
    off = np.abs(scores(together) - scores(wanted)).max()
    assert 1e-5 < off < 0.15


def weight(entry: Artifact) -> int:
    """Bytes of an entry's graph with its weights."""
    return sum(path.stat().st_size for path in (entry.path / "1").glob("model.onnx*"))


def test_minilm_in_int8(convert: Convert, minilm: Path, minilm_entry: Artifact, ask: Callable[..., list[Any]]) -> None:
    entry = convert(minilm, precision="int8")
    found = entry.manifest
    assert found.gate.verdict == "passed" and (found.gate.min_cosine or 0) >= 0.99
    assert found.quantization is not None and found.quantization.left == ()
    # A quarter of the bytes, but for the embedding table.
    assert weight(entry) < 0.7 * weight(minilm_entry)
    bodies = [{"inputs": text} for text in texts(40, longest=120)]
    int8, fp32 = np.array(ask(entry, bodies)), np.array(ask(minilm_entry, bodies))
    cosines = (int8 * fp32).sum(1)
    assert 0.98 < cosines.min() < 1 - 1e-5
    alone = np.array([ask(entry, [body])[0] for body in bodies[:8]])
    assert np.abs(alone - int8[:8]).max() < 1e-4


def test_fp32_is_what_nobody_needs_to_ask_for(convert: Convert, model: Path) -> None:
    assert convert(model).path == convert(model, precision="fp32", format="onnx").path
    assert convert(model).path != convert(model, precision="int8").path


def test_an_entry_is_what_it_was_converted_to(convert: Convert, model: Path, cache: Path) -> None:
    entry = convert(model, precision="int8").path
    assert convert(entry).manifest.precision == "int8"
    assert convert(entry, precision="int8").manifest.precision == "int8"
    with pytest.raises(ConversionError, match="the entry was converted for int8, not for fp32"):
        convert(entry, precision="fp32")
    report = check(str(entry), Options(), cache, Lines(lambda _line: None))
    assert any("int8 weights" in note for note in report.notes)


def test_the_manifest_keeps_it_all(convert: Convert, model: Path) -> None:
    entry = convert(model, precision="int8")
    read = Manifest.read(entry.path / "1")
    assert read == entry.manifest
    assert read.quantization is not None and isinstance(read.quantization.left, tuple)
    assert read.token_budget > 0
    assert all(isinstance(budget, int) for kind in read.budgets.values() for budget in kind)


def test_what_no_int8_graph_answers(
    convert: Convert, leniently: Convert, built: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("distilbert", num_labels=3)
    monkeypatch.setattr(gate, "INT8", replace(gate.INT8, absolute=1e-6))
    with pytest.raises(ConversionError, match="no int8 graph answers like fp32"):
        convert(model, precision="int8")
    found = leniently(model, precision="int8").manifest
    assert (found.precision, found.tier, found.gate.verdict) == ("fp32", "fast", "passed")
    assert any("no int8 graph answers like fp32" in note for note in found.notes)
    assert not (leniently(model, precision="int8").path / "1" / "int8").exists()
    # The strict one is not served by the lenient one's entry.
    with pytest.raises(ConversionError):
        convert(model, precision="int8")


@pytest.mark.parametrize(
    ("tier", "change"),
    [
        ("torch", {"code": "def predict_fn(data, model):\n    return model.tokenizer(data['inputs'])\n"}),
        ("script", {"code": "def model_fn(model_dir):\n    return None\n"}),
    ],
)
def test_other_tiers(
    tier: str, change: dict[str, str], convert: Convert, leniently: Convert, model: Path, cache: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(model, tmp_path / "model"))
    (source / "code").mkdir()
    (source / "code" / "inference.py").write_text(change["code"])
    telling = f"int8 is for the fast tier alone, and this model is on the {tier} tier"
    with pytest.raises(PrecisionError, match=telling):
        convert(source, precision="int8")
    found = leniently(source, precision="int8").manifest
    assert (found.tier, found.precision) == (tier, "fp32")
    assert telling in found.notes
    report = check(str(source), Options(precision="int8"), cache, Lines(lambda _line: None))
    assert telling in report.notes
    assert telling not in check(str(source), Options(), cache, Lines(lambda _line: None)).notes


def test_texts_of_ones_own_are_judged_too(convert: Convert, model: Path, tmp_path: Path) -> None:
    own = tmp_path / "texts.txt"
    own.write_text("\n".join([*texts(10), "", "  "]), "utf-8")
    bare, judged = convert(model, precision="int8"), convert(model, precision="int8", calibration=str(own))
    assert judged.manifest.gate.texts == bare.manifest.gate.texts + 10
    assert convert(model, precision="int8", calibration=str(own)).cached
    own.write_text("\n".join(texts(11)), "utf-8")
    assert convert(model, precision="int8", calibration=str(own)).manifest.gate.texts == bare.manifest.gate.texts + 11
    own.write_text("\n \n")
    with pytest.raises(ConversionError, match="holds no texts"):
        convert(model, precision="int8", calibration=str(own))


def test_the_command(model: Path, tmp_path: Path) -> None:
    done = run_cli("convert", str(model), "--precision", "int8", "--cache", str(tmp_path), timeout=240)
    assert done.returncode == 0, done.stderr
    assert "quantising to int8" in done.stderr
    assert "int8 graph in int8" in done.stderr
    assert "int8 weights per channel" in done.stderr or "int8 weights of 7 bits" in done.stderr
    written = json.loads((Path(done.stdout.strip()) / "1" / "manifest.json").read_text())
    assert written["precision"] == "int8"


@pytest.mark.parametrize(("name", "value"), [("TRITON_HF_PRECISION", "int4"), ("TRITON_HF_FORMAT", "torchscript")])
def test_what_there_is_not(name: str, value: str, model: Path, tmp_path: Path) -> None:
    refused = run_cli("convert", str(model), "--cache", str(tmp_path), env={name: value})
    assert refused.returncode == 2
    assert name in refused.stderr and value in refused.stderr


def test_vnni_is_read_off_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (
        ("flags : fpu avx2 avx512_vnni", True),
        ("flags : fpu avx2 avx_vnni", True),
        ("flags : fpu avx2", False),
        ("Features : asimd asimddp", True),
    ):
        monkeypatch.setattr(Path, "read_text", lambda *_, flags=flags: flags)
        assert has_vnni() is expected
