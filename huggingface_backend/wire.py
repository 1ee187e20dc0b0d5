"""The tensors between a client and the Triton model, and the spool for bodies too big for shared memory.

Inputs and outputs are BYTES tensors of shape `[rows, 1]`; each row is a request with an answer of its own. Rows behind
the first in which everything is empty are padding: a Triton request as wide as the model's `max_batch_size` runs alone,
because Triton's dynamic batcher can add nothing to it, and the adapter retries that way after a backend has died.

The failure of a single row is a Triton error; among several rows it stands in its row's `attributes`, as `error`. A
model that answers one by one says there, in the first row's, how many `seconds` a row took it.

A request to a model that streams is answered by one response or, for a single row that asks for a stream, by several:
each `body` is a part of the answer, and the last part comes with Triton's final flag.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

BODY = "body"
BODY_FILE = "body_file"
CONTENT_TYPE = "content_type"
ACCEPT = "accept"
ATTRIBUTES = "attributes"

INPUTS = (BODY, CONTENT_TYPE, ACCEPT)
OPTIONAL_INPUTS = (ATTRIBUTES, BODY_FILE)
OUTPUTS = (BODY, CONTENT_TYPE, ATTRIBUTES, BODY_FILE)

MAX_BATCH_SIZE = 64
"""Requests that Triton may hand over at once, and so also the width of a request that must run alone."""

PARAMETERS = {
    "program": "The script in the entry's `code/` folder; `inference.py` if absent.",
    "token_budget": "Tokens in one run of the graph, padding included; if absent, what the conversion found, or 512.",
    "batch_size": "Requests that predict_batch_fn gets at once, at most; as many as wait if absent.",
    "rows_per_run": "Rows in one run of the graph at most; as many as the token budget takes if absent.",
    "sequence_length": "Tokens of a row on the fast tier, as if the model took no more; what it takes if absent.",
    "threads": "Threads of ONNX Runtime; one for each core this process may use if absent.",
    "lanes": "Runs of the graph beside each other on the fast tier, a thread each; 1 is one run at a time, with all "
    "threads; one a thread if absent, where the weights are small enough to be kept twice (512 MiB).",
    "gpu_memory_limit": "Bytes of a GPU's memory for ONNX Runtime on the fast tier; no limit if absent.",
}
"""What may stand under `parameters` in an entry's config.pbtxt, as string values."""

STAGES = ("queue", "tokenise", "infer", "encode")
"""Where a request spends its time in the engine, as the metrics call it."""

SPOOL_ABOVE = 4 * 1024 * 1024
"""Bytes above which a body travels as a file: SageMaker's containers have 64 MB of /dev/shm."""

SPOOL_ENV = "TRITON_HF_SPOOL"
"""Where the keeper tells its backends the spool folder; without it `body_file` is refused."""

KEEPER_ENV = "TRITON_HF_KEEPER"
"""Where the keeper tells its backends the Unix socket on which it watches them live."""

ENGINES_ENV = "TRITON_HF_ENGINES"
"""Where TensorRT's engines are kept that did not come with their entry; without it every start builds them."""

FOLLOW_ENV = "TRITON_HF_FOLLOW_REFERENCES"
"""1 lets pipelines open URLs and paths that stand in requests."""

MEDIA_TYPE_JSON = "application/json"

MEDIA_TYPE_EVENTS = "text/event-stream"

_NAME = re.compile(r"[0-9a-f]{32}")


def event(content: bytes, media_type: str) -> bytes:
    """An object of JSON as a part of a streamed answer: a server-sent event, or a line where the type is another."""
    return b"data:" + content + b"\n\n" if media_type == MEDIA_TYPE_EVENTS else content + b"\n"


class Spool:
    """A private folder of big bodies. A tensor names a file in it and nothing else.

    Names are 32 random hex digits, so that a stranger's tensor can neither guess one nor leave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def create(cls, folder: Path) -> Spool:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder)

    def write(self, body: bytes) -> str:
        """Store a body and return its name."""
        name, file = self.create_file()
        try:
            with file:
                file.write(body)
        except OSError:
            self.remove(name)
            raise
        return name

    def create_file(self) -> tuple[str, BinaryIO]:
        """A new name, and its empty file to be written and closed."""
        name = secrets.token_hex(16)
        descriptor = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return name, os.fdopen(descriptor, "wb")

    def open(self, name: str) -> BinaryIO:
        """The file of a stored body; fails as `read` does."""
        return self._path(name).open("rb")

    def size(self, name: str) -> int:
        """Bytes of a stored body."""
        return self._path(name).stat().st_size

    def read(self, name: str) -> bytes:
        """The body stored under a name; FileNotFoundError if there is none, ValueError if it is no name."""
        return self._path(name).read_bytes()

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError("not a spool name")
        return self._folder / name
