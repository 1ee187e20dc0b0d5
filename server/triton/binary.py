"""Which tritonserver to run, and with what around it."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from server.errors import ServerError

SYSTEM = Path("/opt/tritonserver/bin/tritonserver")
MIN_GLIBC = (2, 35)
"""What nvidia-pytriton's build of tritonserver is linked against."""
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Has malloc ask for pages of 2 MiB, which kernels give by default to who asks (`madvise`): a run of a graph reads all
weights, through as many pages. Before glibc 2.35 it does nothing."""


@dataclass(frozen=True)
class Binary:
    """A tritonserver and what its process needs."""

    path: Path
    backends: Path | None = None
    """A backend directory to pass; None for the one the binary knows."""
    environment: Mapping[str, str] = field(default_factory=dict)


def find(run_dir: Path, environ: Mapping[str, str]) -> Binary:
    """The system's tritonserver where there is one, else the one inside nvidia-pytriton.

    ServerError says what is missing and how to get it.
    """
    on_path = shutil.which("tritonserver", path=environ.get("PATH"))
    system = Path(on_path) if on_path else SYSTEM
    common = _python_environment(environ)
    if system.is_file():
        return Binary(system, None, common)
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise ServerError("no tritonserver on this machine: pip install 'triton-hf[embedded]', or use NVIDIA's image")
    check_glibc(os.confstr("CS_GNU_LIBC_VERSION") or "")
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    libraries = [str(package.parent / "nvidia_pytriton.libs")]
    shared = libpython_folder()
    if shared is not None:
        libraries.append(str(shared))
    if environ.get("LD_LIBRARY_PATH"):
        libraries.append(environ["LD_LIBRARY_PATH"])
    return Binary(
        root / "bin" / "tritonserver",
        _backends(root, run_dir),
        {**common, "LD_LIBRARY_PATH": ":".join(libraries)},
    )


def check_glibc(version: str) -> None:
    """ServerError where the C library, as `glibc 2.36`, is older than the embedded tritonserver needs."""
    name, _, number = version.partition(" ")
    parts = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    if name != "glibc" or parts < MIN_GLIBC:
        wanted = ".".join(map(str, MIN_GLIBC))
        raise ServerError(
            f"the embedded tritonserver needs glibc {wanted} or later, this machine has {version or 'none'}"
        )


def libpython_folder() -> Path | None:
    """The folder of this interpreter's shared library where it ships one; None where the system's will do.

    ServerError with the command that installs it where neither is there: Triton's stub links against it.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and (folder / name).is_file():
        return folder
    if ctypes.util.find_library(f"python{version}"):
        return None
    raise ServerError(f"{name}, which Triton's Python stub needs, is missing: apt-get install libpython{version}")


def _python_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """This interpreter, found by the stub through PATH, with this environment's packages, and what its libraries are
    told unless the operator says otherwise."""
    return {
        **{name: environ.get(name, value) for name, value in HUGE_PAGES.items()},
        "PATH": f"{Path(sys.executable).parent}:{environ.get('PATH', os.defpath)}",
        "PYTHONPATH": ":".join(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": environ.get("TOKENIZERS_PARALLELISM", "false"),
    }


def _backends(root: Path, run_dir: Path) -> Path:
    """A backend directory with the stub for the running Python, which the wheel keeps beside it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerError(f"the embedded tritonserver has no stub for Python {version}")
    target = run_dir / "backends" / "python"
    target.mkdir(parents=True)
    for source in [*(root / "backends" / "python").glob("*.*"), stub]:
        (target / source.name).symlink_to(source)
    return target.parent
