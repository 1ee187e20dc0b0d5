"""Images, audio and video inside a request, made safe for a transformers pipeline.

A pipeline takes a text where media belong for a URL or a path, and would fetch or open it in the client's name:
another container's address, a file of the server. Here such a text is base64 and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from huggingface_backend import audio, images
from huggingface_backend.errors import InvalidInput

_IMAGE_TASKS = frozenset(
    {
        "depth-estimation",
        "document-question-answering",
        "image-classification",
        "image-feature-extraction",
        "image-segmentation",
        "image-text-to-text",
        "image-to-image",
        "image-to-text",
        "keypoint-matching",
        "mask-generation",
        "object-detection",
        "visual-question-answering",
        "zero-shot-image-classification",
        "zero-shot-object-detection",
    }
)
_AUDIO_TASKS = frozenset({"audio-classification", "automatic-speech-recognition", "zero-shot-audio-classification"})
_REFERENCES = ("http://", "https://", "file://", "/")
_FILM_KEYS = frozenset({"audio", "audios", "video", "videos"})
"""Keys of a chat message under which transformers opens whatever is named."""
_IMAGE_KEYS = frozenset({"image", "images", "url", "path", "base64"})
_ALLOW = "the operator allows it with --follow-references"


class MediaInputs:
    """What one pipeline's requests may hold."""

    def __init__(self, task: str, sampling_rate: int, *, follow: bool) -> None:
        """`sampling_rate` in Hz, of the model. With `follow`, URLs and paths are left to the pipeline."""
        self._task, self._rate, self._follow = task, sampling_rate, follow

    def inputs(self, inputs: Any) -> Any:
        """The inputs with media in place of base64 texts; InvalidInput for a URL, a path or a broken file."""
        if self._task in _AUDIO_TASKS:
            return self._audio(inputs)
        if self._task == "video-classification":
            return self._video(inputs)
        if self._task in _IMAGE_TASKS:
            # There, and only there, a text outside of any key is a prompt.
            return self._images(inputs, here=self._task != "image-text-to-text")
        return inputs

    def parameters(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same of the parameters, some of which are images."""
        if self._task not in _IMAGE_TASKS:
            return parameters
        return {key: self._images(value, here=key in _IMAGE_KEYS) for key, value in parameters.items()}

    def _images(self, value: Any, *, here: bool) -> Any:
        if isinstance(value, str) and here:
            if value.startswith(_REFERENCES) and not _is_base64(value):
                return self._reference(value)
            return value if self._follow else images.from_base64(value)
        if isinstance(value, list | tuple):
            return [self._images(item, here=here) for item in value]
        if isinstance(value, dict):
            opened = sorted(_FILM_KEYS & value.keys())
            if opened and not self._follow:
                raise InvalidInput(f"{opened[0]} in a message is not taken, as it would be opened, unless {_ALLOW}")
            return {key: self._images(item, here=key in _IMAGE_KEYS) for key, item in value.items()}
        return value

    def _audio(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return audio.waveform(value, self._rate)
        if isinstance(value, str):
            return value if self._follow else audio.from_base64(value, self._rate)
        if isinstance(value, list | tuple):
            return [self._audio(item) for item in value]
        return audio.from_object(value, self._rate) if isinstance(value, dict) else value

    def _video(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._video(item) for item in value]
        if isinstance(value, bytes):
            return _Video(value)
        if not isinstance(value, str):
            return value
        if value.startswith(_REFERENCES):
            return self._reference(value)
        return value if self._follow else _Video(_from_base64(value))

    def _reference(self, value: str) -> str:
        if self._follow:
            return value
        kind = "URL" if "://" in value[:10] else "path"
        raise InvalidInput(f"a {kind} in a request is not followed unless {_ALLOW}; send the file itself")


class _Video(BytesIO):
    """A video's bytes where the pipeline looks for a path, and asks whether it is a URL."""

    def startswith(self, _prefix: str) -> bool:
        return False


def _from_base64(text: str) -> bytes:
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidInput("a video as text must be base64; a path or URL is not followed") from error


def _is_base64(value: str) -> bool:
    """Whether a text that begins like a path is base64 of a JPEG, which begins so too."""
    return value.startswith("/9j/")
