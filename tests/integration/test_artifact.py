"""An entry that was converted before, packed, carried elsewhere and served there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Artifact, Converter, Options
from converters.entry import place
from converters.errors import ConversionError
from converters.pack import pack
from converters.progress import Lines
from huggingface_backend.errors import EntryError
from huggingface_backend.manifest import PLATFORM, Manifest, platform_tag
from huggingface_backend.script import PACKAGES
from tests.models import texts
from tests.serving import BACKEND, TRITON_HF, Server, run_cli

USER_CODE = Path(__file__).parents[1] / "user_code"
SILENT = Lines(lambda _line: None)
LIBRARIES = ("torch", "transformers", "optimum", "onnx", "sentence_transformers")

ELSEWHERE = """
set -e
mount --bind "$MODEL" "$MODEL"
mount -o remount,bind,ro "$MODEL"
for name in $HIDDEN; do mount -t tmpfs tmpfs "$name"; done
exec "$@"
"""
"""Runs a command where a model's folder is read-only and the libraries of a conversion are empty folders."""


@pytest.fixture(scope="module")
def classifier(convert: Callable[..., Artifact], built: Callable[..., Path]) -> Artifact:
    return convert(built("bert", num_labels=3))


@pytest.fixture(scope="module")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, convert: Callable[..., Artifact], built: Callable[..., Path]
) -> Artifact:
    folder = tmp_path_factory.mktemp("scripted") / "model"
    shutil.copytree(built("bert", num_labels=3), folder)
    shutil.copytree(USER_CODE / "hooks" / "code", folder / "code")
    return convert(folder)


@pytest.fixture
def copied(classifier: Artifact, tmp_path: Path) -> Path:
    """An entry to be spoilt."""
    return place(classifier.path, tmp_path / "copies", "model")


def taken(source: Path, cache: Path, **options: Any) -> Artifact:
    return Converter(cache).convert(str(source), Options(**options), SILENT)


def test_two_archives_of_an_entry_are_the_same_bytes(classifier: Artifact, tmp_path: Path) -> None:
    first = run_cli("convert", str(classifier.path), "--archive", str(tmp_path / "new" / "model.tar.gz"))
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [str(tmp_path / "new" / "model.tar.gz")]
    assert "packing model.tar.gz: done" in first.stderr
    copy = place(classifier.path, tmp_path, "copy")
    (copy / "1" / "__pycache__").mkdir()
    (copy / "1" / "__pycache__" / "model.pyc").write_bytes(b"")
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
        os.chown(path, 1234, 1234)
    pack(copy, tmp_path / "again.tgz", SILENT)
    assert (tmp_path / "again.tgz").read_bytes() == (tmp_path / "new" / "model.tar.gz").read_bytes()
    # The check must be able to fail.
    (copy / "config.pbtxt").write_text((copy / "config.pbtxt").read_text() + "\n")
    pack(copy, tmp_path / "again.tgz", SILENT)
    assert (tmp_path / "again.tgz").read_bytes() != (tmp_path / "new" / "model.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "again.tgz") as tar:
        members = tar.getmembers()
    assert {member.name for member in members[:2]} == {"config.pbtxt", "1/manifest.json"}
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {
        (0, 0, 0, "", 0o644)
    }


def test_links_become_what_they_lead_to(copied: Path, tmp_path: Path) -> None:
    graph, far = copied / "1" / "model.onnx", tmp_path / "far"
    far.mkdir()
    (far / "table.csv").write_text("a,b\n")
    graph.rename(far / "graph")
    graph.symlink_to(far / "graph")
    (copied / "1" / "tables").symlink_to(far, target_is_directory=True)
    (copied / "1" / "round").symlink_to(copied, target_is_directory=True)
    os.link(far / "table.csv", copied / "1" / "twin.csv")
    pack(copied, tmp_path / "model.tar.gz", SILENT)
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert all(member.isreg() for member in members.values())
    assert {"1/tables/table.csv", "1/tables/graph", "1/twin.csv"} < set(members)
    assert members["1/model.onnx"].size == (far / "graph").stat().st_size
    assert not any(name.startswith("1/round") for name in members)


def test_an_archive_is_there_whole_or_not_at_all(copied: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.tar.gz"
    pack(copied, target, SILENT)
    before = target.read_bytes()
    (copied / "1" / "lost").symlink_to("nowhere")
    with pytest.raises(ConversionError, match=r"model\.tar.gz cannot be written: No such file"):
        pack(copied, target, SILENT)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
    ended = run_cli("convert", str(copied), "--archive", str(tmp_path))
    assert (ended.returncode, "is a directory" in ended.stderr) == (2, True)


def test_sagemakers_folder_with_an_entry_in_it(
    start: Callable[..., Server],
    classifier: Artifact,
    built: Callable[..., Path],
    ask: Callable[..., list[Any]],
    tmp_path: Path,
) -> None:
    pack(classifier.path, tmp_path / "model.tar.gz", SILENT)
    model = tmp_path / "ml" / "model"
    model.mkdir(parents=True)
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        tar.extractall(model, filter="data")
    packages = Path(sysconfig.get_path("purelib"))
    env = {
        "MODEL": str(model),
        "HIDDEN": " ".join(str(packages / name) for name in LIBRARIES),
        "SAGEMAKER_BASE_DIR": str(model.parent),
        "TRITON_HF_CACHE": "/proc/nothing",
    }
    under = ("unshare", "--mount", "sh", "-c", ELSEWHERE, "sh")
    server = start(under=under, env=env).wait()
    bodies = [{"inputs": text} for text in texts(16)]
    assert [server.post(body).json() for body in bodies] == ask(classifier, bodies)
    assert server.post({"inputs": "tea"}, "/models/model/invoke").status_code == 200
    for process in server.tree():
        mapped = {Path(region.path).name for region in process.memory_maps()}
        assert not {name for name in mapped if "torch" in name}, process.cmdline()
    assert any("onnxruntime" in region.path for region in server.child(BACKEND).memory_maps())
    assert "is converted already" in server.text
    assert "exporting" not in server.text
    # The control: there nothing could be converted.
    convert = [*under, TRITON_HF, "convert", str(built("bert", num_labels=3)), "--cache", str(tmp_path / "cache")]
    ended = subprocess.run(convert, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    written = subprocess.run(
        [*under, "touch", model / "file"], env={**os.environ, **env}, capture_output=True, text=True
    )
    assert "Read-only file system" in written.stderr


def test_an_archive_of_a_repository_with_a_script(
    start: Callable[..., Server], scripted: Artifact, tmp_path: Path
) -> None:
    place(scripted.path, tmp_path / "repository", "shop")
    archive, cache = tmp_path / "model.tar.gz", tmp_path / "cache"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "repository", ".")
    server = start(str(archive), "--cache", str(cache)).wait()
    answer = server.post({"sentence": "tea"})
    assert (answer.status_code, set(answer.json()), answer.headers["x-labels"]) == (200, {"best"}, "3")
    assert "holds an entry that was converted before" in server.text
    assert "exporting" not in server.text
    again = taken(archive, cache)
    assert (again.cached, again.name) == (True, "model")
    assert again.manifest == scripted.manifest


def test_a_folder_with_one_entry_in_it_is_that_entry(classifier: Artifact, tmp_path: Path) -> None:
    place(classifier.path, tmp_path / "repository", "shop")
    found = taken(tmp_path / "repository", tmp_path / "cache")
    assert (found.path, found.name) == (tmp_path / "repository" / "shop", "shop")
    assert not (tmp_path / "cache").exists()
    place(classifier.path, tmp_path / "repository", "stall")
    with pytest.raises(ConversionError, match=r"holds 2 entries \(shop, stall\): name one, or use --repository"):
        taken(tmp_path / "repository", tmp_path / "cache")


def test_an_archive_is_unpacked_once(classifier: Artifact, tmp_path: Path) -> None:
    pack(classifier.path, tmp_path / "model.tar.gz", SILENT)
    first, second = (taken(tmp_path / "model.tar.gz", tmp_path / "cache") for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    # The key is that of the conversion, wherever it was.
    assert first.manifest == classifier.manifest
    names = {path.name for path in (tmp_path / "cache" / "artifacts").iterdir()}
    assert names == {first.path.name, f"{first.path.name}.lock"}


def spoil(entry: Path, **fields: Any) -> None:
    path = entry / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_entry_of_another_format_is_a_line(copied: Path, tmp_path: Path) -> None:
    spoil(copied, format=1)
    pack(copied, tmp_path / "model.tar.gz", SILENT)
    for source in (copied, tmp_path / "model.tar.gz"):
        for command in ("serve", "check"):
            ended = run_cli(command, str(source), "--cache", str(tmp_path / "cache"))
            assert ended.returncode == 1
            assert "Traceback" not in ended.stderr
            last = ended.stderr.strip().splitlines()[-1]
            assert last.startswith("triton-hf: ") and "format 1, this version reads" in last


def test_packages_for_another_python_are_a_line(copied: Path) -> None:
    versions = Manifest.read(copied / "1").versions
    assert versions[PLATFORM] == platform_tag()
    spoil(copied, versions={**versions, PLATFORM: "CPython 3.8 linux-aarch64"})
    # An entry without packages of its own goes anywhere.
    assert Manifest.read(copied / "1").task == "text-classification"
    (copied / "1" / PACKAGES).mkdir()
    with pytest.raises(EntryError, match=r"was installed for CPython 3\.8 linux-aarch64, this is CPython 3\.1\d "):
        Manifest.read(copied / "1")
    spoil(copied, versions=versions)
    assert Manifest.read(copied / "1").task == "text-classification"


def test_a_model_of_another_triton_is_a_line(copied: Path, tmp_path: Path) -> None:
    (copied / "1" / "manifest.json").unlink()
    with pytest.raises(ConversionError, match=r"model is no entry of triton-hf: it has a config.pbtxt but no 1/manif"):
        taken(copied, tmp_path / "cache")


def test_an_entry_serves_the_task_it_was_made_for(classifier: Artifact, copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="converted for text-classification, not for fill-mask"):
        taken(classifier.path, tmp_path, task="fill-mask")
    # The toolkit's other name for it.
    assert taken(classifier.path, tmp_path, task="sentiment-analysis").manifest == classifier.manifest
    spoil(copied, task="translation_en_to_de", tier="accelerated")
    assert taken(copied, tmp_path, task="translation").manifest.task == "translation_en_to_de"


def test_half_an_archive_is_a_line(classifier: Artifact, tmp_path: Path) -> None:
    pack(classifier.path, tmp_path / "model.tar.gz", SILENT)
    whole = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConversionError, match=r"half\.tar.gz is not a readable tar archive"):
        taken(tmp_path / "half.tar.gz", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "artifacts").iterdir() if path.is_dir()]


def test_check_knows_an_entry(classifier: Artifact, copied: Path, tmp_path: Path) -> None:
    pack(classifier.path, tmp_path / "model.tar.gz", SILENT)
    for source, kind in ((classifier.path, "entry"), (tmp_path / "model.tar.gz", "archive of an entry")):
        ended = run_cli("check", str(source), "--json")
        report = json.loads(ended.stdout)
        assert (ended.returncode, report["serves"], report["task"], report["tier"]) == (
            0,
            True,
            "text-classification",
            "fast",
        )
        assert f"{kind} that was converted before" in report["kind"]
    (copied / "1" / "model.onnx").unlink()
    (copied / "code").mkdir()
    report = json.loads(run_cli("check", str(copied), "--json").stdout)
    assert report["problems"] == ["the entry is not whole: there is no 1/model.onnx"]
    assert any("code/ beside the entry is left alone" in note for note in report["notes"])


def test_the_gate_of_an_entry_travels_with_it(copied: Path, tmp_path: Path) -> None:
    spoil(copied, gate={**json.loads((copied / "1" / "manifest.json").read_text())["gate"], "texts": 77})
    pack(copied, tmp_path / "model.tar.gz", SILENT)
    read = taken(tmp_path / "model.tar.gz", tmp_path / "cache").manifest
    assert read.gate == replace(read.gate, texts=77)
