"""The making of one entry: packages, graph, files, manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from converters import entry, packages
from converters.digest import walk
from converters.errors import ConversionError, PrecisionError
from converters.model_files import clear, copy_code, copy_model
from converters.plan import REQUIREMENTS, Ask, Plan, beyond_fp32, only_fast, plan
from converters.progress import Progress
from converters.sources import Source
from converters.worker import protocol
from huggingface_backend.manifest import PLATFORM, Gate, Manifest, Quantization, TokenizerFacts, platform_tag
from huggingface_backend.script import PACKAGES, PROGRAM

if TYPE_CHECKING:
    from converters.convert import Options

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
class Conversion:
    """One source to one entry that is not in the cache."""

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
        versions = {**libraries(), PLATFORM: platform_tag()}
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
            self.options.precision or "fp32",
            self.options.format or "onnx",
            self.options.calibration,
            self.options.fall_back,
        )
        try:
            return _manifest(protocol.run(job, self.progress, self.cancelled))
        except protocol.NotExportableError as error:
            clear(version_folder)
            return self._without_graph(replace(decided, tier="torch", reasons=(str(error),)))

    def _without_graph(self, decided: Plan) -> Manifest:
        beyond = beyond_fp32(self.options.precision, self.options.format)
        if beyond:
            why = f"{only_fast(beyond, decided.tier)}: {'; '.join(decided.reasons)}"
            if not self.options.fall_back:
                raise PrecisionError(why)
            decided = replace(decided, reasons=(*decided.reasons, only_fast(beyond, decided.tier)))
        self.progress.note(f"not accelerated ({decided.tier} tier): {'; '.join(decided.reasons)}")
        return Manifest(
            task=decided.task,
            tier=decided.tier,
            trust_remote_code=self.options.trust_remote_code,
            gate=Gate(reason="no graph was made"),
            notes=decided.reasons,
        )


def _manifest(fields: dict[str, Any]) -> Manifest:
    """A manifest from the worker's JSON."""
    fields["tokenizer"] = TokenizerFacts(**fields["tokenizer"])
    fields["gate"] = Gate(**fields["gate"])
    if fields.get("quantization") is not None:
        fields["quantization"] = Quantization(**fields["quantization"])
    return Manifest(**fields)


def libraries() -> dict[str, str]:
    """What an entry is made with, by version; another version makes another entry."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
