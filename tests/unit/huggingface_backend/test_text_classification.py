"""text-classification against the transformers pipeline on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.errors import InvalidInput
from tests.models import texts

TOLERANCE = 1e-4
"""The models' logits spread by 1 over our texts."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {},
    "distilbert": {},
    "roberta": {},
    "xlm-roberta": {},
    "electra": {},
    "albert": {"embedding_size": 16},
    "mpnet": {},
    "deberta-v2": {},
    "modernbert": {},
    "gpt2": {},
    "qwen2": {"num_key_value_heads": 2},
}
PROBLEMS: list[dict[str, Any]] = [
    {"num_labels": 3},
    {"num_labels": 1},
    {"num_labels": 2, "id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}},
    {"num_labels": 3, "problem_type": "multi_label_classification"},
    {"num_labels": 3, "problem_type": "single_label_classification"},
    {"num_labels": 1, "problem_type": "regression"},
    {"num_labels": 2, "return_all_scores": True},
]
TEXT = "the quick brown fox jumps over a lazy dog"
PAIR = {"text": TEXT, "text_pair": "strong tea"}
LONG = " ".join(["fox tea"] * 60)
CALLS: list[tuple[Any, dict[str, Any]]] = [
    (TEXT, {}),
    ([TEXT], {}),
    ([TEXT, "tea", ""], {}),
    (PAIR, {}),
    ([PAIR, {"text": "tea"}], {}),
    ([], {}),
    (TEXT, {"top_k": 1}),
    (TEXT, {"top_k": 2}),
    (TEXT, {"top_k": None}),
    ([TEXT, "tea"], {"top_k": None}),
    (PAIR, {"top_k": None}),
    (TEXT, {"top_k": 0}),
    (TEXT, {"top_k": -1}),
    (TEXT, {"top_k": ""}),
    (TEXT, {"return_all_scores": True}),
    (TEXT, {"return_all_scores": False}),
    ([TEXT, "tea"], {"return_all_scores": True}),
    (TEXT, {"function_to_apply": "sigmoid"}),
    (TEXT, {"function_to_apply": "softmax", "top_k": None}),
    (TEXT, {"function_to_apply": "none", "top_k": None}),
    (TEXT, {"function_to_apply": "SoftMax"}),
    (LONG, {"truncation": True}),
    (LONG, {"truncation": True, "max_length": 10, "top_k": None}),
    (LONG, {"max_length": 12}),
    ({"text": LONG, "text_pair": TEXT}, {"truncation": "only_first"}),
    (TEXT, {"padding": "max_length", "max_length": 40}),
    (TEXT, {"add_special_tokens": False}),
    ([TEXT, "tea"], {"batch_size": 2}),
    ([TEXT, "tea"], {"num_workers": 0}),
]


def pipeline(folder: Path) -> Any:
    import transformers

    return transformers.pipeline("text-classification", model=str(folder), device=-1)


def assert_close(ours: Any, theirs: Any) -> None:
    """Equal in shape, keys, labels and order; scores within the tolerance."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_close(ours[key], theirs[key])
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
    else:
        assert ours == theirs


@pytest.mark.filterwarnings("ignore:`return_all_scores` is now deprecated")
@pytest.mark.parametrize("settings", PROBLEMS, ids=str)
def test_every_call_answers_as_the_pipeline(
    settings: dict[str, Any], built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built("bert", **settings)
    theirs = pipeline(folder)
    bodies = [{"inputs": inputs, "parameters": parameters} for inputs, parameters in CALLS]
    together = ask(convert(folder), bodies)
    for (inputs, parameters), ours in zip(CALLS, together, strict=True):
        assert_close(ours, theirs(inputs, **parameters))
    assert_close(ask(convert(folder), bodies[:1])[0], theirs(TEXT))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_architectures(model_type: str, built: Callable[..., Path], convert: Any, ask: Any) -> None:
    folder = built(model_type, num_labels=3, **ARCHITECTURES[model_type])
    artifact = convert(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    inputs, theirs = texts(24, longest=30), pipeline(folder)
    parameters = {"top_k": None, "function_to_apply": "none"}
    answers = ask(artifact, [{"inputs": text, "parameters": parameters} for text in inputs])
    for text, answer in zip(inputs, answers, strict=True):
        assert_close(answer, theirs(text, **parameters))
    # The comparison must be able to fail.
    with pytest.raises(AssertionError):
        assert_close(answers[0], theirs(inputs[1], **parameters))


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (3, {}, "a number"),
        ([3], {}, "inputs[0] is a number"),
        (["tea", None], {}, "inputs[1] is null"),
        ({}, {}, "no keys"),
        ([["a", "b"]], {}, "a list"),
        ({"text": 3}, {}, "'text'"),
        (TEXT, {"nonsense": 1}, "'nonsense'"),
        (TEXT, {"function_to_apply": "tanh"}, "sigmoid, softmax, none"),
        (TEXT, {"function_to_apply": 1}, "sigmoid, softmax, none"),
        (TEXT, {"top_k": [1]}, "top_k"),
        (TEXT, {"max_length": "x"}, "max_length"),
        (LONG, {}, "122 tokens"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("bert", num_labels=3))
    bad, good = ask(artifact, [{"inputs": inputs, "parameters": parameters}, {"inputs": "tea"}])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert good[0]["label"].startswith("LABEL_")
