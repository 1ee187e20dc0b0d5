"""The cases in tests/user_code: a script, the model it wants, requests, and what the toolkit answered."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

USER_CODE = Path(__file__).parents[1] / "user_code"

# What a server says of itself or of the connection.
TRANSPORT = {
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "expires",
    "pragma",
    "server",
    "transfer-encoding",
    "x-request-id",
}


@dataclass(frozen=True)
class Answer:
    """A response without what differs from run to run. `headers` are those that a script set."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        headers = {name: value for name, value in response.headers.items() if name not in TRANSPORT}
        return cls(response.status_code, response.headers.get("content-type", ""), headers, response.content)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Answer:
        return cls(stored["status"], stored["content_type"], stored.get("headers", {}), content(stored))

    def stored(self) -> dict[str, Any]:
        """As it stands in a recording."""
        try:
            body = {"text": self.body.decode("utf-8")}
        except UnicodeDecodeError:
            body = {"base64": base64.b64encode(self.body).decode()}
        headers = {"headers": dict(self.headers)} if self.headers else {}
        return {"status": self.status, "content_type": self.content_type, **headers, **body}


@dataclass(frozen=True)
class Request:
    """One request of a case. `ours` is what triton-hf answers where that is meant to differ."""

    name: str
    headers: Mapping[str, str]
    body: bytes
    ours: Mapping[str, Any] | None = None

    def send(self, client: httpx.Client, path: str = "/invocations") -> Answer:
        built = client.build_request("POST", path, content=self.body)
        # Only the headers that the case names: a client's own `Accept: */*` would hide what their absence does.
        for name in ("accept", "content-type"):
            built.headers.pop(name, None)
        built.headers.update(self.headers)
        return Answer.of(client.send(built))


@dataclass(frozen=True)
class Case:
    """A folder of tests/user_code."""

    name: str
    model: Mapping[str, Any]
    requests: tuple[Request, ...]
    recording: Mapping[str, Answer] = field(repr=False)

    @property
    def recording_file(self) -> Path:
        return USER_CODE / self.name / "recording.json"

    def build(self, folder: Path, model: Callable[..., Path]) -> Path:
        """The model folder with the script in it. `model` builds a tiny model, as `tests.models.build` does."""
        if not folder.exists():
            settings = dict(self.model)
            shutil.copytree(model(settings.pop("type"), **settings), folder)
            shutil.copytree(
                USER_CODE / self.name / "code", folder / "code", ignore=shutil.ignore_patterns("__pycache__")
            )
        return folder


def names() -> list[str]:
    """Every case that has requests."""
    return sorted(file.parent.name for file in USER_CODE.glob("*/requests.json"))


def load(name: str) -> Case:
    folder = USER_CODE / name
    described = json.loads((folder / "requests.json").read_text())
    recorded = folder / "recording.json"
    recording = json.loads(recorded.read_text()) if recorded.exists() else {}
    requests = tuple(_request(stored, folder) for stored in described["requests"])
    if len({request.name for request in requests}) < len(requests):
        raise ValueError(f"{name}: two requests have the same name")
    return Case(name, described["model"], requests, {key: Answer.read(value) for key, value in recording.items()})


def content(stored: Mapping[str, Any], folder: Path | None = None) -> bytes:
    """The bytes that a description means: `text`, `base64`, a `file`, or `body`, which is sent as JSON."""
    if "text" in stored:
        return str(stored["text"]).encode()
    if "base64" in stored:
        return base64.b64decode(stored["base64"])
    if "file" in stored and folder is not None:
        return (folder / stored["file"]).read_bytes()
    return json.dumps(stored["body"], ensure_ascii=False).encode()


def _request(stored: Mapping[str, Any], folder: Path) -> Request:
    headers = {
        header: stored[key] for header, key in (("Content-Type", "content_type"), ("Accept", "accept")) if key in stored
    }
    return Request(
        stored["name"], {**headers, **stored.get("headers", {})}, content(stored, folder), stored.get("ours")
    )
