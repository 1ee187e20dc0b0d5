"""The user's code/inference.py: found, imported and bound by the toolkit's rules."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from huggingface_backend.errors import EntryError, first_line

logger = logging.getLogger(__name__)

CODE = "code"
PACKAGES = "packages"
"""Where an entry keeps what its code/requirements.txt asks for."""
PROGRAM = "inference.py"

HOOKS = {
    "model_fn": 1,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "predict_batch_fn": 2,
}
"""Each hook with the number of its parameters; one more is the context. `predict_batch_fn` is ours, the others the
toolkit's."""

COMPAT = Path(__file__).parent / "compat"


def one_by_one(tier: str, hooks: Collection[str]) -> bool:
    """Whether a model answers its requests one after the other, so that only more processes make it faster.

    A script that predicts does, and so does the torch tier, unless predict_batch_fn takes them together.
    """
    predicts = not {"model_fn", "predict_fn", "transform_fn"}.isdisjoint(hooks)
    return (tier == "torch" or predicts) and "predict_batch_fn" not in hooks


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

    def call(self, hook: str, *arguments: Any, context: Any) -> Any:
        """Call a hook, with the context if it takes one."""
        function, wants_context = self._hooks[hook]
        return function(*arguments, context) if wants_context else function(*arguments)

    def __iter__(self) -> Iterator[str]:
        return iter(self._hooks)

    @classmethod
    def load(cls, model_dir: Path, program: str = PROGRAM) -> Script | None:
        """Import the program in a model's `code/`; None where it has none. EntryError names file and line.

        `code/` goes first on sys.path, then the model's own packages and its folder, and the compatibility packages
        last, so that whatever the user ships wins; child processes of the script find the same. The working directory
        becomes the model's folder, as multi-model-server has it.
        """
        code = model_dir / CODE
        name = module_name(program)
        if program_file(code, program) is None:
            return None
        packages = model_dir / PACKAGES
        first = [str(code), *([str(packages)] if packages.is_dir() else []), str(model_dir)]
        sys.path[:0] = first
        sys.path.append(str(COMPAT))
        given = [path for path in (os.environ.get("PYTHONPATH"), str(COMPAT)) if path]
        os.environ["PYTHONPATH"] = os.pathsep.join([*first, *given])
        os.chdir(model_dir)
        with said_in_one_line(code, program):
            module = importlib.import_module(name)
        loaded = Path(module.__file__ or "").resolve()
        if not loaded.is_relative_to(code.resolve()):
            raise EntryError(f"{program} was to be imported, but the name {name} belongs to {loaded}")
        found = {hook: getattr(module, hook, None) for hook in HOOKS}
        return cls(program, {hook: function for hook, function in found.items() if function is not None})


def module_name(program: str) -> str:
    """The module of a program, which may be given as either: `inference.py` or `inference`."""
    return program.removesuffix(".py")


def program_file(code: Path, program: str) -> Path | None:
    """The file that `import` would take for a program in a code folder; None where there is none."""
    parts = module_name(program).split(".")
    if "/" in program or not all(parts):
        return None
    base = code.joinpath(*parts)
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


@contextmanager
def said_in_one_line(code: Path, program: str, what: str = "") -> Iterator[None]:
    """Turn whatever user code raises into an EntryError: file and line in `code`, hook, error."""
    try:
        yield
    except (Exception, SystemExit) as error:
        logger.error("%s cannot be loaded", program, exc_info=error)
        what = f" {what} failed:" if what else ""
        raise EntryError(
            f"{_where(error, code, program)}:{what} {type(error).__name__}: {first_line(error)}"
        ) from error


def _where(error: BaseException, code: Path, program: str) -> str:
    """`FILE:LINE` of the last frame inside the user's code; the program's name where there is none."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(code):
        return f"{Path(error.filename).relative_to(code)}:{error.lineno}"
    found, frame = program, error.__traceback__
    while frame is not None:
        path = Path(frame.tb_frame.f_code.co_filename)
        if path.is_relative_to(code):
            found = f"{path.relative_to(code)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return found
