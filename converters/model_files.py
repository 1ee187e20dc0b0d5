"""A model's own files in its entry, for scripts and pipelines to read."""

from __future__ import annotations

import shutil
from pathlib import Path

from converters.digest import walk
from converters.errors import ConversionError
from converters.weights import weights_format
from huggingface_backend.script import CODE, PACKAGES

_TRITONS = ("model.py", "manifest.json")
"""Names at the top of an entry's version folder that are taken."""


def copy_model(folder: Path, version_folder: Path, *, weights: bool) -> None:
    """Copy what is not in code/: the version folder is the model_dir of a script and the folder of a pipeline.

    Without `weights` only what is none of them and not there already, since an accelerated model reads nothing of it.
    ConversionError for a name that Triton or the model's packages take.
    """
    for path in walk(folder):
        relative = path.relative_to(folder)
        target = version_folder / relative
        taken = str(relative) in _TRITONS or (relative.parts[0] == PACKAGES and (version_folder / PACKAGES).exists())
        if relative.parts[0] == CODE:
            continue
        if not weights and (taken or weights_format(path.name) or target.exists()):
            continue
        if taken:
            raise ConversionError(f"{relative} at the top of the model has a name that the server needs: rename it")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def clear(version_folder: Path) -> None:
    """Remove what an attempt at a graph left, so that it is not mistaken for one."""
    for path in version_folder.iterdir():
        if path.name in (*_TRITONS, PACKAGES):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_code(code: Path, version_folder: Path, *, beside_weights: bool) -> None:
    """Copy a script's folder to the entry's code/; of a model's own folder, with the script in it, no weights."""

    def aside(_folder: str, names: list[str]) -> set[str]:
        weights = {name for name in names if weights_format(name) or name == CODE} if beside_weights else set()
        return weights | ({"__pycache__", ".git"} & set(names))

    shutil.copytree(code, version_folder / CODE, ignore=aside)
