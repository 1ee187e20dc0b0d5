"""What SageMaker does with a container: invocations, models on demand, batch transform jobs."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.platform.container import Container
from tests.serving import Server

MB = 2**20
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
JSON = "application/json"


def invoke(
    container: Container | Server,
    body: Any,
    *,
    path: str = "/invocations",
    content_type: str = JSON,
    accept: str = "",
    attributes: str = "",
    target_model: str = "",
    timeout: float = 60,
    **others: str,
) -> httpx.Response:
    """A real-time invocation with the headers that SageMaker hands on; `timeout` is 60 s there, an hour for async."""
    assert len(attributes) <= 1024 and attributes.isascii()
    given = {"content-type": content_type, "accept": accept, ATTRIBUTES: attributes, TARGET_MODEL: target_model}
    headers = {name: value for name, value in given.items() if value}
    headers |= {name.replace("_", "-"): value for name, value in others.items()}
    if isinstance(body, dict | list):
        return container.client.post(path, json=body, headers=headers, timeout=timeout)
    return container.client.post(path, content=body, headers=headers, timeout=timeout)


@dataclass
class Stream:
    """A streamed answer: its parts, and when each came, in seconds."""

    status: int
    headers: httpx.Headers
    chunks: list[tuple[float, bytes]]


def stream(container: Container, body: Any, **headers: str) -> Stream:
    """An invocation with response stream."""
    began = time.monotonic()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    # Response streams may take eight minutes.
    with container.client.stream("POST", "/invocations", json=body, headers=named, timeout=480) as answer:
        chunks = [(time.monotonic() - began, chunk) for chunk in answer.iter_raw()]
    return Stream(answer.status_code, answer.headers, chunks)


class MultiModel:
    """Models on demand: brought under /opt/ml/models, loaded, and the least used unloaded where memory is short."""

    def __init__(self, container: Container, artifacts: Mapping[str, Path]) -> None:
        """`artifacts` are the folders that a target model's archive would have."""
        self.container, self._artifacts = container, artifacts
        self.loaded: list[str] = []
        """Target models, the least recently used first."""
        self.unloaded: list[str] = []
        """Those that made room, in their order."""

    def name(self, target: str) -> str:
        """The container's name for a target model: of no meaning to it."""
        return hashlib.sha256(target.encode()).hexdigest()[:32]

    def url(self, target: str) -> str:
        return f"/opt/ml/models/{self.name(target)}/model"

    def bring(self, target: str) -> None:
        """Put a target model's files where the container sees them."""
        folder = self.container.ml / "models" / self.name(target) / "model"
        if not folder.exists():
            shutil.copytree(self._artifacts[target], folder)

    def post(self, target: str) -> httpx.Response:
        """The bare call that loads a model."""
        self.bring(target)
        wanted = {"model_name": self.name(target), "url": self.url(target)}
        return self.container.client.post("/models", json=wanted, timeout=360)

    def unload(self, target: str) -> httpx.Response:
        if target in self.loaded:
            self.loaded.remove(target)
        return self.container.client.delete(f"/models/{self.name(target)}", timeout=360)

    def load(self, target: str) -> httpx.Response:
        """Load a model; where the container has no room, unload the least used one and try again."""
        while (answer := self.post(target)).status_code == 507 and self.loaded:
            least = self.loaded[0]
            gone = self.unload(least)
            assert gone.status_code == 200, f"unloading answered {gone.status_code}: {gone.text}"
            self.unloaded.append(least)
        if answer.status_code == 200:
            self.loaded.append(target)
        return answer

    def invoke(self, target: str, body: Any, **given: Any) -> httpx.Response:
        """An invocation with TargetModel, which loads the model where it is not."""
        if target not in self.loaded:
            loaded = self.load(target)
            if loaded.status_code != 200:
                return loaded
        self.loaded.remove(target)
        self.loaded.append(target)
        path = f"/models/{self.name(target)}/invoke"
        return invoke(self.container, body, path=path, target_model=target, **given)

    def pages(self) -> list[dict[str, Any]]:
        """GET /models to its last page."""
        found, token = [], ""
        while True:
            answer = self.container.client.get("/models", params={"next_page_token": token} if token else {})
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
            token = found[-1].get("nextPageToken") or ""
            if not token:
                return found


@dataclass
class Job:
    """What became of a transform job."""

    outputs: dict[str, bytes] = field(default_factory=dict)
    """By the name of the object, which SageMaker would end with `.out`."""
    failed: dict[str, str] = field(default_factory=dict)
    """Objects without an output, and the first answer that was no 200."""
    requests: int = 0
    concurrent: int = 0
    """Most requests at once."""


@dataclass(frozen=True)
class Transform:
    """A batch transform job. What its user left out is None, and then the container's word or SageMaker's default."""

    content_type: str = JSON
    accept: str = ""
    split: Literal["None", "Line"] = "None"
    assemble: Literal["None", "Line"] = "None"
    strategy: Literal["SingleRecord", "MultiRecord"] | None = None
    max_payload_mb: int | None = None
    max_concurrent: int | None = None

    def environment(self) -> dict[str, str]:
        """What SageMaker sets in the container."""
        named = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD", None: None}
        stated = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_BATCH_STRATEGY": named[self.strategy],
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": self.max_payload_mb,
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": self.max_concurrent,
        }
        return {name: str(value) for name, value in stated.items() if value is not None}

    def run(self, container: Container | Server, objects: Mapping[str, bytes]) -> Job:
        """Send every object through the container and put the answers together."""
        said = container.client.get("/execution-parameters")
        told = said.json() if said.status_code == 200 else {}
        strategy = self.strategy or told.get("BatchStrategy", "MultiRecord").title().replace("_", "")
        strategy = {"Multirecord": "MultiRecord", "Singlerecord": "SingleRecord"}.get(strategy, strategy)
        payload = self.max_payload_mb if self.max_payload_mb is not None else told.get("MaxPayloadInMB", 6)
        width = self.max_concurrent or told.get("MaxConcurrentTransforms", 1)
        job, counting, now = Job(), threading.Lock(), [0]

        def send(body: bytes) -> httpx.Response:
            with counting:
                now[0] += 1
                job.requests += 1
                job.concurrent = max(job.concurrent, now[0])
            try:
                # Without a limit on the payload SageMaker sends chunks.
                content = iter([body]) if payload == 0 else body
                return invoke(container, content, content_type=self.content_type, accept=self.accept, timeout=3600)
            finally:
                with counting:
                    now[0] -= 1

        with ThreadPoolExecutor(width) as pool:
            sent = {name: pool.map(send, self.bodies(data, strategy, payload)) for name, data in objects.items()}
        for name, mapped in sent.items():
            answers = list(mapped)
            bad = next((answer for answer in answers if answer.status_code != 200), None)
            if bad is not None:
                job.failed[name] = f"{bad.status_code}: {bad.text}"
            else:
                end = b"\n" if self.assemble == "Line" else b""
                job.outputs[name] = b"".join(answer.content + end for answer in answers)
        return job

    def bodies(self, data: bytes, strategy: str, payload_mb: int) -> Iterator[bytes]:
        """An object in requests: whole, by lines, or as many lines as the payload allows."""
        if self.split == "None":
            yield data
            return
        # Behind each line feed and nowhere else: a carriage return belongs to its line.
        lines = [line for line in re.split(rb"(?<=\n)", data) if line]
        if strategy == "SingleRecord":
            yield from lines
            return
        most, waiting, size = (payload_mb or 1024) * MB, [], 0
        for line in lines:
            if waiting and size + len(line) > most:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(line)
            size += len(line)
        if waiting:
            yield b"".join(waiting)
