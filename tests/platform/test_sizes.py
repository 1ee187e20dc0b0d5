"""Bodies of every size that the platform allows, where /dev/shm has 64 MB."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.platform.conftest import Run
from tests.platform.container import Container
from tests.platform.simulator import MB, Transform, invoke

OCTETS = "application/octet-stream"


def chunks(megabytes: int) -> Iterator[bytes]:
    """A body whose length nobody knows before its end."""
    for number in range(megabytes):
        yield bytes([number % 251]) * MB


def there_and_back(container: Container, megabytes: int) -> None:
    body = os.urandom(MB) * megabytes
    answer = invoke(container, body, content_type=OCTETS, accept=OCTETS, timeout=600)
    assert answer.status_code == 200, answer.text[:300]
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest()


@pytest.mark.clause("hosting.small-shm")
def test_shared_memory_is_small_and_suffices(scripted: Container) -> None:
    shm = scripted.shared_memory
    room = os.statvfs(shm)
    assert room.f_blocks * room.f_frsize == 64 * MB
    # Each of them would fill it.
    for megabytes in (70, 3, 70):
        there_and_back(scripted, megabytes)
    assert room.f_bavail * room.f_frsize > 40 * MB


@pytest.mark.clause("hosting.body-25mb")
def test_25_mb(scripted: Container) -> None:
    there_and_back(scripted, 25)


@pytest.mark.clause("hosting.body-100mb")
def test_100_mb(scripted: Container) -> None:
    there_and_back(scripted, 100)


@pytest.mark.clause("hosting.body-chunked")
def test_chunks(scripted: Container) -> None:
    answer = invoke(scripted, chunks(30), content_type=OCTETS)
    assert answer.content == b"".join(chunks(30))


@pytest.fixture(scope="module")
def unbounded(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """A container whose user gave no limit to the payload."""
    env = {**Transform(max_payload_mb=0).environment(), "SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600"}
    return run(ml(obedient()), env).wait()


@pytest.mark.clause("batch.unbounded-payload")
def test_no_limit_to_the_payload(unbounded: Container) -> None:
    job = Transform(content_type=OCTETS, max_payload_mb=0)
    data = b"".join(chunks(120))
    done = job.run(unbounded, {"big": data})
    assert not done.failed
    assert done.outputs["big"] == data


@pytest.mark.clause("hosting.body-1gb")
def test_a_gigabyte(unbounded: Container, slow_allowed: None) -> None:
    if psutil.virtual_memory().available < 8 * 1024 * MB:
        pytest.skip("a gigabyte there and back needs 8 GB of memory here")
    body = os.urandom(MB) * 1024
    answer = invoke(unbounded, body, content_type=OCTETS, timeout=3600)
    assert answer.status_code == 200, answer.text[:300]
    assert len(answer.content) == len(body)
    assert answer.content == body


@pytest.mark.clause("hosting.over-60s")
def test_an_answer_that_takes_over_a_minute(unbounded: Container, slow_allowed: None) -> None:
    answer = invoke(unbounded, {"sleep": 65}, timeout=3600)
    assert answer.status_code == 200, answer.text
