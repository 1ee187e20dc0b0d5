"""infinity with its torch engine, for embeddings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench.peers.environment import folder, versions
from perf.bench.peers.served import Served
from perf.bench.requests import JSON

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

BATCH = 32
"""infinity's own default."""
MODEL = "measured"


class Infinity(Served):
    """As it comes, without its cache of answers.

    It compiles the model where there is a C++ compiler, which takes minutes the first time; BetterTransformer, which it
    prefers otherwise, wants transformers below 4.49 and took no less processor time than the newer one compiled.
    """

    name = "infinity"
    path = "/embeddings"
    tasks = ("sentence-embedding",)
    patience = 600.0

    def __init__(self, compiled: bool | None = None) -> None:
        """`compiled` of None is whether there is a compiler."""
        super().__init__()
        found = versions(self.name, "infinity-emb", "sentence-transformers", "transformers", "torch")
        self.compiled = shutil.which("g++") is not None if compiled is None else compiled
        self.version = (
            f"infinity {found['infinity-emb']}, sentence-transformers {found['sentence-transformers']}, "
            f"transformers {found['transformers']} on torch {found['torch']}, batches of {BATCH}, "
            f"{'compiled' if self.compiled else 'not compiled'}"
        )

    def command(self, python: Path, workload: Workload) -> list[str | Path]:
        command: list[str | Path] = [python.with_name("infinity_emb"), "v2", "--model-id", workload.folder]
        command += ["--served-model-name", MODEL, "--engine", "torch", "--device", "cpu", "--dtype", "float32"]
        command += ["--batch-size", str(BATCH), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--no-bettertransformer", "--compile" if self.compiled else "--no-compile"]
        command += ["--no-vector-disk-cache", "--no-trust-remote-code", "--log-level", "warning"]
        return command

    def environment(self) -> dict[str, str]:
        # Kept, so that only the first start compiles.
        kept = str(folder(self.name) / "compiled")
        return {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "TORCHINDUCTOR_CACHE_DIR": kept}

    def body(self, item: Any) -> tuple[bytes, dict[str, str]]:
        return json.dumps({"model": MODEL, "input": [item]}).encode(), JSON

    def answer(self, response: bytes) -> Any:
        [found] = json.loads(response)["data"]
        return [float(value) for value in found["embedding"]]
