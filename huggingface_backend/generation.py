"""A generation while it runs: its tokens as they come, as texts, and its end for clients that have gone.

transformers asks its stopping criteria once a step, with all rows and their newest tokens. Ours stand around them: they
see which rows have ended, which a streamer of transformers does not, and they end rows themselves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from huggingface_backend.errors import InvalidInput, RequestError
from huggingface_backend.messages import Token, never

LOOK = 0.2
"""Seconds between two questions whether a client has gone: each goes through Triton's process."""

_UNSTREAMED = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
}
"""Parameters that write more than one token or text a step, each with the value that does not."""


class Caller:
    """The client of a call: whether it has gone, and what it wants to be told of each token."""

    def __init__(self, cancelled: Callable[[], bool] = never, follower: Follower | None = None) -> None:
        self._cancelled, self.follower = cancelled, follower
        self._asked, self._gone = 0.0, False

    def gone(self) -> bool:
        now = time.monotonic()
        if not self._gone and now - self._asked >= LOOK:
            self._asked, self._gone = now, self._cancelled()
        return self._gone


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Whose call a thread runs."""


def cancelled_by_client() -> RequestError:
    return RequestError("cancelled by the client", 499)


class Row(Protocol):
    """One prompt of a batch that is being generated."""

    def gone(self) -> bool:
        """Whether nobody waits for it; then it is over."""

    def step(self, ids: Any, *, last: bool) -> None:
        """Its ids, padding and prompt included, after each token; `last` is true once, then there are no more steps."""


def watch(model: Any, rows: Callable[[], Sequence[Row]]) -> None:
    """Let every generation of a model tell its rows of their steps, and end those that are gone.

    `rows` is asked when a generation begins. A row that is written in several texts at once has no steps.
    """
    make = getattr(model, "_get_stopping_criteria", None)
    if make is None:
        return

    def watched(*arguments: Any, **options: Any) -> Any:
        criteria, present = make(*arguments, **options), rows()
        return _Steps(criteria, present) if present else criteria

    model._get_stopping_criteria = watched


class _Steps(list[Any]):
    """Stopping criteria that tell rows what happens."""

    def __init__(self, criteria: Any, rows: Sequence[Row]) -> None:
        super().__init__(criteria)
        self._criteria, self._rows = criteria, rows
        self._ended: set[int] = set()
        self._left: set[int] = set()

    def __call__(self, ids: Any, scores: Any, **options: Any) -> Any:
        done = self._criteria(ids, scores, **options)
        texts, uneven = divmod(len(done), len(self._rows))
        ends, ids = done.tolist(), ids.cpu()
        for index, row in enumerate(self._rows):
            if index in self._ended:
                continue
            if row.gone():
                self._ended.add(index)
                self._left.add(index)
            elif texts == 1 and not uneven:
                row.step(ids[index], last=ends[index])
                if ends[index]:
                    self._ended.add(index)
        if len(self._left) == len(self._rows):
            done[:] = True
        elif not uneven:
            # A model that drops rows as they end (Whisper) says no more which are left.
            for index in self._left:
                done[index * texts : (index + 1) * texts] = True
        return done


class Follower:
    """Tells a call's tokens as texts that put together are the new part of the answer's text."""

    def __init__(self, tokenizer: Any, parameters: Mapping[str, Any], tell: Callable[[Token], None]) -> None:
        self._tokenizer, self._tell = tokenizer, tell
        self._skip = parameters.get("skip_special_tokens") is not False
        self._cleans = parameters.get("clean_up_tokenization_spaces") is not False
        self._special = frozenset(tokenizer.all_special_ids)
        self._ids: list[int] = []
        self._from = self._read = 0
        """Ids whose text is told lie before `_read`; from `_from` on they are decoded again, as what comes before an id
        decides on its space."""
        self._pending = ""
        """Text that what follows may change."""
        self._prompt = 0
        """Characters of the prompt that are in what is settled next."""

    def step(self, ids: Sequence[int], *, last: bool) -> None:
        """Ids that are new, in a row; the first time, with the prompt before the last of them."""
        if not self._ids:
            self._begin(ids[:-1])
        token = ids[-1]
        self._ids.append(token)
        text = self._settle(self._new(last=last), last=last)
        self._tell(Token(token, text, token in self._special, last))

    def _begin(self, prompt: Sequence[int]) -> None:
        self._ids = list(prompt)
        self._read = len(self._ids)
        text = self._decode(self._ids)
        settled = self._settle(text, last=False)
        self._prompt = len(self._clean(text)) - len(settled)

    def _new(self, *, last: bool) -> str:
        """The text of the ids since the last text; none while a character is incomplete."""
        before, after = self._decode(self._ids[self._from : self._read]), self._decode(self._ids[self._from :])
        if len(after) <= len(before) or (after.endswith(_INCOMPLETE) and not last):
            return ""
        if not before.endswith(_INCOMPLETE):
            self._from = self._read
        self._read = len(self._ids)
        return after[len(before) :]

    def _settle(self, text: str, *, last: bool) -> str:
        """What is certain of the pending text with this behind it, spaces cleaned up, without the prompt."""
        text = self._pending + text
        held = None if last or not self._cleans else _MAY_CHANGE.search(text)
        end = held.start() if held else len(text)
        settled, self._pending = self._clean(text[:end]), text[end:]
        cut = min(self._prompt, len(settled))
        self._prompt -= cut
        return settled[cut:]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=self._skip, clean_up_tokenization_spaces=False)
        return text

    def _clean(self, text: str) -> str:
        cleaned: str = self._tokenizer.clean_up_tokenization(text) if self._cleans else text
        return cleaned


_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What the first bytes of a character are decoded as."""

_MAY_CHANGE = re.compile(r" [ .?!,'ntmsver]*\Z")
"""An end that cleaning up, which takes spaces away before punctuation and English endings (` .`, ` ' `, ` n't`), may
change with what follows: spaces and characters of those alone. A word with any other character stops it."""


def expect_one_text(inputs: object, parameters: Mapping[str, Any], config: Any) -> None:
    """InvalidInput where a call cannot be streamed: its answer is not one text that grows token by token."""
    if isinstance(inputs, list) and not (inputs and isinstance(inputs[0], dict)):
        raise InvalidInput("a stream answers one prompt, a text or a list of messages, and not a list of prompts")
    for name, single in _UNSTREAMED.items():
        value = parameters.get(name, getattr(config, name, None))
        if value not in (None, single):
            raise InvalidInput(f"an answer with {name} {value!r} cannot be streamed: leave {name} or stream out")
    if parameters.get("return_tensors"):
        raise InvalidInput("a stream is of texts: leave return_tensors or stream out")


@dataclass(slots=True, eq=False)
class Single:
    """The only call of a generation, told in the generation's own thread."""

    caller: Caller
    begun: bool = False

    def gone(self) -> bool:
        return self.caller.gone()

    def step(self, ids: Any, *, last: bool) -> None:
        if self.caller.follower is not None:
            self.caller.follower.step(ids[-1:].tolist() if self.begun else ids.tolist(), last=last)
        self.begun = True
