"""The peers' environments: made once, made anew when their lock changes, and one line where they cannot be made."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from perf.bench.peers import environment, environments
from perf.bench.peers.environment import ENVIRONMENTS, Environment
from perf.bench.system import Unavailable


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with empty locks of "base" and of "own", which looks behind itself into "base"."""
    monkeypatch.setenv(environment.FOLDER, str(tmp_path / "peers"))
    for name, behind in (("base", None), ("own", "base")):
        lock = tmp_path / f"{name}.txt"
        lock.write_text("")
        monkeypatch.setitem(ENVIRONMENTS, name, Environment(str(lock), behind))
    return tmp_path


def test_is_made_once_and_anew_when_a_lock_behind_it_changes(locks: Path) -> None:
    assert environment.existing("own") is None
    python = environment.ensure("own")
    assert python == locks / "peers" / "own" / "bin" / "python"
    mark = python.parent / "mark"
    mark.touch()
    assert environment.ensure("own") == environment.existing("own") == python
    assert mark.exists()

    [behind] = (locks / "peers" / "base").glob("lib/python*/site-packages")
    (behind / "only_behind.py").write_text("")
    subprocess.run([python, "-c", "import only_behind"], check=True)

    (locks / "base.txt").write_text("# another\n")
    assert environment.existing("own") is None
    environment.ensure("own")
    assert not mark.exists()


def test_failure_is_a_line(locks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (locks / "base.txt").write_text(f"{locks}/missing-1.0-py3-none-any.whl\n")
    with pytest.raises(
        Unavailable, match=r"^the environment of base cannot be made: .*missing-1\.0.*; see .*pip\.log$"
    ):
        environment.ensure("base")
    assert environment.existing("base") is None

    monkeypatch.setattr(environments, "NAMES", ("base",))
    assert environments.main([]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert environments.main(["triton"]) == 2
    assert "toolkit, pipeline, litserve, infinity" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_every_package_has_one_exact_version(name: str) -> None:
    lock = Path(environment.__file__).parent / "locks" / ENVIRONMENTS[name].lock
    lines = lock.read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.a-z]*", line)] == []
    assert len({line.split("==")[0] for line in lines}) == len(lines) > 10


def test_own_versions_come_before_those_behind() -> None:
    behind, own = (environment.versions(name, "sentence-transformers", "torch") for name in ("pipeline", "infinity"))
    assert behind["torch"] == own["torch"] == "2.13.0"
    assert own["sentence-transformers"].startswith("3.")
    assert behind["sentence-transformers"].startswith("5.")
