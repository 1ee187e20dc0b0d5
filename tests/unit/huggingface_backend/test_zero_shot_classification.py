"""zero-shot-classification against the transformers pipeline on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.errors import InvalidInput
from huggingface_backend.tasks.zero_shot_classification import entailment
from tests.models import texts

TASK = "zero-shot-classification"
TOLERANCE = 1e-4
"""The models' logits spread by 1 over our texts."""

NLI = {"contradiction": 0, "neutral": 1, "entailment": 2}
FIRST = {"ENTAILMENT": 0, "NOT_ENTAILMENT": 1}
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"num_labels": 3, "id2label": {v: k for k, v in NLI.items()}, "label2id": NLI}),
    ("roberta", {"num_labels": 2, "id2label": {v: k for k, v in FIRST.items()}, "label2id": FIRST}),
    ("distilbert", {"num_labels": 3}),
]
TEXT = "the quick brown fox jumps over a lazy dog"
LONG = " ".join(["fox tea"] * 60)
LABELS = ["tea", "fox", "paper stone", "winter light"]
CALLS: list[tuple[Any, dict[str, Any]]] = [
    (TEXT, {"candidate_labels": LABELS}),
    (TEXT, {"candidate_labels": ", ".join(LABELS) + ", "}),
    (TEXT, {"candidate_labels": "tea"}),
    (TEXT, {"candidate_labels": ["tea"]}),
    (TEXT, {"candidate_labels": ["tea", "fox", "tea"]}),
    (TEXT, {"candidate_labels": ["tea", 7, 2.5, True, None]}),
    ([TEXT], {"candidate_labels": LABELS}),
    ([TEXT, "tea", "rain and stone"], {"candidate_labels": LABELS}),
    ([], {"candidate_labels": LABELS}),
    (TEXT, {"candidate_labels": LABELS, "multi_label": True}),
    (TEXT, {"candidate_labels": LABELS, "multi_label": False}),
    (TEXT, {"candidate_labels": LABELS, "multi_label": None}),
    (TEXT, {"candidate_labels": LABELS, "multi_class": True}),
    (TEXT, {"candidate_labels": LABELS, "multi_class": False, "multi_label": True}),
    (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "this is about {}"}),
    (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{0} is {0}"}),
    (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{{}} is {!r}"}),
    (LONG, {"candidate_labels": LABELS}),
    ([LONG, "tea"], {"candidate_labels": ["tea " * 30, "fox"], "multi_label": True}),
    (TEXT, {"candidate_labels": LABELS, "truncation": False, "padding": "max_length"}),
    (TEXT, {"candidate_labels": LABELS, "batch_size": 3}),
]


def pipeline(folder: Path) -> Any:
    import transformers

    return transformers.pipeline(TASK, model=str(folder), device=-1)


def assert_close(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other)
    else:
        assert list(ours) == list(theirs)
        assert ours["sequence"] == theirs["sequence"]
        assert ours["labels"] == theirs["labels"]
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=TOLERANCE)


@pytest.mark.parametrize(("model_type", "config"), MODELS, ids=[name for name, _config in MODELS])
def test_every_call_answers_as_the_pipeline(
    model_type: str, config: dict[str, Any], built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = built(model_type, **config)
    artifact, theirs = convert(folder, task=TASK), pipeline(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    bodies = [{"inputs": inputs, "parameters": parameters} for inputs, parameters in CALLS]
    bodies += [{"inputs": text, "parameters": {"candidate_labels": LABELS}} for text in texts(12, longest=30)]
    together = ask(artifact, bodies)
    for body, ours in zip(bodies, together, strict=True):
        assert_close(ours, theirs(body["inputs"], **body["parameters"]))
    assert_close(ask(artifact, bodies[:1])[0], together[0])
    # The comparison must be able to fail.
    with pytest.raises(AssertionError):
        assert_close(together[0], {**theirs("tea", candidate_labels=LABELS), "sequence": TEXT})
    with pytest.raises(AssertionError):
        assert_close(together[0], theirs(TEXT, candidate_labels=LABELS, hypothesis_template="no {}"))


def test_a_hypothesis_that_leaves_no_room_is_not_cut(built: Callable[..., Path], convert: Any, ask: Any) -> None:
    """The model takes more tokens than its tokenizer lets a text have."""
    folder = built(
        "deberta-v2",
        num_labels=3,
        id2label=MODELS[0][1]["id2label"],
        label2id=NLI,
        positions=32,
        position_biased_input=False,
    )
    theirs = pipeline(folder)
    cases = [(TEXT, ["tea " * 60, "fox"]), (LONG, ["tea " * 28, "fox"]), ("tea", ["stone " * 200])]
    bodies = [{"inputs": text, "parameters": {"candidate_labels": labels}} for text, labels in cases]
    for (text, labels), ours in zip(cases, ask(convert(folder, task=TASK), bodies), strict=True):
        assert_close(ours, theirs(text, candidate_labels=labels))


def test_entailment_is_found_by_name() -> None:
    assert entailment(NLI) == 2
    assert entailment({"x": 0, "Entails": 1, "entailment": 2}) == 1
    assert entailment({"LABEL_0": 0, "not entailment": 1}) == -1


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (TEXT, {}, "candidate_labels"),
        (TEXT, {"candidate_labels": []}, "candidate_labels"),
        (TEXT, {"candidate_labels": " , "}, "candidate_labels"),
        (TEXT, {"candidate_labels": {"a": 1}}, "an object with 'a'"),
        (TEXT, {"candidate_labels": 3}, "a number"),
        (TEXT, {"candidate_labels": ["a", ["b"]]}, "candidate_labels[1]"),
        (3, {"candidate_labels": LABELS}, "a number"),
        ({"sequences": TEXT, "candidate_labels": LABELS}, {}, "an object with 'sequences'"),
        ([TEXT, ["tea"]], {"candidate_labels": LABELS}, "inputs[1] is a list"),
        ("", {"candidate_labels": LABELS}, "one character"),
        ([TEXT, ""], {"candidate_labels": LABELS}, "one character"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "none"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": None}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{} and {0}"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{label}"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{0.__class__}"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{:>9999999999}"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "hypothesis_template": "{"}, "hypothesis_template"),
        (TEXT, {"candidate_labels": LABELS, "multi_label": "yes"}, "multi_label"),
        (TEXT, {"candidate_labels": LABELS, "nonsense": 1}, "'nonsense'"),
        (TEXT, {"candidate_labels": ["tea " * 90]}, "tokens, the model takes 64"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built(MODELS[0][0], **MODELS[0][1]), task=TASK)
    bodies = [
        {"inputs": inputs, "parameters": parameters},
        {"inputs": "tea", "parameters": {"candidate_labels": "a, b"}},
    ]
    bad, good = ask(artifact, bodies)
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert sorted(good["labels"]) == ["a", "b"]
