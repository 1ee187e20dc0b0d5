"""What a task is: inputs and parameters become rows, rows' outputs become an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.batches import Batch, PixelBatch, Pixels
from huggingface_backend.errors import EntryError, InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

PIPELINE_PARAMETERS = ("batch_size", "num_workers")
"""Keyword arguments every transformers pipeline takes that cannot change an answer."""


Item: TypeAlias = Text | Encoding | Pixels
"""What becomes a row: a text that the engine has yet to encode, or something a task has made ready itself."""


@dataclass(slots=True)
class Call:
    """One request as its task sees it: rows that share tokenising options, and how to answer."""

    items: Sequence[Item]
    options: TokenizeOptions
    single: bool
    """The inputs were one item and not a list of them."""
    parameters: Any = None
    """The task's own parameters, checked, and whatever else `answer` needs."""


class Task(ABC):
    """Rows of a request may run in different batches, beside rows of other requests.

    A new task is a subclass and a line in `tasks.TASKS`.
    """

    outputs: ClassVar[tuple[str, ...]] = ()
    """Names of the graph's outputs that `reduce` reads, in its order; the first output where none is named."""
    per_token = False
    """Whether those outputs have an entry a token, (rows, tokens, …)."""
    offsets = False
    """Whether encodings need to know which characters a token came from, which costs a little."""
    cutting: ClassVar[str] = ""
    """Parameters that cut what is too long, as JSON, for the message that refuses it; empty where there are none."""
    encodes = False
    """Whether `call` encodes texts itself; then one with very long texts gets a thread of its own."""

    follow_references = False
    """Whether URLs and paths in requests may be opened, by the operator's word."""

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        """`tokenizer` is for the vocabulary and for decoding; only a task that `encodes` may encode with it."""
        self.manifest = manifest
        self._given_tokenizer = tokenizer

    @property
    def tokenizer(self) -> TextTokenizer:
        if self._given_tokenizer is None:
            raise EntryError(f"{self.manifest.task} needs a tokenizer")
        return self._given_tokenizer

    @abstractmethod
    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        """Check inputs and parameters. InvalidInput tells the client what was expected. Runs in any thread."""

    @abstractmethod
    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Any) -> Sequence[Any]:
        """One result a row from a batch's outputs, without the padding: an array, or a tuple of arrays and others."""

    @abstractmethod
    def answer(self, call: Call, rows: Sequence[Any]) -> object:
        """What the transformers pipeline would return, from `reduce`'s results in the order of `call.items`."""

    def keep(self, call: Call, result: Any) -> Any:  # noqa: ARG002
        """What `answer` needs of a row's result: of a large one, less than all while other rows are waited for."""
        return result

    def budget(self, tokens: int) -> int:
        """The tokens of one run, of those that the machine likes; fewer where outputs are wide."""
        return tokens

    def example(self) -> Call:
        """A small call to warm up with."""
        return self.call("warm up", {})

    def batch(self, items: Sequence[Any]) -> Batch | PixelBatch:
        """What the graph is fed for rows that are ready."""
        return Batch.of(items, self.manifest.tokenizer)


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


def as_groups(inputs: object, task: str, one: str, many: str) -> tuple[list[tuple[str, list[str]]], bool]:
    """`(groups, single)` from `{one: a text, many: texts}` or a list of such objects."""
    if isinstance(inputs, list | tuple):
        return [_group(item, f"inputs[{index}]", task, one, many) for index, item in enumerate(inputs)], False
    return [_group(inputs, "inputs", task, one, many)], True


def _group(item: object, where: str, task: str, one: str, many: str) -> tuple[str, list[str]]:
    if isinstance(item, dict) and set(item) == {one, many}:
        text, texts = item[one], item[many]
        if isinstance(text, str) and isinstance(texts, list | tuple):
            for index, other in enumerate(texts):
                if not isinstance(other, str):
                    raise InvalidInput(f"{task} takes texts, but {where}.{many}[{index}] is {describe(other)}")
            if texts:
                return text, list(texts)
            raise InvalidInput(f"{task} takes at least one text, but {where}.{many} is empty")
    raise InvalidInput(f'{task} takes {{"{one}": "…", "{many}": ["…", …]}}, but {where} is {describe(item)}')
