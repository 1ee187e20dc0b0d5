"""token-classification against the transformers pipeline on the same weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.errors import InvalidInput
from tests.models import texts
from tests.unit.huggingface_backend.test_text_classification import assert_close

TASK = "token-classification"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
SETTINGS: dict[str, Any] = {
    "head": "AutoModelForTokenClassification",
    "num_labels": len(LABELS),
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}
MODELS = ("bert", "roberta", "distilbert")
TEXT = "Seven wizards brew strong tea, and nobody counts! Zebra café 東京 rain"
LONG = ". ".join(texts(12, shortest=5, longest=12))
WORDS = ["Seven", "wizards", "brew", "tea,", "nobody", "New York"]
PAIRED: list[dict[str, Any]] = [
    {},
    {"aggregation_strategy": "none"},
    {"aggregation_strategy": "simple"},
    {"aggregation_strategy": "first"},
    {"aggregation_strategy": "average"},
    {"aggregation_strategy": "MAX"},
    {"ignore_labels": []},
    {"ignore_labels": ["O", "MISC", "I-LOC"]},
    {"aggregation_strategy": "simple", "ignore_labels": []},
    {"aggregation_strategy": "average", "ignore_labels": ["LOC"]},
    {"grouped_entities": True},
    {"grouped_entities": True, "ignore_subwords": True},
    {"grouped_entities": False, "aggregation_strategy": "simple"},
    {"ignore_subwords": True},
]
CALLS: list[tuple[Any, dict[str, Any]]] = [
    *[(inputs, parameters) for parameters in PAIRED for inputs in (TEXT, [TEXT, "tea", ""])],
    (LONG, {}),
    (LONG, {"aggregation_strategy": "max", "ignore_labels": []}),
    *[
        (inputs, {"aggregation_strategy": strategy, "stride": stride, "ignore_labels": ignored})
        for strategy in ("simple", "first", "average", "max")
        for stride, ignored in ((0, []), (10, ["O"]), (40, []))
        for inputs in (LONG, [LONG, TEXT])
    ],
    (LONG, {"stride": 7}),
    ([TEXT], {"batch_size": 2}),
    ("", {"aggregation_strategy": "simple", "stride": 4}),
]
SPLIT: list[tuple[Any, dict[str, Any]]] = [
    (WORDS, {}),
    ([WORDS], {}),
    ([WORDS, ["tea"]], {"ignore_labels": []}),
    (WORDS, {"delimiter": ""}),
    (WORDS, {"delimiter": "--", "aggregation_strategy": "simple", "ignore_labels": []}),
    (WORDS, {"aggregation_strategy": "first"}),
    ([WORDS, LONG.split()], {"aggregation_strategy": "average", "ignore_labels": []}),
    (LONG.split(), {"aggregation_strategy": "max", "stride": 12, "ignore_labels": []}),
]


def pipeline(folder: Path) -> Any:
    import torch
    import transformers

    # Threads that wait for each other on shared cores make hundreds of small calls take minutes.
    torch.set_num_threads(1)

    return transformers.pipeline(TASK, model=str(folder), device=-1)


def plain(answer: Any) -> Any:
    """The pipeline's answer as JSON carries it."""
    return json.loads(json.dumps(answer, default=float))


def resettled(folder: Path, artifact: Any, target: Path, settings: dict[str, Any], **facts: Any) -> tuple[Path, Any]:
    """The model and its entry with other settings of the tokenizer, without another conversion."""
    folder = shutil.copytree(folder, target / "model")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    entry = dataclasses.replace(artifact, path=shutil.copytree(artifact.path, target / "entry"))
    known = dataclasses.replace(artifact.manifest.tokenizer, **facts)
    dataclasses.replace(artifact.manifest, tokenizer=known).write(entry.path / "1")
    return folder, entry


def body(call: tuple[Any, dict[str, Any]]) -> dict[str, Any]:
    return {"inputs": call[0], "parameters": call[1]}


@pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed")
@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("model_type", MODELS)
def test_every_call_answers_as_the_pipeline(
    model_type: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **SETTINGS)
    theirs, artifact = pipeline(folder), convert(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    split = [(inputs, {"is_split_into_words": True, **parameters}) for inputs, parameters in SPLIT]
    calls = [*CALLS, *split]
    expected = [plain(theirs(inputs, **parameters)) for inputs, parameters in calls]
    for ours, answer in zip(ask(artifact, list(map(body, calls))), expected, strict=True):
        assert_close(ours, answer)
    for call, answer in zip(calls, expected, strict=True):
        assert_close(ask(artifact, [body(call)])[0], answer)
    # Most of it says something, and the comparison must be able to fail.
    assert sum(map(len, expected)) > 200
    with pytest.raises(AssertionError):
        assert_close(ask(artifact, [{"inputs": texts(2)[0]}])[0], plain(theirs(texts(2)[1])))


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize(
    ("model_type", "sides"),
    [
        # The fused graphs of encoders take no padding in front, which windows get.
        ("gpt2", {"padding_side": "left"}),
        ("bert", {"truncation_side": "left"}),
        ("roberta", {"truncation_side": "left"}),
    ],
)
def test_sides_of_the_tokenizer(
    model_type: str, sides: dict[str, str], tmp_path: Path, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **SETTINGS)
    folder, artifact = resettled(folder, convert(folder), tmp_path, sides, **sides)
    assert artifact.manifest.tier == "fast"
    theirs = pipeline(folder)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (LONG, {}),
        (LONG, {"stride": 7}),
        (LONG, {"stride": 9, "aggregation_strategy": "first", "ignore_labels": []}),
    ]
    for call, ours in zip(calls, ask(artifact, list(map(body, calls))), strict=True):
        assert_close(ours, plain(theirs(call[0], **call[1])))


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (3, {}, "a number"),
        (["tea", 3], {}, "inputs[1] is a number"),
        ([], {}, "at least one text"),
        ({"text": "tea"}, {}, "'text'"),
        ("\ud800", {}, "Unicode"),
        ("tea", {"nonsense": 1}, "'nonsense'"),
        ("tea", {"offset_mapping": [[[0, 3]]]}, "'offset_mapping'"),
        ("tea", {"aggregation_strategy": "most"}, "none, simple, first, average, max"),
        ("tea", {"aggregation_strategy": 1}, "none, simple"),
        ("tea", {"ignore_labels": "O"}, "list of labels"),
        ("tea", {"ignore_labels": [1]}, "list of labels"),
        ("tea", {"stride": "2"}, "stride"),
        ("tea", {"stride": -1}, "stride"),
        ("tea", {"stride": 62, "aggregation_strategy": "simple"}, "less than 62"),
        ("tea", {"stride": 2, "aggregation_strategy": "none"}, "aggregation_strategy"),
        ("tea", {"grouped_entities": 1}, "grouped_entities"),
        ("tea", {"is_split_into_words": True}, "a list of words, not a text"),
        (["tea", ["tea"]], {"is_split_into_words": True}, "word 1 is a list"),
        ([["tea", None]], {"is_split_into_words": True}, "word 1 is null"),
        (["tea", "\ud800"], {"is_split_into_words": True}, "Unicode"),
        (["tea"], {"is_split_into_words": True, "delimiter": 3}, "delimiter"),
        (["tea"], {"is_split_into_words": "yes"}, "is_split_into_words"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("bert", **SETTINGS))
    bad, good = ask(artifact, [body((inputs, parameters)), {"inputs": TEXT}])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert "score" in good[0]
