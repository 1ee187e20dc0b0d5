"""Tokenising options against transformers itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from huggingface_backend.errors import InvalidInput
from huggingface_backend.manifest import TokenizerFacts
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions
from tests.models import texts

CASES: list[dict[str, Any]] = [
    {},
    {"truncation": True},
    {"truncation": False},
    {"truncation": True, "max_length": 8},
    {"max_length": 8},
    {"max_length": 8, "truncation": False},
    {"truncation": "only_first", "max_length": 6},
    {"truncation": "longest_first", "max_length": 5},
    {"truncation": "do_not_truncate", "max_length": 5},
    {"padding": "max_length", "max_length": 20},
    {"padding": "max_length", "truncation": True},
    {"padding": "max_length", "truncation": True, "max_length": 12},
    {"padding": True},
    {"padding": "longest", "pad_to_multiple_of": 8},
    {"padding": True, "max_length": 8},
    {"add_special_tokens": False},
    {"add_special_tokens": False, "truncation": True, "max_length": 4},
]


@pytest.fixture(scope="module")
def pair(
    built: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, TextTokenizer, TokenizerFacts]:
    theirs = AutoTokenizer.from_pretrained(built("bert", num_labels=3))
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    # A file with truncation and padding of its own, as sentence-transformers models have it.
    theirs(["a"], truncation=True, padding="max_length", max_length=7)
    theirs.backend_tokenizer.save(str(path))
    facts = TokenizerFacts(model_max_length=64, pad_token="[PAD]", pad_token_id=0)
    return theirs, TextTokenizer(path, facts), facts


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
@pytest.mark.parametrize("parameters", CASES, ids=str)
def test_ids_are_those_of_transformers(pair: Any, parameters: dict[str, Any]) -> None:
    theirs, ours, facts = pair
    inputs = ["", *texts(12, longest=80)]
    encodings = ours.encode([Text(text) for text in inputs], TokenizeOptions.from_parameters(parameters, facts))
    for text, encoding in zip(inputs, encodings, strict=True):
        expected = theirs(text, **parameters)
        assert encoding.ids == expected["input_ids"]
        assert encoding.attention_mask == expected["attention_mask"]


@pytest.mark.parametrize("parameters", [{}, {"truncation": True, "max_length": 9}], ids=str)
def test_pairs(pair: Any, parameters: dict[str, Any]) -> None:
    theirs, ours, facts = pair
    options = TokenizeOptions.from_parameters(parameters, facts)
    [encoding] = ours.encode([Text("the quick brown fox", "a lazy dog and tea")], options)
    expected = theirs("the quick brown fox", "a lazy dog and tea", return_token_type_ids=True, **parameters)
    assert (encoding.ids, encoding.type_ids) == (expected["input_ids"], expected["token_type_ids"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"truncation": "sometimes"},
        {"truncation": 3},
        {"max_length": "long"},
        {"max_length": 0},
        {"max_length": True},
        {"padding": "left"},
        {"add_special_tokens": "no"},
        {"padding": True, "truncation": True, "max_length": 10, "pad_to_multiple_of": 8},
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(pair: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TokenizeOptions.from_parameters(parameters, pair[2])


def test_a_failed_call_leaves_the_tokenizer_usable(pair: Any) -> None:
    _, ours, facts = pair
    with pytest.raises(InvalidInput):
        ours.encode([Text("\ud800")], TokenizeOptions())
    assert ours.encode([Text("fox")], TokenizeOptions())[0].ids
    assert facts.pad_token == "[PAD]"
