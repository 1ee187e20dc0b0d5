"""Where a graph runs, and what is said where it cannot run there.

This machine may have no card. NVIDIA's driver, and with it what only a card could answer, is then replaced at the
edge: `ctypes.CDLL` of libcuda.so.1 and libnvinfer.so.10. ONNX Runtime and its own fallback are the real ones.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from converters.convert import Artifact
from huggingface_backend import cards, providers, tensorrt
from huggingface_backend.cards import Card, NoCardError
from huggingface_backend.manifest import GRAPH, Manifest, TokenizerFacts
from huggingface_backend.providers import CPU, CUDA, TENSORRT, Place
from huggingface_backend.tensorrt import Engine, NoTensorRTError

CARD = Card("NVIDIA A10G", 22 * 2**30, "8.6")
ENGINE = Engine(
    {
        "input_ids": ((1, 1), (32, 128), (128, 512)),
        "attention_mask": ((1, 1), (32, 128), (128, 512)),
    },
    "abc",
    half=True,
)


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    for once in (cards.driver, providers._warn, providers._preload, tensorrt.version):
        once.cache_clear()
    yield
    for once in (cards.driver, providers._warn, providers._preload, tensorrt.version):
        once.cache_clear()


@pytest.fixture
def graph(minilm_entry: Artifact) -> Path:
    return minilm_entry.path / "1" / GRAPH


class Driver:
    """In place of libcuda.so.1."""

    def __init__(
        self, cuda: int = 12, names: tuple[bytes, ...] = (b"NVIDIA A10G", b"NVIDIA T4"), code: int = 0
    ) -> None:
        self._cuda, self._names, self._code = cuda, names, code

    def cuInit(self, _flags: int) -> int:
        return self._code

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self._cuda * 1000 + 40
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self._names)
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name: Any, _size: int, device: Any) -> int:
        name.value = self._names[device.value]
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, _device: Any) -> int:
        memory._obj.value = 16 * 2**30
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: Any) -> int:
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0


def with_libraries(monkeypatch: pytest.MonkeyPatch, **given: object) -> None:
    """Load these in place of the libraries called so; no other is there."""

    def load(name: str, *_: object) -> object:
        for prefix, library in given.items():
            if Path(name).name.startswith(prefix):
                return library
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)


def built_for_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the installed ONNX Runtime were the build for CUDA 12, which lists its providers on any machine."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "cuda_version", "12.8", raising=False)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcublasLt.so.12"), raising=False)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_runtime_without_cuda_uses_the_processor_in_silence(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", CPU])
    assert providers.choose(graph) == [CPU]
    assert not warnings(caplog)
    assert providers.choose(graph, Place(tensorrt=ENGINE.fields())) == [CPU]
    (warning,) = warnings(caplog)
    assert warning == (
        "the entry is for TensorRT, which this ONNX Runtime has not (install triton-hf[gpu]); "
        "the graph runs on the processor instead"
    )


def test_an_instance_on_the_processor_stays_there(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, libcuda=Driver())
    assert providers.choose(graph, Place(device=None)) == [CPU]


def test_cuda_and_its_options(graph: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, libcuda=Driver())
    (name, options), last = providers.choose(graph, Place(1, memory_limit=2**30))
    assert (name, last) == (CUDA, CPU)
    assert options == {
        "device_id": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "0",
        "gpu_mem_limit": str(2**30),
    }
    assert "gpu_mem_limit" not in providers.choose(graph)[0][1]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("driver", "device", "why"),
    [
        (None, 0, "this machine has no NVIDIA driver (libcuda.so.1)"),
        (Driver(names=()), 0, "the NVIDIA driver shows no card to this process"),
        (Driver(code=100), 0, "the NVIDIA driver shows no card to this process"),
        (Driver(cuda=11), 0, "the NVIDIA driver is for CUDA 11, and CUDA 12 is needed"),
        (Driver(), 2, "there is no card 2: the driver shows 2, counted from 0"),
    ],
)
def test_without_a_card_one_warning_says_why(
    driver: Driver | None,
    device: int,
    why: str,
    graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, **({} if driver is None else {"libcuda": driver}))
    for _ in range(2):
        assert providers.choose(graph, Place(device)) == [CPU]
    assert warnings(caplog) == [f"CUDA cannot be used: {why}; the graph runs on the processor instead"]


def test_what_the_driver_tells_of_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    with_libraries(monkeypatch, libcuda=Driver())
    assert cards.card(1) == Card("NVIDIA T4", 16 * 2**30, "8.6")
    with pytest.raises(NoCardError, match="CUDA 13 is needed"):
        cards.card(0, 13)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_not_made_falls_back_with_one_warning(graph: Path, caplog: pytest.LogCaptureFixture) -> None:
    """ONNX Runtime without CUDA falls back by itself when CUDA is asked for; nothing is replaced here."""
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    for _ in range(2):
        session = providers.opened(graph, onnxruntime.SessionOptions(), [(CUDA, {"device_id": "0"}), CPU])
        assert session.get_providers() == [CPU]
        assert providers.device(session) is None
    (warning,) = warnings(caplog)
    assert warning.startswith("CUDA cannot be used: ")
    assert "libonnxruntime_providers_cuda.so" in warning
    assert warning.endswith("; the graph runs on the processor instead")


def test_a_provider_that_fails_leaves_the_others(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """TensorRT's and CUDA's failures as they were seen of onnxruntime-gpu 1.26, which is not installed here."""
    said = {
        TENSORRT: "pybind_state.cc:534 void RegisterTensorRTPluginsAsCustomOps() Please install TensorRT libraries",
        CUDA: 'FromProviderOptions() : provider option "device_id": CUDA failure 35: CUDA driver version is '
        "insufficient for CUDA runtime version ; GPU=-1 ; hostname=host",
    }
    real, tried = onnxruntime.InferenceSession, []

    def session(path: str, options: Any, providers: list[Any], enable_fallback: int) -> Any:
        assert enable_fallback == 0
        tried.append([name if isinstance(name, str) else name[0] for name in providers])
        if tried[-1][0] in said:
            raise RuntimeError(said[tried[-1][0]])
        return real(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    opened = providers.opened(graph, onnxruntime.SessionOptions(), [(TENSORRT, {}), (CUDA, {}), CPU])
    assert tried == [[TENSORRT, CUDA, CPU], [CUDA, CPU], [CPU]]
    assert opened.get_providers() == [CPU]
    assert len(warnings(caplog)) == 1 and warnings(caplog)[0].startswith("TensorRT cannot be used: ")

    caplog.clear()
    providers._warn.cache_clear()
    with_libraries(monkeypatch, libonnxruntime=object())
    providers.opened(graph, onnxruntime.SessionOptions(), [(CUDA, {}), CPU])
    (warning,) = warnings(caplog)
    assert warning == (
        "CUDA cannot be used: CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version; "
        "the graph runs on the processor instead"
    )


def test_a_graph_that_no_provider_loads_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        providers.opened(tmp_path / GRAPH, onnxruntime.SessionOptions(), [CPU])
    assert not warnings(caplog)


class Nvinfer:
    """In place of libnvinfer.so.10."""

    def __init__(self, version: int = 101601) -> None:
        self._version = version

    def getInferLibVersion(self) -> int:
        return self._version


def test_tensorrt_before_cuda_with_explicit_shapes_and_caches(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, libcuda=Driver(), libnv=Nvinfer())
    place = Place(tensorrt=ENGINE.fields(), engines=tmp_path / "engines")
    (name, options), (second, _), last = providers.choose(graph, place)
    assert (name, second, last) == (TENSORRT, CUDA, CPU)
    folder = tmp_path / "engines" / ENGINE.key(CARD, onnxruntime.__version__, "10.16.1")
    assert folder.is_dir()
    assert options == {
        "device_id": "0",
        "trt_fp16_enable": "True",
        "trt_layer_norm_fp32_fallback": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_profile_min_shapes": "input_ids:1x1,attention_mask:1x1",
        "trt_profile_opt_shapes": "input_ids:32x128,attention_mask:32x128",
        "trt_profile_max_shapes": "input_ids:128x512,attention_mask:128x512",
    }


@pytest.mark.parametrize(
    ("libraries", "why"),
    [
        ({}, "TensorRT is not installed (libnvinfer.so.10: cannot open shared object file: No such file or directory)"),
        ({"libnv": Nvinfer(110400)}, "TensorRT is 11.4, and 10 is needed"),
    ],
)
def test_without_tensorrt_the_graph_runs_on_cuda(
    libraries: dict[str, object],
    why: str,
    graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, libcuda=Driver(), **libraries)
    chosen = providers.choose(graph, Place(tensorrt=ENGINE.fields()))
    assert [chosen[0][0], chosen[1]] == [CUDA, CPU]
    assert warnings(caplog) == [f"{why}: pip install 'tensorrt-cu12>=10,<11'; the graph runs on CUDA instead"]
    with pytest.raises(NoTensorRTError):
        tensorrt.version()


def test_fp32_does_without_tensorfloat32(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_for_cards(monkeypatch)
    with_libraries(monkeypatch, libcuda=Driver(), libnv=Nvinfer())
    environment: dict[str, str] = {}
    monkeypatch.setattr(providers.os, "putenv", environment.__setitem__)
    chosen = providers.choose(graph, Place(tensorrt=replace(ENGINE, half=False).fields()))
    assert environment["NVIDIA_TF32_OVERRIDE"] == "0"
    assert chosen[0][1]["trt_fp16_enable"] == chosen[0][1]["trt_engine_cache_enable"] == "False"
    assert "trt_engine_cache_path" not in chosen[0][1]


def test_an_engine_is_good_for_one_graph_runtime_tensorrt_and_card() -> None:
    key = ENGINE.key(CARD, "1.26.0", "10.7.0")
    assert key == ENGINE.key(replace(CARD, memory=1), "1.26.0", "10.7.0")
    others = {
        replace(ENGINE, graph="abd").key(CARD, "1.26.0", "10.7.0"),
        replace(ENGINE, half=False).key(CARD, "1.26.0", "10.7.0"),
        replace(ENGINE, shapes={"input_ids": ((1, 1), (8, 8), (9, 9))}).key(CARD, "1.26.0", "10.7.0"),
        ENGINE.key(replace(CARD, name="NVIDIA T4"), "1.26.0", "10.7.0"),
        ENGINE.key(CARD, "1.25.0", "10.7.0"),
        ENGINE.key(CARD, "1.26.0", "10.8.0"),
    }
    assert len(others | {key}) == 7
    assert Engine.of(ENGINE.fields()) == ENGINE and Engine.of({}) is None


def test_an_engine_that_came_with_the_entry_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shipped = tmp_path / "entry" / "engines" / "k"
    shipped.mkdir(parents=True)
    graph, root = tmp_path / "entry" / GRAPH, tmp_path / "engines"
    assert tensorrt.engine_folder(graph, "k", root) == tensorrt.engine_folder(graph, "k", None) == shipped
    assert tensorrt.engine_folder(graph, "other", root) == root / "other"
    assert not warnings(caplog)
    for nowhere, told in ((None, "any folder"), (Path("/proc/none"), "/proc/none")):
        caplog.clear()
        assert tensorrt.engine_folder(graph, "other", nowhere) is None
        assert warnings(caplog) == [f"TensorRT's engine cannot be kept in {told}: every start builds one, for minutes"]


def test_batches_are_clamped_to_the_engine() -> None:
    manifest = Manifest("text-classification", "fast", max_tokens=None, tokenizer=TokenizerFacts(model_max_length=8192))
    limited, rows = ENGINE.clamp(manifest, 0)
    assert (limited.max_tokens, limited.tokenizer.model_max_length, rows) == (512, 512, 128)
    assert ENGINE.clamp(manifest, 16)[1] == 16 and ENGINE.clamp(manifest, 1000)[1] == 128

    def feed(rows: int, tokens: int) -> dict[str, Any]:
        return dict.fromkeys(ENGINE.shapes, np.zeros((rows, tokens), np.int64))

    assert ENGINE.fits(feed(1, 1)) and ENGINE.fits(feed(128, 512))
    assert not ENGINE.fits(feed(129, 1)) and not ENGINE.fits(feed(1, 513))


def test_images_are_clamped_in_rows_alone() -> None:
    engine = Engine({"pixel_values": ((1, 3, 224, 224), (8, 3, 224, 224), (64, 3, 224, 224))}, "abc", half=True)
    manifest = Manifest("image-classification", "fast")
    assert engine.tokens is None and engine.clamp(manifest, 0) == (manifest, 64)
