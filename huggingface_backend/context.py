"""The `context` a script's hooks may take: what multi-model-server gives them, for one request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any


class Context:
    """Request headers in, response headers and status out. `idx` is always 0: hooks see one request."""

    def __init__(self, model_name: str, model_dir: str, headers: Mapping[str, str] | None = None) -> None:
        self.model_name = model_name
        self.manifest: dict[str, Any] = {}
        self.system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "triton-hf",
        }
        self._id = uuid.uuid4().hex
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: dict(headers or {}))]
        self.metrics = SimpleNamespace(add_time=_ignore, add_counter=_ignore, add_size=_ignore)
        self.response_headers: dict[str, str] = {}
        self.response_content_type: str | None = None
        self.response_status: int | None = None
        self.response_phrase: str | None = None

    def get_request_id(self, idx: int = 0) -> str:  # noqa: ARG002
        return self._id

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        return self._headers.get(key.lower())

    def get_all_request_header(self, idx: int) -> dict[str, str]:  # noqa: ARG002
        return dict(self._headers)

    def set_response_content_type(self, idx: int, value: str) -> None:  # noqa: ARG002
        self.response_content_type = value

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002
        self.response_headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002
        self.response_status, self.response_phrase = code, phrase


def _ignore(*_args: Any, **_keywords: Any) -> None:
    """Metrics a script reports to multi-model-server have no counterpart."""
