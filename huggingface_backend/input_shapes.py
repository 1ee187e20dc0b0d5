"""What the pipelines of transformers take as inputs: the shape of them by task, in words and as a check.

Values that are no JSON, such as an image that was sent as itself or what a script hands over, are the pipeline's own
business wherever it might know them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from huggingface_backend import images
from huggingface_backend.errors import describe
from huggingface_backend.parameter_kinds import LABELS, whole

Look = Callable[[Any, str], str]
"""From a value and where it stands to what is wrong with it; empty where nothing is."""


def anything(_value: object, _where: str) -> str:
    return ""


def _is(value: object) -> str:
    """A value's kind, in words of what a request holds."""
    if images.is_image(value):
        return "an image"
    return "a file" if isinstance(value, bytes) else describe(value)


def _text(value: object, where: str) -> str:
    return "" if isinstance(value, str) else f"{where} is {_is(value)}"


def picture(value: object, where: str) -> str:
    """A text is base64, a URL or a path, of which others speak."""
    wrong = value is None or isinstance(value, bool | int | float | dict | list | tuple | bytes)
    return f"{where} is {_is(value)}" if wrong else ""


def _sound(value: object, where: str) -> str:
    wrong = value is None or isinstance(value, bool | int | float) or images.is_image(value)
    return f"{where} is {_is(value)}" if wrong else ""


def _film(value: object, where: str) -> str:
    return "" if isinstance(value, str | bytes) else f"{where} is {_is(value)}"


def _many(look: Look, value: object, where: str) -> str:
    if not isinstance(value, list | tuple):
        return f"{where} is {_is(value)}"
    return next(filter(None, (look(item, f"{where}[{index}]") for index, item in enumerate(value))), "")


def _some(look: Look, value: object, where: str) -> str:
    """A list with at least one in it."""
    return _many(look, value, where) or ("" if value else f"{where} is an empty list")


def one_or_more(look: Look, *, at_least_one: bool = False) -> Look:
    def checked(value: object, where: str) -> str:
        if not isinstance(value, list | tuple):
            return look(value, where)
        return _some(look, value, where) if at_least_one else _many(look, value, where)

    return checked


def first_of(*looks: Look) -> Look:
    """Fitting one of them is enough; the last one says what is wrong."""

    def checked(value: object, where: str) -> str:
        wrong = ""
        for look in looks:
            wrong = look(value, where)
            if not wrong:
                return ""
        return wrong

    return checked


def _object(looks: Mapping[str, Look], optional: Mapping[str, Look], value: object, where: str) -> str:
    if not isinstance(value, dict):
        return f"{where} is {_is(value)}"
    for name, look in looks.items():
        if value.get(name) is None:
            return f"{where} has no {name}"
        wrong = look(value[name], f"{where}.{name}")
        if wrong:
            return wrong
    given = (look(value[name], f"{where}.{name}") for name, look in optional.items() if value.get(name) is not None)
    return next(filter(None, given), "")


def _like(looks: Mapping[str, Look], **optional: Look) -> Look:
    return partial(_object, looks, optional)


def _labels(value: object, where: str) -> str:
    return "" if LABELS.fits(value) else f"{where} is {_is(value) if value else 'empty'}"


def word_boxes(value: object, where: str) -> str:
    return _many(_word_box, value, where)


def _word_box(value: object, where: str) -> str:
    if not isinstance(value, list | tuple) or len(value) != 2 or not isinstance(value[0], str):
        return f"{where} is no word with its box"
    box = value[1]
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(whole(0).fits, box)) or max(box) > 1000:
        return f"the box of {where} is {box!r:.100}"
    return ""


def _document(value: object, where: str) -> str:
    wrong = _like({"question": _text}, image=picture, word_boxes=word_boxes)(value, where)
    if wrong or not isinstance(value, dict):
        return wrong
    return "" if {"image", "word_boxes"} & set(value) else f"{where} has neither image nor word_boxes"


def _two_pictures(value: object, where: str) -> str:
    wrong = _many(picture, value, where)
    if wrong or not isinstance(value, list | tuple):
        return wrong
    return "" if len(value) == 2 else f"{where} has {len(value)}"


def _prompt(value: object, where: str) -> str:
    """A text or the messages of a chat, whose first entry decides."""
    if isinstance(value, list | tuple):
        return _some(_like({"role": _text, "content": anything}), value, where)
    return _text(value, where)


def _prompts(value: object, where: str) -> str:
    chats = isinstance(value, list | tuple) and value and not isinstance(value[0], dict)
    return _some(_prompt, value, where) if chats else _prompt(value, where)


def _shown(value: object, where: str) -> str:
    if isinstance(value, dict):
        return _like({"images": one_or_more(one_or_more(picture)), "text": one_or_more(_text)})(value, where)
    return _prompt(value, where)


def _all_shown(value: object, where: str) -> str:
    several = isinstance(value, list | tuple) and value and not (isinstance(value[0], dict) and "role" in value[0])
    return _some(_shown, value, where) if several else _shown(value, where)


def _classified(value: object, where: str) -> str:
    """A pair may be a list of two in a list."""
    if isinstance(value, dict):
        return _like({"text": _text}, text_pair=_text)(value, where)
    return one_or_more(_text)(value, where)


PICTURE = "an image (base64 of one)"
SOUND = 'audio (base64 of a file, or {"raw": [numbers], "sampling_rate": Hz})'
WORD_BOXES = '[["word", [left, top, right, bottom]], …] with whole numbers from 0 to 1000 as a box'
_TEXTS = ("a text or a list of texts", one_or_more(_text))
_WORDS = ("a text or a list of texts", one_or_more(one_or_more(_text)))
_PICTURES = (f"{PICTURE} or a list of them", one_or_more(picture))
_SOUNDS = (f"{SOUND} or a list of them", one_or_more(_sound))

INPUTS: dict[str, tuple[str, Look]] = {
    "text-classification": (
        'a text, {"text": …, "text_pair": …} or a list of either',
        one_or_more(_classified),
    ),
    "feature-extraction": _WORDS,
    "fill-mask": _TEXTS,
    "token-classification": _WORDS,
    "table-question-answering": (
        '{"table": {column: [texts]}, "query": a text or a list of texts} or a list of such objects',
        one_or_more(_like({"table": anything, "query": one_or_more(_text)}), at_least_one=True),
    ),
    "zero-shot-classification": _TEXTS,
    "text-generation": (
        'a text, the messages of a chat ({"role": …, "content": …}) or a list of either',
        _prompts,
    ),
    "text2text-generation": _WORDS,
    "summarization": _WORDS,
    "translation": _WORDS,
    # Models of sentence-transformers may also see.
    "sentence-embedding": ("a text or a list of texts", one_or_more(picture)),
    **dict.fromkeys(("depth-estimation", "image-classification", "image-feature-extraction"), _PICTURES),
    **dict.fromkeys(("image-segmentation", "image-to-image", "image-to-text", "mask-generation"), _PICTURES),
    **dict.fromkeys(("object-detection", "zero-shot-image-classification"), _PICTURES),
    "keypoint-matching": (
        "a pair of images (base64 of two in a list) or a list of such pairs",
        first_of(partial(_many, _two_pictures), _two_pictures),
    ),
    "video-classification": ("a video (base64 of a file) or a list of them", one_or_more(_film)),
    "zero-shot-object-detection": (
        f'{PICTURE} beside candidate_labels as a parameter, {{"image": …, "candidate_labels": […]}} or a list of them',
        one_or_more(_like({"image": picture, "candidate_labels": _labels})),
    ),
    "visual-question-answering": (
        '{"image": base64, "question": a text} or a list of such objects',
        one_or_more(_like({"image": picture, "question": _text})),
    ),
    "document-question-answering": (
        f'{{"question": a text, "image": base64 or "word_boxes": {WORD_BOXES}}} or a list of such objects',
        one_or_more(_document),
    ),
    "image-text-to-text": (
        '{"images": base64, "text": a text}, a text, messages of a chat ({"role": …, "content": …}) or a list of these',
        _all_shown,
    ),
    **dict.fromkeys(
        ("audio-classification", "automatic-speech-recognition", "zero-shot-audio-classification"), _SOUNDS
    ),
    "text-to-audio": _TEXTS,
    "text-to-image": _TEXTS,
}
"""By task, in words and as a check; those that are not here check theirs themselves."""
