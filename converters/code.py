"""Where a model's script comes from: its own code/, or a folder given in its place."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from huggingface_backend.script import CODE, PROGRAM, module_name


def normal_program(program: str) -> str:
    """A program as a file name, whichever way SAGEMAKER_PROGRAM says it: `inference` is `inference.py`."""
    return f"{module_name(program)}.py"


def submitted_folder(given: str | None, model: Path | None) -> tuple[Path | None, str | None]:
    """The folder to take in place of the model's code/, and a note where what was given is ignored.

    `model` is the model's own folder, if it is one: naming its code/ changes nothing.
    """
    if not given:
        return None, None
    url = urlsplit(given)
    if url.scheme not in ("", "file"):
        return None, f"SAGEMAKER_SUBMIT_DIRECTORY is ignored: {given} is not a local folder"
    path = Path(unquote(url.path) if url.scheme else given).expanduser()
    if not path.is_dir():
        return None, f"SAGEMAKER_SUBMIT_DIRECTORY is ignored: there is no folder {path}"
    if model is not None and path.resolve() == (model / CODE).resolve():
        return None, None
    return path, None


def why_no_script(code: Path, program: str) -> str | None:
    """What to tell the owner of a model whose script was not found; None where nobody asked for one."""
    others = sorted(path.name for path in code.glob("*.py")) if code.is_dir() else []
    there = f" (it has {', '.join(others[:4])})" if others else ""
    if normal_program(program) != PROGRAM:
        return f"there is no {program} in code/{there}: the model is served without a script"
    if others:
        return f"there is no {PROGRAM} in code/{there}: --program (SAGEMAKER_PROGRAM) names another script"
    return None
