"""What a user's script defines, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from converters.modules import Binding, Function, Reader
from huggingface_backend.errors import EntryError
from huggingface_backend.script import HOOKS, Script

_MODEL_AT = {"predict_fn": 1, "predict_batch_fn": 1, "transform_fn": 0}
"""Which parameter of a hook is the model."""


@dataclass(frozen=True)
class Hook:
    """One hook that a script binds."""

    name: str
    file: str
    """Below code/, where the function stands; where the script binds it if that could not be found."""
    line: int
    signature: str | None
    """`(data, model)`; None where the script takes the function from somewhere that is not read."""
    context: bool | None
    """Whether it gets the context; None where the signature is unknown."""
    is_async: bool = False

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class ScriptFacts:
    """What is known of a script before it runs."""

    hooks: tuple[Hook, ...]
    """In the order of `HOOKS`."""
    problems: tuple[str, ...] = ()
    """Why it would not load, one line each, in the words of the loader."""
    stars: tuple[str, ...] = ()
    """`FILE:LINE: from MODULE import *` for each module that is not the user's: it may bind hooks too."""
    model_use: str | None = None
    """What a hook does with the default model beyond calling it; None where it only calls it."""
    imports: dict[str, str] = field(default_factory=dict)
    """Modules from elsewhere that importing the script needs, and `FILE:LINE` of the first import of each."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(hook.name for hook in self.hooks)


def read_script(code: Path, program: Path) -> ScriptFacts:
    """The facts of a script inside a code folder; ConversionError for a syntax error in it."""
    reader = Reader(code)
    module = reader.module(program)
    stars = list(module.stars)
    found = {name: resolved for name in HOOKS if (resolved := reader.resolve(module, name, stars)) is not None}
    hooks = {name: _hook(name, binding) for name, binding in found.items()}
    return ScriptFacts(
        tuple(hooks.values()),
        tuple(_problems(str(program.relative_to(code)), found)),
        tuple(stars),
        None if "model_fn" in found else _model_use(found),
        reader.imports(module),
    )


def _hook(name: str, binding: Binding) -> Hook:
    function = binding.function
    if function is None:
        return Hook(name, binding.file, binding.line, None, None)
    return Hook(
        name,
        binding.file,
        function.lineno,
        f"({ast.unparse(_without_annotations(function.args))})",
        len(_parameters(function)) == HOOKS[name] + 1,
        isinstance(function, ast.AsyncFunctionDef),
    )


def _without_annotations(arguments: ast.arguments) -> ast.arguments:
    for argument in [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        *filter(None, [arguments.vararg, arguments.kwarg]),
    ]:
        argument.annotation = None
    return arguments


def _parameters(function: Function) -> list[str]:
    """Names as `inspect.signature` would count them."""
    given = function.args
    found = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
    return [argument.arg for argument in found]


def _problems(name: str, found: dict[str, Binding]) -> Iterator[str]:
    """What the loader will say: asked with functions that do nothing and have the same number of parameters."""
    stubs = {hook: _stub(hook, binding) for hook, binding in found.items()}
    for chosen in [*({hook: stub} for hook, stub in stubs.items()), {h: _any(HOOKS[h]) for h in stubs}]:
        try:
            Script(name, chosen)
        except EntryError as error:
            yield str(error)


def _stub(hook: str, binding: Binding) -> Callable[..., Any]:
    function = binding.function
    # What a decorator returns may take other parameters than what it decorates.
    if function is None or getattr(function, "decorator_list", None):
        return _any(HOOKS[hook])
    return _any(len(_parameters(function)))


def _any(count: int) -> Callable[..., Any]:
    def stub() -> None: ...

    parameters = [Parameter(f"p{index}", Parameter.POSITIONAL_ONLY) for index in range(count)]
    stub.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return stub


def _model_use(found: dict[str, Binding]) -> str | None:
    """The first thing a hook does with its model that only the real pipeline can do."""
    for hook, position in _MODEL_AT.items():
        binding = found.get(hook)
        if binding is None or binding.function is None:
            continue
        function = binding.function
        names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
        if len(names) <= position:
            continue
        use = _use_of(function, names[position])
        if use is not None:
            line, what = use
            return f"{binding.file}:{line}: {hook} {what}, so it gets the transformers pipeline itself"
    return None


def _use_of(function: Function, name: str) -> tuple[int, str] | None:
    body: list[Any] = function.body if isinstance(function.body, list) else [function.body]
    uses: list[tuple[int, str]] = []
    for statement in body:
        parents = {child: node for node in ast.walk(statement) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                what = _described(node, parents)
                if what is not None:
                    uses.append((node.lineno, what))
    return min(uses, default=None)


def _described(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> str | None:
    """None where the model is only called, asked for its task, or compared with None."""
    parent = parents.get(node)
    match parent:
        case ast.Call(func=called) if called is node:
            return None
        case ast.Attribute(attr=attribute):
            return None if attribute == "task" else f"uses {node.id}.{attribute}"
        case ast.Compare(ops=[ast.Is() | ast.IsNot()]):
            return None
        case ast.Call(func=called):
            return f"passes {node.id} to {ast.unparse(called)}()"
        case ast.keyword():
            return f"passes {node.id} on as {parent.arg or 'keywords'}"
        case ast.Subscript():
            return f"indexes {node.id}"
        case ast.Assign(targets=[ast.Tuple() | ast.List()]):
            return f"unpacks {node.id}"
        case _:
            return f"passes {node.id} on"
