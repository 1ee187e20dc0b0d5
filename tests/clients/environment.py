"""A virtual environment with the SageMaker Python SDK; `python -m tests.clients.environment` makes it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from filelock import FileLock

FOLDER = "TRITON_HF_SAGEMAKER"
"""The variable that puts the environment somewhere else than `.sagemaker/` in the repository."""

PACKAGES = ("sagemaker==2.257.*",)
"""The last line of the SDK with `Predictor` and `HuggingFaceModel`; version 3 has neither."""


def folder() -> Path:
    """Where the environment lies, or will."""
    return Path(os.environ.get(FOLDER) or Path(__file__).parents[2] / ".sagemaker").absolute()


def existing() -> Path | None:
    """The Python of the environment, if it is there and as this file says."""
    python, stamp = folder() / "bin" / "python", folder() / "complete"
    return python if python.exists() and stamp.exists() and stamp.read_text() == _wanted() else None


def ensure() -> Path:
    """The Python of the environment, made where it is missing or was made otherwise; that takes a minute."""
    root = folder()
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if existing() is None:
            _make(root)
            (root / "complete").write_text(_wanted())
    return root / "bin" / "python"


def _wanted() -> str:
    return "\n".join((sys.version, *PACKAGES))


def _make(root: Path) -> None:
    # Apart from the running environment: the SDK brings a numpy, a pydantic and a starlette of its own.
    venv.create(root, clear=True, with_pip=True)
    log = root / "pip.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [str(root / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *PACKAGES],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the SDK cannot be installed; see {log}:\n{log.read_text('utf-8', 'replace')[-2000:]}")


if __name__ == "__main__":
    print(ensure())
