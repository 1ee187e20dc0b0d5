"""A source to an entry: resolved, looked up in the cache, else converted."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event

from filelock import FileLock

from converters import entry, packages, ready
from converters.code import normal_program, submitted_folder
from converters.digest import Digests
from converters.errors import ConversionError, GateError
from converters.making import Conversion, libraries
from converters.plan import REQUIREMENTS, beyond_fp32
from converters.progress import Progress
from converters.sources import Folder, Source, resolve
from converters.tasks import canonical
from huggingface_backend.manifest import FORMAT, Manifest, platform_tag
from huggingface_backend.script import CODE, PROGRAM

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a conversion is asked for; all of it is in the cache's key, a folder by its content."""

    task: str | None = None
    program: str = PROGRAM
    """A file or module in code/."""
    trust_remote_code: bool = False
    torch: bool = False
    """Make no graph: the torch tier."""
    submit_directory: str | None = None
    """A local folder, or its file:// URL, to take in place of the model's code/."""
    precision: str | None = None
    """fp32 if not given; an entry that was converted before is taken as it is."""
    format: str | None = None
    """onnx if not given; likewise."""
    calibration: str | None = None
    """A file of texts, one a line, that another precision than fp32 is judged on as well."""
    fall_back: bool = False
    """Whether fp32 in ONNX will do where the precision or the format cannot be had."""


@dataclass(frozen=True)
class Artifact:
    """A finished entry in the cache."""

    path: Path
    manifest: Manifest
    name: str
    """What the source is called."""
    cached: bool
    """Whether it was there already."""


class Converter:
    """Conversions and their cache: `<cache>/artifacts/<key>` is one entry each, never changed once it is there."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def convert(
        self,
        source: str,
        options: Options,
        progress: Progress,
        *,
        fall_back: bool = False,
        revision: str | None = None,
        token: str | None = None,
        cancelled: Event | None = None,
    ) -> Artifact:
        """The entry for a source. ConversionError or GateError says in one line why there is none.

        With `fall_back`, a graph that does not answer like PyTorch gives an entry of the torch tier instead.
        """
        if options.task is not None:
            options = replace(options, task=canonical(options.task))
        options = replace(options, program=normal_program(options.program))
        found = _ready(source)
        if found is not None:
            for note in ready.notes(found):
                progress.note(note)
            return Artifact(found, _manifest_of(found, options), found.resolve().name, cached=True)
        resolved = resolve(source, self._cache, revision, token)
        code, ignored = submitted_folder(
            options.submit_directory, resolved.path if isinstance(resolved, Folder) else None
        )
        if ignored is not None:
            progress.note(ignored)
        options = replace(options, submit_directory=None if code is None else str(code))
        if options.calibration is not None and not Path(options.calibration).is_file():
            raise ConversionError(f"{options.calibration} is not a file of texts")
        if fall_back and beyond_fp32(options.precision, options.format) and not self._has(resolved, options):
            options = replace(options, fall_back=True)
        on_torch = replace(options, torch=True)
        if fall_back and not self._has(resolved, options) and self._has(resolved, on_torch):
            options = on_torch
        try:
            return self._make(source, resolved, options, progress, cancelled)
        except GateError as error:
            if not fall_back:
                raise
            progress.note(f"{error}; falling back to the torch tier")
            return self._make(source, resolved, on_torch, progress, cancelled)

    def _has(self, resolved: Source, options: Options) -> bool:
        return entry.is_entry(self._path(self._key(resolved, options)))

    def _path(self, key: str) -> Path:
        return self._cache / "artifacts" / key

    def _key(self, source: Source, options: Options) -> str:
        code = options.submit_directory
        digests = Digests(self._cache / "digests.json")
        facts = {
            "source": source.identity,
            "tag": source.hub_tag,
            "options": asdict(
                replace(
                    options,
                    submit_directory=None,
                    calibration=None,
                    precision=options.precision or "fp32",
                    format=options.format or "onnx",
                )
            ),
            "code": None if code is None else digests.of(Path(code)),
            "texts": None if options.calibration is None else digests.of(Path(options.calibration)),
            "versions": libraries(),
            "platform": platform_tag(),
            "format": FORMAT,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def _holds(self, target: Path) -> bool:
        """Whether the packages of an entry's own are still what its requirements come to in this environment."""
        requirements = target / entry.VERSION / CODE / REQUIREMENTS
        if not requirements.is_file():
            return True
        manifest = Manifest.read(target / entry.VERSION)
        if manifest.key != target.name:
            return True  # it came in an archive, converted elsewhere
        return manifest.versions.get(REQUIREMENTS) in (None, packages.digest(requirements, self._cache))

    def _make(
        self, source: str, resolved: Source, options: Options, progress: Progress, cancelled: Event | None
    ) -> Artifact:
        """The cached entry, or a new one; whoever else makes the same one is waited for."""
        key = self._key(resolved, options)
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.with_suffix(".lock")):
                cached = entry.is_entry(target) and self._holds(target)
                if not cached:
                    entry.sweep(target)
                    with (
                        entry.being_written(target) as unfinished,
                        resolved.folder(unfinished.parent, progress) as folder,
                    ):
                        # Whoever wrote an entry wrote code that runs: one from the Hub is a model like any other.
                        found = ready.find(folder) if resolved.trusted else None
                        if found is not None:
                            progress.note(f"{source} holds an entry that was converted before")
                            _manifest_of(found, options)
                            ready.adopt(found, unfinished)
                        else:
                            Conversion(
                                resolved, folder, unfinished, options, key, source, progress, self._cache, cancelled
                            ).run()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConversionError(f"the conversion cannot be written to {self._cache}: {reason}") from error
        # An entry that the source brought along may be of another precision than its key says.
        strictly = cached and not options.fall_back
        read = _manifest_of(target, options) if strictly else Manifest.read(target / entry.VERSION)
        return Artifact(target, read, resolved.name, cached)


def _ready(source: str) -> Path | None:
    """The entry in a folder, if that is what the source is."""
    given = Path(source).expanduser()
    try:
        return ready.find(given) if given.is_dir() else None
    except OSError as error:
        raise ConversionError(f"{source} cannot be read: {error.strerror}") from error


def _manifest_of(found: Path, options: Options) -> Manifest:
    """The manifest of an entry that was converted before."""
    return ready.manifest(found, options.task, options.precision, options.format)
