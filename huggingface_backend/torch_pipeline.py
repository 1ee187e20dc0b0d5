"""The torch tier: the transformers pipeline itself, one call after the other, for what no graph can answer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huggingface_backend import audio
from huggingface_backend.errors import EntryError, InvalidInput, ModelError, RequestError, first_line
from huggingface_backend.media_inputs import MediaInputs
from huggingface_backend.messages import Done, never


class TorchPipeline:
    """Answers like the engine, at the speed of the original toolkit."""

    def __init__(self, task: str, model_dir: Path, *, follow: bool = False) -> None:
        """EntryError where torch or transformers is missing or the pipeline cannot be built.

        `follow` lets the pipeline open URLs and paths that stand in a request.
        """
        try:
            from transformers import pipeline
        except ImportError as error:
            raise EntryError(
                f"{task} runs on the torch tier, which needs the convert extra (torch and transformers): {error}"
            ) from error
        try:
            if task == "sentence-embedding":
                self.pipeline = _sentence_transformer(model_dir)
            else:
                self.pipeline = pipeline(task, model=str(model_dir), device=-1)
        except Exception as error:
            raise EntryError(f"transformers cannot build a {task} pipeline: {first_line(error)}") from error
        decode_audio_without_ffmpeg()
        extractor = getattr(self.pipeline, "feature_extractor", None)
        self._media = MediaInputs(task, getattr(extractor, "sampling_rate", 16_000), follow=follow)

    def submit(
        self, inputs: object, parameters: Mapping[str, Any], done: Done, cancelled: Callable[[], bool] = never
    ) -> None:
        """Answer a call before returning."""
        done(RequestError("cancelled by the client", 499) if cancelled() else self._answer(inputs, parameters))

    def close(self) -> None:
        """Nothing runs beside the calls."""

    def _answer(self, inputs: object, parameters: Mapping[str, Any]) -> object:
        try:
            return self.pipeline(self._media.inputs(inputs), **self._media.parameters(parameters))
        except RequestError as error:
            return error
        except (TypeError, ValueError, KeyError) as error:
            return InvalidInput(f"the pipeline refused these inputs: {first_line(error)}")
        except Exception as error:
            return ModelError(f"the pipeline failed on this input: {first_line(error)}")


def decode_audio_without_ffmpeg() -> None:
    """Give the audio pipelines that are loaded libsndfile where the ffmpeg that they would start is missing."""
    if shutil.which("ffmpeg"):
        return
    for task in ("automatic_speech_recognition", "audio_classification", "zero_shot_audio_classification"):
        module = sys.modules.get(f"transformers.pipelines.{task}")
        if module is not None:
            module.ffmpeg_read = audio.waveform  # type: ignore[attr-defined]


def _sentence_transformer(model_dir: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model_dir), device="cpu").encode
