"""A script imported as the server would import it, in a process that ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from converters import packages
from converters.errors import ConversionError
from converters.plan import Plan
from converters.progress import Progress
from huggingface_backend.script import CODE, PACKAGES

DEADLINE = 300.0
"""Seconds an import may take."""

# Nothing of ours but the backend may be imported in there: a user's modules may have our names.
_CHILD = """
import json, logging, os, sys
logging.getLogger("huggingface_backend").setLevel(logging.CRITICAL + 1)
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from pathlib import Path
import huggingface_backend.loading
tier = sys.argv[3]
if tier == "fast":
    import huggingface_backend.engine, huggingface_backend.session, huggingface_backend.tokenization
from huggingface_backend.errors import EntryError
from huggingface_backend.script import HOOKS, Script
try:
    script = Script.load(Path(sys.argv[1]), sys.argv[2])
except EntryError as error:
    found = {"problem": str(error), "hooks": []}
else:
    found = {"problem": None, "hooks": [hook for hook in HOOKS if script is not None and hook in script]}
json.dump(found, out)
out.flush()
os._exit(0)
"""


@dataclass(frozen=True)
class Imported:
    """What came of it."""

    problem: str | None = None
    """Why it cannot be imported, with file and line."""
    hooks: tuple[str, ...] = ()


def import_script(folder: Path, plan: Plan, program: str, cache: Path, progress: Progress) -> Imported:
    """Install a script's requirements into the cache and import it; what it prints goes to stderr.

    `folder` is the model's, whose modules are found too.
    """
    assert plan.code is not None  # noqa: S101
    with TemporaryDirectory(prefix="triton-hf-import-") as scratch:
        model = Path(scratch).resolve()
        for path in folder.resolve().iterdir():
            if path.name not in (CODE, PACKAGES):
                (model / path.name).symlink_to(path)
        (model / CODE).symlink_to(plan.code.resolve(), target_is_directory=True)
        try:
            if plan.requirements is not None:
                packages.install(plan.requirements, model / PACKAGES, cache, progress)
        except ConversionError as error:
            return Imported(str(error))
        command = [sys.executable, "-P", "-B", "-c", _CHILD, str(model), program, plan.tier]
        with progress.stage(f"importing {CODE}/{program}"):
            try:
                ended = subprocess.run(
                    command, cwd=model, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=DEADLINE, check=False
                )
            except subprocess.TimeoutExpired:
                return Imported(f"{program}: its import takes more than {DEADLINE:.0f} s")
        try:
            found = json.loads(ended.stdout)
        except ValueError:
            return Imported(f"{program} ended its process with {ended.returncode} while it was imported")
        problem = found["problem"]
        return Imported(problem and problem.replace(f"{model}/", ""), tuple(found["hooks"]))
