"""A graph to a plan of TensorRT's, for Triton's own tensorrt backend."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from converters.errors import PrecisionError
from huggingface_backend.tensorrt import INSTALL, Shape

WORKSPACE = 4 * 2**30
"""Bytes that a kernel may use for itself at most."""


def build_plan(graph: Path, shapes: Mapping[str, tuple[Shape, Shape, Shape]], target: Path) -> None:
    """Write the plan of a graph for this machine's card: strongly typed, so it computes in the types of the graph, and
    with one optimisation profile of these smallest, usual and largest shapes.

    PrecisionError where TensorRT is missing or does not take the graph.
    """
    try:
        trt: Any = import_module("tensorrt")
    except ImportError as error:
        raise PrecisionError(f"TensorRT's Python package cannot be loaded ({error}): {INSTALL}") from error
    builder = trt.Builder(logger := trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    # From the file, as external data is looked for beside it.
    if not parser.parse_from_file(str(graph)):
        raise PrecisionError(f"TensorRT does not take the graph: {_first_error(parser)}")
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        profile.set_shape(name, *shapes[name])
    config = builder.create_builder_config()
    # On by default, and good for ten bits of mantissa only.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise PrecisionError("TensorRT could not build an engine of the graph for this card; its log says why")
    target.write_bytes(plan)


def _first_error(parser: Any) -> str:
    return str(parser.get_error(0).desc()).strip() if parser.num_errors else "its parser does not say why"
