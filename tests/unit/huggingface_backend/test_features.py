"""feature-extraction against the pipeline, sentence-embedding against sentence-transformers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_backend.errors import InvalidInput
from huggingface_backend.tasks.sentence_embedding import pool
from tests.models import add_sentence_transformers, texts

LONG = " ".join(["fox"] * 100)
CALLS: list[tuple[Any, dict[str, Any]]] = [
    ("the quick brown fox", {}),
    (["the quick brown fox", "tea"], {}),
    (["tea"], {}),
    ("", {}),
    ([], {}),
    ("fox", {"return_tensors": False}),
    (LONG, {"truncation": True}),
    (LONG, {"tokenize_kwargs": {"truncation": True, "max_length": 9}}),
    ("fox", {"tokenize_kwargs": {"padding": "max_length", "max_length": 9}}),
    ("fox", {"tokenize_kwargs": {"add_special_tokens": False}}),
]


@pytest.fixture(scope="module", params=["bert", "roberta", "gpt2"])
def features(request: pytest.FixtureRequest, built: Callable[..., Path], convert: Any) -> tuple[Path, Any]:
    folder = built(request.param, head=False)
    return folder, convert(folder, task="feature-extraction")


def test_feature_extraction_answers_as_the_pipeline(features: tuple[Path, Any], ask: Any) -> None:
    import transformers

    folder, artifact = features
    theirs = transformers.pipeline("feature-extraction", model=str(folder), device=-1)
    bodies = [{"inputs": inputs, "parameters": parameters} for inputs, parameters in CALLS]
    for (inputs, parameters), ours in zip(CALLS, ask(artifact, bodies), strict=True):
        expected = theirs(inputs, **parameters)
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            assert np.shape(one) == np.shape(other)
            assert np.abs(np.array(one) - np.array(other)).max() < 1e-4


def test_feature_extraction_refuses_what_is_too_long(features: tuple[Path, Any], ask: Any) -> None:
    outcome, unknown = ask(features[1], [{"inputs": LONG}, {"inputs": "fox", "parameters": {"unknown": 1}}])
    assert isinstance(outcome, InvalidInput)
    assert "tokens, the model takes" in str(outcome)
    assert '{"truncation": true}' in str(outcome)
    assert isinstance(unknown, InvalidInput)
    assert "tokenize_kwargs, truncation, return_tensors; not 'unknown'" in str(unknown)


MODES = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


@pytest.mark.parametrize("mode", MODES)
def test_pooling_modes_are_those_of_sentence_transformers(mode: str) -> None:
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    rng = np.random.default_rng(0)
    states = rng.normal(size=(5, 7, 4)).astype(np.float32)
    mask = (np.arange(7)[None, :] < np.array([7, 1, 3, 5, 2])[:, None]).astype(np.int64)
    name = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean", "weightedmean_tokens": "weightedmean"}
    kind = name.get(mode, mode)
    theirs = Pooling(4, pooling_mode=kind)(
        {"token_embeddings": torch.from_numpy(states), "attention_mask": torch.from_numpy(mask)}
    )["sentence_embedding"].numpy()
    assert np.abs(pool(states, mask, [kind]) - theirs).max() < 1e-6


@pytest.mark.parametrize(
    ("pooling", "normalize"),
    [
        ({"pooling_mode_cls_token": True}, False),
        ({"pooling_mode_mean_tokens": True}, True),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, True),
        ({"pooling_mode": "lasttoken"}, False),
    ],
    ids=str,
)
def test_embeddings_are_those_of_sentence_transformers(
    pooling: dict[str, Any], normalize: bool, built: Callable[..., Path], convert: Any, ask: Any, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    shutil.copytree(built("bert", head=False), folder)
    add_sentence_transformers(folder, pooling, normalize=normalize, max_seq_length=16)
    artifact = convert(folder)
    assert artifact.manifest.task == "sentence-embedding"
    inputs = texts(20, longest=40)
    expected = np.stack([SentenceTransformer(str(folder), device="cpu").encode(text) for text in inputs])
    [together, first] = ask(artifact, [{"inputs": inputs}, {"inputs": inputs[0]}])
    assert np.abs(np.array(together) - expected).max() < 1e-4
    assert np.abs(np.array(first) - expected[0]).max() < 1e-4
    assert np.abs(np.array(together)[1:] - expected[:-1]).max(axis=1).min() > 1e-3


def test_normalize_embeddings_is_a_parameter(minilm_entry: Any, ask: Any) -> None:
    [plain, unit, bad] = ask(
        minilm_entry,
        [
            {"inputs": "tea", "parameters": {"normalize_embeddings": False}},
            {"inputs": "tea"},
            {"inputs": "tea", "parameters": {"normalize_embeddings": "yes"}},
        ],
    )
    length = np.linalg.norm(plain)
    assert length > 1.5
    assert np.abs(np.array(plain) / length - np.array(unit)).max() < 1e-6
    assert isinstance(bad, InvalidInput)


def test_modules_only_sentence_transformers_knows_run_on_torch(
    built: Callable[..., Path], convert: Any, ask: Any, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    transformer = Transformer(str(built("bert", head=False)), max_seq_length=16)
    model = SentenceTransformer(modules=[transformer, Pooling(32, "mean"), Dense(32, 8)], device="cpu")
    model.save(str(tmp_path / "dense"))
    artifact = convert(tmp_path / "dense")
    assert artifact.manifest.tier == "torch"
    assert "Dense" in artifact.manifest.notes[0]
    assert not list((artifact.path / "1").glob("*.onnx"))
    inputs = texts(8, longest=20)
    expected = np.stack([model.encode(text) for text in inputs])
    [many, one] = ask(artifact, [{"inputs": inputs}, {"inputs": inputs[0]}])
    assert np.abs(np.array(many) - expected).max() < 1e-5
    assert np.abs(np.array(one) - expected[0]).max() < 1e-5
