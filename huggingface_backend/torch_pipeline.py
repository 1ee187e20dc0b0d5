"""The torch tier: the transformers pipeline itself, one call after the other, for what no graph can answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from huggingface_backend.errors import EntryError, RequestError, first_line
from huggingface_backend.generation import (
    CALLER,
    Caller,
    Follower,
    Row,
    Single,
    cancelled_by_client,
    expect_one_text,
    watch,
)
from huggingface_backend.manifest import Manifest
from huggingface_backend.media_inputs import MediaInputs
from huggingface_backend.messages import Done, Tell, never
from huggingface_backend.pipeline_failures import Failures
from huggingface_backend.pipeline_inputs import check
from huggingface_backend.pipelines_beside import BESIDE
from huggingface_backend.sampling import Draws
from huggingface_backend.stand_ins import decode_audio_without_ffmpeg, suppress_overlaps


class TorchPipeline:
    """Answers like the engine, at the speed of the original toolkit."""

    def __init__(self, manifest: Manifest, folder: Path, *, follow: bool = False) -> None:
        """EntryError where torch or transformers is missing or the pipeline cannot be built.

        `follow` lets the pipeline open URLs and paths that stand in a request.
        """
        self._task, self._own_code = manifest.task, manifest.trust_remote_code
        self.pipeline = self._build(manifest, folder)
        self._rows: Sequence[Row] = []
        self._watch()
        self._failures = Failures(manifest.task, self.pipeline)
        decode_audio_without_ffmpeg()
        suppress_overlaps()
        extractor = getattr(self.pipeline, "feature_extractor", None)
        self._media = MediaInputs(manifest.task, getattr(extractor, "sampling_rate", 16_000), follow=follow)

    def submit(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool] = never,
        tell: Tell | None = None,
        *,
        waits: bool = False,  # noqa: ARG002
    ) -> None:
        """Answer a call before returning."""
        self._run(inputs, parameters, done, cancelled, tell)

    def close(self) -> None:
        """Nothing runs beside the calls."""

    def _watch(self) -> None:
        """See the steps of what this tier generates."""
        watch(getattr(self.pipeline, "model", None), lambda: self._rows)

    def _build(self, manifest: Manifest, folder: Path) -> Any:
        return build(manifest.task, folder, trust_remote_code=manifest.trust_remote_code)

    def _run(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool],
        tell: Tell | None,
    ) -> None:
        """Answer a call in this thread."""
        caller = Caller(cancelled)
        if caller.gone():
            done(cancelled_by_client())
            return
        token = CALLER.set(caller)
        try:
            done(self._answer(inputs, parameters, tell))
        finally:
            CALLER.reset(token)

    def _call(self, inputs: Any, parameters: Mapping[str, Any], draws: Draws | None) -> object:
        caller = CALLER.get()
        self._rows = [] if caller is None else [Single(caller)]
        try:
            with draws or nullcontext():
                answer = self.pipeline(inputs, **parameters)
        finally:
            self._rows = []
        if caller is not None and caller.gone():
            # What was written until then is no answer.
            raise cancelled_by_client()
        return answer

    def _answer(self, inputs: object, parameters: Mapping[str, Any], tell: Tell | None = None) -> object:
        try:
            parameters = check(self._task, inputs, parameters, known_only=not self._own_code)
            if tell is not None:
                self._follow(inputs, parameters, tell)
            draws = Draws.of(parameters.pop("seed", None))
            inputs, parameters = self._media.inputs(inputs), self._media.parameters(parameters)
            self._failures.expect(inputs, parameters)
            return self._call(inputs, parameters, draws)
        except RequestError as error:
            return error
        except Exception as error:
            return self._failures.blame(error, inputs, parameters)

    def _follow(self, inputs: object, parameters: Mapping[str, Any], tell: Tell) -> None:
        """Have the tokens of this thread's call told; InvalidInput where it cannot be streamed."""
        expect_one_text(inputs, parameters, self.pipeline.generation_config)
        caller = CALLER.get()
        assert caller is not None  # noqa: S101
        caller.follower = Follower(self.pipeline.tokenizer, parameters, tell)


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
