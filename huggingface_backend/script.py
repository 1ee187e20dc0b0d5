"""The user's code/inference.py: found, imported and bound by the toolkit's rules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

from huggingface_backend.context import Context
from huggingface_backend.errors import EntryError

CODE = "code"
PROGRAM = "inference.py"

HOOKS = {"model_fn": 1, "input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4}
"""Each hook with the number of its parameters; one more is the context."""

COMPAT = Path(__file__).parent / "compat"


class Script:
    """The hooks one script overrides."""

    def __init__(self, name: str, hooks: dict[str, Callable[..., Any]]) -> None:
        """EntryError where the hooks do not go together or take a wrong number of parameters."""
        self.name = name
        self._hooks: dict[str, tuple[Callable[..., Any], bool]] = {}
        others = [hook for hook in ("input_fn", "predict_fn", "output_fn") if hook in hooks]
        if "transform_fn" in hooks and others:
            raise EntryError(f"{name}: transform_fn cannot be used together with {', '.join(others)}")
        for hook, function in hooks.items():
            count, base = len(signature(function).parameters), HOOKS[hook]
            if count not in (base, base + 1):
                raise EntryError(
                    f"{name}: {hook} takes {count} parameters; it must take {base}, or {base + 1} with the context"
                )
            self._hooks[hook] = (function, count == base + 1)

    def __contains__(self, hook: str) -> bool:
        return hook in self._hooks

    def call(self, hook: str, *arguments: Any, context: Context) -> Any:
        function, wants_context = self._hooks[hook]
        return function(*arguments, context) if wants_context else function(*arguments)

    @classmethod
    def load(cls, model_dir: Path, program: str = PROGRAM) -> Script | None:
        """Import `code/<program>` of a model; None where it has none. EntryError names file and line.

        `code/` goes first on sys.path and the compatibility packages last, so that whatever the user ships wins.
        """
        code = model_dir / CODE
        path = code / program
        if not path.is_file():
            return None
        sys.path.insert(0, str(code))
        sys.path.append(str(COMPAT))
        module_name = path.stem
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise EntryError(f"{path.name}{_where(error, code)}: {type(error).__name__}: {error}") from error
        loaded = Path(module.__file__ or "").resolve()
        if not loaded.is_relative_to(code.resolve()):
            raise EntryError(f"{program} was to be imported, but the name {module_name} belongs to {loaded}")
        found = {hook: getattr(module, hook, None) for hook in HOOKS}
        return cls(program, {hook: function for hook, function in found.items() if function is not None})


def _where(error: BaseException, code: Path) -> str:
    """`:LINE` of the last frame inside the user's code, or nothing."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    frame = error.__traceback__
    while frame is not None:
        if Path(frame.tb_frame.f_code.co_filename).is_relative_to(code):
            line = frame.tb_lineno
        frame = frame.tb_next
    return f":{line}" if line else ""
