"""TensorRT up to its library, which cannot be had on every machine.

Where a test goes beyond it, the library's Python package is replaced by a module that writes down what it is asked
and gives bytes for a plan: that shows what TensorRT is told, and not what it makes of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import text_format

from converters import tensorrt
from converters.convert import Artifact
from converters.errors import ConversionError, PrecisionError
from converters.worker import tensorrt_plan
from huggingface_backend.cards import Card, NoCardError
from huggingface_backend.manifest import GRAPH, ImageFacts, Manifest, TokenizerFacts
from huggingface_backend.tensorrt import Engine, NoTensorRTError
from tests import models

CARD = Card("NVIDIA A10G", 22 * 2**30, "8.6")


@pytest.fixture
def graph(minilm_entry: Artifact) -> Path:
    return minilm_entry.path / "1" / GRAPH


@pytest.fixture
def manifest(minilm_entry: Artifact) -> Manifest:
    return minilm_entry.manifest


def config_of(text: str) -> Any:
    """Read by Triton's own protobuf, which knows every field of config.pbtxt and refuses others."""
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(text, model_config_pb2.ModelConfig())


class Recorder:
    """In place of the module `tensorrt`."""

    def __init__(self, *, takes: bool = True, builds: bool = True) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._takes, self._builds = takes, builds
        self.Logger = SimpleNamespace(ERROR=3)
        self.Logger = type("Logger", (), {"ERROR": 3, "__init__": lambda _self, _level: None})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(TF32="TF32")
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="WORKSPACE")

    def Builder(self, _logger: object) -> Recorder:
        return self

    def OnnxParser(self, _network: object, _logger: object) -> Recorder:
        return self

    num_inputs = 3
    num_errors = 1

    def get_input(self, index: int) -> Any:
        return SimpleNamespace(name=("input_ids", "attention_mask", "token_type_ids")[index])

    def get_error(self, _index: int) -> Any:
        return SimpleNamespace(desc=lambda: "In node 7 (importNode): UNSUPPORTED_NODE\n")

    def parse_from_file(self, path: str) -> bool:
        self.asked.append(("parse", path))
        return self._takes

    def build_serialized_network(self, *_: object) -> bytes | None:
        return b"the plan" if self._builds else None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def note(*arguments: Any) -> Any:
            self.asked.append((name, *arguments))
            return self

        return note


def test_without_its_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed")
    for ask in (
        lambda: tensorrt.require("fp16"),
        lambda: tensorrt_plan.build_plan(Path("model.onnx"), {}, Path("model.plan")),
    ):
        with pytest.raises(ConversionError) as raised:
            ask()
        assert "pip install 'tensorrt-cu12>=10,<11'" in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_conversion_ends_with_that_line_before_it_exports(
    convert: Any, built: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed")
    from converters.worker import candidates

    monkeypatch.setattr(candidates, "export", lambda *_: pytest.fail("it exported"))
    with pytest.raises(ConversionError, match="pip install 'tensorrt-cu12>=10,<11'"):
        convert(built("bert", num_labels=3), format="tensorrt")


def test_an_engine_needs_the_card_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_number: int) -> Card:
        raise NoCardError("the NVIDIA driver shows no card to this process")

    monkeypatch.setattr(tensorrt.tensorrt, "version", lambda: "10.7.0")
    monkeypatch.setitem(sys.modules, "tensorrt", Recorder())  # type: ignore[arg-type]
    monkeypatch.setattr(tensorrt, "card", none)
    with pytest.raises(PrecisionError, match="on the card that is to run it, and the NVIDIA driver shows no card"):
        tensorrt.require("fp32")
    monkeypatch.setattr(tensorrt, "card", lambda _number: CARD)
    assert tensorrt.require("fp32") == CARD


def test_a_library_without_its_python_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt.tensorrt, "version", lambda: "10.7.0")
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # type: ignore[arg-type]
    with pytest.raises(PrecisionError, match=r"TensorRT's Python package cannot be loaded .*tensorrt-cu12"):
        tensorrt.require("fp32")


def test_int8_is_refused_first() -> None:
    with pytest.raises(PrecisionError, match="use --precision fp16 with --format tensorrt"):
        tensorrt.require("int8")


def test_the_shapes_of_texts(graph: Path, manifest: Manifest) -> None:
    shapes = tensorrt.engine_shapes(graph, manifest)
    assert set(shapes) == {"input_ids", "attention_mask", "token_type_ids"}
    assert set(shapes.values()) == {((1, 1), (32, 128), (128, 512))}
    short = Manifest("text-classification", "fast", tokenizer=TokenizerFacts(model_max_length=64))
    assert tensorrt.engine_shapes(graph, short)["input_ids"] == ((1, 1), (32, 64), (256, 64))
    # A model without a bound, or with a far one, gets the longest that is worth memory.
    endless = Manifest("text-classification", "fast", max_tokens=8192)
    assert tensorrt.engine_shapes(graph, endless)["input_ids"][2] == (128, 512)


def test_the_shapes_of_images(convert: Any, tmp_path: Path) -> None:
    entry = convert(models.build_image_classifier(tmp_path / "vit"))
    expected = {"pixel_values": ((1, 3, 32, 32), (8, 3, 32, 32), (64, 3, 32, 32))}
    assert tensorrt.engine_shapes(entry.path / "1" / GRAPH, entry.manifest) == expected
    config = config_of(tensorrt.plan_config(entry.path / "1" / GRAPH, expected))
    assert [(each.name, list(each.dims)) for each in config.input] == [("pixel_values", [3, 32, 32])]
    assert config.max_batch_size == 64 and list(config.output[0].dims) == [3]
    kept = Manifest("image-classification", "fast", image=ImageFacts(shortest_edge=32))
    with pytest.raises(PrecisionError, match="images of one size"):
        tensorrt.engine_shapes(entry.path / "1" / GRAPH, kept)


def test_the_plans_config_is_one_of_tritons(graph: Path, manifest: Manifest) -> None:
    from tritonclient.grpc import model_config_pb2

    config = config_of(tensorrt.plan_config(graph, tensorrt.engine_shapes(graph, manifest)))
    assert (config.backend, config.max_batch_size, config.name) == ("tensorrt", 128, "")
    names = model_config_pb2.DataType.Name
    assert sorted((each.name, names(each.data_type), tuple(each.dims)) for each in config.input) == [
        ("attention_mask", "TYPE_INT64", (-1,)),
        ("input_ids", "TYPE_INT64", (-1,)),
        ("token_type_ids", "TYPE_INT64", (-1,)),
    ]
    # The size of the hidden states is not always written into an export; their rows never are.
    (output,) = config.output
    assert names(output.data_type) == "TYPE_FP32" and len(output.dims) == 2 and output.dims[0] == -1
    assert config.HasField("dynamic_batching")
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    with pytest.raises(text_format.ParseError):
        config_of("no_such_field: 1")


def test_what_tensorrt_is_told(
    graph: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "tensorrt", recorder)  # type: ignore[arg-type]
    tensorrt_plan.build_plan(graph, tensorrt.engine_shapes(graph, manifest), tmp_path / "model.plan")
    assert (tmp_path / "model.plan").read_bytes() == b"the plan"
    box = ((1, 1), (32, 128), (128, 512))
    assert recorder.asked == [
        ("create_network", 2),
        ("parse", str(graph)),
        ("create_optimization_profile",),
        ("set_shape", "input_ids", *box),
        ("set_shape", "attention_mask", *box),
        ("set_shape", "token_type_ids", *box),
        ("create_builder_config",),
        ("clear_flag", "TF32"),
        ("set_memory_pool_limit", "WORKSPACE", tensorrt_plan.WORKSPACE),
        ("add_optimization_profile", recorder),
    ]


@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (Recorder(takes=False), r"TensorRT does not take the graph: In node 7 \(importNode\): UNSUPPORTED_NODE$"),
        (Recorder(builds=False), "could not build an engine"),
    ],
)
def test_a_graph_that_tensorrt_does_not_take(
    recorder: Recorder, why: str, graph: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorder)  # type: ignore[arg-type]
    with pytest.raises(PrecisionError, match=why):
        tensorrt_plan.build_plan(graph, tensorrt.engine_shapes(graph, manifest), tmp_path / "model.plan")
    assert not (tmp_path / "model.plan").exists()


@pytest.fixture
def entry(graph: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `build` leaves, with TensorRT's package replaced."""
    monkeypatch.setitem(sys.modules, "tensorrt", Recorder())  # type: ignore[arg-type]
    monkeypatch.setattr(tensorrt.tensorrt, "version", lambda: "10.7.0")
    monkeypatch.setattr(tensorrt, "card", lambda _number: CARD)
    folder = tmp_path / "entry"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / GRAPH).write_bytes(graph.read_bytes())
    fields = tensorrt.build(folder / "1" / GRAPH, manifest)
    engine = Engine.of(fields)
    assert engine is not None and not engine.half and len(engine.graph) == 64
    assert (fields["card"], fields["version"], engine.rows, engine.tokens) == ("NVIDIA A10G", "10.7.0", 128, 512)
    import onnxruntime

    key = engine.key(CARD, onnxruntime.__version__, "10.7.0")
    assert [path.name for path in (folder / "1" / "engines").iterdir()] == [key]
    return folder


def test_the_plan_lies_beside_the_entry_in_a_repository(entry: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    assert tensorrt.place_plan(entry, repository, "minilm") == repository / "minilm_plan"
    assert tensorrt.is_plan(repository / "minilm_plan")
    assert (repository / "minilm_plan" / "1" / "model.plan").read_bytes() == b"the plan"
    assert config_of((repository / "minilm_plan" / "config.pbtxt").read_text()).backend == "tensorrt"
    # Again is well, and what is not ours stays.
    tensorrt.place_plan(entry, repository, "minilm")
    (repository / "other_plan").mkdir()
    with pytest.raises(ConversionError, match="is not a plan of triton-hf"):
        tensorrt.place_plan(entry, repository, "other")
    assert tensorrt.place_plan(tmp_path, repository, "minilm") is None


def test_the_gate_of_the_provider_is_not_passed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise NoTensorRTError("TensorRT is 11.4, and 10 is needed: pip install 'tensorrt-cu12>=10,<11'")

    monkeypatch.setattr(tensorrt.tensorrt, "version", missing)
    with pytest.raises(PrecisionError, match=r"TensorRT is 11\.4, and 10 is needed"):
        tensorrt.require("fp16")
