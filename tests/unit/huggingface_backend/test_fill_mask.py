"""fill-mask against the transformers pipeline on the same weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.errors import EntryError, InvalidInput
from huggingface_backend.tasks.fill_mask import FillMask
from tests.models import texts
from tests.unit.huggingface_backend.test_text_classification import assert_close
from tests.unit.huggingface_backend.test_token_classification import resettled

TASK = "fill-mask"
SETTINGS: dict[str, Any] = {"head": "AutoModelForMaskedLM", "tie_word_embeddings": False}
MODELS = ("bert", "roberta", "distilbert")
ONE = "The quick brown <mask> jumps over a lazy dog, doesn't it ?"
TWO = "seven wizards <mask> strong <mask> ."
LONG = "<mask> " + " ".join(["fox tea"] * 60)
CALLS: list[tuple[Any, dict[str, Any]]] = [
    (ONE, {}),
    ([ONE], {}),
    ([ONE, TWO, "<mask>"], {}),
    ([], {}),
    (TWO, {}),
    ([TWO], {}),
    ([TWO, ONE], {"top_k": 2}),
    ("<mask><mask> <mask>", {"top_k": 3}),
    (ONE, {"top_k": 1}),
    (ONE, {"top_k": 0}),
    (ONE, {"top_k": None}),
    (ONE, {"top_k": 60}),
    (ONE, {"targets": "fox"}),
    (ONE, {"targets": ["fox", "tea", "rain"]}),
    (ONE, {"targets": ["fox", "tea", "rain"], "top_k": 2}),
    (ONE, {"targets": ["fox", "fox"], "top_k": 4}),
    (ONE, {"targets": ["wizards", "Zebra", "nobody knows", "ĠFox"]}),
    (ONE, {"targets": ["", "tea"]}),
    (ONE, {"targets": [" river", "東京", "<mask>", "<pad>", "[PAD]"]}),
    (TWO, {"targets": ["brew", "tea"]}),
    ([ONE, TWO], {"targets": ["brew", "tea"], "top_k": 1}),
    (LONG, {"tokenizer_kwargs": {"truncation": True}}),
    (LONG, {"tokenizer_kwargs": {"truncation": True, "max_length": 8}, "top_k": 2}),
    (ONE, {"tokenizer_kwargs": {"padding": "max_length", "max_length": 40}}),
    (TWO, {"tokenizer_kwargs": {"padding": "max_length", "max_length": 40}}),
    (ONE, {"tokenizer_kwargs": {"add_special_tokens": False}}),
    (ONE, {"tokenizer_kwargs": {}}),
    ([ONE, TWO], {"batch_size": 2}),
]


def pipeline(folder: Path) -> Any:
    import torch
    import transformers

    # Threads that wait for each other on shared cores make hundreds of small calls take minutes.
    torch.set_num_threads(1)

    return transformers.pipeline(TASK, model=str(folder), device=-1)


def body(call: tuple[Any, dict[str, Any]], mask: str) -> dict[str, Any]:
    """With the tokenizer's own mask."""
    written: dict[str, Any] = json.loads(json.dumps({"inputs": call[0], "parameters": call[1]}).replace("<mask>", mask))
    return written


@pytest.mark.parametrize("clean_up", [False, True])
@pytest.mark.parametrize("model_type", MODELS)
def test_every_call_answers_as_the_pipeline(
    model_type: str, clean_up: bool, tmp_path: Path, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **SETTINGS)
    settings = {"clean_up_tokenization_spaces": clean_up}
    folder, artifact = resettled(folder, convert(folder), tmp_path, settings, clean_up_spaces=clean_up)
    theirs = pipeline(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    bodies = [body(call, theirs.tokenizer.mask_token) for call in CALLS]
    expected = [theirs(one["inputs"], **one["parameters"]) for one in bodies]
    for ours, answer in zip(ask(artifact, bodies), expected, strict=True):
        assert_close(ours, answer)
    for one, answer in zip(bodies, expected, strict=True):
        assert_close(ask(artifact, [one])[0], answer)
    # The comparison must be able to fail.
    first, second = (f"{text} {theirs.tokenizer.mask_token}" for text in texts(2))
    assert_close(ask(artifact, [{"inputs": first}])[0], theirs(first))
    with pytest.raises(AssertionError):
        assert_close(ask(artifact, [{"inputs": first}])[0], theirs(second))


def test_scores_depend_on_the_text(built: Callable[..., Path], convert: Any, ask: Any) -> None:
    """Else tokens and scores would agree whatever the graph answers."""
    bodies = [{"inputs": f"{text} [MASK]", "parameters": {"targets": ["fox"]}} for text in texts(8)]
    scores = sorted(answer[0]["score"] for answer in ask(convert(built("bert", **SETTINGS)), bodies))
    assert scores[-1] - scores[0] > 100 * 1e-4


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (3, {}, "a number"),
        (["[MASK]", 3], {}, "inputs[1] is a number"),
        ("tea", {}, "[MASK]"),
        ("", {}, "[MASK]"),
        (["[MASK]", "tea"], {}, "inputs[1] has none"),
        (LONG.replace("<mask>", "tea") + " [MASK]", {"tokenizer_kwargs": {"truncation": True}}, "has none"),
        (LONG.replace("<mask>", "[MASK]"), {}, "tokens"),
        ("\ud800 [MASK]", {}, "Unicode"),
        ("[MASK]", {"nonsense": 1}, "'nonsense'"),
        ("[MASK]", {"top_k": -1}, "top_k"),
        ("[MASK]", {"top_k": "3"}, "top_k"),
        ("[MASK]", {"top_k": 100000}, "size of the vocabulary"),
        ("[MASK]", {"targets": []}, "targets"),
        ("[MASK]", {"targets": [""]}, "targets"),
        ("[MASK]", {"targets": 3}, "targets"),
        ("[MASK]", {"targets": ["tea", 3]}, "targets"),
        ("[MASK]", {"targets": ["\ud800"]}, "Unicode"),
        ("[MASK]", {"tokenizer_kwargs": 3}, "tokenizer_kwargs"),
        ("[MASK]", {"tokenizer_kwargs": {"nonsense": 1}}, "'nonsense'"),
        ("[MASK]", {"tokenizer_kwargs": {"max_length": "x"}}, "max_length"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("bert", **SETTINGS))
    bad, good = ask(artifact, [{"inputs": inputs, "parameters": parameters}, {"inputs": "tea [MASK]"}])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert len(good) == 5


def test_a_tokenizer_without_a_mask_token_is_refused(built: Callable[..., Path], convert: Any) -> None:
    manifest = convert(built("bert", **SETTINGS)).manifest
    facts = dataclasses.replace(manifest.tokenizer, mask_token=None, mask_token_id=None)
    with pytest.raises(EntryError, match="mask token"):
        FillMask(dataclasses.replace(manifest, tokenizer=facts))
