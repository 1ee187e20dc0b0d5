"""An fp32 graph in fp16: half the bytes, and the tensor cores of a card."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.errors import PrecisionError
from converters.worker.candidates import fuse
from huggingface_backend.cards import NoCardError, card
from huggingface_backend.errors import first_line
from huggingface_backend.manifest import GRAPH

FOLDER = "fp16"
FP32_OPERATORS = ("Pow", "ReduceL2", "ReduceMean", "ReduceSum", "Reciprocal", "Sqrt")
"""Left in fp32 beside those that ONNX Runtime's converter leaves: norms are made of these where the export has no
operator for them, and the square of more than 255 is beyond fp16."""
_ONE_PIECE = 1.5e9
"""Bytes of weights up to which a graph is handled as one message; protobuf ends at 2 GB."""


def to_fp16(plain: Path, config: dict[str, Any], *, fused: bool = True) -> Path:
    """Write `fp16/model.onnx` beside the folder of the plain fp32 export.

    It is made of the graph with fused attention where the architecture has one and `fused` allows it: a card has
    kernels for that. TensorRT fuses by itself and knows none of those operators; and where padding is on the left they
    would answer wrongly. Inputs and outputs keep their types, so the graph is fed and read as the fp32 one is.
    PrecisionError where that cannot be done.
    """
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    target = plain.parent.parent / FOLDER / GRAPH
    target.parent.mkdir()
    try:
        with _source(plain, config, fused) as source:
            whole = sum(path.stat().st_size for path in source.parent.glob(f"{source.name}*")) <= _ONE_PIECE
            if whole:
                model = OnnxModel(onnx.load(source))
            else:
                typed = source.with_name(f"typed-{source.name}")
                onnx.shape_inference.infer_shapes_path(str(source), str(typed))
                model = OnnxModel(onnx.load(typed))
                typed.unlink()
        options = {
            "keep_io_types": True,
            "op_block_list": [*DEFAULT_OP_BLOCK_LIST, *FP32_OPERATORS],
            "node_block_list": sorted(_sums_of_squares(model.model.graph)),
        }
        with _quiet():
            if whole:
                model.convert_float_to_float16(use_symbolic_shape_infer=True, **options)
            else:
                model = OnnxModel(convert_float_to_float16(model.model, disable_shape_infer=True, **options))
        model.topological_sort()
        onnx.save(model.model, target, save_as_external_data=not whole, location=f"{GRAPH}.data")
    except MemoryError:
        raise
    except Exception as error:  # a source may bring any graph along, and the libraries raise what they like
        raise PrecisionError(f"the graph cannot be brought to fp16: {first_line(error)}") from error
    return target


def gains_nothing() -> str | None:
    """What to tell who asks for fp16 where there is no card; None where there is one."""
    try:
        card(0)
    except NoCardError as error:
        return f"fp16 is for a GPU, and {error}: a processor gains nothing by it and may take longer"
    return None


@contextmanager
def _source(plain: Path, config: dict[str, Any], fused: bool) -> Iterator[Path]:
    """The graph to start from; a fused one that was not there before is gone afterwards."""
    known = plain.parent.parent / "fused" / GRAPH
    if not fused or known.is_file():
        yield known if fused else plain
        return
    made = fuse(plain, config)
    try:
        yield made or plain
    finally:
        if made is not None:
            shutil.rmtree(made.parent)


def _sums_of_squares(graph: Any) -> Iterator[str]:
    """Names of the nodes around a mean of squares that are too common to be left in fp32 everywhere: x · x, and + ε."""
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type not in ("ReduceMean", "ReduceSum"):
            continue
        square = made_by.get(node.input[0])
        if square is None or not (square.op_type == "Pow" or _squares(square)):
            continue
        if _squares(square):
            yield square.name
        yield from (after.name for after in graph.node if after.op_type == "Add" and node.output[0] in after.input)


def _squares(node: Any) -> bool:
    return bool(node.op_type == "Mul" and node.input[0] == node.input[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a warning for every mask's -3e38, which becomes -65504 and masks as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
