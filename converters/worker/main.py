"""`python -m converters.worker.main`: do one job, in a process that ends with it."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, GateError, PrecisionError
from converters.exports import ACCELERATED_AS, FAST_AS
from converters.model_files import clear
from converters.plan import beyond_fp32, only_fast
from converters.worker.protocol import Job, NotExportableError, NotFastError


def main() -> None:
    # Libraries print; what they print must not end up between our events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Where memory runs out it is this process that the kernel should end, and none that serves.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")

    def emit(event: str, **fields: Any) -> None:
        events.write(json.dumps({"event": event, **fields}) + "\n")
        events.flush()

    outcome, fields = work(Job(**json.load(sys.stdin)), emit)
    emit(outcome, **fields)
    sys.stderr.flush()
    # Nothing is left to do that torch's own exit handlers could do better.
    os._exit(0)


def work(job: Job, emit: Callable[..., None]) -> tuple[str, dict[str, Any]]:
    """The last event and its fields; failures are events too, one line each."""
    try:
        return "done", {"fields": _convert(job, emit)}
    except NotExportableError as error:
        return "not-exportable", {"message": str(error)}
    except GateError as error:
        return "gate", {"message": str(error)}
    except ConversionError as error:
        return "failed", {"message": str(error)}
    except MemoryError:
        return "failed", {"message": "not enough memory for this model"}
    except Exception as error:
        traceback.print_exc()
        if no_space(error):
            return "failed", {"message": "no space left on the disk"}
        lines = str(error).strip().splitlines()
        detail = lines[0][:400] if lines else ""
        return "failed", {"message": f"the conversion failed: {type(error).__name__}: {detail}"}


def _convert(job: Job, emit: Callable[..., None]) -> dict[str, Any]:
    """The fastest tier with a graph that this model can have."""
    from converters.worker import accelerated, convert, diffusion

    beyond = beyond_fp32(job.precision, job.format)
    notes: tuple[str, ...] = ()
    if job.task in FAST_AS:
        try:
            return convert.convert(job, emit)
        except NotFastError as error:
            if job.task not in ACCELERATED_AS:
                raise NotExportableError(str(error)) from error
            emit("note", text=f"no fast path: {error}")
            clear(Path(job.target))
            notes = (str(error),)
    if beyond:
        why = only_fast(beyond, "accelerated")
        if not job.fall_back:
            raise PrecisionError(why)
        emit("note", text=why)
        notes = (*notes, why)
    slower = diffusion if job.task == "text-to-image" else accelerated
    return {**slower.convert(job, emit), "notes": notes}


def no_space(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; the libraries between wrap it or keep only its text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
