"""A failure is found out and told to the one row that caused it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from huggingface_backend.errors import InvalidInput, ModelError, RequestError, first_line
from huggingface_backend.rows import Row
from huggingface_backend.tasks.base import Task


def isolate(rows: Sequence[Row], step: Callable[[Sequence[Row]], None], task: Task) -> None:
    """Run a step on all rows; where it fails, halve until the one row that fails is alone, and settle that."""
    try:
        step(rows)
    except Exception as error:  # whatever ONNX Runtime or tokenizers raise belongs to one row
        if len(rows) > 1:
            middle = len(rows) // 2
            isolate(rows[:middle], step, task)
            isolate(rows[middle:], step, task)
        else:
            rows[0].settle(_blame(rows[0], error, task))


def _blame(row: Row, error: Exception, task: Task) -> RequestError:
    """What to tell the client of the row that failed alone."""
    if isinstance(error, RequestError):
        return error
    limit = task.manifest.tokenizer.model_max_length
    if limit is not None and row.length > limit:
        return too_long(row.length, limit, task.cutting)
    return ModelError(f"the model failed on this input: {first_line(error)}")


def too_long(length: int, limit: int, cutting: str) -> InvalidInput:
    way_out = f'shorten it or send "parameters": {cutting}' if cutting else "shorten it"
    return InvalidInput(f"the text has {length} tokens, the model takes {limit}; {way_out}")
