"""Who may import whom, and what the serving process never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("server", "converters", "huggingface_backend")


def imports(path: Path, *, top_level: bool) -> set[str]:
    """The modules a file names in its imports; those inside functions only if asked for."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if not top_level else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def sources(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "compat" not in path.parts]


@pytest.mark.parametrize(
    ("package", "forbidden"), [("huggingface_backend", ("server", "converters")), ("converters", ("server",))]
)
def test_imports_point_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    for path in sources(package):
        for module in imports(path, top_level=False):
            assert module.partition(".")[0] not in forbidden, f"{path} imports {module}"


def test_the_backend_imports_little() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "onnxruntime", "tokenizers", "orjson", "huggingface_backend"}
    for path in sources("huggingface_backend"):
        for module in imports(path, top_level=True):
            name = module.partition(".")[0]
            assert name in allowed or name == "triton_python_backend_utils", f"{path} imports {module}"


def loaded_after(code: str, *arguments: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_the_fast_path_loads_neither_torch_nor_transformers(minilm_entry: Any) -> None:
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from huggingface_backend.loading import load\n"
        "from huggingface_backend.messages import Request\n"
        "handler = load('m', Path(sys.argv[1]))\n"
        "done = threading.Semaphore(0)\n"
        'handler.handle([(Request(b\'{"inputs": "tea"}\'), lambda outcome: done.release())])\n'
        "assert done.acquire(timeout=30)\n"
        "handler.close()\n"
    )
    loaded = loaded_after(code, str(minilm_entry.path / "1"))
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "transformers", "optimum", "server", "converters", "sentence_transformers"}


def test_the_server_and_a_cached_conversion_load_nothing_heavy() -> None:
    loaded = loaded_after("import server.cli, server.serve, converters.convert")
    assert not loaded & {
        "torch",
        "transformers",
        "optimum",
        "onnx",
        "onnxruntime",
        "huggingface_hub",
        "sentence_transformers",
    }


def test_modules_stay_small() -> None:
    for package in PACKAGES:
        for path in sources(package):
            assert len(path.read_text("utf-8").splitlines()) <= 300, path
