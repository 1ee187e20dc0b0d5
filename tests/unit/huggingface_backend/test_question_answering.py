"""question-answering against the transformers pipeline on the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_backend.errors import InvalidInput
from huggingface_backend.tasks.answers import best_spans
from tests.models import texts
from tests.unit.huggingface_backend.test_text_classification import assert_close
from tests.unit.huggingface_backend.test_token_classification import resettled

pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing .* to the pipeline is deprecated", "ignore:topk parameter is deprecated"
)

TASK = "question-answering"
SETTINGS: dict[str, Any] = {"head": "AutoModelForQuestionAnswering"}
MODELS = ("bert", "roberta", "distilbert")
QUESTION = "who jumps over a lazy dog?"
CONTEXT = "Seven wizards brew strong tea, and nobody counts! Zebra café 東京 rain; the Tea, the rain. The TEA"
LONG = ". ".join(texts(25, shortest=5, longest=12))
ONE = {"question": QUESTION, "context": CONTEXT}
FAR = {"question": "why the bridge", "context": LONG}
SHORT = {"question": "what?", "context": "tea"}
INPUTS: list[Any] = [
    ONE,
    [ONE],
    FAR,
    [ONE, FAR, SHORT],
    [],
    {"question": [QUESTION, "why"], "context": [CONTEXT, LONG]},
    {"question": [QUESTION], "context": [CONTEXT]},
    [{"question": [QUESTION, "why"], "context": [CONTEXT, LONG]}],
    {"question": "  what ", "context": " \t "},
    {"question": "[CLS] what </s>", "context": "the <s> [SEP] [CLS] fox"},
]
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"top_k": 1},
    {"top_k": 3},
    {"top_k": 40},
    {"topk": 2},
    {"topk": 2, "top_k": 3},
    {"max_answer_len": 1, "top_k": 5},
    {"max_answer_len": 3},
    {"max_answer_len": 100, "top_k": 4},
    {"max_seq_len": 30, "doc_stride": 4, "top_k": 4},
    {"max_seq_len": 40, "doc_stride": 0},
    {"max_seq_len": 50, "top_k": 8},
    {"doc_stride": 16},
    {"max_question_len": 2},
    {"handle_impossible_answer": True},
    {"handle_impossible_answer": True, "top_k": 3},
    {"handle_impossible_answer": True, "top_k": 3, "max_seq_len": 32, "doc_stride": 8},
    {"align_to_words": False},
    {"align_to_words": False, "top_k": 5},
    {"align_to_words": False, "top_k": 5, "max_answer_len": 2, "handle_impossible_answer": True},
    {"padding": "max_length", "top_k": 6},
    {"padding": "longest", "top_k": 6},
    {"padding": True, "max_seq_len": 36, "doc_stride": 4},
    {"padding": False},
    {"batch_size": 2},
]


def pipeline(folder: Path) -> Any:
    import torch
    import transformers

    # Threads that wait for each other on shared cores make hundreds of small calls take minutes.
    torch.set_num_threads(1)

    return transformers.pipeline(TASK, model=str(folder), device=-1)


def check(folder: Path, artifact: Any, ask: Any, calls: list[tuple[Any, dict[str, Any]]]) -> None:
    """All calls in one batch, and each by itself, against the pipeline."""
    theirs = pipeline(folder)
    bodies = [{"inputs": inputs, "parameters": parameters} for inputs, parameters in calls]
    together = ask(artifact, bodies)
    for (inputs, parameters), one, ours in zip(calls, bodies, together, strict=True):
        expected = json.loads(json.dumps(theirs(inputs, **parameters)))
        assert_close(ours, expected)
        assert_close(ask(artifact, [one])[0], expected)


@pytest.mark.parametrize("model_type", MODELS)
def test_every_call_answers_as_the_pipeline(
    model_type: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **SETTINGS)
    artifact = convert(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    check(folder, artifact, ask, [(inputs, {}) for inputs in INPUTS])
    check(folder, artifact, ask, [([ONE, FAR, SHORT], parameters) for parameters in PARAMETERS])
    # The comparison must be able to fail.
    with pytest.raises(AssertionError):
        assert_close(ask(artifact, [{"inputs": FAR}])[0], pipeline(folder)({**FAR, "context": LONG[::-1]}))


@pytest.mark.parametrize("side", [{"padding_side": "left"}, {"truncation_side": "left"}], ids=str)
@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_sides_of_the_tokenizer(
    model_type: str, side: dict[str, str], tmp_path: Path, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **SETTINGS)
    folder, artifact = resettled(folder, convert(folder), tmp_path, side, **side)
    assert artifact.manifest.tier == "fast"
    # In batches the pipeline pads in front, which moves positions and so changes its own answers. The fused graphs
    # of encoders take no padding in front.
    without: set[str] = {"batch_size", "padding"} if "padding_side" in side else set()
    chosen = [parameters for parameters in PARAMETERS if not without & set(parameters)]
    check(folder, artifact, ask, [([ONE, FAR, SHORT], parameters) for parameters in chosen])


def test_ways_of_asking(built: Callable[..., Path], convert: Any, ask: Any) -> None:
    folder = built("bert", **SETTINGS)
    theirs, artifact = pipeline(folder), convert(folder)
    several = {"question": [QUESTION, "why"], "context": LONG}
    bodies = [{"inputs": several}, {"inputs": {"data": [ONE, FAR]}}, {"inputs": {"X": ONE}}, ONE]
    expected = [theirs(**several), theirs(data=[ONE, FAR]), theirs(X=ONE), theirs(**ONE)]
    for ours, answer in zip(ask(artifact, bodies), expected, strict=True):
        assert_close(ours, answer)


def test_a_question_that_leaves_no_room_for_windows_is_answered_where_the_context_fits(
    built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built("bert", **SETTINGS)
    question = " ".join(["why"] * 13)
    short, long = {"question": question, "context": "tea"}, {"question": question, "context": LONG}
    good, bad = ask(convert(folder), [{"inputs": short}, {"inputs": long}])
    assert_close(good, pipeline(folder)(short))
    assert isinstance(bad, InvalidInput)
    assert "doc_stride" in str(bad)


@pytest.mark.parametrize("longest", [1, 4, 30])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_spans_are_the_pipelines(count: int, longest: int) -> None:
    from transformers.pipelines.question_answering import decode_spans

    chance = np.random.default_rng(0)
    for tokens in (1, 5, 30, 100):
        allowed = chance.random(tokens) < 0.8
        start, end = (np.where(allowed, chance.random(tokens), 0).astype(np.float32) for _ in range(2))
        spans = best_spans(start, end, allowed, count, longest)
        starts, ends, scores = decode_spans(start, end, count, longest, allowed)
        assert [(span.first, span.last) for span in spans] == list(zip(starts, ends, strict=True))
        assert [span.score for span in spans] == scores.tolist()


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (3, {}, "a number"),
        ("tea", {}, "a text"),
        (["why", "tea"], {}, "inputs[0] is a text"),
        ({"question": "why"}, {}, "'question'"),
        ({"context": "tea"}, {}, "'context'"),
        ({}, {}, "no keys"),
        ({"data": 3}, {}, "a number"),
        ([ONE, {"question": "why"}], {}, "inputs[1]"),
        ({**ONE, "id": 1}, {}, "'id'"),
        ({**ONE, "context": None}, {}, "a context must be a text"),
        ({**ONE, "question": 3}, {}, "a question must be a text"),
        ({**ONE, "question": ""}, {}, "must not be empty"),
        ({**ONE, "context": ""}, {}, "must not be empty"),
        ({**ONE, "context": "\ud800"}, {}, "Unicode"),
        ({**ONE, "question": "\ud800"}, {}, "Unicode"),
        ({**ONE, "context": [CONTEXT]}, {}, "a context must be a text"),
        ({"question": ["a", "b"], "context": ["c"]}, {}, "2 questions, but 1 contexts"),
        ([ONE, {"question": ["a"], "context": "c"}], {}, "not alone"),
        (ONE, {"top_k": 0}, "top_k"),
        (ONE, {"top_k": "3"}, "top_k"),
        (ONE, {"topk": 1.5}, "topk"),
        (ONE, {"max_answer_len": 0}, "max_answer_len"),
        (ONE, {"doc_stride": -1}, "doc_stride"),
        (ONE, {"doc_stride": 100}, "doc_stride must be at most max_seq_len"),
        (FAR, {"max_seq_len": 3}, "max_seq_len"),
        (FAR, {"max_seq_len": 100}, "tokens"),
        (ONE, {"align_to_words": 1}, "align_to_words"),
        (ONE, {"handle_impossible_answer": "no"}, "handle_impossible_answer"),
        (ONE, {"padding": "sideways"}, "padding"),
        (ONE, {"padding": [1]}, "padding"),
        (ONE, {"nonsense": 1}, "not 'nonsense'"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("bert", **SETTINGS))
    bad, good = ask(artifact, [{"inputs": inputs, "parameters": parameters}, {"inputs": ONE}])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert "answer" in good
