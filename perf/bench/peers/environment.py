"""The peers' virtual environments.

Every version stands in `locks/`, and nothing of the running environment is seen in there. torch, transformers and
numpy are the same for all and installed once, in `pipeline`; `litserve` and `infinity` look for what they lack behind
their own packages, in that one. The toolkit's is that of the tests, with the running environment behind it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from perf.bench.system import Unavailable
from tests.toolkit import environment as toolkit

FOLDER = "TRITON_HF_PEERS"
"""The variable that puts the environments somewhere else than `.peers/` in the repository."""


@dataclass(frozen=True)
class Environment:
    """What is in one: the packages of its lock, and behind them those of another."""

    lock: str
    behind: str | None = None


ENVIRONMENTS = {
    "pipeline": Environment("pipeline.txt"),
    "litserve": Environment("litserve.txt", behind="pipeline"),
    "infinity": Environment("infinity.txt", behind="pipeline"),
}
"""Made here; `toolkit` is a name beside them."""
NAMES = ("toolkit", *ENVIRONMENTS)


def folder(name: str) -> Path:
    """Where an environment lies, or will."""
    if name == "toolkit":
        return toolkit.folder()
    root = os.environ.get(FOLDER) or Path(__file__).parents[3] / ".peers"
    return Path(root).absolute() / name


def existing(name: str) -> Path | None:
    """The Python of an environment, if it is there and as its lock says."""
    if name == "toolkit":
        return toolkit.existing()
    root = folder(name)
    python, stamp = root / "bin" / "python", root / "complete"
    return python if python.exists() and stamp.exists() and stamp.read_text("utf-8") == _wanted(name) else None


def ensure(name: str) -> Path:
    """The Python of an environment, made where it is missing or was made otherwise; that takes minutes.

    Unavailable, with one line, where it cannot be made.
    """
    if name == "toolkit":
        return _ensure_toolkit()
    environment, root = ENVIRONMENTS[name], folder(name)
    behind = None if environment.behind is None else _site(ensure(environment.behind).parents[1])
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if existing(name) is None:
            _make(name, root, behind)
            (root / "complete").write_text(_wanted(name), "utf-8")
    return root / "bin" / "python"


def versions(name: str, *packages: str) -> dict[str, str]:
    """The pinned versions of packages in an environment of `ENVIRONMENTS`."""
    pinned: dict[str, str] = {}
    current: str | None = name
    while current is not None:
        environment = ENVIRONMENTS[current]
        pinned = dict(line.split("==") for line in _lock(environment).split()) | pinned
        current = environment.behind
    return {package: pinned[package] for package in packages}


def _lock(environment: Environment) -> str:
    return (Path(__file__).parent / "locks" / environment.lock).read_text("utf-8")


def _wanted(name: str) -> str:
    """The stamp of a whole environment: all that it is made of."""
    environment = ENVIRONMENTS[name]
    behind = () if environment.behind is None else (str(folder(environment.behind)), _wanted(environment.behind))
    return "\n".join((sys.version, _lock(environment), *behind))


def _site(root: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(root)}))


def _make(name: str, root: Path, behind: Path | None) -> None:
    lock = Path(__file__).parent / "locks" / ENVIRONMENTS[name].lock
    log = root / "pip.log"
    try:
        venv.create(root, clear=True, with_pip=True)
        if behind is not None:
            # Its folder is looked at after the environment's own.
            (_site(root) / "behind.pth").write_text(f"{behind}\n", "utf-8")
        with log.open("wb") as output:
            # With dependencies: a torch with CUDA brings libraries that no lock can name for all machines.
            done = subprocess.run(
                [root / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "-r", lock],
                env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"the environment of {name} cannot be made: {error}") from None
    if done.returncode:
        raise Unavailable(f"the environment of {name} cannot be made: {_reason(log)}; see {log}")


def _ensure_toolkit() -> Path:
    try:
        return toolkit.ensure()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"the environment of toolkit cannot be made: {str(error).splitlines()[0]}") from None


def _reason(log: Path) -> str:
    """The line of pip's that says most."""
    lines = log.read_text("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")]
    return re.sub(r"^ERROR: ", "", (errors or lines or ["pip said nothing"])[-1]).strip()
