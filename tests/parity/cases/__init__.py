"""The table: every task, every parameter of it that a request can carry."""

from __future__ import annotations

from tests.parity.case import Case, Subject
from tests.parity.cases import generation, multimodal, sound, text, vision

__all__ = ["SUBJECTS", "Case", "Subject"]

SUBJECTS: tuple[Subject, ...] = (
    *text.SUBJECTS,
    *generation.SUBJECTS,
    *vision.SUBJECTS,
    *sound.SUBJECTS,
    *multimodal.SUBJECTS,
)
