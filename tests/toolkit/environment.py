"""A virtual environment that can run the real toolkit."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from filelock import FileLock

FOLDER = "TRITON_HF_TOOLKIT"
"""The variable that puts the environment somewhere else than `.toolkit/` in the repository."""

PACKAGES = (
    "setuptools<80",  # sagemaker-inference imports pkg_resources
    "sagemaker-huggingface-inference-toolkit==2.6.0",
    "sagemaker-inference==1.10.1",
    "multi-model-server==1.1.11",
    "model-archiver==1.0.3",
    "enum-compat==0.0.3",
    "future==1.0.0",
    "psutil",
    "retrying==1.3.4",
    "six",
    # For sagemaker-inference's CodeArtifact support, which it imports whether it is used or not.
    "boto3",
    "botocore",
    "jmespath",
    "python-dateutil",
    "s3transfer",
    "urllib3",
)


def folder() -> Path:
    """Where the environment lies, or will."""
    return Path(os.environ.get(FOLDER) or Path(__file__).parents[2] / ".toolkit").absolute()


def existing() -> Path | None:
    """The Python of the environment, if it is there and as this file says."""
    python, stamp = folder() / "bin" / "python", folder() / "complete"
    return python if python.exists() and stamp.exists() and stamp.read_text() == _wanted() else None


def ensure() -> Path:
    """The Python of an environment with the toolkit in it; made where it is missing or was made otherwise.

    torch, transformers and the like are those of the running environment.
    """
    root = folder()
    root.parent.mkdir(parents=True, exist_ok=True)
    python = root / "bin" / "python"
    with FileLock(f"{root}.lock"):
        if existing() is None:
            _make(root, python)
            (root / "complete").write_text(_wanted())
    return python


def _wanted() -> str:
    return "\n".join((sys.version, _packages_here(), *PACKAGES))


def _make(root: Path, python: Path) -> None:
    venv.create(root, clear=True, with_pip=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(root)}))
    # Behind its own packages. The .pth files in there are not followed, so editable packages stay out.
    (site / "running_environment.pth").write_text(_packages_here() + "\n")
    # Without dependencies: they would bring librosa, phonemizer and a second numpy.
    log = root / "pip.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", *PACKAGES],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the toolkit cannot be installed; see {log}:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def _packages_here() -> str:
    return sysconfig.get_path("purelib")
