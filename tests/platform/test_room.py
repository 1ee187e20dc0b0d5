"""Many models where there is little room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.platform.conftest import Run
from tests.platform.simulator import MB, MultiModel
from tests.platform.test_errors import refused
from tests.platform.test_multi_model import MULTI
from tests.serving import BACKEND


@pytest.mark.clause("mme.load-short", "mme.load-again")
def test_memory_runs_short(run: Run, ml: Callable[..., Path], artifacts: dict[str, Path]) -> None:
    models = MultiModel(run(ml(), {**MULTI, "TRITON_HF_MEMORY_LIMIT": "1700"}).wait(), artifacts)
    assert models.load("heavy-0").status_code == 200
    assert models.load("heavy-1").status_code == 200
    assert models.invoke("heavy-0", {}).status_code == 200
    refused(models.post("heavy-2"), 507)
    # What did not fit has left nothing behind.
    assert len([process for process in models.container.processes() if BACKEND in process.cmdline()[0]]) == 2
    assert models.invoke("heavy-2", {}).json()["word"] == "2"
    # The least recently used one made room.
    assert models.unloaded == ["heavy-1"]
    assert models.invoke("heavy-0", {}).status_code == 200
    assert models.invoke("heavy-1", {}).json()["word"] == "1"
    assert models.unloaded == ["heavy-1", "heavy-2"]


@pytest.mark.clause("mme.list-pages")
def test_pages_of_a_hundred(run: Run, ml: Callable[..., Path], artifacts: dict[str, Path], slow_allowed: None) -> None:
    """Real models, a process each: a minute."""
    if psutil.virtual_memory().available < 10 * 1024 * MB:
        pytest.skip("a hundred processes need 10 GB of memory here")
    models = MultiModel(run(ml(), MULTI, shm_mb=512).wait(), artifacts)
    targets = [f"light-{number}" for number in range(103)]
    for target in targets:
        assert models.load(target).status_code == 200
    first, second = models.pages()
    assert (len(first["models"]), len(second["models"])) == (100, 3)
    assert first["nextPageToken"]
    assert {model["modelName"] for page in (first, second) for model in page["models"]} == set(
        map(models.name, targets)
    )


@pytest.mark.clause("mme.load-360s")
def test_a_load_of_minutes(
    run: Run, ml: Callable[..., Path], obedient: Callable[..., Path], slow_allowed: None
) -> None:
    models = MultiModel(run(ml(), MULTI).wait(), {"long": obedient(word="long", load_seconds=100)})
    assert models.load("long").status_code == 200
    assert models.invoke("long", {}).json()["word"] == "long"
