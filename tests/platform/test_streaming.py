"""Answers in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parity.zoo import build
from tests.platform.conftest import Run
from tests.platform.simulator import invoke, stream


@pytest.mark.clause("hosting.streaming")
def test_text_comes_as_it_is_made(
    run: Run, ml: Callable[..., Path], convert: Callable[..., object], tmp_path: Path
) -> None:
    entry = convert(build("gpt2", tmp_path), task="text-generation").path
    body = {"inputs": "the quick brown fox", "parameters": {"max_new_tokens": 80, "do_sample": False}}
    with run(ml(entry)) as container:
        container.wait()
        whole = invoke(container, body).json()
        parts = stream(container, {**body, "stream": True})
        assert parts.status == 200
        assert parts.headers["transfer-encoding"] == "chunked"
        assert parts.headers["content-type"].startswith("text/event-stream")
        text = b"".join(content for _, content in parts.chunks).decode()
        assert text.startswith("data:") and len(parts.chunks) > 3
        # The first part did not wait for the last one.
        assert parts.chunks[0][0] < parts.chunks[-1][0] * 0.9
        assert whole[0]["generated_text"]
