"""An entry for TensorRT: which shapes its engine takes, and the plain `model.plan` beside it for clients of tensors.

The entry itself is of the fast tier and answers bodies; ONNX Runtime's TensorRT provider runs its graph. The plan is
Triton's own tensorrt backend's, without a tokenizer and without Python.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from converters import entry
from converters.entry import PLAN
from converters.errors import ConversionError, PrecisionError
from huggingface_backend import tensorrt
from huggingface_backend.batches import PIXELS
from huggingface_backend.cards import Card, NoCardError, card
from huggingface_backend.manifest import Manifest
from huggingface_backend.tensorrt import Engine, NoTensorRTError, Shape

MOST_ROWS = 256
MOST_TOKENS = 512
"""Of a row, where the model does not say, or says more."""
MOST_IN_A_BATCH = 65_536
"""Tokens, padding included: TensorRT sets memory aside for the largest batch, whether one comes or not."""
USUAL = (32, 128)
"""Rows and tokens of the shape that kernels are chosen for."""
IMAGE_ROWS = 64

PLAN_FILE = "model.plan"
_MARK = "triton_hf_plan"
"""The parameter by which a plan's config.pbtxt is known as ours."""


def require(precision: str) -> Card:
    """The card that an engine would be built on. PrecisionError in one line where none can be built here."""
    if precision == "int8":
        raise PrecisionError("TensorRT has no operators for this int8: use --precision fp16 with --format tensorrt")
    try:
        tensorrt.version()
        import_module("tensorrt")
    except NoTensorRTError as error:
        raise PrecisionError(str(error)) from error
    except ImportError as error:
        raise PrecisionError(f"TensorRT's Python package cannot be loaded ({error}): {tensorrt.INSTALL}") from error
    try:
        return card(0)
    except NoCardError as error:
        raise PrecisionError(f"a TensorRT engine is built on the card that is to run it, and {error}") from error


def build(graph: Path, manifest: Manifest) -> dict[str, Any]:
    """The manifest's `tensorrt`, a folder beside the graph for the provider's engine, and the plan beside that folder.

    The provider builds its engine when a session is opened on the graph next, which the gate does. PrecisionError
    where TensorRT cannot be had or does not take the graph.
    """
    from converters.worker.tensorrt_plan import build_plan

    found = require(manifest.precision)
    shapes = engine_shapes(graph, manifest)
    engine = Engine(shapes, _digest(graph), manifest.precision == "fp16")
    runtime = _runtime()
    (graph.parent / tensorrt.ENGINES / engine.key(found, runtime, tensorrt.version())).mkdir(parents=True)
    plan = graph.parent.parent / PLAN / entry.VERSION / PLAN_FILE
    plan.parent.mkdir(parents=True)
    build_plan(graph, shapes, plan)
    (plan.parent.parent / entry.CONFIG).write_text(plan_config(graph, shapes), "utf-8")
    return {**engine.fields(), "card": found.name, "version": tensorrt.version()}


def engine_shapes(graph: Path, manifest: Manifest) -> dict[str, tuple[Shape, Shape, Shape]]:
    """The smallest, the usual and the largest shape of each input.

    Rows and tokens are bounded each by itself, for an engine takes any shape between its smallest and its largest.
    """
    inputs, _outputs = _tensors(graph)
    shapes = {}
    for name, (_type, dims) in inputs.items():
        if name == PIXELS:
            sides = tuple(dims[1:]) if min(dims[1:]) > 0 else (3, *_image_size(manifest))
            least, usual, most = (1, *sides), (min(8, IMAGE_ROWS), *sides), (IMAGE_ROWS, *sides)
        else:
            limits = (manifest.max_tokens, manifest.tokenizer.model_max_length, MOST_TOKENS)
            tokens = min(limit for limit in limits if limit)
            rows = max(1, min(MOST_ROWS, MOST_IN_A_BATCH // tokens))
            least, usual, most = (1, 1), (min(USUAL[0], rows), min(USUAL[1], tokens)), (rows, tokens)
        shapes[name] = (least, usual, most)
    return shapes


def plan_config(graph: Path, shapes: Mapping[str, tuple[Shape, Shape, Shape]]) -> str:
    """config.pbtxt of the plan, through Triton's own protobuf: the graph's tensors without their rows."""
    from tritonclient.grpc import model_config_pb2

    config = model_config_pb2.ModelConfig(backend="tensorrt")
    config.max_batch_size = min(most[0] for _least, _usual, most in shapes.values())
    inputs, outputs = _tensors(graph)
    for described, tensors in ((config.input, inputs), (config.output, outputs)):
        for name, (kind, dims) in tensors.items():
            fixed = shapes[name][2] if name == PIXELS else tuple(dims)
            described.add(name=name, data_type=f"TYPE_{kind}", dims=fixed[1:])
    config.dynamic_batching.SetInParent()
    config.instance_group.add(count=1, kind=model_config_pb2.ModelInstanceGroup.KIND_GPU)
    config.parameters[_MARK].string_value = json.dumps({name: list(most) for name, (_, _, most) in shapes.items()})
    return text_format.MessageToString(config)


def place_plan(artifact: Path, repository: Path, name: str) -> Path | None:
    """Copy an entry's plan into a repository as `NAME_plan`; None where the entry has none.

    ConversionError where that name is taken by something else.
    """
    source, target = artifact / PLAN, repository / f"{name}_plan"
    if not source.is_dir():
        return None
    if target.exists() and not is_plan(target):
        raise ConversionError(f"{target} exists and is not a plan of triton-hf: choose another --name")
    with entry.being_written(target) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)
    return target


def is_plan(folder: Path) -> bool:
    """Whether a folder is a plan that a conversion has finished."""
    config = folder / entry.CONFIG
    return config.is_file() and _MARK in config.read_text("utf-8") and (folder / entry.VERSION / PLAN_FILE).is_file()


def _tensors(graph: Path) -> tuple[dict[str, tuple[str, list[int]]], dict[str, tuple[str, list[int]]]]:
    """Inputs and outputs: types as Triton calls them, and dimensions with -1 for those that are not fixed."""
    import onnx

    kinds = {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64"}

    def described(value: Any) -> tuple[str, list[int]]:
        tensor = value.type.tensor_type
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        dims = [side.dim_value if side.HasField("dim_value") else -1 for side in tensor.shape.dim]
        return kinds.get(kind, kind), dims

    found = onnx.load(str(graph), load_external_data=False).graph
    weights = {weight.name for weight in found.initializer}
    inputs = {value.name: described(value) for value in found.input if value.name not in weights}
    return inputs, {value.name: described(value) for value in found.output}


def _image_size(manifest: Manifest) -> tuple[int, int]:
    size = None if manifest.image is None else manifest.image.crop or manifest.image.size
    if size is None:
        raise PrecisionError("TensorRT needs images of one size, and this model's processor keeps their proportions")
    return size


def _digest(graph: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(graph.parent.glob(f"{graph.name}*")):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _runtime() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
