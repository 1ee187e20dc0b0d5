"""What SOURCE may be: a folder, a model.tar.gz, a Hub id."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.archive import extract
from converters.digest import Digests
from converters.errors import ConversionError
from huggingface_backend.errors import first_line
from huggingface_backend.manifest import FILE as MANIFEST_FILE

if TYPE_CHECKING:
    from converters.progress import Progress

READY_GRAPHS = ("model.onnx", "onnx/model.onnx")
"""Graphs that a source may bring along, used as they are."""

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_OTHER_FRAMEWORKS: tuple[str, ...] = (
    "*.h5",
    "*.msgpack",
    "*.tflite",
    "*.ot",
    "*.mlmodel",
    "*.mlpackage/*",
    "*openvino*",
    "*.gguf",
    "*.tar.gz",
)


class Source(Protocol):
    """A model's files, wherever they are."""

    @property
    def name(self) -> str:
        """What the model is called unless the user says otherwise."""

    @property
    def identity(self) -> str:
        """Equal for equal content: a digest, or a Hub repository's commit."""

    @property
    def hub_tag(self) -> str | None:
        """The Hub's own opinion of the task."""

    @property
    def trusted(self) -> bool:
        """Whether its code/ may run unasked: the user's own files are, a Hub repository's are not."""

    def folder(self, scratch: Path, progress: Progress) -> AbstractContextManager[Path]:
        """The files as a folder, fetched or unpacked below `scratch` if they have to be."""


@dataclass(frozen=True)
class Folder:
    path: Path
    name: str
    identity: str
    hub_tag: str | None = None
    trusted: bool = True

    @contextmanager
    def folder(self, scratch: Path, progress: Progress) -> Iterator[Path]:  # noqa: ARG002
        yield self.path


@dataclass(frozen=True)
class Archive:
    path: Path
    name: str
    identity: str
    hub_tag: str | None = None
    trusted: bool = True

    @contextmanager
    def folder(self, scratch: Path, progress: Progress) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="unpacked-") as target:
            with progress.stage(f"unpacking {self.path.name}", Path(target)):
                extract(self.path, Path(target))
            yield Path(target)


@dataclass(frozen=True)
class Hub:
    repository: str
    revision: str
    token: str | None
    name: str
    identity: str
    hub_tag: str | None
    files: tuple[str, ...]
    trusted: bool = False

    @contextmanager
    def folder(self, scratch: Path, progress: Progress) -> Iterator[Path]:  # noqa: ARG002
        yield self.fetch(progress, ignore=_unwanted(self.files))

    def fetch(self, progress: Progress, *, allow: Sequence[str] | None = None, ignore: Sequence[str] = ()) -> Path:
        """The snapshot with files that fit the patterns, in the Hub client's own cache."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.constants import HF_HUB_CACHE

        cache = Path(HF_HUB_CACHE) / f"models--{self.repository.replace('/', '--')}"
        try:
            with progress.stage(f"downloading {self.repository}", cache):
                path = snapshot_download(
                    self.repository,
                    revision=self.revision,
                    token=self.token,
                    allow_patterns=None if allow is None else list(allow),
                    ignore_patterns=list(ignore),
                    tqdm_class=_no_bars(),
                )
        except OSError as error:
            raise ConversionError(f"{self.repository} cannot be downloaded: {first_line(error)}") from error
        return Path(path)


def resolve(source: str, cache: Path, revision: str | None = None, token: str | None = None) -> Source:
    """The source a name stands for; ConversionError says what is wrong with it. A Hub id costs one request.

    `cache` keeps digests of files and what the Hub said last, for when it cannot be reached.
    """
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            _check_folder(path)
            return Folder(path, path.resolve().name, Digests(cache / "digests.json").of(path))
        if path.is_file():
            name = re.sub(r"\.(tar(\.\w+)?|tgz)$", "", path.name)
            return Archive(path, name, Digests(cache / "digests.json").of(path))
    except OSError as error:
        raise ConversionError(f"{source} cannot be read: {error.strerror}") from error
    return resolve_hub(source, cache, revision, token)


def resolve_hub(source: str, cache: Path, revision: str | None = None, token: str | None = None) -> Hub:
    """The Hub model of an id."""
    if not _HUB_ID.fullmatch(source):
        raise ConversionError(f"{source} does not exist, and is not a Hub id like organisation/model")
    memory = cache / "hub" / f"{source.replace('/', '--')}@{(revision or 'main').replace('/', '--')}.json"
    try:
        facts = _ask_hub(source, revision, token)
    except _HubUnreachableError as error:
        # What it said last will do; the files may be here, or even the entry.
        try:
            facts = json.loads(memory.read_text("utf-8"))
        except (OSError, ValueError):
            raise ConversionError(f"the Hub cannot be reached for {source}: {error}") from error
    else:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(facts), "utf-8")
    return Hub(
        source,
        facts["commit"],
        token,
        name=source.rpartition("/")[2],
        identity=f"hub:{source}@{facts['commit']}",
        hub_tag=facts["tag"],
        files=tuple(facts["files"]),
    )


def _check_folder(path: Path) -> None:
    """Refuse a folder with nothing to serve before anything of it is read."""
    signs = ("config.json", "model_index.json", "modules.json", "model.onnx", "code", f"1/{MANIFEST_FILE}")
    if not any((path / sign).exists() for sign in signs):
        raise ConversionError(f"not a model folder: {path} has no config.json")


class _HubUnreachableError(Exception):
    pass


def _ask_hub(repository: str, revision: str | None, token: str | None) -> dict[str, Any]:
    """Commit, pipeline tag and files of a repository."""
    import requests
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(repository, revision=revision, token=token)
    except GatedRepoError:
        raise ConversionError(f"{repository} is gated: set HF_TOKEN to a token that was granted access") from None
    except RevisionNotFoundError:
        raise ConversionError(f"{repository} has no revision {revision}") from None
    except RepositoryNotFoundError:
        hint = "" if token else "; a private one needs HF_TOKEN"
        raise ConversionError(f"{repository} is neither a folder here nor a model on the Hub{hint}") from None
    except HFValidationError:
        raise ConversionError(f"{repository} does not exist, and is not a Hub id like organisation/model") from None
    except (HfHubHTTPError, OfflineModeIsEnabled, requests.RequestException, OSError) as error:
        raise _HubUnreachableError(first_line(error)) from error
    files = [sibling.rfilename for sibling in info.siblings or ()]
    return {"commit": info.sha, "tag": info.pipeline_tag, "files": files}


def _unwanted(files: Sequence[str]) -> tuple[str, ...]:
    """Patterns of files not worth their download: other frameworks, and weights that are there twice."""
    ignore = _OTHER_FRAMEWORKS
    if any(file.endswith(".safetensors") for file in files):
        ignore = (*ignore, "*.bin", "*.pt", "*.pth", "*.ckpt")
    if not any(file in READY_GRAPHS for file in files):
        ignore = (*ignore, "*.onnx", "*.onnx_data")
    return ignore


def _no_bars() -> type:
    """tqdm, silent: the conversion's own progress speaks."""
    from tqdm import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: object, **keywords: object) -> None:
            keywords["disable"] = True
            keywords.pop("name", None)
            super().__init__(*args, **keywords)

    return Silent
