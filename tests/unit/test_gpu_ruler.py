"""`perf.gpu` without a card; with one it is a measurement and no test."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from click.testing import CliRunner

from huggingface_backend.cards import Card, NoCardError
from perf import gpu
from server.bench.outcome import Load


def no_card(_number: int) -> Card:
    raise NoCardError("this machine has no NVIDIA driver (libcuda.so.1)")


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (no_card, "this machine has no NVIDIA driver (libcuda.so.1)"),
        (lambda _number: Card("NVIDIA A10G", 1, "8.6"), "the installed ONNX Runtime is the processor's"),
    ],
)
def test_without_a_card_it_ends_with_one_line(
    card: object, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "card", card)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    ended = CliRunner().invoke(gpu.main, ["--out", str(tmp_path / "out")])
    assert ended.exit_code == 1
    assert ended.output.splitlines()[0].startswith(f"perf.gpu: nothing was measured: {why}")
    assert len(ended.output.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_ratio_is_of_the_same_round() -> None:
    work = gpu.Workload("short-bert", "bert", "text-classification", Path(), ("tea",), "")
    loads = [Load(1.0, 80), Load(2.0, 100)]
    found = gpu.ratio(work, (64, 1), loads, [100.0, 200.0])
    assert (found["low"], found["median"], found["high"]) == (0.25, 0.525, 0.8)
    assert found["target"] == 0.88 and found["met"] is None
