"""int8 graphs: they answer like fp32, whoever else is in the batch, or the conversion says that they do not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.errors import PrecisionError
from converters.worker import candidates, gate, int8_nodes, loading, precision, quantize
from converters.worker.protocol import Job
from huggingface_backend.batches import Batch
from huggingface_backend.manifest import Manifest
from huggingface_backend.session import Session
from huggingface_backend.tasks import TASKS
from huggingface_backend.tokenization import TextTokenizer


class Notes(list[str]):
    """What a conversion tells."""

    def __call__(self, event: str, **fields: Any) -> None:
        if event == "note":
            self.append(fields["text"])


@pytest.fixture(scope="module")
def plain(built: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain export of a BERT classifier of three labels."""
    source, target = built("bert", num_labels=3), tmp_path_factory.mktemp("plain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = loading.load_model(source, "text-classification", False)
        return candidates.export(model, Job(str(source), str(target), "text-classification"), target)


@pytest.fixture(scope="module")
def examples(plain: Path, built: Callable[..., Path]) -> gate.Examples:
    facts = loading.save_tokenizer(built("bert", num_labels=3), plain.parent / "served.json", False)
    manifest = Manifest("text-classification", "fast", tokenizer=facts, max_tokens=64)
    task = TASKS[manifest.task](manifest, TextTokenizer(plain.parent / "served.json", facts))
    return gate.Examples.of_graph(plain, task, [])


@pytest.fixture
def vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_vnni", lambda: True)


def search(plain: Path, examples: gate.Examples, notes: Notes | None = None) -> precision.Lowered:
    return precision.Int8(plain, examples, notes if notes is not None else Notes()).find(plain, None)


def whole_numbers(graph: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The int8 weights of a graph."""
    entries = onnx.load(str(graph)).graph.initializer
    return {entry.name: numpy_helper.to_array(entry) for entry in entries if entry.data_type == TensorProto.INT8}


def dynamic(plain: Path, target: Path) -> Path:
    """ONNX Runtime's own dynamic quantisation, whose scales are a whole batch's."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(plain, target, weight_type=QuantType.QInt8, per_channel=True)
    return target


@pytest.mark.usefixtures("vnni")
def test_answers_are_near_and_independent_of_neighbours(plain: Path, examples: gate.Examples) -> None:
    found = search(plain, examples)
    assert (found.gate.verdict, found.gate.label_agreement) == ("passed", 1.0)
    # It did become something else.
    assert (found.gate.max_abs_diff or 0) > 1e-4
    assert found.quantization is not None
    assert found.quantization.neighbours < 1e-3
    assert found.quantization.speedup > 0
    weights = whole_numbers(found.graph)
    # Two layers of query, key, value, output and two of the feed-forward part; the pooler and the head stay.
    assert len(weights) == 12
    assert all(np.abs(array).max() == 127 for array in weights.values())


@pytest.mark.usefixtures("vnni")
def test_a_scale_of_the_whole_batch_does_not_pass(plain: Path, examples: gate.Examples, tmp_path: Path) -> None:
    graph = dynamic(plain, tmp_path / "dynamic.onnx")
    found = examples.neighbours(graph, gate.NEIGHBOURS)
    assert found.verdict == "failed", found.describe()
    ours = search(plain, examples)
    assert examples.neighbours(ours.graph, gate.NEIGHBOURS).verdict == "passed"


@pytest.mark.usefixtures("vnni")
def test_a_search_refuses_what_depends_on_neighbours(
    plain: Path, examples: gate.Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_graph: Any, target: Path, *_: Any) -> None:
        target.parent.mkdir(exist_ok=True)
        dynamic(plain, target)

    monkeypatch.setattr(quantize.Graph, "write", write)
    monkeypatch.setattr(gate, "INT8", replace(gate.INT8, absolute=10.0, agreement=0.0))
    with pytest.raises(PrecisionError, match="an int8 answer depends on what else is in its batch: failed on 36"):
        search(plain, examples)


@pytest.mark.usefixtures("vnni")
def test_a_wrecked_graph_does_not_pass(plain: Path, examples: gate.Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = int8_nodes.Writer._weights
    monkeypatch.setattr(int8_nodes.Writer, "_weights", lambda self, weights, output: whole(self, -weights, output))
    notes = Notes()
    with pytest.raises(PrecisionError, match=r"no int8 graph answers like fp32: failed on 36 examples: max \|Δ\|"):
        search(plain, examples, notes)
    assert len(notes) > 3, "it should have tried without the worst"


@pytest.mark.usefixtures("vnni")
def test_what_hurts_is_left_in_fp32(plain: Path, examples: gate.Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = int8_nodes.Writer._weights

    def wrecked(self: Any, weights: Any, output: str) -> Any:
        return whole(self, -weights if "layer.1/intermediate" in output else weights, output)

    monkeypatch.setattr(int8_nodes.Writer, "_weights", wrecked)
    found = search(plain, examples)
    assert found.gate.verdict == "passed"
    assert found.quantization is not None
    assert found.quantization.left == ("/bert/encoder/layer.1/intermediate/dense/MatMul_output_0",)
    assert "1 of these in fp32" in found.quantization.describe()
    assert len(whole_numbers(found.graph)) == 11


def test_weights_have_a_bit_less_where_sums_could_overflow(
    plain: Path, examples: gate.Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_vnni", lambda: False)
    # The scaled weights of a tiny model are worse off with seven bits than a real one's.
    monkeypatch.setattr(gate, "INT8", replace(gate.INT8, absolute=0.5))
    found = search(plain, examples)
    assert all(np.abs(array).max() == 63 for array in whole_numbers(found.graph).values())
    assert found.quantization is not None and "of 7 bits" in found.quantization.scheme


def test_slower_is_said(plain: Path, examples: gate.Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setattr(precision.timing, "time_graphs", lambda *_, **__: {"fp32": 1.0, "int8": 2.0})
    monkeypatch.setattr(gate, "INT8", replace(gate.INT8, absolute=0.5))
    search(plain, examples, notes)
    assert "int8 is slower than fp32 here: 2.00 times the processor time" in notes


def handmade(nodes: list[Any], constants: dict[str, Any], path: Path) -> Path:
    """A graph from x (2, rows, 64) to y."""
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, None, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return path


CHANCE = np.random.default_rng(0)
WEIGHTS = CHANCE.normal(0, 1, (64, 96)).astype(np.float32)
BIAS = CHANCE.normal(0, 1, 96).astype(np.float32)
ONES, NOUGHT = np.ones(64, np.float32), np.zeros(64, np.float32)
FLAT = np.array([-1, 64], np.int64)

GRAPHS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "by row": ([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": WEIGHTS}),
    "by row with a bias": (
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["b", "p"], ["y"])],
        {"w": WEIGHTS, "b": BIAS},
    ),
    "after a norm": (
        [
            helper.make_node("LayerNormalization", ["x", "one", "nought"], ["n"]),
            helper.make_node("MatMul", ["n", "w"], ["p"]),
            helper.make_node("Add", ["p", "b"], ["y"]),
        ],
        {
            "w": WEIGHTS,
            "b": BIAS,
            "one": (ONES * np.where(np.arange(64) == 7, 30, 1)).astype(np.float32),
            "nought": NOUGHT,
        },
    ),
    "a product used twice": (
        [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Add", ["p", "b"], ["s"]),
            helper.make_node("Mul", ["p", "s"], ["y"]),
        ],
        {"w": WEIGHTS, "b": BIAS},
    ),
    "weights transposed by the graph": (
        [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])],
        {"w": WEIGHTS.T.copy()},
    ),
    "Gemm": (
        [helper.make_node("Reshape", ["x", "flat"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"])],
        {"w": WEIGHTS, "b": BIAS, "flat": FLAT},
    ),
    "Gemm of transposed weights": (
        [helper.make_node("Reshape", ["x", "flat"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)],
        {"w": WEIGHTS.T.copy(), "flat": FLAT},
    ),
}


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_forms_of_a_product(name: str, rows: bool, tmp_path: Path) -> None:
    path = handmade(*GRAPHS[name], tmp_path / "fp32.onnx")
    graph = quantize.Graph(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4

    def opened(model: Any) -> Any:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    feeds = [{"x": CHANCE.normal(0, 1, (2, count, 64)).astype(np.float32)} for count in (3, 9, 40)]
    ranges = quantize.record(graph, opened(graph.watched()), feeds)
    graph.write(tmp_path / "int8" / "model.onnx", quantize.Recipe(rows=rows), ranges)
    assert len(whole_numbers(tmp_path / "int8" / "model.onnx")) == 1
    fp32, int8 = opened(str(path)), opened(str(tmp_path / "int8" / "model.onnx"))
    for feed in feeds:
        wanted, got = fp32.run(None, feed)[0], int8.run(None, feed)[0]
        off = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
        assert 1e-5 < off < 0.02


def test_an_outlier_spoils_no_other_row(tmp_path: Path) -> None:
    path = handmade(*GRAPHS["by row"], tmp_path / "fp32.onnx")
    graph = quantize.Graph(path)
    x = CHANCE.normal(0, 1, (2, 5, 64)).astype(np.float32)
    x[0, 0] *= 1000
    session = onnxruntime.InferenceSession(graph.watched(), providers=["CPUExecutionProvider"])
    target = tmp_path / "int8" / "model.onnx"
    graph.write(target, quantize.Recipe(), quantize.record(graph, session, [{"x": x}]))
    got = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert np.abs(got[1] - x[1] @ WEIGHTS).max() < 0.5


def test_nothing_to_quantise(tmp_path: Path) -> None:
    small = {"w": np.ones((64, 3), np.float32)}
    path = handmade([helper.make_node("MatMul", ["x", "w"], ["y"])], small, tmp_path / "head.onnx")
    with pytest.raises(PrecisionError, match="no multiplication with constant weights"):
        quantize.Graph(path)


def test_what_is_too_large(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOST", 1000)
    with pytest.raises(PrecisionError, match="int8 is for graphs of up to"):
        quantize.Graph(plain)


def test_the_served_session_runs_it(plain: Path, examples: gate.Examples, vnni: None) -> None:
    found = search(plain, examples)
    session = Session(found.graph, lanes=2)
    batch = examples.task.batch(examples.items[:3])
    assert isinstance(batch, Batch)
    np.testing.assert_array_equal(session.run(batch)[0], session.run(batch, wide=False)[0])
