"""text-ranking against sentence-transformers' CrossEncoder on the same weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.worker.protocol import NotFastError
from converters.worker.rankers import read_ranking
from huggingface_backend.errors import InvalidInput
from huggingface_backend.manifest import Ranking, TokenizerFacts
from tests.models import texts

TASK = "text-ranking"
TOLERANCE = 1e-4
"""The models' logits spread by 1 over our texts."""

QUERY = "the quick brown fox"
TEXTS = texts(9, longest=25)
LONG = " ".join(["fox tea rain stone"] * 30)
IDENTITY = "torch.nn.modules.linear.Identity"
MODELS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.1.0"}},
    "distilbert": {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}},
}


def cross_encoder(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu")


def reference(model: Any, query: str, documents: list[str], activation: Any = None) -> list[dict[str, Any]]:
    """Each text by itself, so that nothing of one can be in another's score."""
    scores = [float(model.predict([(query, text)], activation_fn=activation)[0]) for text in documents]
    return [{"index": int(index), "score": scores[index]} for index in np.argsort(-np.array(scores), kind="stable")]


def assert_close(ours: Any, theirs: Any) -> None:
    assert [list(row) for row in ours] == [["index", "score"]] * len(theirs)
    assert [row["index"] for row in ours] == [row["index"] for row in theirs]
    assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], abs=TOLERANCE)


@pytest.mark.parametrize("model_type", MODELS)
def test_scores_are_the_cross_encoders(model_type: str, built: Callable[..., Path], convert: Any, ask: Any) -> None:
    import torch

    folder = built(model_type, num_labels=1, **MODELS[model_type])
    artifact, theirs = convert(folder, task=TASK), cross_encoder(folder)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    lists = [(QUERY, TEXTS), (LONG, ["tea", LONG, ""]), ("tea", [LONG, "fox"]), *[(text, TEXTS[:3]) for text in TEXTS]]
    bodies: list[Any] = [{"inputs": {"query": query, "texts": found}} for query, found in lists]
    bodies.append({"inputs": [body["inputs"] for body in bodies]})
    bodies += [{**bodies[0], "parameters": {"raw_scores": raw}} for raw in (True, False)]
    *single, together, raw, squashed = ask(artifact, bodies)
    for (query, found), one, other in zip(lists, single, together, strict=True):
        expected = reference(theirs, query, found)
        assert_close(one, expected)
        assert_close(other, expected)
    assert_close(raw, reference(theirs, QUERY, TEXTS, torch.nn.Identity()))
    assert_close(squashed, reference(theirs, QUERY, TEXTS, torch.nn.Sigmoid()))
    # The comparison must be able to fail.
    with pytest.raises(AssertionError):
        assert_close(single[0], reference(theirs, "tea", TEXTS))
    with pytest.raises(AssertionError):
        assert_close(raw, squashed)


def test_a_saved_cross_encoder_keeps_its_activation_and_length(
    built: Callable[..., Path], convert: Any, ask: Any, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder

    folder = tmp_path / "saved"
    model = CrossEncoder(str(built("bert", num_labels=1)), device="cpu", prompts={"ask": "winter "}, max_length=20)
    model.default_prompt_name = "ask"
    import torch

    model.activation_fn = torch.nn.Identity()
    model.save_pretrained(str(folder))
    theirs, artifact = cross_encoder(folder), convert(folder, task=TASK)
    assert artifact.manifest.ranking == Ranking("identity", 20, "winter ")
    answer = ask(artifact, [{"inputs": {"query": QUERY, "texts": [*TEXTS, LONG]}}])[0]
    assert_close(answer, reference(theirs, QUERY, [*TEXTS, LONG]))


def test_parameters(built: Callable[..., Path], convert: Any, ask: Any) -> None:
    folder = built("bert", num_labels=1)
    artifact, theirs = convert(folder, task=TASK), cross_encoder(folder)
    inputs = {"query": QUERY, "texts": [*TEXTS, "winter light " * 40 + "seven wizards brew " * 40]}
    plain, with_text, left, right, cut = ask(
        artifact,
        [
            {"inputs": inputs},
            {"inputs": inputs, "parameters": {"return_text": True}},
            {"inputs": inputs, "parameters": {"truncation_direction": "Left"}},
            {"inputs": inputs, "parameters": {"truncation_direction": "right", "truncate": None}},
            {"inputs": inputs, "parameters": {"truncate": True}},
        ],
    )
    assert [{key: row[key] for key in ("index", "score")} for row in with_text] == plain == right == cut
    assert [row["text"] for row in with_text] == [inputs["texts"][row["index"]] for row in with_text]
    theirs.tokenizer.truncation_side = "left"
    assert_close(left, reference(theirs, QUERY, list(inputs["texts"])))
    with pytest.raises(AssertionError):
        assert_close(left, plain)


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        ({"query": "tea", "texts": []}, {}, "inputs.texts is empty"),
        ("tea", {}, '{"query": "…", "texts": ["…", …]}, but inputs is a text'),
        ({"query": "tea"}, {}, "an object with 'query'"),
        ({"query": "tea", "texts": "fox"}, {}, "an object with 'query', 'texts'"),
        ({"query": 3, "texts": ["fox"]}, {}, "an object"),
        ({"query": "tea", "texts": ["fox", 3]}, {}, "inputs.texts[1] is a number"),
        ([{"query": "tea", "texts": ["fox"]}, "tea"], {}, "inputs[1] is a text"),
        ({"query": "tea", "texts": ["fox"]}, {"raw_scores": "yes"}, "raw_scores"),
        ({"query": "tea", "texts": ["fox"]}, {"return_text": 1}, "return_text"),
        ({"query": "tea", "texts": ["fox"]}, {"truncation_direction": "up"}, "Left or Right"),
        ({"query": "tea", "texts": ["fox"]}, {"top_n": 1}, "'top_n'"),
        ({"query": "tea", "texts": ["fox", LONG]}, {"truncate": False}, "tokens, the model takes 64"),
    ],
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, built: Callable[..., Path], convert: Any, ask: Any
) -> None:
    artifact = convert(built("bert", num_labels=1), task=TASK)
    good_body = {"inputs": {"query": "tea", "texts": ["fox", "rain"]}}
    bad, good = ask(artifact, [{"inputs": inputs, "parameters": parameters}, good_body])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert {row["index"] for row in good} == {0, 1}


def test_what_is_read_of_a_folder(built: Callable[..., Path], convert: Any, tmp_path: Path) -> None:
    facts, swish = TokenizerFacts(model_max_length=40), {"activation_fn": "torch.nn.modules.activation.SiLU"}

    def read(config: dict[str, Any], labels: int = 1, trusted: bool = False) -> Ranking:
        return read_ranking(tmp_path, config, labels, facts, trusted)

    assert read({}) == Ranking("sigmoid", 40)
    assert read({"max_position_embeddings": 30, "sentence_transformers": {"activation_fn": None}}).max_length == 30
    assert read({"sbert_ce_default_activation_function": IDENTITY}).activation == "identity"
    assert read({"sbert_ce_default_activation_function": "my.module.Scale"}).activation == "sigmoid"
    with pytest.raises(NotFastError, match="SiLU"):
        read({"sentence_transformers": swish})
    with pytest.raises(NotFastError, match=r"my\.module\.Scale"):
        read({"sbert_ce_default_activation_function": "my.module.Scale"}, trusted=True)
    with pytest.raises(ConversionError, match="one label, this one has 3"):
        read({}, labels=3)
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(swish))
    assert read({}).activation == "sigmoid"
    modules = [{"idx": 0, "path": "", "type": "x.Transformer"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(NotFastError, match="SiLU"):
        read({})
    (tmp_path / "modules.json").write_text(json.dumps([*modules, {"idx": 1, "path": "1", "type": "x.Dense"}]))
    with pytest.raises(NotFastError, match="Transformer, Dense"):
        read({})
    shutil.copytree(built("bert", num_labels=2), tmp_path / "two")
    with pytest.raises(ConversionError, match="one label, this one has 2"):
        convert(tmp_path / "two", task=TASK)
