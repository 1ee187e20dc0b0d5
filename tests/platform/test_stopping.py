"""SIGTERM, and thirty seconds later SIGKILL."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.platform.conftest import Run
from tests.platform.container import KILL_SECONDS, Container
from tests.platform.simulator import invoke


@pytest.mark.clause("hosting.sigterm-finishes", "hosting.sigterm-refuses", "errors.503-draining")
@pytest.mark.clause("hosting.sigterm-leaves-nothing")
def test_sigterm_in_the_middle_of_requests(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> None:
    container = run(ml(obedient()), {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}).wait()
    processes = container.processes()
    assert len(processes) >= 4
    with ThreadPoolExecutor(3) as pool:
        # Two in the model's processes, one waiting for its turn.
        slow = [pool.submit(invoke, container, {"sleep": 1.5}) for _ in range(3)]
        time.sleep(0.5)
        container.terminate()
        time.sleep(0.3)
        assert container.ping() == 503
        late = invoke(container, {})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert late.json()["code"] == 503
        assert [each.result().status_code for each in slow] == [200] * 3
    end = container.stop()
    assert (end.code, end.killed) == (0, False)
    _, alive = psutil.wait_procs(processes, timeout=1)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def stuck(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """A container that SIGTERM has reached while a request was in it that takes minutes."""
    container = run(ml(obedient()), {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "600"}).wait()

    def ask() -> None:
        with suppress(httpx.TransportError):
            invoke(container, {"sleep": 300}, timeout=60)

    threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.5)
    container.terminate()
    return container


@pytest.mark.clause("hosting.sigterm-loading")
def test_sigterm_while_a_model_loads(
    stuck: Container, run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]
) -> None:
    container = run(ml(obedient(load_seconds=60))).until_bound()
    time.sleep(1)
    end = container.stop()
    assert (end.code, end.killed) == (0, False)
    assert end.seconds < 25


@pytest.mark.clause("hosting.sigterm-25s")
def test_a_request_that_never_ends(stuck: Container) -> None:
    end = stuck.stop()
    assert (end.code, end.killed) == (0, False)
    assert 1 < end.seconds < 25


def test_what_does_not_heed_sigterm_is_killed(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> None:
    """The control: the platform's clock says so."""
    assert KILL_SECONDS == 30
    container = run(ml(obedient()), command=("sh", "-c", "trap '' TERM; echo deaf; sleep 5; sleep 5"))
    while "deaf" not in container.text:
        time.sleep(0.02)
    end = container.stop(grace=0.5)
    assert (end.code, end.killed) == (-signal.SIGKILL, True)
    assert 0.5 <= end.seconds < 3
