"""fp16 graphs on a processor.

ONNX Runtime has few kernels for them there and computes much in fp32, so that only weights and some values between two
operators are rounded. Where that is not enough, onnx's reference evaluator runs them: numpy, and fp16 wherever the
graph says so.
"""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.errors import PrecisionError
from converters.worker import candidates, fp16, loading
from converters.worker.protocol import Job
from huggingface_backend import cards
from huggingface_backend.cards import NoCardError
from huggingface_backend.manifest import GRAPH
from tests import models

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters'

TOLERANCE = 1e-2
"""Of the largest logit."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """ONNX Runtime's optimizer leaves a temporary folder to the collector, which warns of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@dataclass(frozen=True)
class Export:
    plain: Path
    config: dict[str, Any]


def exported(folder: Path, task: str, target: Path) -> Export:
    model = loading.load_model(folder, task, False)
    plain = candidates.export(model, Job(str(folder), str(target), task), target)
    return Export(plain, loading.read_config(folder, False))


@pytest.fixture(scope="module")
def bert(built: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported(built("bert", num_labels=3), "text-classification", tmp_path_factory.mktemp("bert"))


def again(export: Export, folder: Path) -> Export:
    """The same plain graph in another place."""
    (folder / "plain").mkdir()
    (folder / "plain" / GRAPH).write_bytes(export.plain.read_bytes())
    return Export(folder / "plain" / GRAPH, export.config)


def ask(graph: Path, inputs: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return session.run(None, {entry.name: inputs[entry.name] for entry in session.get_inputs()})[0]


def ask_strictly(graph: Path, inputs: dict[str, Any]) -> Any:
    """In the types of the graph alone."""
    evaluator = ReferenceEvaluator(str(graph))
    with np.errstate(over="ignore", invalid="ignore"):
        return evaluator.run(None, {name: inputs[name] for name in evaluator.input_names})[0]


def rows() -> dict[str, Any]:
    """Six texts of mixed lengths, padded."""
    chance, mask = np.random.default_rng(0), np.zeros((6, 24), np.int64)
    for row, length in enumerate((24, 3, 17, 9, 24, 1)):
        mask[row, :length] = 1
    ids = chance.integers(5, 60, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}


def close(half: Any, full: Any) -> bool:
    return bool(half.dtype == np.float32 and np.abs(half - full).max() <= TOLERANCE * np.abs(full).max())


def operators(graph: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(graph).graph.node)


def weights(graph: Path) -> Counter[int]:
    """Numbers of weights by their type."""
    found: Counter[int] = Counter()
    for tensor in onnx.load(graph).graph.initializer:
        found[tensor.data_type] += int(np.prod(tensor.dims))
    return found


@pytest.mark.parametrize("fused", [True, False])
def test_a_graph_in_fp16_answers_like_the_one_in_fp32(bert: Export, fused: bool, tmp_path: Path) -> None:
    export = again(bert, tmp_path)
    graph = fp16.to_fp16(export.plain, export.config, fused=fused)
    assert graph == tmp_path / "fp16" / GRAPH
    full, half = ask(export.plain, rows()), ask(graph, rows())
    assert close(half, full)
    # It is another graph, and a wrong answer would be seen.
    assert np.abs(half - full).max() > 0
    assert not close(full[::-1], full)
    assert operators(graph)["Attention"] == (2 if fused else 0)
    assert weights(graph)[TensorProto.FLOAT16] > 50 * weights(graph)[TensorProto.FLOAT]
    described = onnx.load(graph).graph
    assert {value.type.tensor_type.elem_type for value in described.input} == {TensorProto.INT64}
    assert {value.type.tensor_type.elem_type for value in described.output} == {TensorProto.FLOAT}
    # Nothing else is left behind: what is there becomes part of the entry.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fp16", "plain"]


def test_every_operator_may_compute_in_fp16(bert: Export, tmp_path: Path) -> None:
    export = again(bert, tmp_path)
    graph = fp16.to_fp16(export.plain, export.config, fused=False)
    full = ask(export.plain, rows())
    assert close(ask_strictly(export.plain, rows()), full)
    assert close(ask_strictly(graph, rows()), full)


def test_the_fused_graph_that_is_there_already_is_taken_and_stays(bert: Export, tmp_path: Path) -> None:
    export = again(bert, tmp_path)
    made = candidates.fuse(export.plain, export.config)
    assert made is not None
    before = made.read_bytes()
    graph = fp16.to_fp16(export.plain, export.config)
    assert operators(graph)["Attention"] == 2 and made.read_bytes() == before


def test_an_architecture_without_fusion(built: Callable[..., Path], tmp_path: Path) -> None:
    export = exported(built("mpnet", num_labels=3), "text-classification", tmp_path)
    graph = fp16.to_fp16(export.plain, export.config)
    assert close(ask(graph, rows()), ask(export.plain, rows()))
    assert operators(graph)["Attention"] == 0


def test_images(tmp_path: Path) -> None:
    export = exported(models.build_image_classifier(tmp_path / "vit"), "image-classification", tmp_path)
    graph = fp16.to_fp16(export.plain, export.config)
    smooth = np.linspace(-1, 1, 2 * 3 * 32 * 32, dtype=np.float32).reshape(2, 3, 32, 32)
    assert close(ask(graph, {"pixel_values": smooth}), ask(export.plain, {"pixel_values": smooth}))


def test_a_graph_too_big_for_one_message_keeps_its_weights_beside_it(
    bert: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = again(bert, tmp_path)
    whole = ask(fp16.to_fp16(export.plain, export.config, fused=False), rows())
    (tmp_path / "big").mkdir()
    monkeypatch.setattr(fp16, "_ONE_PIECE", 0)
    export = again(bert, tmp_path / "big")
    graph = fp16.to_fp16(export.plain, export.config, fused=False)
    assert sorted(path.name for path in graph.parent.iterdir()) == [GRAPH, f"{GRAPH}.data"]
    assert [path.name for path in export.plain.parent.iterdir()] == [GRAPH]
    assert np.abs(ask(graph, rows()) - whole).max() <= TOLERANCE


def norm(square: str, size: int = 8) -> onnx.ModelProto:
    """x / √(mean x² + ε) · w, as exports write it that have no operator for it."""
    squared = helper.make_node("Pow", ["x", "two"], ["s"]) if square == "Pow" else None
    nodes = [
        squared or helper.make_node("Mul", ["x", "x"], ["s"], name="square"),
        helper.make_node("ReduceMean", ["s", "axes"], ["m"], name="mean", keepdims=1),
        helper.make_node("Add", ["m", "epsilon"], ["a"], name="add"),
        helper.make_node("Sqrt", ["a"], ["r"], name="root"),
        helper.make_node("Div", ["x", "r"], ["d"], name="divide"),
        helper.make_node("MatMul", ["d", "w"], ["y"], name="project"),
    ]
    constants = {
        "two": np.float32(2),
        "axes": np.array([-1]),
        "epsilon": np.float32(1e-6),
        "w": np.eye(size, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", size])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("square", ["Pow", "Mul"])
def test_squares_do_not_overflow(square: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    onnx.save(norm(square), tmp_path / "plain" / GRAPH)
    x = {"x": np.linspace(200, 900, 16, dtype=np.float32).reshape(2, 8)}
    full = ask_strictly(tmp_path / "plain" / GRAPH, x)
    assert close(ask_strictly(fp16.to_fp16(tmp_path / "plain" / GRAPH, {}), x), full)

    # Converted as ONNX Runtime's converter does by itself, they do.
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    naive = OnnxModel(convert_float_to_float16(norm(square), keep_io_types=True))
    naive.topological_sort()
    onnx.save(naive.model, tmp_path / "naive.onnx")
    assert not close(ask_strictly(tmp_path / "naive.onnx", x), full)


def test_what_cannot_be_converted_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "as-is").mkdir()
    (tmp_path / "as-is" / GRAPH).write_bytes(b"no graph")
    with pytest.raises(PrecisionError, match="the graph cannot be brought to fp16: ") as raised:
        fp16.to_fp16(tmp_path / "as-is" / GRAPH, {"model_type": "bert"})
    assert "\n" not in str(raised.value)


def test_without_a_card_it_is_said_that_fp16_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_number: int) -> Any:
        raise NoCardError("this machine has no NVIDIA driver (libcuda.so.1)")

    monkeypatch.setattr(fp16, "card", none)
    assert fp16.gains_nothing() == (
        "fp16 is for a GPU, and this machine has no NVIDIA driver (libcuda.so.1): "
        "a processor gains nothing by it and may take longer"
    )
    monkeypatch.setattr(fp16, "card", lambda _number: cards.Card("NVIDIA A10G", 1, "8.6"))
    assert fp16.gains_nothing() is None
