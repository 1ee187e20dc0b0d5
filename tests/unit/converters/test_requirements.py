"""Requirement lines, read and judged without pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from converters import requirements
from converters.packages import reason
from converters.requirements import LOADED_FIRST, compatible, included, judge, read


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder / "requirements.txt"


def test_lines_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        requirements="# comment\n--extra-index-url https://example.org/simple\nsix==1.16.0 \\\n    --hash=sha256:0\n"
        "-r more.txt\n-c limits.txt\nreal[extra]>=1 ; python_version < '3'  # why\npkg @ https://example.org/pkg.zip\n"
        "-e ./mine\n./mine\n./gone\ngit+https://example.org/x.git\nsix=>1\n-r nowhere.txt\n",
        more="click\n-r requirements.txt\n",
        limits="click<99\n",
    )
    (tmp_path / "mine").mkdir()
    lines = read(path)
    assert [(line.where, line.text) for line in lines if line.problem is None] == [
        ("requirements.txt:3", "six==1.16.0"),
        ("more.txt:1", "click"),
        ("limits.txt:1", "click<99"),
        ("requirements.txt:7", "real[extra]>=1 ; python_version < '3'"),
        ("requirements.txt:8", "pkg @ https://example.org/pkg.zip"),
        ("requirements.txt:10", "./mine"),
        ("requirements.txt:12", "git+https://example.org/x.git"),
    ]
    problems = {line.where: line.problem for line in lines if line.problem is not None}
    assert problems["requirements.txt:9"] == "cannot stay editable in an entry: take the -e away"
    assert problems["requirements.txt:11"] == "is not there, in code/"
    assert str(problems["requirements.txt:13"]).startswith("is no requirement: ")
    assert problems["requirements.txt:14"] == "there is no nowhere.txt beside it"
    assert {item.name for item in included(path)} == {"requirements.txt", "more.txt", "limits.txt", "mine"}


def test_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"numpy": "1.26.4", "click": "8.1", "onnxruntime": "1.20", "transformers": "4.57", "pillow": "11.0"}
    monkeypatch.setattr(requirements, "installed", lambda: here)
    path = written(
        tmp_path,
        requirements="click>=8\nclick>=9\nnumpy==2.0\nnew-thing\nonnxruntime-gpu==1.19\ntransformers<4\nPillow==10.4\n"
        "other; python_version < '3'\nsix<1\nsix>1\nhttps://example.org/x.zip\n",
    )
    found = {opinion.line.text: opinion for opinion in judge(read(path), "fast")}
    assert {text: opinion.outcome for text, opinion in found.items()} == {
        "click>=8": "installs over the server's 8.1 for this model alone",
        "click>=9": "installs over the server's 8.1 for this model alone",
        "numpy==2.0": "the server's numpy 1.26.4 is loaded first and wins",
        "new-thing": "installed at conversion",
        "onnxruntime-gpu==1.19": "the server's onnxruntime 1.20 is loaded first and wins",
        "transformers<4": "installs over the server's 4.57 for this model alone",
        "Pillow==10.4": "installs over the server's 11.0 for this model alone",
        "other; python_version < '3'": "left out here: its marker says so",
        "six<1": "conflicts with six>1 (requirements.txt:10)",
        "six>1": "conflicts with six<1 (requirements.txt:9)",
        "https://example.org/x.zip": "installed at conversion",
    }
    assert [text for text, opinion in found.items() if opinion.problem] == ["six>1"]
    torch = {opinion.line.text: opinion.outcome for opinion in judge(read(path), "torch")}
    assert torch["transformers<4"] == "installs over the server's 4.57 for this model alone"
    script = {opinion.line.text: opinion.outcome for opinion in judge(read(path), "script")}
    assert script["onnxruntime-gpu==1.19"] == "installed at conversion"


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        ("==1.0", "==1.0", True),
        ("==1.0", "==1.1", False),
        (">=1,<2", ">1.5", True),
        ("<1", ">=1", False),
        (">1.9", "<1.10", True),
        ("~=1.4", "<1.5", True),
        ("~=1.4.2", ">=1.5", False),
        ("==1.*", ">=1.7", True),
        ("==1.*", ">=2", False),
        ("!=1.0", "==1.0", False),
        ("<1.15", "!=1.14", True),
        ("", "==3", True),
        ("===weird", "==3", True),
        (">2", "<=2", False),
    ],
)
def test_whether_any_version_fits(first: str, second: str, fits: bool) -> None:
    assert compatible([SpecifierSet(first), SpecifierSet(second)]) == fits


@pytest.mark.parametrize("tier", ["script", "fast", "accelerated", "torch"])
def test_what_is_loaded_before_a_script_is_written_down_rightly(tier: str) -> None:
    imports = {
        "script": "",
        "fast": "import huggingface_backend.engine, huggingface_backend.session, huggingface_backend.tokenization",
        "accelerated": "import huggingface_backend.engine, huggingface_backend.onnx_pipeline, optimum.onnxruntime",
        "torch": "",
    }
    code = f"import huggingface_backend.loading, sys\n{imports[tier]}\nprint(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    modules = {
        "huggingface-hub": "huggingface_hub",
        "onnxruntime-gpu": "onnxruntime",
        "optimum-onnx": "optimum",
        "pyyaml": "yaml",
    }
    for name in LOADED_FIRST[tier]:  # type: ignore[index]
        assert modules.get(name, name) in loaded, name
    for name in LOADED_FIRST["fast"] - LOADED_FIRST[tier]:  # type: ignore[index]
        assert modules.get(name, name) not in loaded, name


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            (
                "ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1, 2, 3, 4, 5)\n"
                "ERROR: No matching distribution found for x==9"
            ),
            "no version fits x==9: there are 2, 3, 4, 5 and older ones",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement x (from y) (from versions: none)",
            "nothing found for x: no index here knows that name",
        ),
        (
            (
                "ERROR: Ignored the following versions that require a different python version: 1 Requires-Python <3\n"
                "ERROR: Could not find a version that satisfies the requirement x (from versions: none)"
            ),
            f"no version of x is for Python {sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}",
        ),
        ("ERROR: something new\nmore", "something new"),
        ("only words\n", "only words"),
        ("", "pip said nothing"),
    ],
)
def test_pips_words_in_one_line(output: str, expected: str) -> None:
    assert reason(output) == expected
