"""The tiers around transformers: what a request learns that its pipeline cannot answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from huggingface_backend.errors import InvalidInput, ModelError
from huggingface_backend.manifest import Manifest
from huggingface_backend.pipeline_failures import Failures
from huggingface_backend.pipeline_inputs import check
from huggingface_backend.torch_pipeline import TorchPipeline
from tests.models import texts
from tests.parity.zoo import build

pytestmark = pytest.mark.filterwarnings("ignore")

PICTURE = Image.new("RGB", (4, 4))
LABELS = {"candidate_labels": ["tea"]}
GREEDY = {"do_sample": False}
LONG = " ".join(texts(4, shortest=30, longest=40))


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "expected"),
    [
        ("text-generation", PICTURE, {}, "inputs is an image"),
        ("text-generation", ["tea", b"RIFF"], {}, r"inputs\[1\] is a file"),
        ("text-generation", [["tea"]], {}, r"inputs\[0\]\[0\] is a text"),
        ("text-generation", "tea", {"top_p": "all"}, "top_p must be a number, or null, not 'all'"),
        ("text-generation", "tea", {"do_sample": 1}, "do_sample must be true or false"),
        ("text-generation", "tea", {"max_new_tokens": True}, "max_new_tokens must be a whole number"),
        ("text-generation", "tea", {"no_repeat_ngram_size": 10**12}, "a whole number from 0 to 1000"),
        ("text-generation", "tea", {"max_new_tokens": 1.5}, "max_new_tokens must be a whole number"),
        ("text-generation", "tea", {"custom_generate": "someone/evil"}, "does not take 'custom_generate'"),
        ("text-generation", "tea", {"max_new_token": 3}, r"'max_new_token' \(did you mean max_new_tokens\?\)"),
        ("text-generation", "tea", {"trust_remote_code": True}, "does not take 'trust_remote_code'"),
        ("text-generation", "tea", {"early_stopping": 1}, "early_stopping must be one of true, false, never"),
        ("image-to-text", "aGVsbG8=", {"generate_kwargs": {"custom_generate": "x"}}, "generate_kwargs does not take"),
        ("image-to-text", "aGVsbG8=", {"generate_kwargs": {"num_beams": "x"}}, "generate_kwargs.num_beams must be"),
        ("text-to-audio", "tea", {"forward_params": {"custom_generate": "x"}}, "chat_template and custom_generate"),
        ("translation_en_to_de", 5, {}, "translation takes a text"),
        ("zero-shot-classification", "tea", {}, "candidate_labels"),
        ("zero-shot-classification", "tea", {"candidate_labels": None}, "candidate_labels"),
        ("zero-shot-classification", "tea", {**LABELS, "hypothesis_template": "{:999999999}"}, "other braces"),
        ("zero-shot-image-classification", PICTURE, {"candidate_labels": []}, r"at least one label, not \[\]"),
        ("zero-shot-image-classification", PICTURE, {"candidate_labels": "tea, rain"}, "a list"),
        ("object-detection", [PICTURE, None], {}, r"inputs\[1\] is null"),
        ("object-detection", None, {"images": 5}, "is a number"),
        ("audio-classification", PICTURE, {}, "inputs is an image"),
        ("document-question-answering", PICTURE, {"question": "who", "word_boxes": [["tea", 5]]}, "the box of"),
        ("document-question-answering", {"question": "who", "word_boxes": ["tea"]}, {}, "no word with its box"),
        ("question-answering", {"question": "who"}, {}, "context"),
        ("token-classification", "tea", {"aggregation_strategy": "best"}, "none, simple, first, average, max"),
        ("no-task-of-transformers", 5, {"custom_generate": "x"}, "does not take custom_generate from a request"),
    ],
)
def test_refusals(task: str, inputs: Any, parameters: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidInput, match=expected):
        check(task, inputs, parameters)


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "expected"),
    [
        ("text-generation", "tea", {"max_new_tokens": 5.0, "temperature": 1}, {"max_new_tokens": 5, "temperature": 1}),
        ("text-generation", "tea", {"max_new_tokens": None, "prefix": None}, {"max_new_tokens": None}),
        ("text-generation", [], None, None),
        ("text-classification", "tea", {"top_k": None, "truncation": None}, {"top_k": None}),
        ("text-classification", [["tea", "rain"]], {}, {}),
        ("object-detection", PICTURE, {"threshold": None, "timeout": 3, "num_workers": 9}, {"timeout": 3}),
        ("object-detection", None, {"images": "aGVsbG8="}, {"images": "aGVsbG8="}),
        ("text2text-generation", [], {"batch_size": 2}, {"batch_size": 2}),
        ("audio-classification", np.zeros(9, np.float32), {"seed": 5}, {"seed": 5}),
        ("audio-classification", {"raw": [0.5], "sampling_rate": 8000}, {}, {}),
        ("zero-shot-classification", "tea", {"candidate_labels": "tea, rain"}, {"candidate_labels": "tea, rain"}),
        ("document-question-answering", None, {"question": "who", "word_boxes": []}, None),
        ("no-task-of-transformers", 5, {"anything": 5}, {"anything": 5}),
    ],
)
def test_what_is_let_through(task: str, inputs: Any, parameters: Any, expected: dict[str, Any] | None) -> None:
    if parameters is None:
        with pytest.raises(InvalidInput, match="an empty list"):
            check(task, inputs, {})
    else:
        assert check(task, inputs, parameters) == (parameters if expected is None else expected)


def test_a_models_own_pipeline_knows_its_parameters() -> None:
    assert check("text-generation", "tea", {"style": "dry"}, known_only=False) == {"style": "dry"}
    with pytest.raises(InvalidInput, match="custom_generate"):
        check("text-generation", "tea", {"custom_generate": "x"}, known_only=False)
    with pytest.raises(InvalidInput, match="max_new_tokens"):
        check("text-generation", "tea", {"max_new_tokens": "x"}, known_only=False)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], TorchPipeline]:
    root = tmp_path_factory.mktemp("models")
    return lambda task, model: TorchPipeline(Manifest(task, "torch"), build(model, root))


def ask(pipe: TorchPipeline, inputs: Any, **parameters: Any) -> Any:
    outcomes: list[Any] = []
    pipe.submit(inputs, parameters, outcomes.append)
    return outcomes[0]


def test_a_prompt_that_leaves_no_room(load: Callable[[str, str], TorchPipeline]) -> None:
    pipe = load("text-generation", "gpt2")
    assert isinstance(ask(pipe, "tea", max_new_tokens=5, **GREEDY), list)
    refused = ask(pipe, LONG, max_new_tokens=5, **GREEDY)
    assert isinstance(refused, InvalidInput)
    assert "tokens, the model takes 96" in str(refused)
    refused = ask(pipe, "tea", max_new_tokens=500, min_new_tokens=400, **GREEDY)
    assert isinstance(refused, InvalidInput)
    assert "tokens and 500 new tokens are too many, the model takes 96" in str(refused)
    # What is cut fits.
    assert isinstance(ask(pipe, LONG, max_new_tokens=5, handle_long_generation="hole", **GREEDY), list)


def test_positions_that_do_not_end(load: Callable[[str, str], TorchPipeline]) -> None:
    assert isinstance(ask(load("text2text-generation", "t5"), LONG * 3, max_new_tokens=5), list)


def test_a_summary_that_is_too_long(load: Callable[[str, str], TorchPipeline]) -> None:
    pipe = load("summarization", "bart")
    refused = ask(pipe, "tea", max_new_tokens=500, min_new_tokens=400)
    assert isinstance(refused, InvalidInput)
    assert "500 new tokens are too many, the model takes 96" in str(refused)
    refused = ask(pipe, ["tea", LONG])
    assert "tokens, the model takes 96" in str(refused)
    assert isinstance(ask(pipe, LONG, truncation=True), list)


def test_what_nobody_expected_stays_a_failure_of_the_server() -> None:
    failures = Failures("text-generation", None)
    assert isinstance(failures.blame(RuntimeError("broken"), "tea", {}), ModelError)
    assert isinstance(failures.blame(ValueError("odd"), "tea", {}), InvalidInput)
    small = Failures("object-detection", None).blame(RuntimeError("broken"), [Image.new("RGB", (1, 9))], {})
    assert isinstance(small, InvalidInput)
    assert "1×9 pixels" in str(small)
    short = Failures("audio-classification", None).blame(RuntimeError("broken"), np.zeros(9, np.float32), {})
    assert isinstance(short, InvalidInput)
    assert "9 samples is too short" in str(short)
