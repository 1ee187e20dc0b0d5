"""Timing at conversion: which graph, and how many tokens in a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.convert import Artifact
from converters.worker import timing
from huggingface_backend.batches import Pixels
from tests import models


@pytest.fixture(scope="module")
def graph(convert: Callable[..., Artifact], built: Callable[..., Path]) -> Path:
    return convert(built("bert", num_labels=3)).path / "1" / "model.onnx"


def test_the_slower_graph_takes_longer(
    graph: Path, convert: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.SHAPE, "num_hidden_layers", 12)
    deep = convert(models.build(tmp_path / "deep", "bert", num_labels=3)).path / "1" / "model.onnx"
    times = timing.time_graphs({"deep": deep, "flat": graph}, 64, rounds=3)
    assert times["deep"] > 2 * times["flat"] > 0


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"short": {256: 100.0, 512: 100.0, 1024: 100.0}}, 256),
        ({"short": {256: 90.0, 512: 98.0, 1024: 100.0}}, 512),
        ({"short": {256: 100.0, 512: 100.0, 1024: 100.0}, "long": {256: 5.0, 512: 9.0, 1024: 10.0}}, 1024),
        # No budget suits both.
        ({"short": {256: 100.0, 512: 50.0}, "long": {256: 5.0, 512: 10.0}}, 512),
    ],
)
def test_the_smallest_budget_that_is_near_the_best(rates: dict[str, dict[int, float]], expected: int) -> None:
    assert timing.choose_budget(rates) == expected


def test_a_budget_comes_with_its_evidence(graph: Path) -> None:
    budget, evidence = timing.find_budget(graph, 64)
    assert budget in timing.BUDGETS
    assert set(evidence) == {"short", "long"}
    for kind in evidence.values():
        assert list(kind) == list(timing.BUDGETS)
        assert all(rate > 0 for rate in kind.values())
    # Rows of 16 tokens are cheaper than rows of 64, which is where this model ends.
    assert evidence["short"][1024] > evidence["long"][1024]


def test_without_time_there_is_no_budget(graph: Path) -> None:
    budget, evidence = timing.find_budget(graph, 64, patience=0)
    assert budget == 0
    assert list(evidence["short"]) == [timing.BUDGETS[0]]


def test_images_have_a_budget_too(
    convert: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = convert(models.build_image_classifier(tmp_path / "vit"))
    assert entry.manifest.token_budget in timing.BUDGETS
    assert set(entry.manifest.budgets) == {"images"}
    image = Pixels(np.zeros((3, 32, 32), np.float32))
    assert timing.time_graphs({"it": entry.path / "1" / "model.onnx"}, None, image, rounds=1)["it"] > 0
