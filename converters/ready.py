"""Models that were converted before: an entry itself, a folder or an archive with one in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from converters import entry
from converters.errors import ConversionError
from huggingface_backend.manifest import GRAPH, Manifest, family
from huggingface_backend.script import CODE

_TO_CONVERT = ("config.json", "model_index.json", "modules.json", "model.onnx")
_SHOWN = 4


def find(folder: Path) -> Path | None:
    """The entry that a folder is, or the only one in it; None where it holds a model to convert, or nothing.

    ConversionError where it holds several, or a model that is for Triton but not from here.
    """
    if entry.is_entry(folder):
        return folder
    if any((folder / name).exists() for name in _TO_CONVERT):
        return None
    found = sorted(path for path in folder.iterdir() if entry.is_entry(path))
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise ConversionError(f"{folder.name} holds {len(found)} entries ({names}): name one, or use --repository")
    if not found and (folder / entry.CONFIG).is_file() and not (folder / CODE).is_dir():
        raise ConversionError(
            f"{folder.name} is no entry of triton-hf: it has a {entry.CONFIG} but no {entry.VERSION}/manifest.json"
        )
    return found[0] if found else None


def manifest(found: Path, task: str | None, precision: str | None = None, form: str | None = None) -> Manifest:
    """An entry's manifest. EntryError where it cannot be served here, ConversionError where it is something else.

    `task` is the one that was asked for, by its canonical name; it, precision and format are None where nobody asked.
    """
    read = Manifest.read(found / entry.VERSION)
    if task is not None and read.tier != "script" and task not in (read.task, family(read.task)):
        raise ConversionError(f"the entry was converted for {read.task}, not for {task}: convert its source again")
    for asked, is_ in ((precision, read.precision), (form, read.engine)):
        if asked not in (None, is_):
            raise ConversionError(f"the entry was converted for {is_}, not for {asked}: convert its source again")
    return read


def missing(read: Manifest, files: Collection[Path], where: Path) -> Iterator[str]:
    """What the entry in the folder `where` lacks that only its load would tell."""
    graph = where / entry.VERSION / GRAPH
    if read.tier == "fast" and graph not in files:
        yield f"the entry is not whole: there is no {graph}"


def notes(found: Path) -> Iterator[str]:
    """What lies beside an entry and is not used."""
    if (found / CODE).is_dir() or (found.parent / CODE).is_dir():
        own = found / entry.VERSION / CODE
        why = f"the entry has its own in {entry.VERSION}/{CODE}" if own.is_dir() else "it was converted without"
        yield f"{CODE}/ beside the entry is left alone: {why}; convert the model again to change it"


def adopt(found: Path, target: Path) -> None:
    """Move an unpacked entry to an existing empty folder on the same disk."""
    for path in sorted(found.iterdir()):
        path.rename(target / path.name)
