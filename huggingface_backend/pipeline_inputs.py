"""What each pipeline of transformers takes, checked before it does: a request learns what was expected.

Whatever a pipeline answers is let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.input_shapes import (
    INPUTS,
    PICTURE,
    WORD_BOXES,
    Look,
    anything,
    first_of,
    one_or_more,
    picture,
    word_boxes,
)
from huggingface_backend.manifest import family
from huggingface_backend.parameter_kinds import ANY, FORBIDDEN, Kind, whole
from huggingface_backend.pipeline_parameters import TABLE
from huggingface_backend.tasks.base import PIPELINE_PARAMETERS
from huggingface_backend.tasks.question_answering import questions

OLDER_NAMES = ("images", "videos")
"""Parameters that stand in for the inputs."""


def check(task: str, inputs: object, parameters: Mapping[str, Any], *, known_only: bool = True) -> dict[str, Any]:
    """The parameters without those that are null, which is as good as not given. InvalidInput says what is wrong.

    `known_only` False is for pipelines of a model's own code, whose parameters only it knows.
    """
    task = family(task)
    kinds = TABLE.get(task)
    if kinds is None or not known_only:
        refused = sorted(FORBIDDEN & set(parameters))
        if refused:
            raise InvalidInput(f"{task} does not take {', '.join(refused)} from a request")
    checked = dict(parameters)
    if kinds is not None:
        kinds = {**kinds, **dict.fromkeys(PIPELINE_PARAMETERS, whole(0)), "seed": ANY}
        checked = _parameters(task, kinds, parameters, known_only=known_only)
    # Processes beside this one would change no answer.
    checked.pop("num_workers", None)
    for name in OLDER_NAMES:
        inputs = checked.get(name, inputs) if kinds and name in kinds else inputs
    _inputs(task, inputs, checked)
    return checked


def _parameters(
    task: str, kinds: Mapping[str, Kind], parameters: Mapping[str, Any], *, known_only: bool = True, where: str = ""
) -> dict[str, Any]:
    checked = {}
    for name, value in parameters.items():
        kind = kinds.get(name)
        if kind is None:
            if known_only:
                near = "".join(f" (did you mean {close}?)" for close in get_close_matches(name, kinds, 1))
                known = ", ".join(sorted(kinds))
                raise InvalidInput(f"{where[:-1] or task} does not take {name!r:.200}{near}; it takes {known}")
            checked[name] = value
        elif value is None:
            if kind.null:
                checked[name] = None
        else:
            checked[name] = _value(task, kind, value, where + name)
    return checked


def _value(task: str, kind: Kind, value: Any, where: str) -> Any:
    if kind.whole and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not kind.fits(value):
        plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        given = f"{value!r:.100}" if plain or value == [] else describe(value)
        raise InvalidInput(f"{where} must be {kind.words}, not {given}")
    return value if kind.inner is None else _parameters(task, kind.inner, value, where=f"{where}.")


def _inputs(task: str, inputs: object, parameters: Mapping[str, Any]) -> None:
    if task in ("zero-shot-classification", "zero-shot-image-classification", "zero-shot-audio-classification"):
        _require(task, parameters, "candidate_labels")
    if task == "question-answering":
        questions(inputs)
        return
    words, look = _asked_with(task, parameters) or INPUTS.get(task, ("", anything))
    wrong = look(inputs, "inputs")
    if wrong:
        raise InvalidInput(f"{task} takes {words} as inputs, but {wrong}")


def _asked_with(task: str, parameters: Mapping[str, Any]) -> tuple[str, Look] | None:
    """What the inputs are where parameters hold the question, the labels or the text."""
    if task == "visual-question-answering" and "question" in parameters:
        return (
            f"{PICTURE} or a list of them, with a question among the parameters,",
            one_or_more(picture),
        )
    if task == "document-question-answering" and "question" in parameters:
        if parameters.get("word_boxes") is None:
            return f"{PICTURE}, or word_boxes, with a question among the parameters,", picture
        wrong = word_boxes(parameters["word_boxes"], "word_boxes")
        if wrong:
            raise InvalidInput(f"{task} takes {WORD_BOXES} as word_boxes, but {wrong}")
        return "anything", anything
    if task == "zero-shot-object-detection" and {"candidate_labels", "text_queries"} & set(parameters):
        return f"{PICTURE} or a list of them", first_of(one_or_more(picture), INPUTS[task][1])
    if task == "image-text-to-text" and "text" in parameters:
        return "anything", anything
    return None


def _require(task: str, parameters: Mapping[str, Any], name: str) -> None:
    if name not in parameters:
        words = TABLE[task][name].words
        raise InvalidInput(f'{task} takes "parameters": {{"{name}": …}}, which is {words}, and there is none')
