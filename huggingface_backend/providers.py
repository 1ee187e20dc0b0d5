"""Where a graph runs: on a card through CUDA or TensorRT, or on the processor.

ONNX Runtime falls back by itself, with a page of its own words or none at all. Here a provider that cannot be had is
left out, and one warning says why.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime

from huggingface_backend import tensorrt
from huggingface_backend.cards import Card, NoCardError, card
from huggingface_backend.errors import first_line

logger = logging.getLogger(__name__)

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
_WORDS = {TENSORRT: "TensorRT", CUDA: "CUDA", CPU: "the processor"}

Provider = str | tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Place:
    """What an entry's instance asks for."""

    device: int | None = 0
    """The card's number as CUDA counts those that this process may use; None for the processor."""
    memory_limit: int = 0
    """Bytes of the card's memory for ONNX Runtime's arena; 0 for no limit. TensorRT's own come on top."""
    tensorrt: Mapping[str, Any] = field(default_factory=dict)
    """The manifest's `tensorrt`; empty where that is not to run the graph."""
    engines: Path | None = None
    """Where engines are kept that did not come with the entry; None for nowhere."""


HERE = Place()
"""The first card, where there is one."""


def choose(graph: Path, place: Place = HERE) -> list[Provider]:
    """The providers for `opened`, best first; the last is the processor.

    CUDA where this ONNX Runtime is built with it and the driver shows the card, TensorRT before it where the entry is
    for it and its libraries are there. What is missing of that is said in a warning, once a process.
    """
    if place.device is None:
        return [CPU]
    if CUDA not in onnxruntime.get_available_providers():
        if place.tensorrt:
            _warn("the entry is for TensorRT, which this ONNX Runtime has not (install triton-hf[gpu])", CPU)
        return [CPU]
    try:
        found = card(place.device, _cuda())
    except NoCardError as error:
        _warn(f"CUDA cannot be used: {error}", CPU)
        return [CPU]
    _preload()
    chosen: list[Provider] = [(CUDA, _cuda_options(place)), CPU]
    engine = tensorrt.Engine.of(place.tensorrt)
    if engine is not None:
        try:
            chosen.insert(0, (TENSORRT, _tensorrt_options(graph, engine, place, found)))
        except tensorrt.NoTensorRTError as error:
            _warn(str(error), CUDA)
    return chosen


def opened(graph: Path, options: onnxruntime.SessionOptions, chosen: Sequence[Provider]) -> Any:
    """A session on the first of these providers that works; a warning where that is not the first.

    Raises what ONNX Runtime raises where the last does not work either.
    """
    reason = ""
    for place, provider in enumerate(chosen):
        name, rest = name_of(provider), chosen[place + 1 :]
        try:
            with _silent(name):
                session = onnxruntime.InferenceSession(
                    str(graph), options, providers=list(chosen[place:]), enable_fallback=0
                )
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            if not rest:
                raise
            reason = reason or _reason(name, first_line(error))
            continue
        # A run that fails is not to make the session anew on the processor, either.
        session.disable_fallback()
        got: str = session.get_providers()[0]
        if got != name:
            reason = reason or _reason(name, "")
        if reason:
            _warn(reason, got)
        return session
    raise ValueError("no provider was given")


def device(session: Any) -> int | None:
    """The number of the card that a session runs on; None for the processor."""
    options: dict[str, dict[str, str]] = session.get_provider_options()
    return next((int(options[name]["device_id"]) for name in (TENSORRT, CUDA) if name in options), None)


def _cuda_options(place: Place) -> dict[str, str]:
    options = {
        "device_id": str(place.device),
        # The other ways of searching run every algorithm at each new shape, and shapes are new all the time.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Doubling would take memory that other models on the card need.
        "arena_extend_strategy": "kSameAsRequested",
        # TensorFloat32 has ten bits of mantissa; fp32 is held to fp32's tolerance.
        "use_tf32": "0",
    }
    if place.memory_limit:
        options["gpu_mem_limit"] = str(place.memory_limit)
    return options


def _tensorrt_options(graph: Path, engine: tensorrt.Engine, place: Place, found: Card) -> dict[str, str]:
    if not engine.half:
        # The provider has no option for TensorFloat32; NVIDIA's libraries read this when they are loaded.
        os.putenv("NVIDIA_TF32_OVERRIDE", "0")
    key = engine.key(found, onnxruntime.__version__, tensorrt.version())
    return engine.options(place.device or 0, tensorrt.engine_folder(graph, key, place.engines))


def name_of(provider: Provider) -> str:
    """As ONNX Runtime calls it."""
    return provider if isinstance(provider, str) else provider[0]


def _cuda() -> int:
    """The major version of CUDA that this ONNX Runtime is built for; 0 where it does not say."""
    major = str(getattr(onnxruntime, "cuda_version", "") or "").partition(".")[0]
    return int(major) if major.isdigit() else 0


@cache
def _preload() -> None:
    """CUDA and cuDNN from pip's packages, where they are installed so."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            preload()


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without ONNX Runtime's own account of a provider that cannot be loaded."""
    if name != CPU:
        onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


def _reason(name: str, error: str) -> str:
    """Why a provider could not be made. The library that is missing says most; it is asked only now, for a provider's
    library that is loaded before ONNX Runtime loads it does not find its host."""
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{_WORDS[name].lower()}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as missing:
        if "cannot open shared object file" in str(missing):
            error = str(missing)
    # Behind a C++ signature or two stands what CUDA said, and behind that the place in the source.
    error = "CUDA failure" + error.partition("CUDA failure")[2].partition(" ;")[0] if "CUDA failure" in error else error
    return f"{_WORDS[name]} cannot be used: {error or 'ONNX Runtime does not say why'}"


@cache
def _warn(reason: str, instead: str) -> None:
    """Once a process for each reason."""
    logger.warning("%s; the graph runs on %s instead", reason, _WORDS[instead])
