"""An entry of a Triton model repository: stamped from the template, complete or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format

from converters.errors import ConversionError
from huggingface_backend.manifest import FILE as MANIFEST_FILE
from huggingface_backend.wire import MAX_BATCH_SIZE

TEMPLATE = Path(__file__).parents[1] / "model_repository" / "huggingface"
CONFIG = "config.pbtxt"
VERSION = "1"
PLAN = "plan"
"""The plain TensorRT model within a converted entry; `NAME_plan` in a repository."""


def write_config(entry: Path, parameters: dict[str, str], *, decoupled: bool = False) -> None:
    """config.pbtxt: the template's, with the batch size and these parameters, through Triton's own protobuf.

    `decoupled` lets a request have several responses.
    """
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse((TEMPLATE / CONFIG).read_text("utf-8"), model_config_pb2.ModelConfig())
    config.max_batch_size = MAX_BATCH_SIZE
    if decoupled:
        config.model_transaction_policy.decoupled = True
    for name, value in sorted(parameters.items()):
        config.parameters[name].string_value = value
    (entry / CONFIG).write_text(text_format.MessageToString(config), "utf-8")


def stamp(entry: Path) -> Path:
    """Lay out a new entry; returns its version folder."""
    version = entry / VERSION
    version.mkdir(parents=True)
    shutil.copyfile(TEMPLATE / VERSION / "model.py", version / "model.py")
    return version


def is_entry(folder: Path) -> bool:
    """Whether a folder is an entry that a conversion has finished."""
    return (folder / CONFIG).is_file() and (folder / VERSION / MANIFEST_FILE).is_file()


@contextmanager
def being_written(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place, whole, when the block ends well, and else vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        unfinished = scratch / target.name
        unfinished.mkdir()
        yield unfinished
        if target.exists():
            target.rename(scratch / "replaced")
        unfinished.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sweep(target: Path) -> None:
    """Remove what a killed conversion of the same target left; its caller holds the target's lock."""
    for scratch in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def place(artifact: Path, repository: Path, name: str) -> Path:
    """Copy a finished entry into a repository under a name. Big files are linked where the disk allows it.

    ConversionError where the name is taken by something that is not an entry of ours.
    """
    target = repository / name
    if target.exists() and not is_entry(target):
        raise ConversionError(f"{target} exists and is not an entry of triton-hf: choose another --name")
    with being_written(target) as unfinished:
        pycache = shutil.ignore_patterns("__pycache__")

        def ignore(folder: str, names: list[str]) -> set[str]:
            # A plan for Triton's tensorrt backend is a model of its own.
            return pycache(folder, names) | ({PLAN} if Path(folder) == artifact else set())

        shutil.copytree(artifact, unfinished, copy_function=_copy, ignore=ignore, dirs_exist_ok=True)
    return target


def _copy(source: str, target: str) -> str:
    # Small files may be edited in a repository, and the cache must not change with them.
    if Path(source).stat().st_size > 2**20:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return target
    shutil.copy2(source, target)
    return target
