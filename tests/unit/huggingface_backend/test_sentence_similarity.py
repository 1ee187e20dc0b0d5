"""sentence-similarity against sentence-transformers on the same weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Artifact
from huggingface_backend.errors import InvalidInput
from tests.models import add_sentence_transformers, texts

TASK = "sentence-similarity"
TOLERANCE = 1e-4
SOURCE = "the quick brown fox"
SENTENCES = [*texts(8, longest=30), SOURCE, "", " ".join(["fox tea"] * 80)]
ENGLISH = ["That is a happy person", "That is a very happy person", "Today is a sunny day", "Die Sonne scheint."]


def reference(folder: Path) -> Callable[[str, list[str]], list[float]]:
    """Each sentence by itself, so that nothing of one can be in another's vector."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import cos_sim

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda source, sentences: [
        float(cos_sim(model.encode(source), model.encode(sentence))) for sentence in sentences
    ]


def check(folder: Path, convert: Any, ask: Any, sources: list[str], sentences: list[str]) -> None:
    artifact, theirs = convert(folder, task=TASK), reference(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    bodies: list[Any] = [{"inputs": {"source_sentence": source, "sentences": sentences}} for source in sources]
    *alone, together = ask(artifact, [*bodies, {"inputs": [body["inputs"] for body in bodies]}])
    expected = [theirs(source, sentences) for source in sources]
    for one, other, wanted in zip(alone, together, expected, strict=True):
        assert one == pytest.approx(wanted, abs=TOLERANCE)
        assert other == pytest.approx(wanted, abs=TOLERANCE)
    # The comparison must be able to fail.
    assert alone[0] != pytest.approx(expected[1], abs=TOLERANCE)


@pytest.mark.parametrize("modes", ["mean", "cls_max"])
def test_saved_poolings(modes: str, built: Callable[..., Path], convert: Any, ask: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built("bert", head=False), folder)
    pooling = {"pooling_mode_mean_tokens": modes == "mean"}
    if modes != "mean":
        pooling |= {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}
    add_sentence_transformers(folder, pooling, normalize=modes == "mean", max_seq_length=24)
    check(folder, convert, ask, [SOURCE, "rain"], SENTENCES)


@pytest.mark.filterwarnings("ignore:.*mean pooling.*")
def test_a_bare_transformer_is_pooled_by_the_mean(built: Callable[..., Path], convert: Any, ask: Any) -> None:
    check(built("distilbert", head=False), convert, ask, [SOURCE, "rain"], SENTENCES)


def test_minilm(minilm: Path, minilm_entry: Artifact, ask: Any, tmp_path: Path) -> None:
    """A sentence-embedding model's graph and pooling are a sentence-similarity model's."""
    shutil.copytree(minilm_entry.path, tmp_path / "entry")
    replace(minilm_entry.manifest, task=TASK).write(tmp_path / "entry" / "1")
    theirs = reference(minilm)
    bodies = [{"inputs": {"source_sentence": source, "sentences": ENGLISH}} for source in ENGLISH]
    for source, ours in zip(ENGLISH, ask(replace(minilm_entry, path=tmp_path / "entry"), bodies), strict=True):
        assert ours == pytest.approx(theirs(source, ENGLISH), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        ("tea", {}, "inputs is a text"),
        ({"source_sentence": "tea"}, {}, "an object with 'source_sentence'"),
        ({"source_sentence": "tea", "sentences": "fox"}, {}, '"sentences": ["…", …]'),
        ({"source_sentence": 3, "sentences": ["fox"]}, {}, '"source_sentence": "…"'),
        ({"source_sentence": "tea", "sentences": ["fox", None]}, {}, "inputs.sentences[1] is null"),
        ({"source_sentence": "tea", "sentences": []}, {}, "inputs.sentences is empty"),
        ([{"source_sentence": "tea", "sentences": ["fox"]}, 3], {}, "inputs[1] is a number"),
        ({"source_sentence": "tea", "sentences": ["fox"]}, {"top_k": 1}, "'top_k'"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("distilbert", head=False), task=TASK)
    good_body: dict[str, Any] = {"inputs": {"source_sentence": "tea", "sentences": ["tea"]}}
    bad, good, empty = ask(artifact, [{"inputs": inputs, "parameters": parameters}, good_body, {"inputs": []}])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert good == pytest.approx([1.0])
    assert empty == []
