"""question-answering, as `transformers.QuestionAnsweringPipeline` answers: pieces of a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.answers import Rules, Window, answers
from huggingface_backend.tasks.base import Call, Task, only
from huggingface_backend.tasks.parameters import flag, whole
from huggingface_backend.tasks.windows import Encoder
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "question-answering"
SHAPE = '{"question": …, "context": …}'
WRAPPERS = ("data", "X")
"""Keywords by which the pipeline takes its inputs, too."""
LONGEST = 384
"""Tokens of a window where the tokenizer allows as many."""
STRIDE = 128
PARAMETERS = (
    *("align_to_words", "doc_stride", "handle_impossible_answer", "max_answer_len", "max_question_len", "max_seq_len"),
    *("padding", "top_k", "topk"),
)

Row = tuple[NDArray[Any], NDArray[Any], Encoding]


@dataclass(frozen=True, slots=True)
class Parameters:
    rules: Rules
    contexts: list[str]
    windows: list[int]
    """Rows that each context became."""


class QuestionAnswering(Task):
    """Inputs: a question with its context, lists of either in one object, or a list of such objects.

    A long context becomes several rows, windows that overlap.
    """

    outputs = ("start_logits", "end_logits")
    per_token = True
    encodes = True

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        self._facts = manifest.tokenizer
        # The pipeline's way with tokenizers that pad on the left: the context comes first.
        self._question_first = self._facts.padding_side == "right"
        self._encoder = Encoder(self.tokenizer.backend, self._facts)
        self._options = TokenizeOptions()

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, *PARAMETERS)
        pairs, single = questions(inputs)
        top_k = whole(parameters, "top_k", None, least=1)
        rules = Rules(
            top_k or whole(parameters, "topk", 1, least=1),
            whole(parameters, "max_answer_len", 15, least=1),
            flag(parameters, "handle_impossible_answer", default=False),
            flag(parameters, "align_to_words", default=True),
            1 if self._question_first else 0,
        )
        # Fast tokenizers' questions are never cut.
        whole(parameters, "max_question_len", None, least=0)
        length = whole(parameters, "max_seq_len", min(self._facts.model_max_length or LONGEST, LONGEST), least=1)
        stride = whole(parameters, "doc_stride", min(length // 2, STRIDE), least=0)
        if stride > length:
            raise InvalidInput(f"doc_stride must be at most max_seq_len, which is {length}, not {stride}")
        groups = [self._windows(question, context, length, stride) for question, context in pairs]
        for group in groups:
            self._pad(group, parameters.get("padding"), length)
        checked = Parameters(rules, [context for _question, context in pairs], [len(group) for group in groups])
        return Call([window for group in groups for window in group], self._options, single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[Row]:
        rows = zip(*outputs, batch.lengths, batch.encodings, strict=True)
        return [(start[:length], end[:length], encoding) for start, end, length, encoding in rows]

    def answer(self, call: Call, rows: Sequence[Row]) -> object:
        parameters: Parameters = call.parameters
        found = []
        first = 0
        for context, count in zip(parameters.contexts, parameters.windows, strict=True):
            windows = [self._window(*row) for row in rows[first : first + count]]
            found.append(answers(context, windows, parameters.rules))
            first += count
        return found[0] if call.single else found

    def example(self) -> Call:
        return self.call({"question": "warm up", "context": "warm up"}, {})

    def _window(self, start: NDArray[Any], end: NDArray[Any], encoding: Encoding) -> Window:
        ids = np.array(encoding.ids)
        padding = 0
        if self._question_first:
            allowed = np.array([sequence == 1 for sequence in encoding.sequence_ids])
            # Models point to this token where there is no answer.
            allowed |= ids == self._facts.cls_token_id
        else:
            # The pipeline lets no token be forbidden here, and counts as padding whatever has its number.
            allowed = np.ones(len(ids), bool)
            padding = int((ids == self._facts.pad_token_id).sum()) if self._facts.pad_token is not None else 0
        allowed &= np.array(encoding.attention_mask, bool)
        return Window(encoding, start, end, allowed, padding)

    def _windows(self, question: str, context: str, length: int, stride: int) -> list[Encoding]:
        pair = (question, context) if self._question_first else (context, question)
        asked = len(self._encoder.encode([question], special=False)[0])
        room = length - asked - self._encoder.special_tokens(pair=True)
        if room > stride:
            strategy = "only_second" if self._question_first else "only_first"
            return self._encoder.windows([pair], length, stride, strategy)[0]
        encoding = self._encoder.encode([pair])[0]
        if len(encoding) <= length:
            return [encoding]
        raise InvalidInput(
            f"windows of {length} tokens that overlap by {stride} are too short for a question of {asked} tokens "
            "and this context: raise max_seq_len, lower doc_stride or shorten the question"
        )

    def _pad(self, windows: Sequence[Encoding], padding: object, length: int) -> None:
        if padding in (None, False, "do_not_pad"):
            return
        if padding not in (True, "longest", "max_length"):
            known = "true, false, do_not_pad, longest, max_length"
            raise InvalidInput(f"padding must be one of {known}, not {padding!r}")
        self._encoder.pad(windows, length if padding == "max_length" else max(map(len, windows)))


def questions(inputs: object) -> tuple[list[tuple[str, str]], bool]:
    """`(pairs, single)`: questions with their contexts, and whether one answer is expected and not a list."""
    if isinstance(inputs, dict) and len(inputs) == 1 and next(iter(inputs)) in WRAPPERS:
        (inputs,) = inputs.values()
    if isinstance(inputs, dict):
        return _pairs_of(inputs, "inputs")
    if not isinstance(inputs, list | tuple):
        raise InvalidInput(f"{NAME} takes {SHAPE} or a list of such objects as inputs, not {describe(inputs)}")
    if len(inputs) == 1:
        return _pairs_of(inputs[0], "inputs[0]")
    pairs = []
    for index, item in enumerate(inputs):
        found, single = _pairs_of(item, f"inputs[{index}]")
        if not single:
            raise InvalidInput(f"{NAME} takes lists of questions in one object alone, but inputs[{index}] is not alone")
        pairs += found
    return pairs, False


def _pairs_of(item: object, where: str) -> tuple[list[tuple[str, str]], bool]:
    if not isinstance(item, dict) or set(item) != {"question", "context"}:
        raise InvalidInput(f"{NAME} takes {SHAPE}, but {where} is {describe(item)}")
    questions, contexts = item["question"], item["context"]
    single = not isinstance(questions, list | tuple)
    if single:
        questions, contexts = [questions], [contexts]
    elif not isinstance(contexts, list | tuple):
        contexts = [contexts] * len(questions)
    if len(questions) != len(contexts):
        raise InvalidInput(f"{where} has {len(questions)} questions, but {len(contexts)} contexts")
    for name, texts in (("question", questions), ("context", contexts)):
        for text in texts:
            if not isinstance(text, str):
                raise InvalidInput(f"a {name} must be a text, but {where} has {describe(text)}")
            if not text:
                raise InvalidInput(f"a {name} must not be empty, and {where} has an empty one")
    return list(zip(questions, contexts, strict=True)), single
