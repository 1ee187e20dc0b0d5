"""The server's parts, each by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from huggingface_backend.manifest import Manifest
from server import cli
from server.errors import ServerError
from server.logs import MAX_LINE, log_triton_line
from server.model import Model
from server.rundir import RunDir
from server.triton import binary
from server.triton.failures import load_reason
from server.triton.process import free_ports


@pytest.mark.parametrize(
    ("line", "name", "level", "text"),
    [
        ('I1122 17:20:32.984 3105 grpc_server.cc:2558] "Started"', "triton", logging.DEBUG, "Started"),
        ("W1122 17:20:32.984 3105 x.cc:1] careful", "triton", logging.WARNING, "careful"),
        ('E1122 17:20:32.984 3105 x.cc:1] "bad"', "triton", logging.ERROR, "bad"),
        (
            'E1122 17:20:32.984 3105 x.cc:1] "CudaDriverHelper has not been initialized."',
            "triton",
            logging.DEBUG,
            "Cuda",
        ),
        ('I1122 17:20:32.984 3105 model.py:9] "hello"', "backend", logging.INFO, "hello"),
        ('E1122 17:20:32.984 3105 model.py:9] "a\\nb \\"c\\""', "backend", logging.ERROR, 'a\nb "c"'),
        ("printed by a script", "backend", logging.INFO, "printed by a script"),
        ("| Model | Version |", "triton", logging.DEBUG, "| Model"),
        ("x" * 10_000, "backend", logging.INFO, "x" * MAX_LINE),
    ],
)
def test_tritons_lines_are_levelled(
    line: str, name: str, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        log_triton_line(line)
    [record] = caplog.records
    assert (record.name, record.levelno) == (name, level)
    assert record.getMessage().startswith(text)
    assert len(record.getMessage()) <= MAX_LINE


@pytest.mark.parametrize("version", ["glibc 2.31", "glibc 2.34", "", "musl 1.2"])
def test_an_old_libc_is_one_line(version: str) -> None:
    with pytest.raises(ServerError, match=r"needs glibc 2\.35 or later, this machine has"):
        binary.check_glibc(version)


def test_a_libc_that_will_do() -> None:
    for version in ("glibc 2.35", "glibc 2.36", "glibc 3.0"):
        binary.check_glibc(version)


def test_a_missing_libpython_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # The library cannot be taken from this machine; what looks for it is told that it is not there.
    monkeypatch.setattr(binary.sysconfig, "get_config_var", lambda _name: None)
    monkeypatch.setattr(binary.ctypes.util, "find_library", lambda _name: None)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(ServerError, match=f"apt-get install libpython{version}"):
        binary.libpython_folder()


def test_a_systems_own_tritonserver_is_preferred(tmp_path: Path) -> None:
    server = tmp_path / "tritonserver"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    found = binary.find(tmp_path, {"PATH": str(tmp_path)})
    assert (found.path, found.backends) == (server, None)


def test_the_operators_word_on_memory_pages_counts(tmp_path: Path) -> None:
    (tmp_path / "tritonserver").touch(0o755)
    for given, expected in (({}, "glibc.malloc.hugetlb=1"), ({"GLIBC_TUNABLES": ""}, "")):
        found = binary.find(tmp_path, {"PATH": str(tmp_path), **given})
        assert found.environment["GLIBC_TUNABLES"] == expected


def dist(folder: Path, *names: str) -> Path:
    for name in names:
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    return folder


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        (["onnxruntime", "onnxruntime-gpu"], "both installed"),
        ([], "no ONNX Runtime"),
        (["onnxruntime-gpu"], None),
        (["onnxruntime"], None),
    ],
)
def test_exactly_one_onnx_runtime(
    installed: list[str], message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(dist(tmp_path, *installed))])
    if message is None:
        cli.require_one_runtime()
        return
    with pytest.raises(ServerError, match=message):
        cli.require_one_runtime()


def test_ports_come_from_the_allowed_range() -> None:
    ports = free_ports(range(21000, 21100))
    chosen = {ports.grpc, ports.http, ports.metrics}
    assert chosen <= set(range(21000, 21100))
    assert len(chosen) == 3
    with pytest.raises(OSError, match="no three free ports"):
        free_ports(range(21000, 21002))


def test_a_run_dir_is_private_and_swept_when_its_owner_is_gone(tmp_path: Path) -> None:
    first = RunDir(tmp_path)
    assert first.path.stat().st_mode & 0o777 == 0o700
    second = RunDir(tmp_path)
    assert first.path.exists()
    second.remove()
    # Closing the lock is what a kill does.
    os.close(first._lock)
    third = RunDir(tmp_path)
    assert not first.path.exists()
    third.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_reason_of_a_failed_load_is_one_line() -> None:
    details = "load failed for model 'm': version 1: Internal: TritonModelException: m: bad\n\nAt:\n  x.py(1)"
    assert load_reason(details) == "m: bad"
    assert load_reason("something else\nsecond") == "something else"
    assert load_reason("") == "no reason given"


def test_retries_are_one_at_a_time_and_alone() -> None:
    async def scenario() -> list[str]:
        model = Model("m", Manifest("t", "fast"), runs_user_code=False)
        events: list[str] = []

        async def normal() -> None:
            generation = await model.ready()
            events.append(f"normal {generation}")

        async def retry(name: str) -> None:
            async with model.quarantine():
                await model.up(after=1)
                events.append(f"{name} begins")
                await asyncio.sleep(0.01)
                events.append(f"{name} ends")

        await model.came_up()
        await normal()
        model.went_down()
        tasks = [asyncio.create_task(job) for job in (retry("a"), normal(), retry("b"))]
        await asyncio.sleep(0.01)
        events.append("back")
        await model.came_up()
        await asyncio.gather(*tasks)
        return events

    expected = ["normal 1", "back", "a begins", "a ends", "b begins", "b ends", "normal 2"]
    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == expected


def test_settings_take_sagemakers_values() -> None:
    from server.settings import LogLevel, PortRange

    assert LogLevel().convert("20", None, None) == "INFO"
    assert LogLevel().convert("debug", None, None) == "DEBUG"
    assert PortRange().convert("9000-9999", None, None) == range(9000, 10000)


def test_names() -> None:
    import click

    assert cli.checked_name("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    for wrong in ("", "..", "a/b", ".hidden", "a b"):
        with pytest.raises(click.UsageError):
            cli.checked_name(wrong)
