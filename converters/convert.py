"""A source to an entry: resolved, looked up in the cache, else converted."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Any

from filelock import FileLock

from converters import entry
from converters.digest import walk
from converters.errors import ConversionError, GateError
from converters.progress import Progress
from converters.scripts import hooks
from converters.sentence_transformers import UnsupportedModuleError, read_pooling
from converters.sources import Source, resolve
from converters.tasks import canonical, choose_task
from converters.worker import protocol
from huggingface_backend.manifest import TOKENIZER, Gate, Manifest, Tier, TokenizerFacts
from huggingface_backend.script import CODE, PROGRAM
from huggingface_backend.tasks import TASKS

logger = logging.getLogger(__name__)

LIBRARIES = (
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
    """What a conversion is asked for; all of it is in the cache's key."""

    task: str | None = None
    program: str = PROGRAM
    trust_remote_code: bool = False
    torch: bool = False
    """Make no graph: the torch tier."""


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
        given = Path(source).expanduser()
        if entry.is_entry(given):
            return Artifact(given, Manifest.read(given / entry.VERSION), given.resolve().name, cached=True)
        resolved = resolve(source, self._cache, revision, token)
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
        return entry.is_entry(self._path(_key(resolved, options)))

    def _path(self, key: str) -> Path:
        return self._cache / "artifacts" / key

    def _make(
        self, source: str, resolved: Source, options: Options, progress: Progress, cancelled: Event | None
    ) -> Artifact:
        """The cached entry, or a new one; whoever else makes the same one is waited for."""
        key = _key(resolved, options)
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.with_suffix(".lock")):
                cached = entry.is_entry(target)
                if not cached:
                    entry.sweep(target)
                    with (
                        entry.being_written(target) as unfinished,
                        resolved.folder(unfinished.parent, progress) as folder,
                    ):
                        _Conversion(resolved, folder, unfinished, options, key, source, progress).run(cancelled)
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

    def run(self, cancelled: Event | None) -> None:
        """Fill the target; whatever is raised leaves nothing behind, because the caller drops the target."""
        version_folder = entry.stamp(self.target)
        script = self._script()
        if script is not None and "model_fn" in hooks(script):
            manifest = self._without_graph("script", "inference.py brings the model (model_fn)")
        else:
            task = choose_task(self.folder, self.options.task, self.resolved.hub_tag)
            manifest = self._convert(task, version_folder, cancelled)
        if manifest.tier == "fast":
            self._copy_code(version_folder)
        else:
            self._copy_all(version_folder)
        manifest = replace(
            manifest,
            key=self.key,
            source=self.source if self.resolved.hub_tag is None else self.resolved.identity,
            revision=self.resolved.identity,
            versions=_versions(),
        )
        parameters = {} if self.options.program == PROGRAM else {"program": self.options.program}
        entry.write_config(self.target, parameters)
        # The manifest comes last: an entry without it is not one.
        manifest.write(version_folder)

    def _convert(self, task: str, version_folder: Path, cancelled: Event | None) -> Manifest:
        if self.options.torch:
            return self._without_graph("torch", "the ONNX graph did not answer like PyTorch", task)
        if task not in TASKS:
            return self._without_graph("torch", f"{task} has no fast path yet", task)
        try:
            pooling = read_pooling(self.folder) if task == "sentence-embedding" else None
            job = protocol.Job(
                str(self.folder),
                str(version_folder),
                task,
                self.options.trust_remote_code,
                asdict(pooling) if pooling else None,
            )
            return _manifest(protocol.run(job, self.progress, cancelled))
        except (UnsupportedModuleError, protocol.NotExportableError) as error:
            # What the worker began must not be mistaken for a graph.
            for leftover in [*version_folder.glob("*/"), version_folder / TOKENIZER]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
            return self._without_graph("torch", str(error), task)

    def _without_graph(self, tier: Tier, reason: str, task: str | None = None) -> Manifest:
        self.progress.note(f"not accelerated ({tier} tier): {reason}")
        if task is None:
            task = self.options.task or "custom"
        return Manifest(task=task, tier=tier, gate=Gate(reason="no graph was made"), notes=(reason,))

    def _script(self) -> Path | None:
        """The script that will run, if one will."""
        path = self.folder / CODE / self.options.program
        if not path.is_file():
            return None
        if not (self.resolved.trusted or self.options.trust_remote_code):
            self.progress.note(f"{path.name} of the Hub repository is left out: it runs only with HF_TRUST_REMOTE_CODE")
            return None
        return path

    def _copy_code(self, version_folder: Path) -> None:
        if self._script() is not None:
            shutil.copytree(self.folder / CODE, version_folder / CODE, ignore=shutil.ignore_patterns("__pycache__"))

    def _copy_all(self, version_folder: Path) -> None:
        """Weights and whatever else a script or pipeline may read: the version folder is its model_dir."""
        keep_code = self._script() is not None
        with self.progress.stage("copying the model", version_folder):
            for path in walk(self.folder):
                relative = path.relative_to(self.folder)
                if relative.parts[0] == CODE and not keep_code:
                    continue
                if str(relative) in ("model.py", "manifest.json"):
                    raise ConversionError(
                        f"{relative} at the top of the model collides with Triton's: move it to code/"
                    )
                (version_folder / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, version_folder / relative)


def _manifest(fields: dict[str, Any]) -> Manifest:
    """A manifest from the worker's JSON."""
    fields["tokenizer"] = TokenizerFacts(**fields["tokenizer"])
    fields["gate"] = Gate(**fields["gate"])
    return Manifest(**fields)


def _key(source: Source, options: Options) -> str:
    facts = {
        "source": source.identity,
        "tag": source.hub_tag,
        "options": asdict(options),
        "versions": _versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
