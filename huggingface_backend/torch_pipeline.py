"""The torch tier: the transformers pipeline itself, one call after the other, for what no graph can answer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from huggingface_backend import audio
from huggingface_backend.errors import EntryError, InvalidInput, ModelError, RequestError, first_line
from huggingface_backend.manifest import Manifest
from huggingface_backend.media_inputs import MediaInputs
from huggingface_backend.messages import Done, never
from huggingface_backend.pipelines_beside import BESIDE
from huggingface_backend.sampling import Draws
from huggingface_backend.without_torchvision import suppress_overlaps


class TorchPipeline:
    """Answers like the engine, at the speed of the original toolkit."""

    def __init__(self, manifest: Manifest, folder: Path, *, follow: bool = False) -> None:
        """EntryError where torch or transformers is missing or the pipeline cannot be built.

        `follow` lets the pipeline open URLs and paths that stand in a request.
        """
        self._task = manifest.task
        self.pipeline = self._build(manifest, folder)
        decode_audio_without_ffmpeg()
        suppress_overlaps()
        extractor = getattr(self.pipeline, "feature_extractor", None)
        self._media = MediaInputs(manifest.task, getattr(extractor, "sampling_rate", 16_000), follow=follow)

    def submit(
        self, inputs: object, parameters: Mapping[str, Any], done: Done, cancelled: Callable[[], bool] = never
    ) -> None:
        """Answer a call before returning."""
        done(RequestError("cancelled by the client", 499) if cancelled() else self._answer(inputs, parameters))

    def close(self) -> None:
        """Nothing runs beside the calls."""

    def _build(self, manifest: Manifest, folder: Path) -> Any:
        return build(manifest.task, folder, trust_remote_code=manifest.trust_remote_code)

    def _call(self, inputs: Any, parameters: Mapping[str, Any], draws: Draws | None) -> object:
        with draws or nullcontext():
            return self.pipeline(inputs, **parameters)

    def _answer(self, inputs: object, parameters: Mapping[str, Any]) -> object:
        try:
            parameters = dict(parameters)
            draws = Draws.of(parameters.pop("seed", None))
            return self._call(self._media.inputs(inputs), self._media.parameters(parameters), draws)
        except RequestError as error:
            return error
        except Exception as error:
            return blame(error, self.pipeline, inputs)


class PaintingGraphs(TorchPipeline):
    """text-to-image on ONNX graphs, which no pipeline of transformers is around: one call after the other."""

    def __init__(self, manifest: Manifest, folder: Path, threads: int = 0) -> None:
        self._threads = threads
        super().__init__(manifest, folder)

    def _build(self, manifest: Manifest, folder: Path) -> Any:  # noqa: ARG002
        from huggingface_backend.diffusion import on_graphs

        try:
            return on_graphs(folder, self._threads)
        except Exception as error:
            raise EntryError(f"the graphs of {folder} cannot be loaded: {first_line(error)}") from error


def build(task: str, folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The pipeline of transformers for a folder, or of the library that has the task. EntryError where none can be."""
    try:
        from transformers import pipeline
    except ImportError as error:
        raise EntryError(
            f"{task} runs with transformers and torch, which the convert extra brings: {first_line(error)}"
        ) from error
    try:
        if task in BESIDE:
            return BESIDE[task](folder, trust_remote_code)
        return pipeline(task, model=str(folder), device=-1, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise EntryError(f"transformers cannot build a {task} pipeline: {first_line(error)}") from error


def blame(error: Exception, pipe: Any, inputs: object) -> RequestError:
    """What to tell the client of a call on which a pipeline failed."""
    too_long = _too_long(pipe, inputs)
    if too_long is not None:
        return InvalidInput(too_long)
    if isinstance(error, TypeError | ValueError | KeyError | AttributeError):
        return InvalidInput(f"the pipeline refused these inputs: {first_line(error)}")
    return ModelError(f"the pipeline failed on this input: {first_line(error)}")


def _too_long(pipe: Any, inputs: object) -> str | None:
    """Why the texts do not fit into the model's positions, if that is so."""
    config, tokenizer = getattr(getattr(pipe, "model", None), "config", None), getattr(pipe, "tokenizer", None)
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if tokenizer is None or not isinstance(limit, int):
        return None
    longest = max((len(tokenizer(text)["input_ids"]) for text in _texts(inputs)), default=0)
    return f"the text has {longest} tokens, the model takes {limit}: shorten it" if longest >= limit else None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def decode_audio_without_ffmpeg() -> None:
    """Give the audio pipelines that are loaded libsndfile where the ffmpeg that they would start is missing."""
    if shutil.which("ffmpeg"):
        return
    for task in ("automatic_speech_recognition", "audio_classification", "zero_shot_audio_classification"):
        module = sys.modules.get(f"transformers.pipelines.{task}")
        if module is not None:
            module.ffmpeg_read = audio.waveform  # type: ignore[attr-defined]
