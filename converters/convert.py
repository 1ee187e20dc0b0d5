"""A source to an entry: resolved, looked up in the cache, else converted."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Any

from filelock import FileLock

from converters import entry, packages, ready
from converters.code import normal_program, submitted_folder
from converters.digest import Digests, walk
from converters.errors import ConversionError, GateError
from converters.model_files import clear, copy_code, copy_model
from converters.plan import REQUIREMENTS, Ask, Plan, plan
from converters.progress import Progress
from converters.sources import Folder, Source, resolve
from converters.tasks import canonical
from converters.worker import protocol
from huggingface_backend.manifest import FORMAT, PLATFORM, Gate, Manifest, TokenizerFacts, platform_tag
from huggingface_backend.script import CODE, PACKAGES, PROGRAM

logger = logging.getLogger(__name__)

LIBRARIES = (
    "accelerate",
    "diffusers",
    "optimum",
    "sentence-transformers",
    "triton-hf",
    "torch",
    "transformers",
    "optimum-onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tokenizers",
)


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
            return Artifact(found, ready.manifest(found, options.task), found.resolve().name, cached=True)
        resolved = resolve(source, self._cache, revision, token)
        code, ignored = submitted_folder(
            options.submit_directory, resolved.path if isinstance(resolved, Folder) else None
        )
        if ignored is not None:
            progress.note(ignored)
        options = replace(options, submit_directory=None if code is None else str(code))
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
        facts = {
            "source": source.identity,
            "tag": source.hub_tag,
            "options": asdict(replace(options, submit_directory=None)),
            "code": None if code is None else Digests(self._cache / "digests.json").of(Path(code)),
            "versions": _versions(),
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
                            ready.manifest(found, options.task)
                            ready.adopt(found, unfinished)
                        else:
                            _Conversion(
                                resolved, folder, unfinished, options, key, source, progress, self._cache, cancelled
                            ).run()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConversionError(f"the conversion cannot be written to {self._cache}: {reason}") from error
        return Artifact(target, Manifest.read(target / entry.VERSION), resolved.name, cached)


@dataclass(frozen=True)
class _Conversion:
    resolved: Source
    folder: Path
    target: Path
    options: Options
    key: str
    source: str
    progress: Progress
    cache: Path
    cancelled: Event | None

    def run(self) -> None:
        """Fill the target; whatever is raised leaves nothing behind, because the caller drops the target."""
        decided = self._plan()
        version_folder = entry.stamp(self.target)
        versions = {**_versions(), PLATFORM: platform_tag()}
        if decided.requirements is not None:
            # Before the export: what cannot be installed should be known soon.
            target = version_folder / PACKAGES
            versions[REQUIREMENTS] = packages.install(
                decided.requirements, target, self.cache, self.progress, self.cancelled
            )
        manifest = self._manifest(decided, version_folder)
        graph = manifest.tier in ("fast", "accelerated")
        if not graph or manifest.weights or decided.code is not None:
            with self.progress.stage("copying the model", version_folder):
                copy_model(self.folder, version_folder, weights=not graph or manifest.weights)
        if decided.code is not None:
            copy_code(decided.code, version_folder, beside_weights=decided.code == self.folder)
        manifest = replace(
            manifest,
            key=self.key,
            source=self.source if self.resolved.hub_tag is None else self.resolved.identity,
            revision=self.resolved.identity,
            hooks=tuple(hook.name for hook in decided.hooks),
            versions=versions,
        )
        parameters = {} if self.options.program == PROGRAM else {"program": self.options.program}
        entry.write_config(self.target, parameters, decoupled=manifest.streams)
        # The manifest comes last: an entry without it is not one.
        manifest.write(version_folder)

    def _plan(self) -> Plan:
        submitted = self.options.submit_directory
        ask = Ask(
            self.options.task,
            self.options.program,
            self.options.trust_remote_code,
            self.options.torch,
            self.resolved.hub_tag,
            self.resolved.trusted,
            None if submitted is None else Path(submitted),
        )
        decided = plan(self.folder, ask, {str(path.relative_to(self.folder)) for path in walk(self.folder)})
        for note in decided.notes:
            self.progress.note(note)
        if decided.problems:
            raise ConversionError(decided.problems[0])
        return decided

    def _manifest(self, decided: Plan, version_folder: Path) -> Manifest:
        if not decided.graph:
            return self._without_graph(decided)
        job = protocol.Job(
            str(self.folder),
            str(version_folder),
            decided.task,
            self.options.trust_remote_code,
            asdict(decided.pooling) if decided.pooling else None,
        )
        try:
            return _manifest(protocol.run(job, self.progress, self.cancelled))
        except protocol.NotExportableError as error:
            clear(version_folder)
            return self._without_graph(replace(decided, tier="torch", reasons=(str(error),)))

    def _without_graph(self, decided: Plan) -> Manifest:
        self.progress.note(f"not accelerated ({decided.tier} tier): {'; '.join(decided.reasons)}")
        return Manifest(
            task=decided.task,
            tier=decided.tier,
            trust_remote_code=self.options.trust_remote_code,
            gate=Gate(reason="no graph was made"),
            notes=decided.reasons,
        )


def _ready(source: str) -> Path | None:
    """The entry in a folder, if that is what the source is."""
    given = Path(source).expanduser()
    try:
        return ready.find(given) if given.is_dir() else None
    except OSError as error:
        raise ConversionError(f"{source} cannot be read: {error.strerror}") from error


def _manifest(fields: dict[str, Any]) -> Manifest:
    """A manifest from the worker's JSON."""
    fields["tokenizer"] = TokenizerFacts(**fields["tokenizer"])
    fields["gate"] = Gate(**fields["gate"])
    return Manifest(**fields)


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
