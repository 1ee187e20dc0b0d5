"""Inputs for the gate of the accelerated tier: two and more of different sizes for every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from huggingface_backend.manifest import family

Example = tuple[Any, dict[str, Any]]
"""Inputs and parameters of one call."""

_NEW_TOKENS = {"max_new_tokens": 8, "do_sample": False}
_PROMPTS = (
    "The committee will meet on Thursday; bring",
    "Once upon a time",
    "In the laboratory the samples were kept at four degrees, weighed every morning, and logged by hand, because",
    "What is the capital of Australia, and why is it not Sydney?",
)
_LABELS = ["a cat", "a photo of two bridges", "noise"]


def examples(task: str, pipe: Any) -> list[Example]:
    """Calls that the pipeline of a task should answer."""
    return _EXAMPLES[family(task)](pipe)


def _images() -> list[Any]:
    from PIL import Image

    chance = np.random.default_rng(7)
    images = []
    for height, width in ((96, 128), (160, 120), (64, 64), (90, 200)):
        rows, columns = np.mgrid[:height, :width]
        waves = [np.sin(rows / chance.uniform(3, 30)) * np.cos(columns / chance.uniform(3, 30)) for _ in range(3)]
        pixels = 127 + 90 * np.stack(waves, -1) + chance.normal(0, 12, (height, width, 3))
        images.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return images


def _sounds(pipe: Any) -> list[dict[str, Any]]:
    rate = int(getattr(pipe.feature_extractor, "sampling_rate", 16_000))
    chance = np.random.default_rng(7)
    sounds = []
    for seconds, pitch in ((1.0, 220), (0.6, 440), (1.4, 330), (1.0, 523)):
        time = np.arange(int(seconds * rate)) / rate
        wave = 0.5 * np.sin(2 * np.pi * pitch * time) * np.sin(2 * np.pi * 3 * time) + chance.normal(0, 0.02, len(time))
        sounds.append({"raw": wave.astype(np.float32), "sampling_rate": rate})
    return sounds


def _prompts(pipe: Any) -> list[Example]:  # noqa: ARG001
    return [(prompt, dict(_NEW_TOKENS)) for prompt in _PROMPTS]


def _translations(pipe: Any) -> list[Example]:
    languages = sorted(getattr(pipe.tokenizer, "lang_code_to_id", None) or {})
    if not languages and getattr(pipe.tokenizer, "_build_translation_inputs", None):
        languages = sorted(str(token) for token in pipe.tokenizer.additional_special_tokens)
    chosen = {"src_lang": languages[0], "tgt_lang": languages[1]} if len(languages) > 1 else {}
    return [(prompt, {**_NEW_TOKENS, **chosen}) for prompt in _PROMPTS]


def _seen(parameters: dict[str, Any]) -> Callable[[Any], list[Example]]:
    return lambda _pipe: [(image, dict(parameters)) for image in _images()]


def _found(pipe: Any) -> list[Example]:  # noqa: ARG001
    return [({"image": image, "candidate_labels": _LABELS}, {"threshold": 0.0}) for image in _images()]


def _heard(pipe: Any) -> list[Example]:
    return [(sound, {}) for sound in _sounds(pipe)]


def _transcribed(pipe: Any) -> list[Example]:
    parameters = {"generate_kwargs": dict(_NEW_TOKENS)} if pipe.model.can_generate() else {}
    return [(sound, dict(parameters)) for sound in _sounds(pipe)]


_EXAMPLES: dict[str, Callable[[Any], list[Example]]] = {
    "audio-classification": _heard,
    "automatic-speech-recognition": _transcribed,
    "depth-estimation": _seen({}),
    "feature-extraction": lambda _pipe: [(prompt, {}) for prompt in _PROMPTS],
    "fill-mask": lambda pipe: [(f"{prompt} {pipe.tokenizer.mask_token} rain", {}) for prompt in _PROMPTS],
    "image-classification": _seen({}),
    "image-feature-extraction": _seen({}),
    "image-segmentation": _seen({}),
    "image-to-image": _seen({}),
    "image-to-text": _seen({"generate_kwargs": dict(_NEW_TOKENS)}),
    "object-detection": _seen({"threshold": 0.0}),
    "question-answering": lambda _pipe: [({"question": _PROMPTS[3], "context": prompt}, {}) for prompt in _PROMPTS],
    "summarization": _prompts,
    "text-classification": lambda _pipe: [(prompt, {"top_k": None}) for prompt in _PROMPTS],
    "text-generation": _prompts,
    "text-to-audio": lambda _pipe: [(prompt, {}) for prompt in _PROMPTS],
    "text2text-generation": _prompts,
    "token-classification": lambda _pipe: [(prompt, {}) for prompt in _PROMPTS],
    "translation": _translations,
    "zero-shot-classification": lambda _pipe: [(prompt, {"candidate_labels": _LABELS}) for prompt in _PROMPTS],
    "zero-shot-image-classification": _seen({"candidate_labels": _LABELS}),
    "zero-shot-object-detection": _found,
}
