"""Which task a model is for: asked for, or read off its files, never off the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from huggingface_backend.tasks import TASKS as FAST_TASKS

ALIASES = {
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
    "text-to-speech": "text-to-audio",
    "vqa": "visual-question-answering",
}
PIPELINE_TASKS = (
    "audio-classification",
    "automatic-speech-recognition",
    "depth-estimation",
    "document-question-answering",
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "image-feature-extraction",
    "image-segmentation",
    "image-text-to-text",
    "image-to-image",
    "image-to-text",
    "keypoint-matching",
    "mask-generation",
    "object-detection",
    "question-answering",
    "summarization",
    "table-question-answering",
    "text-classification",
    "text-generation",
    "text-to-audio",
    "text2text-generation",
    "token-classification",
    "translation",
    "video-classification",
    "visual-question-answering",
    "zero-shot-audio-classification",
    "zero-shot-classification",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
)
"""`transformers.pipelines.SUPPORTED_TASKS` of 4.57, written down so that serving needs no transformers."""

CHOICES = tuple(sorted({*PIPELINE_TASKS, *FAST_TASKS, *ALIASES, "text-to-image"}))

_ASKED_FOR = frozenset({"sentence-similarity", "text-ranking"})
"""Tasks that a tag alone does not choose: clients of such models send them texts, and pairs of texts."""

# The toolkit takes the last ending that fits; here the order makes the first one right.
_ARCHITECTURES = (
    ("TapasForQuestionAnswering", "table-question-answering"),
    ("WhisperForConditionalGeneration", "automatic-speech-recognition"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForTokenClassification", "token-classification"),
    ("ForSequenceClassification", "text-classification"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("MTModel", "text2text-generation"),
    ("EncoderDecoderModel", "text2text-generation"),
    ("GPT2LMHeadModel", "text-generation"),
    ("T5WithLMHeadModel", "text2text-generation"),
    # From here on, what the toolkit does not tell.
    ("ForCTC", "automatic-speech-recognition"),
    ("ForDepthEstimation", "depth-estimation"),
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
    ("ForUniversalSegmentation", "image-segmentation"),
    ("ForVideoClassification", "video-classification"),
)


def choose_task(folder: Path, asked: str | None = None, hub_tag: str | None = None) -> tuple[str, str]:
    """The task's canonical name, and how it was told.

    Asked for; else sentence-embedding for a sentence-transformers folder; else the Hub's pipeline tag; else what
    the architecture in config.json says. ConversionError lists the choices where none of that decides.
    """
    if asked:
        return canonical(asked), "asked for"
    saved = folder / "config_sentence_transformers.json"
    if saved.is_file() and read_json(saved).get("model_type") == "CrossEncoder":
        return "text-ranking", f"a CrossEncoder by {saved.name}"
    if (folder / "modules.json").is_file():
        return "sentence-embedding", "modules.json makes it a sentence-transformers model"
    if hub_tag and _known(hub_tag) and hub_tag not in _ASKED_FOR:
        return canonical(hub_tag), "the Hub's tag"
    if (folder / "model_index.json").is_file():
        return "text-to-image", "model_index.json makes it a diffusers model"
    architectures = read_json(folder / "config.json").get("architectures") or []
    architecture = str(architectures[0]) if architectures else ""
    for ending, task in _ARCHITECTURES:
        if architecture.endswith(ending):
            return task, f"{architecture} in config.json"
    reason = f"{architecture} does not tell the task" if architecture else "config.json names no architecture"
    raise ConversionError(f"{reason}: give --task (or HF_TASK), one of {', '.join(CHOICES)}")


def canonical(task: str) -> str:
    """A task's canonical name; ConversionError lists the choices for an unknown one."""
    if not _known(task):
        raise ConversionError(f"unknown task {task!r}: choose one of {', '.join(CHOICES)}")
    return ALIASES.get(task, task)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder; ConversionError where the file is missing or something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConversionError(f"not a model folder: {path.parent} has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path} is not a JSON object")
    return content


def _known(task: str) -> bool:
    return task in CHOICES or (task.startswith("translation_") and "_to_" in task)
