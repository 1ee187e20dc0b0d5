"""What a task is: inputs and parameters become rows, rows' outputs become an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tokenization import Text, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.session import Batch

PIPELINE_PARAMETERS = ("batch_size", "num_workers")
"""Keyword arguments every transformers pipeline takes that cannot change an answer."""


@dataclass(slots=True)
class Call:
    """One request as its task sees it: rows that share tokenising options, and how to answer."""

    texts: list[Text]
    options: TokenizeOptions
    single: bool
    """The inputs were one item and not a list of them."""
    parameters: Any = None
    """The task's own parameters, checked."""


class Task(ABC):
    """Rows of a request may run in different batches, beside rows of other requests.

    A new task is a subclass and a line in `tasks.TASKS`.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @abstractmethod
    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        """Check inputs and parameters. InvalidInput tells the client what was expected."""

    @abstractmethod
    def reduce(self, output: NDArray[Any], batch: Batch) -> Sequence[NDArray[Any]]:
        """One result a row from a batch's first output, without the padding."""

    @abstractmethod
    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        """What the transformers pipeline would return, from `reduce`'s results in the order of `call.texts`."""


def only(parameters: Mapping[str, Any], task: str, *known: str) -> None:
    """Refuse parameters the task does not know."""
    unknown = sorted(set(parameters) - set(known) - set(PIPELINE_PARAMETERS))
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise InvalidInput(f"{task} takes the parameters {', '.join(known)}; not {names}")


def as_texts(inputs: object, task: str) -> tuple[list[str], bool]:
    """`(texts, single)` from a string or a list of strings."""
    if isinstance(inputs, str):
        return [inputs], True
    if isinstance(inputs, list | tuple):
        for index, item in enumerate(inputs):
            if not isinstance(item, str):
                raise InvalidInput(f"{task} takes texts, but inputs[{index}] is {describe(item)}")
        return list(inputs), False
    raise InvalidInput(f"{task} takes a text or a list of texts as inputs, not {describe(inputs)}")
