"""What a model's requirements.txt asks for, installed into a folder of the model's own.

pip runs in an empty virtual environment that sees the packages of the running one: it leaves out what is there and
fits, and installs beside it what is not there or does not fit. The running environment is never changed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock

from converters import entry
from converters.children import bound
from converters.digest import Digests
from converters.errors import ConversionError
from converters.progress import Progress
from converters.requirements import included, installed

_OURS = "server-environment.pth"
_PIP = ("install", "--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar", "off", "--no-user")
_SHOWN = 4
"""Versions that a message names."""


def install(requirements: Path, target: Path, cache: Path, progress: Progress, cancelled: Event | None = None) -> str:
    """Make `target` the folder of what a requirements.txt asks for, linked to the one in the cache.

    Returns the digest of what was asked for. There is no folder where the running environment has everything.
    ConversionError names the requirement that cannot be had and why; then nothing is left behind, in the cache or at
    the target.
    """
    if find_spec("pip") is None:
        raise ConversionError(f"code/{requirements.name} cannot be installed: this environment has no pip")
    # Absolute, because pip runs in another folder.
    asked = digest(requirements, cache)
    kept = cache.absolute() / "requirements" / asked
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{kept}.lock"):
        if not kept.is_dir():
            entry.sweep(kept)
            with (
                entry.being_written(kept) as unfinished,
                progress.stage(f"installing code/{requirements.name}", unfinished.parent),
            ):
                _install(requirements, unfinished, progress, cancelled)
    if any(kept.iterdir()):
        shutil.copytree(kept, target, copy_function=_link, symlinks=True)
    return asked


def digest(requirements: Path, cache: Path) -> str:
    """Equal where an installation would come to the same: the file and what it names, Python, the packages here."""
    total = hashlib.sha256()
    digests = Digests(cache / "digests.json")
    for path in included(requirements):
        name = os.path.relpath(path, requirements.parent)
        total.update(f"{name}\0{digests.of(path)}\n".encode("utf-8", "surrogateescape"))
    total.update(f"{platform.python_implementation()} {sys.version_info[:2]} {sysconfig.get_platform()}\n".encode())
    for package, version in sorted(installed().items()):
        total.update(f"{package}=={version}\n".encode())
    return total.hexdigest()[:32]


def _install(requirements: Path, target: Path, progress: Progress, cancelled: Event | None) -> None:
    home = target.parent / "venv"
    venv.EnvBuilder(symlinks=True).create(home)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    (site / _OURS).write_text("".join(f"{path}\n" for path in _site_folders()), "utf-8")
    command = [str(home / "bin" / "python"), "-m", "pip", *_PIP, "-r", requirements.name]
    code, output = _run(command, requirements.parent, cancelled)
    if cancelled is not None and cancelled.is_set():
        raise ConversionError("the conversion was cancelled")
    if code:
        raise ConversionError(f"code/{requirements.name}: {reason(output)}")
    for line in _clashes(output):
        progress.note(f"code/{requirements.name}: {line}")
    for path in site.iterdir():
        if not re.match(r"(pip|pip-.*|__pycache__|distutils-precedence\.pth)$", path.name) and path.name != _OURS:
            path.rename(target / path.name)


def _site_folders() -> list[str]:
    """Where the running environment keeps its packages."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _run(command: list[str], folder: Path, cancelled: Event | None) -> tuple[int, str]:
    """A command's exit code and everything it said; a cancelled one is killed with its children."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            bound(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        finished = Event()
        if cancelled is not None:
            Thread(target=_cancel, args=(child, cancelled, finished), daemon=True).start()
        try:
            code = child.wait()
        finally:
            finished.set()
            if child.poll() is None:
                _kill(child)
                child.wait()
        log.seek(0)
        return code, log.read()


def _cancel(child: subprocess.Popen[bytes], cancelled: Event, finished: Event) -> None:
    while not finished.wait(0.1):
        if cancelled.is_set():
            _kill(child)
            return


def _kill(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def reason(output: str) -> str:
    """Why pip failed, in one line that names the requirement."""
    lines = output.splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    offline = re.search(r"Failed to connect|connection broken|ConnectionError|Temporary failure in name", output)
    for error in errors:
        match = re.match(
            r"Could not find a version that satisfies the requirement (\S.*?) \(from.*versions: (.*)\)", error
        )
        if match:
            return _no_version(re.sub(r" \(from .*", "", match[1]), match[2].split(", "), bool(offline), output)
        match = re.match(r"Cannot install (.*) because these package versions have conflicting dependencies", error)
        if match:
            caused = _block(lines, "The conflict is caused by:")
            return f"conflicting requirements: {'; '.join(caused[:_SHOWN])}" if caused else error
        match = re.match(r"Invalid requirement: (.*)", error)
        if match:
            line = re.search(r"\(from line (\d+) of (.*?)\)", output)
            where = f", line {line[1]} of {line[2]}" if line else ""
            hint = re.search(r"^Hint: .*? (File .* does not exist)", output, re.MULTILINE)
            return f"{match[1]}{where}" if hint is None else f"{match[1].partition(':')[0]}{where}: {hint[1]}"
        if error.startswith("THESE PACKAGES DO NOT MATCH THE HASHES"):
            named = _block(lines, f"ERROR: {error}")
            return f"the hash is wrong: {named[0].partition(' from ')[0] if named else error}"
        match = re.match(r"Failed to build '(.*?)'(?: when (.*))?", error)
        if match:
            return _not_built(match[1], match[2] or "building", lines)
    unreachable = re.search(r"^× (Failed to connect .*)", output, re.MULTILINE)
    if unreachable:
        return f"no network: {unreachable[1]}"
    said = errors or [line.strip() for line in lines if line.strip()] or ["pip said nothing"]
    return said[-1][:400]


def _no_version(requirement: str, versions: Sequence[str], offline: bool, output: str) -> str:
    if versions == ["none"]:
        other = re.search(r"Ignored the following versions that require a different python version: (.*)", output)
        if other:
            return f"no version of {requirement} is for Python {platform.python_version()}"
        why = "the package index cannot be reached" if offline else "no index here knows that name"
        return f"nothing found for {requirement}: {why}"
    shown = ", ".join(versions[-_SHOWN:])
    more = " and older ones" if len(versions) > _SHOWN else ""
    return f"no version fits {requirement}: there are {shown}{more}"


def _not_built(what: str, step: str, lines: Sequence[str]) -> str:
    """The last words of the build before pip's own."""
    end = next((index for index, line in enumerate(lines) if "[end of output]" in line), len(lines))
    fatal = [line.strip() for line in lines if line.strip().startswith(("fatal:", "error: command"))]
    said = [line.strip() for line in lines[:end] if re.match(r"\s*\w*(Error|Exception)\b.*:", line.strip())]
    last = (said or fatal or [""])[-1]
    return f"{Path(what).name or what} cannot be built ({step.split(' /')[0][:60]}): {last[:300]}".rstrip(": ")


def _block(lines: Sequence[str], title: str) -> list[str]:
    """The indented lines below a title."""
    if title not in lines:
        return []
    found: list[str] = []
    for line in lines[lines.index(title) + 1 :]:
        if not line.startswith("    "):
            break
        found.append(line.strip())
    return found


def _clashes(output: str) -> list[str]:
    """What of the server's own packages no longer fits inside this model's process."""
    found = re.findall(r"^(\S+ \S+) requires (.*?), but you have (.*?) which is incompatible", output, re.MULTILINE)
    ours = ("optimum", "transformers", "tokenizers", "torch", "sentence-transformers", "huggingface-hub")
    return [
        f"{theirs} of the server wants {wanted}, and this model gets {got}"
        for theirs, wanted, got in found
        if theirs.split()[0] in ours
    ][:_SHOWN]


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
