"""Disk for one more conversion."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from converters.entry import CONFIG, VERSION, is_entry
from converters.room import make_room
from huggingface_backend.manifest import FILE


def entries(cache: Path) -> list[Path]:
    """Four, the oldest first."""
    made = []
    for age in range(4):
        entry = cache / "artifacts" / f"{age:032x}"
        (entry / VERSION).mkdir(parents=True)
        (entry / CONFIG).touch()
        (entry / VERSION / FILE).touch()
        os.utime(entry, (age, age))
        made.append(entry)
    return made


def test_nothing_goes_where_there_is_room(tmp_path: Path) -> None:
    made = entries(tmp_path)
    assert make_room(tmp_path, 1, [])
    assert all(map(is_entry, made))


def test_the_oldest_unused_go_until_there_is_room_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = entries(tmp_path)

    def usage(_: Path) -> object:
        # A disk that small cannot be had without root.
        return shutil._ntuple_diskusage(100, 0, 10 * (4 - sum(map(is_entry, made))))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert make_room(tmp_path, 10, [made[0]])
    assert [is_entry(entry) for entry in made] == [True, False, True, True]
    with FileLock(made[2].with_suffix(".lock")):
        assert make_room(tmp_path, 20, [made[0]])
    assert [is_entry(entry) for entry in made] == [True, False, True, False]
    assert not make_room(tmp_path, 100, [made[0]])
    assert [is_entry(entry) for entry in made] == [True, False, False, False]
