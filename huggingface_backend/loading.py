"""An entry's version folder to the handler of its requests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_backend.errors import EntryError
from huggingface_backend.handler import Handler
from huggingface_backend.manifest import Manifest
from huggingface_backend.predictor import Runtime, build
from huggingface_backend.script import PACKAGES, PROGRAM, Script
from huggingface_backend.scripted import ScriptHandler

if TYPE_CHECKING:
    from huggingface_backend.session import Counters


def load(
    name: str,
    folder: Path,
    *,
    program: str = PROGRAM,
    runtime: Runtime = Runtime(),  # noqa: B008
    report: Callable[[Counters], None] = lambda _counters: None,
) -> Handler:
    """Load an entry's version folder. EntryError says in one line why it cannot be served.

    `report` is told now and then what the session ran.
    """
    manifest = Manifest.read(folder)
    # Our own imports come first, so that a script's modules cannot shadow what we need; a script that brings its
    # model needs none of them.
    if manifest.tier == "torch" and (folder / PACKAGES).is_dir():
        # The pipeline runs with the transformers that the model's requirements ask for.
        sys.path.insert(0, str(folder / PACKAGES))
    predictor = build(manifest, folder, runtime, report)
    # A script may go by the working directory, which is then not the link that Triton was shown.
    folder = folder.resolve()
    script = Script.load(folder, program)
    if script is not None:
        return ScriptHandler(name, folder, manifest, predictor, script, runtime.batch_size)
    if predictor is None:
        raise EntryError(f"the manifest says that a script brings the model, but there is no code/{program}")
    return Handler(manifest, predictor)
