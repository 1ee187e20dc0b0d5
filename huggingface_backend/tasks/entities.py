"""Labelled tokens, the words and groups they make, and which of overlapping ones count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is part of the text."""

    index: int
    word: str
    scores: NDArray[Any]
    start: int
    end: int
    subword: bool
    """It continues the word of the token before."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A token, or a word of several, with its label."""

    label: str
    score: np.float32
    word: str
    start: int
    end: int
    index: int = 0


def by_word(tokens: Iterable[Token]) -> list[list[Token]]:
    found: list[list[Token]] = []
    for token in tokens:
        if found and token.subword:
            found[-1].append(token)
        else:
            found.append([token])
    return found


def groups(entities: Iterable[Entity]) -> list[list[Entity]]:
    """Neighbours of the same type, which `B-` parts; a label without a prefix continues."""
    found: list[list[Entity]] = []
    for entity in entities:
        if found and not entity.label.startswith("B-") and _type(entity.label) == _type(found[-1][-1].label):
            found[-1].append(entity)
        else:
            found.append([entity])
    return found


def _type(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def of_token(entity: Entity) -> dict[str, Any]:
    return {
        "entity": entity.label,
        "score": float(entity.score),
        "index": entity.index,
        "word": entity.word,
        "start": entity.start,
        "end": entity.end,
    }


def without_overlaps(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that windows share, the longer one, and the surer one of equals."""
    kept: list[dict[str, Any]] = []
    for answer in sorted(answers, key=lambda answer: int(answer["start"])):
        if not kept or not kept[-1]["start"] <= answer["start"] < kept[-1]["end"]:
            kept.append(answer)
            continue
        if (answer["end"] - answer["start"], answer["score"]) > (
            kept[-1]["end"] - kept[-1]["start"],
            kept[-1]["score"],
        ):
            kept[-1] = answer
    return kept
