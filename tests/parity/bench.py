"""A subject's entry and its reference, both loaded in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from converters.convert import Artifact
from huggingface_backend.handler import Handler
from huggingface_backend.loading import load
from tests.conversions import convert
from tests.parity.case import Subject
from tests.parity.reference import Reference


class Bench:
    def __init__(self, subject: Subject, folder: Path, cache: Path) -> None:
        self.artifact: Artifact = convert(folder, cache, task=subject.task)
        self.tier = self.artifact.manifest.tier
        self.handler: Handler = load(subject.id, self.artifact.path / "1")
        self._task, self._folder = subject.task, folder

    @cached_property
    def reference(self) -> Reference:
        return Reference(self._task, self._folder)


BuildBench = Callable[[Subject], Bench]
