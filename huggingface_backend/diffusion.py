"""text-to-image with the pipelines of diffusers, on PyTorch or on ONNX graphs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.providers import choose, name_of
from huggingface_backend.session import session_options

NAME = "text-to-image"


class TextToImage:
    """A prompt, or a list of them, to an image each: called as the original toolkit calls it.

    `num_images_per_prompt` is ignored, as it is there. Calls run one after the other: a scheduler has one state.
    """

    def __init__(self, pipe: Any) -> None:
        pipe.set_progress_bar_config(disable=True)
        self._pipe, self._lock = pipe, threading.Lock()

    def __call__(self, prompt: object, **parameters: Any) -> Any:
        single = isinstance(prompt, str)
        prompts = [prompt] if single else prompt
        if not isinstance(prompts, list | tuple) or not all(isinstance(item, str) for item in prompts):
            raise InvalidInput(f"{NAME} takes a text or a list of texts as inputs, not {describe(prompt)}")
        parameters.pop("num_images_per_prompt", None)
        parameters.pop("output_type", None)
        with self._lock:
            images = [self._pipe(item, num_images_per_prompt=1, **parameters).images[0] for item in prompts]
        return images[0] if single else images


def on_torch(folder: Path, trust_remote_code: bool) -> TextToImage:
    """The pipeline of a folder with model_index.json."""
    from diffusers import AutoPipelineForText2Image

    return TextToImage(AutoPipelineForText2Image.from_pretrained(folder, trust_remote_code=trust_remote_code))


def on_graphs(folder: Path, threads: int) -> TextToImage:
    """The same around the graphs that optimum exported."""
    from optimum.onnxruntime import ORTPipelineForText2Image

    return TextToImage(
        ORTPipelineForText2Image.from_pretrained(
            folder, provider=name_of(choose(folder)[0]), session_options=session_options(threads)
        )
    )
