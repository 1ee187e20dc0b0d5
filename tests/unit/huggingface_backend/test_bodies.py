"""Bodies, the wire and the manifest."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_backend import decoder_encoder
from huggingface_backend.errors import (
    MAX_MESSAGE,
    EntryError,
    InvalidInput,
    MalformedBody,
    ModelError,
    ScriptStatus,
    parse_wire,
)
from huggingface_backend.manifest import Gate, Manifest, Pooling, TokenizerFacts
from huggingface_backend.wire import Spool


@pytest.mark.parametrize("body", ['{"a": [1, 2.5, null, true, "ä"]}', "[]", '"x"', "NaN", '"\\ud800"', "[1e400]"])
def test_json_is_read_as_python_reads_it(body: str) -> None:
    assert repr(decoder_encoder.decode_json(body)) == repr(json.loads(body))
    if "ud800" not in body:
        assert repr(decoder_encoder.decode(body.encode(), "application/json; charset=utf-8")) == repr(json.loads(body))


@pytest.mark.parametrize("body", ["", "{", "\ufeff{}", b"\xff", "[" * 100_000, "{'a': 1}"])
def test_what_is_not_json_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedBody):
        decoder_encoder.decode(body)


@pytest.mark.parametrize(
    "content",
    [
        {"label": "ä", "score": 0.1},
        [1, None, True, "null", 2**70],
        {1: "integer keys"},
        {"when": datetime.datetime(2026, 1, 2, 3, 4, 5)},
        (1, 2),
    ],
    ids=str,
)
def test_json_is_written_as_the_toolkit_writes_it(content: Any) -> None:
    expected = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    assert decoder_encoder.encode(content, "application/json") == expected.encode()


def test_arrays_become_lists() -> None:
    content = {"v": np.arange(3, dtype=np.float32), "n": np.int64(3), "f": np.float32(0.5), "b": np.array([True])}
    assert json.loads(decoder_encoder.encode(content)) == {"v": [0, 1, 2], "n": 3, "f": 0.5, "b": [True]}


@pytest.mark.parametrize(
    "content", [float("nan"), [float("inf")], np.array([np.nan]), {"x": [None, float("nan")]}, object()]
)
def test_what_json_has_no_word_for_is_refused(content: Any) -> None:
    with pytest.raises(ModelError):
        decoder_encoder.encode(content)


def test_errors_cross_the_wire() -> None:
    assert parse_wire(InvalidInput("two\nlines").to_wire()) == (422, "InvalidInput", "two\nlines")
    assert parse_wire(ScriptStatus("busy", 503).to_wire()) == (503, "ScriptStatus", "busy")
    assert parse_wire("Stub process is not healthy") is None
    parsed = parse_wire(ModelError("x" * 5000).to_wire())
    assert parsed is not None
    assert len(parsed[2]) == MAX_MESSAGE


def test_the_spool_takes_names_and_no_paths(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "spool")
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    name = spool.write(b"body")
    assert spool.read(name) == b"body"
    (tmp_path / "secret").write_text("secret")
    for wrong in ("../secret", str(tmp_path / "secret"), "", "secret", name + "/", "A" * 32):
        with pytest.raises(ValueError, match="not a spool name"):
            spool.read(wrong)
    spool.remove(name)
    spool.remove(name)
    with pytest.raises(FileNotFoundError):
        spool.read(name)


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(
        "sentence-embedding",
        "fast",
        labels={0: "ä", 1: "b"},
        tokenizer=TokenizerFacts(512, "[PAD]"),
        pooling=Pooling(("cls", "mean"), True, 128),
        gate=Gate("passed", "", 36, 1e-6, 1e-4, 0.99999),
        notes=("one",),
        candidates={"plain": 1.5},
    )
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "nonsense": 2}'])
def test_a_broken_manifest_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(EntryError) as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EntryError, match="No such file"):
        Manifest.read(tmp_path)
