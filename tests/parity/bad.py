"""Requests that no answer fits, for each task, and what the refusal must speak of."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.models import texts
from tests.parity.cases import SUBJECTS, Subject
from tests.parity.media import Picture, Sound

LONG = " ".join(texts(12, shortest=30, longest=40, seed=51))
PICTURE = Picture(51).text()
PIXEL = Picture(52, 1, 1).text()
SOUND = Sound(51).text()
SILENCE = Sound(52, 0.0).text()
NOISE = base64.b64encode(b"neither a picture nor a sound").decode()


@dataclass(frozen=True)
class Bad:
    """A body, and a pattern for the message: it must say what would have been right."""

    name: str
    inputs: Any
    message: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"inputs": self.inputs, **({"parameters": self.parameters} if self.parameters else {})}


TEXT = (
    Bad("number", 5, "text"),
    Bad("null", None, "text"),
    Bad("list-of-numbers", [1, 2], "text"),
    Bad("object", {"foo": "bar"}, "text"),
)
PICTURES = (
    Bad("text", "no picture at all", "base64"),
    Bad("noise", NOISE, "image"),
    Bad("url", "http://127.0.0.1/x.png", "URL"),
    Bad("path", "/etc/hostname", "path"),
    Bad("number", 5, "image"),
    Bad("null", None, "image"),
    Bad("pixel", PIXEL, "pixel|image"),
)
SOUNDS = (
    Bad("text", "no sound at all", "base64"),
    Bad("noise", NOISE, "audio"),
    Bad("silence", SILENCE, "no samples"),
    Bad("picture", PICTURE, "audio"),
    Bad("url", "http://127.0.0.1/x.wav", "URL|base64"),
    Bad("no-rate", {"raw": [0.0, 0.1]}, "sampling_rate"),
    Bad("no-samples", {"raw": [], "sampling_rate": 16000}, "no samples"),
    Bad("number", 5, "audio"),
    Bad("null", None, "audio"),
)
ODD = {"no_such_parameter": 1}
WHAT = {"candidate_labels": ["tea", "rain"]}
ASK = {"question": "who", "context": "the fox brew tea"}
TABLE = {"animal": ["fox", "dog"], "age": ["7", "5"]}
CLASSES = (
    Bad("top-k-of-text", "tea", "top_k.*(number|integer)", {"top_k": "many"}),
    Bad("function", "tea", "function_to_apply.*sigmoid", {"function_to_apply": "cosine"}),
)


def _with(inputs: Any, cases: tuple[Bad, ...]) -> tuple[Bad, ...]:
    """The same parameters with inputs that the task knows."""
    return tuple(Bad(case.name, inputs, case.message, case.parameters) for case in cases)


def _unknown(inputs: Any) -> Bad:
    return Bad("unknown-parameter", inputs, "no_such_parameter", ODD)


TOO_LONG = Bad("too-long", LONG, r"tokens|truncat|position|max_length")
GENERATING = (
    Bad("negative-length", "tea", "max_new_tokens", {"max_new_tokens": -1}),
    Bad("length-of-text", "tea", "max_new_tokens", {"max_new_tokens": "many"}),
    _unknown("tea"),
)

TABLE_OF_BAD: dict[str, tuple[Bad, ...]] = {
    "text-classification": (*TEXT, TOO_LONG, *CLASSES, Bad("pair-without-text", {"text_pair": "tea"}, "text")),
    "feature-extraction": (*TEXT, TOO_LONG),
    "fill-mask": (
        *TEXT,
        Bad("no-mask", "the quick fox", "mask"),
        Bad("unknown-target", "the [MASK] fox", "target", {"targets": []}),
        _unknown("the [MASK] fox"),
    ),
    "token-classification": (
        *TEXT,
        Bad("strategy", "tea", "aggregation_strategy.*simple", {"aggregation_strategy": "best"}),
        Bad("stride", "tea", "stride", {"stride": 10_000}),
        _unknown("tea"),
    ),
    "question-answering": (
        Bad("text", "who brew tea", "question.*context"),
        Bad("no-context", {"question": "who"}, "context"),
        Bad("no-question", {"context": "tea"}, "question"),
        Bad("empty-context", {"question": "who", "context": ""}, "context"),
        Bad("empty-question", {"question": "", "context": "tea"}, "question"),
        Bad("number", 5, "question.*context"),
        Bad("numbers", {"question": 1, "context": 2}, "text"),
        Bad("top-k", ASK, "top_k", {"top_k": 0}),
        Bad("answer-length", ASK, "max_answer_len", {"max_answer_len": 0}),
        Bad("stride", ASK, "doc_stride", {"doc_stride": 60, "max_seq_len": 20}),
    ),
    "table-question-answering": (
        Bad("text", "how old", "table.*query"),
        Bad("no-query", {"table": TABLE}, "query"),
        Bad("no-table", {"query": "how old"}, "table"),
        Bad("empty-table", {"table": {}, "query": "how old"}, "table"),
        Bad("ragged", {"table": {"a": ["1"], "b": ["1", "2"]}, "query": "how old"}, "table|column|length"),
        Bad("numbers", {"table": {"a": [1, 2]}, "query": "how old"}, "text"),
    ),
    "zero-shot-classification": (
        Bad("no-labels", "tea", "candidate_labels"),
        Bad("empty-labels", "tea", "label", {"candidate_labels": []}),
        Bad("template", "tea", "hypothesis_template", {**WHAT, "hypothesis_template": "nothing to fill in"}),
        Bad("number", 5, "text", WHAT),
    ),
    "text-generation": (
        *TEXT,
        TOO_LONG,
        *GENERATING,
        Bad("role", [{"content": "tea"}], "role"),
        Bad("nothing", [], "text"),
    ),
    "text2text-generation": (*TEXT, *GENERATING),
    "summarization": (*TEXT, TOO_LONG, *GENERATING),
    "translation": (*TEXT, TOO_LONG, *GENERATING),
    "sentence-embedding": (*TEXT, _unknown("tea")),
    "sentence-similarity": (
        Bad("text", "tea", "source_sentence.*sentences"),
        Bad("no-source", {"sentences": ["tea"]}, "source_sentence"),
        Bad("no-sentences", {"source_sentence": "tea"}, "sentences"),
        Bad("empty", {"source_sentence": "tea", "sentences": []}, "sentences"),
        Bad("numbers", {"source_sentence": "tea", "sentences": [1]}, "text"),
    ),
    "text-ranking": (
        Bad("text", "tea", "query.*texts"),
        Bad("no-query", {"texts": ["tea"]}, "query"),
        Bad("no-texts", {"query": "tea"}, "texts"),
        Bad("empty", {"query": "tea", "texts": []}, "texts"),
        Bad("numbers", {"query": "tea", "texts": [1]}, "text"),
        _unknown({"query": "tea", "texts": ["rain"]}),
    ),
    "image-classification": (*PICTURES, *_with(PICTURE, CLASSES), _unknown(PICTURE)),
    "image-feature-extraction": (*PICTURES,),
    "image-segmentation": (*PICTURES, Bad("subtask", PICTURE, "subtask", {"subtask": "everything"})),
    "object-detection": (*PICTURES, Bad("threshold", PICTURE, "threshold", {"threshold": "low"})),
    "depth-estimation": PICTURES,
    "image-to-image": tuple(case for case in PICTURES if case.name != "pixel"),
    "mask-generation": (*PICTURES, Bad("points", PICTURE, "points_per_batch", {"points_per_batch": 0})),
    "keypoint-matching": (
        Bad("one-picture", PICTURE, "two|pair"),
        Bad("three-pictures", [PICTURE] * 3, "two|pair"),
        Bad("texts", ["tea", "rain"], "base64"),
        _unknown([PICTURE, PICTURE]),
    ),
    "video-classification": (
        Bad("text", "no film at all", "base64"),
        Bad("picture", PICTURE, "video|frames"),
        Bad("url", "http://127.0.0.1/x.mp4", "URL"),
        Bad("number", 5, "video"),
        *_with(SOUND, (Bad("sound", None, "video"),)),
    ),
    "zero-shot-image-classification": (
        Bad("no-labels", PICTURE, "candidate_labels"),
        Bad("empty-labels", PICTURE, "label", {"candidate_labels": []}),
        *(Bad(case.name, case.inputs, case.message, WHAT) for case in PICTURES),
    ),
    "zero-shot-object-detection": (
        Bad("no-labels", {"image": PICTURE}, "candidate_labels"),
        Bad("no-picture", {"candidate_labels": ["tea"]}, "image"),
        Bad("text", {"image": "tea", "candidate_labels": ["tea"]}, "base64"),
    ),
    "visual-question-answering": (
        Bad("no-question", {"image": PICTURE}, "question"),
        Bad("no-picture", {"question": "who"}, "image"),
        Bad("text", {"image": "tea", "question": "who"}, "base64"),
        Bad("too-long", {"image": PICTURE, "question": LONG}, r"tokens|truncat|position|max_length"),
    ),
    "document-question-answering": (
        Bad("no-question", {"word_boxes": [["tea", [0, 0, 9, 9]]]}, "question"),
        Bad("nothing-to-read", {"question": "who"}, "image|word_boxes"),
        Bad("box", {"question": "who", "word_boxes": [["tea", [0, 0]]]}, "box"),
        Bad("box-too-large", {"question": "who", "word_boxes": [["tea", [0, 0, 9999, 9]]]}, "1000|box"),
    ),
    "image-to-text": (*PICTURES, _unknown(PICTURE), Bad("length", PICTURE, "max_new_tokens", {"max_new_tokens": -1})),
    "image-text-to-text": (
        Bad("no-text", {"images": PICTURE}, "text"),
        Bad("no-mark", {"images": PICTURE, "text": "who"}, "image"),
        Bad("number", 5, "text|image"),
    ),
    "audio-classification": (*SOUNDS, *_with(SOUND, CLASSES)),
    "automatic-speech-recognition": (
        *SOUNDS,
        Bad("timestamps", SOUND, "return_timestamps|timestamps", {"return_timestamps": "minute"}),
        Bad("stride", SOUND, "[Ss]tride|chunk", {"chunk_length_s": 1, "stride_length_s": 5}),
    ),
    "zero-shot-audio-classification": (
        Bad("no-labels", SOUND, "candidate_labels"),
        *(Bad(case.name, case.inputs, case.message, WHAT) for case in SOUNDS),
    ),
    "text-to-audio": (Bad("number", 5, "text"), Bad("empty", "", "text|empty"), _unknown("tea")),
    "text-to-image": (
        Bad("number", 5, "text"),
        Bad("size", "tea", "height|width|8", {"height": 13}),
        Bad("steps", "tea", "num_inference_steps", {"num_inference_steps": 0}),
        _unknown("tea"),
    ),
}
"""What each task refuses, asked of its first model in the zoo."""


def subjects() -> Iterator[Subject]:
    """The first model of each task."""
    seen: set[str] = set()
    for subject in SUBJECTS:
        if subject.task in TABLE_OF_BAD and subject.task not in seen:
            seen.add(subject.task)
            yield subject
