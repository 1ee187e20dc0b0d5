"""The Dockerfile, as far as it can be looked at without building it; tests/image/proof.py carries it out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.image import context
from tests.image.dockerfile import Dockerfile, copied, exec_form, expand, pairs, parse

ROOT = Path(__file__).parents[2]
FILE = parse((ROOT / "Dockerfile").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONTEXT = {path.as_posix() for path in context.files(ROOT, context.patterns((ROOT / ".dockerignore").read_text()))}
TARGETS = ["cpu", "cpu-serving", "gpu", "gpu-serving"]


def last(target: str, keyword: str) -> str:
    return [found.text for stage in FILE.lineage(target) for found in stage.of(keyword)][-1]


def commands(target: str) -> str:
    return "\n".join(run.text for name in FILE.needs(target) for run in FILE.stages[name].of("RUN"))


def test_a_build_without_a_target_makes_the_cpu_image() -> None:
    assert list(FILE.stages)[-1] == "cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_the_entrypoint_takes_sagemakers_serve_and_its_signals(target: str) -> None:
    words = exec_form(last(target, "ENTRYPOINT"))
    assert words[:2] == ["tini", "--"]
    assert words[-1] == "triton-hf"
    assert not any(stage.of("CMD") for stage in FILE.lineage(target))


@pytest.mark.parametrize("target", TARGETS)
def test_sagemakers_labels(target: str) -> None:
    labels = pairs(last(target, "LABEL"), {})
    for capability in ("accept-bind-to-port", "multi-models"):
        assert labels[f"com.amazonaws.sagemaker.capabilities.{capability}"] == "true"
    assert last(target, "EXPOSE") == "8080"


@pytest.mark.parametrize("target", TARGETS)
def test_scripts_read_utf8_and_any_user_has_a_cache(target: str) -> None:
    environment = pairs(last(target, "ENV"), {"PATH": "/usr/bin"})
    assert environment["LANG"] == "C.UTF-8"
    assert environment["PATH"] == "/opt/triton-hf/bin:/usr/bin"
    assert f"mkdir -m 1777 {environment['XDG_CACHE_HOME']}" in commands(target)


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_converts_has_torch(target: str) -> None:
    assert ("torch" in commands(target)) == ("serving" not in target)
    assert not re.search(r"gcc|g\+\+|build-essential|-dev\b", commands(target))


def test_extras_are_the_projects() -> None:
    for target in TARGETS:
        named = re.findall(r'"\.\[([\w,]+)\]"', commands(target))
        assert named
        extras = {extra for group in named for extra in group.split(",")}
        assert extras <= PROJECT["optional-dependencies"].keys()
        # One ONNX Runtime: two break each other.
        assert len(extras & {"cpu", "gpu"}) == 1


def test_versions_are_the_projects() -> None:
    assert f"torch=={FILE.arguments['TORCH']}" in PROJECT["optional-dependencies"]["convert"]
    for argument in ("CPU_PYTHON", "GPU_PYTHON"):
        assert FILE.arguments[argument] in ("3.11", "3.12")
    for stage in FILE.stages.values():
        if stage.base not in FILE.stages:
            assert expand(stage.base, FILE.arguments), stage.base


def test_every_source_of_a_copy_exists() -> None:
    seen: set[str] = set()
    for stage in FILE.stages.values():
        for copy in stage.of("COPY"):
            source, names, _ = copied(copy.text)
            if source is None:
                for name in names:
                    assert any(path == name or path.startswith(f"{name}/") for path in CONTEXT), name
            else:
                assert source in seen, f"{source} comes later than line {copy.line}"
        seen.add(stage.name)


def test_the_build_context_is_the_package_and_nothing_else() -> None:
    packages = ("converters/", "huggingface_backend/", "model_repository/", "server/")
    beside = {path for path in CONTEXT if not path.startswith(packages)}
    assert beside == {"pyproject.toml", "README.md"}
    assert "model_repository/huggingface/config.pbtxt" in CONTEXT
    assert not any("__pycache__" in path for path in CONTEXT)


def test_the_reader_refuses_what_it_does_not_follow() -> None:
    with pytest.raises(ValueError, match="line 2: ADD"):
        parse("FROM a AS b\nADD x y\n")
    with pytest.raises(ValueError, match="Expecting value"):
        exec_form("triton-hf serve")
    assert isinstance(parse('FROM a AS b\nRUN x \\\n  # why\n  && y\nENTRYPOINT ["z"]\n'), Dockerfile)
