"""image-classification, as `transformers.ImageClassificationPipeline` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from huggingface_backend import images
from huggingface_backend.batches import PixelBatch, Pixels
from huggingface_backend.errors import EntryError, InvalidInput, MalformedBody, describe, first_line
from huggingface_backend.image_processing import ImageProcessor
from huggingface_backend.manifest import Manifest
from huggingface_backend.media_inputs import MediaInputs
from huggingface_backend.tasks.base import Call, Task, only
from huggingface_backend.tasks.scores import FUNCTIONS
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "image-classification"
TOP_K = 5
"""Labels in an answer where a request says nothing."""
_EXAMPLE = (64, 48)


@dataclass(frozen=True, slots=True)
class Parameters:
    function: str
    top_k: int


class ImageClassification(Task):
    """Inputs: an image, as itself or as base64, or a list of them. Answer: labels with scores, for each."""

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        if manifest.image is None:
            raise EntryError("the manifest of an image-classification model does not say how to prepare images")
        self._processor = ImageProcessor(manifest.image)
        self._default = _default_function(manifest)

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, "top_k", "function_to_apply", "timeout")
        checked = Parameters(self._function(parameters.get("function_to_apply")), _top_k(parameters.get("top_k")))
        timeout = parameters.get("timeout")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise InvalidInput(f"timeout must be a number of seconds, not {describe(timeout)}")
        single = not isinstance(inputs, list | tuple)
        items = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        rows = [
            self._pixels(item, "inputs" if single else f"inputs[{index}]", timeout) for index, item in enumerate(items)
        ]
        return Call(rows, TokenizeOptions(), single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: PixelBatch) -> Sequence[NDArray[Any]]:  # noqa: ARG002
        return list(outputs[0])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        answers = [self._answer(logits, call.parameters) for logits in rows]
        return answers[0] if call.single else answers

    def example(self) -> Call:
        import PIL.Image

        return self.call(PIL.Image.new("RGB", _EXAMPLE), {})

    def batch(self, items: Sequence[Pixels]) -> PixelBatch:
        return PixelBatch.of(items)

    def _answer(self, logits: NDArray[Any], parameters: Parameters) -> list[dict[str, object]]:
        scores = FUNCTIONS[parameters.function](logits)
        best = sorted(range(len(scores)), key=lambda index: -scores[index])[: parameters.top_k]
        return [{"label": self.manifest.labels[index], "score": float(scores[index])} for index in best]

    def _pixels(self, item: object, where: str, timeout: float | None) -> Pixels:
        if isinstance(item, list | tuple | dict):
            raise InvalidInput(f"{NAME} takes images or base64 of them, but {where} is {describe(item)}")
        image: Any = MediaInputs(NAME, 0, follow=self.follow_references).inputs(item)
        if isinstance(image, str):
            image = _follow(image, timeout)
        if not images.is_image(image):
            raise InvalidInput(f"{NAME} takes images or base64 of them, but {where} is {describe(item)}")
        try:
            return self._processor(image)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            # Pillow's readers raise any of these on a broken file that a script opened.
            raise InvalidInput(f"{where} cannot be read: {first_line(error)}") from error

    def _function(self, name: object) -> str:
        if name is None:
            return self._default
        if not isinstance(name, str) or name.lower() not in FUNCTIONS:
            raise InvalidInput(f"function_to_apply must be one of {', '.join(FUNCTIONS)}, not {name!r}")
        return name.lower()


def _default_function(manifest: Manifest) -> str:
    """Where a request names none; here a regression's several outputs are scores as well, unlike texts'."""
    several = len(manifest.labels) > 1
    return "softmax" if several and manifest.problem_type != "multi_label_classification" else "sigmoid"


def _top_k(value: object) -> int:
    if value is None:
        return TOP_K
    if not isinstance(value, int):
        raise InvalidInput(f"top_k must be a whole number or null, not {describe(value)}")
    return value


def _follow(reference: str, timeout: float | None) -> Image:
    """The image behind a URL, a path or a base64 text, in that order."""
    try:
        if reference.startswith(("http://", "https://")):
            content = _fetch(reference, timeout)
        elif _is_file(reference):
            content = Path(reference).read_bytes()
        else:
            return images.from_base64(reference)
        return images.decode_image(content)
    except (OSError, ValueError, MalformedBody) as error:
        raise InvalidInput(f"no image can be read from {reference[:200]!r}: {first_line(error)}") from error


def _fetch(url: str, timeout: float | None) -> bytes:
    from urllib.request import urlopen

    with urlopen(url, timeout=timeout) as response:  # noqa: S310
        content: bytes = response.read()
    return content


def _is_file(reference: str) -> bool:
    try:
        return Path(reference).is_file()
    except (OSError, ValueError):  # a base64 text is longer than any file's name
        return False
