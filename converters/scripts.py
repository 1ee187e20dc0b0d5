"""What a user's inference.py defines, read without running it."""

from __future__ import annotations

import ast
from pathlib import Path

from converters.errors import ConversionError

HOOKS = frozenset({"model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn"})


def hooks(path: Path) -> frozenset[str]:
    """The hooks a script defines, assigns or imports at its top level; ConversionError for a syntax error."""
    try:
        tree = ast.parse(path.read_text("utf-8"), str(path))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConversionError(f"{path.name}{line}: {error}") from error
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return HOOKS & names
