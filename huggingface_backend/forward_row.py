"""One row on its way through the forward pass, between the thread of its call and the one that runs batches."""

from __future__ import annotations

import queue
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from huggingface_backend.generation import Caller, cancelled_by_client
from huggingface_backend.sampling import Draws


@dataclass(slots=True, eq=False)
class Row:
    inputs: Any
    params: dict[str, Any]
    key: object
    """Rows of equal keys may share a batch; None for one that must be alone."""
    draws: Draws | None = None
    caller: Caller | None = None
    early: bool = False
    """Whether its output can be made of its ids, so that it need not wait for its neighbours."""
    result: Future[Any] = field(default_factory=Future)
    steps: queue.SimpleQueue[tuple[list[int], bool] | None] = field(default_factory=queue.SimpleQueue)
    """Ids that are new, and whether they are the last, for a caller that follows; None behind them."""
    left: bool = False
    """Whether it was given up."""
    prompt: int | None = None
    """Ids before the first that was generated, once there is one."""

    @property
    def streamed(self) -> bool:
        return self.caller is not None and self.caller.follower is not None

    def gone(self) -> bool:
        """Whether nobody waits for it any more, of which its call is told."""
        gone = self.caller is not None and self.caller.gone()
        if gone:
            self.left = True
            self.end(error=cancelled_by_client())
        return gone

    def step(self, ids: Any, *, last: bool) -> None:
        """A token was generated; it is the last of `ids`."""
        first = self.prompt is None
        if self.prompt is None:
            self.prompt = len(ids) - 1
        if self.streamed:
            self.steps.put((ids.tolist() if first else ids[-1:].tolist(), last))
        if last and self.early:
            empty = self.inputs["input_ids"].shape[1] == 0
            self.end(
                {
                    "generated_sequence": ids[None, None],
                    "input_ids": None if empty else ids[None, : self.prompt],
                    "prompt_text": self.inputs["prompt_text"],
                }
            )

    def follow(self) -> None:
        """Tell the caller its tokens, where it wants them, until there are no more."""
        follower = None if self.caller is None else self.caller.follower
        while follower is not None and (step := self.steps.get()) is not None:
            ids, last = step
            follower.step(ids, last=last)

    def end(self, output: Any = None, error: BaseException | None = None) -> None:
        """Tell its call the first end that it has."""
        if self.result.done():
            return
        self.steps.put(None)
        if error is None:
            self.result.set_result(output)
        else:
            self.result.set_exception(error)
