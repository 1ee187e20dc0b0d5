"""The `context` a script's hooks may take: what multi-model-server gives them, for one request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

_SPELLED = {"x-amzn-sagemaker-": "X-Amzn-SageMaker-"}


class Headers(dict[str, str]):
    """Headers in their usual spelling, found in any."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({_spell(name): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(_spell(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(_spell(name))

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(_spell(name), default)


class RequestProcessor:
    """One request's headers, and the headers and status of its answer."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = Headers(headers)
        self._response_headers: dict[str, str] = {}
        self._status: int | None = None
        self._phrase: str | None = None

    def get_request_property(self, key: str) -> str | None:
        value: str | None = self._headers.get(key)
        return value

    def get_request_properties(self) -> Headers:
        return self._headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self._status, self._phrase = code, reason_phrase

    def get_response_status_code(self) -> int:
        return self._status or 200

    def get_response_status_phrase(self) -> str | None:
        return self._phrase

    def add_response_property(self, key: str, value: str) -> None:
        self._response_headers[key] = value

    def get_response_header(self, key: str) -> str | None:
        return self._response_headers.get(key)

    def get_response_headers(self) -> dict[str, str]:
        return self._response_headers


class Metrics:
    """Takes what a script measures; multi-model-server's metrics have no counterpart."""

    def add_counter(self, name: str, value: float, idx: int | None = None, dimensions: Any = None) -> None: ...

    def add_time(
        self, name: str, value: float, idx: int | None = None, unit: str = "ms", dimensions: Any = None
    ) -> None: ...

    def add_size(
        self, name: str, value: float, idx: int | None = None, unit: str = "MB", dimensions: Any = None
    ) -> None: ...

    def add_percent(self, name: str, value: float, idx: int | None = None, dimensions: Any = None) -> None: ...

    def add_error(self, name: str, value: Any, dimensions: Any = None) -> None: ...

    def add_metric(
        self, name: str, value: Any, idx: int | None = None, unit: str | None = None, dimensions: Any = None
    ) -> None: ...


class Context:
    """`idx` is always 0: hooks see one request at a time."""

    def __init__(self, model_name: str, model_dir: str, headers: Mapping[str, str] | None = None) -> None:
        self.model_name = model_name
        self.manifest = None
        self.system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "triton-hf",
            "server_version": "",
        }
        self.request_ids = {0: str(uuid.uuid4())}
        self.request_processor = [RequestProcessor(headers or {})]
        self.metrics = Metrics()

    def get_request_id(self, idx: int = 0) -> str | None:
        return self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> Headers:
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        """The type a script has set, however it spelled the header."""
        headers = self.request_processor[idx].get_response_headers()
        return next((value for name, value in headers.items() if name.lower() == "content-type"), None)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        return self.request_processor[idx].get_response_headers()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        self.set_response_status(code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        processor = self.request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()


def _spell(name: str) -> str:
    lower = name.lower()
    for prefix, spelled in _SPELLED.items():
        if lower.startswith(prefix):
            return spelled + lower.removeprefix(prefix).title()
    return lower.title()
