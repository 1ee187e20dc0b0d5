"""Stages of the Dockerfile carried out, each an overlay on the one it is built on."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image import context
from tests.image.dockerfile import Dockerfile, Stage, copied, exec_form, expand, pairs
from tests.image.root import Overlay, Run

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SLIM = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man")
"""What Debian's slim images leave out."""


@dataclass
class Image:
    """A stage that has been built."""

    layers: list[Path]
    """Lowest first."""
    environment: dict[str, str]
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class Builder:
    """Builds stages below a work folder; one of which nothing has changed since is taken as it is, as Docker does."""

    def __init__(self, file: Dockerfile, source: Path, work: Path, bases: Mapping[str, Path]) -> None:
        """`bases` has a root folder for the base images, by what FROM says."""
        self._file = file
        self._source = source
        self._work = work
        self._bases = bases
        self._pip, self._mounts = pip_of_this_machine()
        self.arguments = dict(file.arguments)
        self.images: dict[str, Image] = {}
        self._keys: dict[str, str] = {}

    def build(self, target: str) -> Image:
        for name in self._file.needs(target):
            if name not in self.images:
                began = time.monotonic()
                self.images[name] = self._stage(self._file.stages[name])
                print(f"stage {name}: {time.monotonic() - began:.0f} s, {self.size(name):,} MB on what it is built on")
        return self.images[target]

    def size(self, name: str) -> int:
        return megabytes(self.images[name].layers[-1])

    def _stage(self, stage: Stage) -> Image:
        below = self.images.get(stage.base)
        if below is None:
            below = Image([self._bases[expand(stage.base, self.arguments)]], {"PATH": DEFAULT_PATH})
        upper = self._work / "stages" / stage.name
        image = Image(
            [*below.layers, upper], dict(below.environment), below.folder, below.entrypoint, dict(below.labels)
        )
        key = self._keys[stage.name] = self._key(stage)
        finished = upper.with_name(f"{upper.name}.finished")
        carry_out = not finished.exists() or finished.read_text("utf-8") != key
        if carry_out:
            finished.unlink(missing_ok=True)
            shutil.rmtree(upper, ignore_errors=True)
        arguments: dict[str, str] = {}
        with Overlay(below.layers, upper) as root:
            for instruction in stage.instructions:
                known = {**arguments, **image.environment}
                text = instruction.text
                match instruction.keyword:
                    case "ARG":
                        name, _, default = text.partition("=")
                        arguments[name] = self.arguments.get(name, default)
                    case "ENV":
                        image.environment.update(pairs(text, known))
                    case "LABEL":
                        image.labels.update(pairs(text, known))
                    case "WORKDIR":
                        image.folder = expand(text, known)
                        (root / image.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
                    case "ENTRYPOINT":
                        image.entrypoint = exec_form(text)
                    case "COPY" if carry_out:
                        self._copy(expand(text, known), root / image.folder.lstrip("/"), root)
                    case "RUN" if carry_out:
                        self._run(text, root, known, image.folder)
        finished.write_text(key, "utf-8")
        return image

    def _key(self, stage: Stage) -> str:
        """Of everything that a stage is made of."""
        total = hashlib.sha256(f"{self._keys.get(stage.base)} {stage} {sorted(self.arguments.items())}".encode())
        for copy in stage.of("COPY"):
            source, names, _ = copied(copy.text)
            total.update(str(self._keys.get(source or "")).encode())
            for path in self._sent(names) if source is None else ():
                total.update(f"{path} ".encode() + hashlib.sha256((self._source / path).read_bytes()).digest())
        return total.hexdigest()

    def _sent(self, names: Sequence[str]) -> Iterator[Path]:
        """The files of the build context below some names."""
        ignore = context.patterns((self._source / ".dockerignore").read_text("utf-8"))
        for path in context.files(self._source, ignore):
            if any(path.is_relative_to(name) for name in names):
                yield path

    def _run(self, command: str, root: Path, variables: Mapping[str, str], folder: str) -> None:
        print(f"  RUN {command[:110]}", flush=True)
        # As this machine's pip is set up; none of it stays in the image.
        environment = {"HOME": "/root", **self._pip, **variables}
        mounts = {inside: (outside, False) for inside, outside in self._mounts.items()}
        log = self._work / "build.log"
        with log.open("ab") as file:
            run = Run(root, ["/bin/sh", "-c", command], environment, folder=folder, network=True, mounts=mounts)
            code = run.start(file.fileno()).wait()
        if code:
            raise SystemExit(f"RUN {command[:200]}\nended with {code}:\n{log.read_text('utf-8', 'replace')[-4000:]}")

    def _copy(self, text: str, folder: Path, root: Path) -> None:
        stage, names, destination = copied(text)
        target = root / destination.lstrip("/") if destination.startswith("/") else folder / destination
        if stage is not None:
            other = self.images[stage]
            with Overlay(other.layers[:-1], other.layers[-1]) as source:
                for name in names:
                    _copy_tree(source / name.lstrip("/"), target)
            return
        for name in names:
            for path in self._sent([name]):
                # A folder's content is copied, a file keeps its name below a destination that ends with a slash.
                place = target / (path.name if path.as_posix() == name else path.relative_to(name))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._source / path, place)


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)


def debian(work: Path, suite: str) -> Path:
    """A small Debian from this machine's own mirror, without what Debian's own slim images leave out."""
    root = work / f"debian-{suite}"
    finished = work / f"{root.name}.finished"
    if finished.exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    found = re.search(r"^(?:URIs:|deb)\s+(https?://\S+/debian)/?\s", _apt_sources(), re.MULTILINE)
    mirror = [found[1]] if found else []
    with (work / "debootstrap.log").open("wb") as log:
        subprocess.run(["debootstrap", "--variant=minbase", suite, root, *mirror], check=True, stdout=log)
    for line in Path("/etc/apt/apt.conf.d").glob("*"):
        # How this machine reaches the mirror, and nothing of how it keeps its packages.
        if re.search(r"Acquire::(http|https|Check)", line.read_text("utf-8", "replace")):
            shutil.copy(line, root / "etc/apt/apt.conf.d")
    (root / "etc/apt/sources.list").unlink()
    (root / "etc/apt/sources.list.d/debian.sources").write_text(_debian_only(_apt_sources()), "utf-8")
    # So that sizes are those of a slim image: it keeps neither downloads nor documentation, now or later.
    (root / "etc/apt/apt.conf.d/slim").write_text('APT::Keep-Downloaded-Packages "false";\nDir::Cache::pkgcache "";\n')
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text("".join(f"path-exclude /{folder}/*\n" for folder in SLIM))
    for folder in ("var/cache/apt", "var/lib/apt/lists", *SLIM):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    finished.touch()
    return root


def _apt_sources() -> str:
    folder = Path("/etc/apt/sources.list.d")
    return "\n\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.sources"))) + "\n"


def _debian_only(sources: str) -> str:
    keep = [block for block in re.split(r"\n\s*\n", sources) if "debian-archive-keyring" in block]
    if not keep:
        raise SystemExit("no Debian sources in /etc/apt/sources.list.d: the proof runs on Debian")
    return "\n\n".join(keep) + "\n"


def pip_of_this_machine() -> tuple[dict[str, str], dict[str, Path]]:
    """This machine's pip settings as variables, and what they name as mounts: path in the root to path outside."""
    listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    variables: dict[str, str] = {}
    mounts: dict[str, Path] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        variable = f"PIP_{key.upper().replace('-', '_')}"
        if variable in variables and section != ":env:":
            continue
        words = []
        for word in shlex.split(value)[0].split():
            path = Path(word.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # A folder of an index may link beside itself, hence the parent.
                outside = path.parent if word.startswith("file://") else path
                inside = f"/mnt/{len(mounts)}"
                mounts[inside] = outside
                word = word.replace(str(outside), inside)
            words.append(word)
        variables[variable] = " ".join(words)
    return variables, mounts


def megabytes(folder: Path) -> int:
    done = subprocess.run(["du", "-sm", "--one-file-system", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])
