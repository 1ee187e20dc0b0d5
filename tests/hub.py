"""A Hub on the loopback: the few calls that huggingface_hub makes for a model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Repository:
    """One model: revisions by name, each a commit and its files."""

    revisions: dict[str, tuple[str, Path]]
    pipeline_tag: str | None = None
    token: str | None = None
    """Needed to see it at all."""


@dataclass
class Hub:
    repositories: dict[str, Repository]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    stalled: set[str] = field(default_factory=set)
    """Files whose download never ends."""


@contextmanager
def serve(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """Serve repositories until the block ends."""
    hub, stop = Hub(repositories), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            path = unquote(self.path.partition("?")[0])
            hub.requests.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            api = parts[:2] == ["api", "models"]
            parts = parts[2:] if api else parts
            # The oldest models have no organisation in their names.
            words = 1 if parts[0] in hub.repositories else 2
            name, rest = "/".join(parts[:words]), parts[words:]
            repository = hub.repositories.get(name)
            given = self.headers.get("authorization", "").removeprefix("Bearer ")
            if repository is None or (repository.token and given != repository.token):
                self._reply(401, b"", {"x-error-code": "RepoNotFound"}, body)
                return
            revision = rest[1] if len(rest) > 1 else "main"
            known = {commit: (commit, folder) for commit, folder in repository.revisions.values()}
            if revision not in repository.revisions and revision not in known:
                self._reply(404, b"", {"x-error-code": "RevisionNotFound"}, body)
                return
            commit, folder = repository.revisions.get(revision) or known[revision]
            if api:
                files = [str(p.relative_to(folder)) for p in sorted(folder.rglob("*")) if p.is_file()]
                info = {
                    "id": name,
                    "sha": commit,
                    "pipeline_tag": repository.pipeline_tag,
                    "siblings": [{"rfilename": file} for file in files],
                }
                self._reply(200, json.dumps(info).encode(), {"content-type": "application/json"}, body)
                return
            file = folder / "/".join(rest[2:])
            if not file.is_file():
                self._reply(404, b"", {"x-error-code": "EntryNotFound"}, body)
                return
            if body and file.name in hub.stalled:
                stop.wait()
            content = file.read_bytes()
            etag = hashlib.sha256(content).hexdigest()
            self._reply(200, content, {"x-repo-commit": commit, "etag": f'"{etag}"'}, body)

        def _reply(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for key, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                # A client that was killed in the middle is part of the tests.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
