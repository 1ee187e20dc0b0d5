"""A user's modules, read without running them: what their names stand for, and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from converters.errors import ConversionError

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_DEPTH = 5
"""How far a name is followed from one module of the user's to the next."""


@dataclass(frozen=True)
class Binding:
    """What a name stands for at a module's top level."""

    file: str
    line: int
    function: Function | None = None
    alias: str | None = None
    """Another name of the same module."""
    origin: tuple[Path, str] | None = None
    """A name in another module of the user's."""


@dataclass
class Module:
    path: Path
    file: str
    names: dict[str, Binding] = field(default_factory=dict)
    local_stars: list[Path] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    local: list[Path] = field(default_factory=list)


class Reader:
    """Modules of one code folder, each parsed once."""

    def __init__(self, code: Path) -> None:
        self._code = code
        self._known: dict[Path, Module] = {}

    def module(self, path: Path) -> Module:
        if path not in self._known:
            name = str(path.relative_to(self._code))
            module = self._known[path] = Module(path, name)
            for node, guarded in _top_level(_parse(path, name).body):
                self._bind(module, node, guarded)
        return self._known[path]

    def resolve(self, module: Module, name: str, stars: list[str], depth: int = _DEPTH) -> Binding | None:
        """What a name is, followed through the user's own modules; stars from elsewhere are added to `stars`."""
        binding = module.names.get(name)
        if binding is None:
            for path in module.local_stars if depth and not name.startswith("_") else ():
                other = self.module(path)
                stars += [star for star in other.stars if star not in stars]
                binding = self.resolve(other, name, stars, depth - 1)
            return binding
        if depth and binding.alias is not None and binding.alias != name:
            return self.resolve(module, binding.alias, stars, depth - 1) or binding
        if depth and binding.origin is not None:
            path, original = binding.origin
            return self.resolve(self.module(path), original, stars, depth - 1) or binding
        return binding

    def imports(self, module: Module) -> dict[str, str]:
        """Foreign modules that this one and the user's own modules behind it import."""
        found: dict[str, str] = {}
        waiting, seen = [module.path], {module.path}
        while waiting:
            current = self.module(waiting.pop(0))
            for name, where in current.foreign.items():
                found.setdefault(name, where)
            waiting += [path for path in current.local if path not in seen]
            seen.update(current.local)
        return found

    def _bind(self, module: Module, node: ast.stmt, guarded: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.names[node.name] = Binding(module.file, node.lineno, node)
            case ast.ClassDef():
                module.names[node.name] = Binding(module.file, node.lineno)
            case ast.Assign():
                for target in node.targets:
                    _assign(module, target, node.value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                _assign(module, target, value)
            case ast.Import():
                for alias in node.names:
                    self._import(module, node, alias.name, 0, guarded)
                    bound = alias.asname or alias.name.partition(".")[0]
                    module.names[bound] = Binding(module.file, node.lineno)
            case ast.ImportFrom():
                self._import_from(module, node, guarded)

    def _import_from(self, module: Module, node: ast.ImportFrom, guarded: bool) -> None:
        path = self._import(module, node, node.module or "", node.level, guarded)
        for alias in node.names:
            if alias.name == "*":
                if path is not None:
                    module.local_stars.append(path)
                else:
                    module.stars.append(f"{module.file}:{node.lineno}: from {node.module} import *")
                continue
            origin = None if path is None else (path, alias.name)
            module.names[alias.asname or alias.name] = Binding(module.file, node.lineno, origin=origin)
            if (node.level and not node.module) or (path is not None and path.name == "__init__.py"):
                self._import(module, node, ".".join(filter(None, [node.module, alias.name])), node.level, True)

    def _import(self, module: Module, node: ast.stmt, name: str, level: int, guarded: bool) -> Path | None:
        """Note an import; the file of the module where it is the user's own."""
        base = self._code if not level else module.path.parents[level - 1]
        if not base.is_relative_to(self._code):
            return None
        path = _module_file(base, name)
        if path is not None:
            module.local.append(path)
        elif not level and not guarded and not (base / name.partition(".")[0]).is_dir():
            module.foreign.setdefault(name.partition(".")[0], f"{module.file}:{node.lineno}")
        return path


def _parse(path: Path, name: str) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), name)
    except SyntaxError as error:
        raise ConversionError(f"{name}:{error.lineno}: SyntaxError: {error.msg}") from error
    except ValueError as error:
        raise ConversionError(f"{name}: {error}") from error


def _module_file(base: Path, name: str) -> Path | None:
    folder = base.joinpath(*name.split("."))
    candidates = [folder / "__init__.py", *([folder.with_name(f"{folder.name}.py")] if name else [])]
    return next((path for path in candidates if path.is_file()), None)


def _top_level(body: list[ast.stmt], guarded: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements that run when a module is imported; the flag says that what they import may be absent."""
    for node in body:
        yield node, guarded
        match node:
            case ast.If():
                checked = guarded or "TYPE_CHECKING" in ast.unparse(node.test) or "__main__" in ast.unparse(node.test)
                yield from _top_level(node.body, checked)
                yield from _top_level(node.orelse, guarded)
            case ast.Try():
                yield from _top_level(node.body, guarded or bool(node.handlers))
                for handler in node.handlers:
                    yield from _top_level(handler.body, guarded=True)
                yield from _top_level([*node.orelse, *node.finalbody], guarded)
            case ast.With() | ast.For() | ast.While():
                yield from _top_level(node.body, guarded)


def _assign(module: Module, target: ast.expr, value: ast.expr) -> None:
    if isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            _assign(module, element, ast.Tuple([]))
        return
    if not isinstance(target, ast.Name):
        return
    if isinstance(value, ast.Constant) and value.value is None:
        module.names.pop(target.id, None)  # the loader takes None for absent
        return
    module.names[target.id] = Binding(
        module.file,
        target.lineno,
        value if isinstance(value, ast.Lambda) else None,
        value.id if isinstance(value, ast.Name) else None,
    )
