"""The Triton model: Triton's requests to the handler's, its responses back.

An entry's `1/model.py` is one import of `TritonPythonModel` from here.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

from huggingface_backend import lifeline, wire
from huggingface_backend.errors import EntryError, MalformedBody, ModelError, RequestError, first_line
from huggingface_backend.loading import load
from huggingface_backend.messages import Request, Respond, Response
from huggingface_backend.predictor import Runtime
from huggingface_backend.script import PROGRAM

if TYPE_CHECKING:
    from huggingface_backend.session import Counters

logger = logging.getLogger(__name__)

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        """Load the entry; a failure is a TritonModelException of one line, which fails the load."""
        logging.basicConfig(handlers=[_TritonLog()], level=logging.INFO, force=True)
        name = args["model_name"]
        lifeline.announce(name)
        parameters = {
            key: value["string_value"] for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        if "threads" in parameters:
            # For torch and the like in a script, which read it when they are imported.
            os.environ.setdefault("OMP_NUM_THREADS", parameters["threads"])
        folder = Path(args["model_repository"]) / args["model_version"]
        metrics = _Metrics(name)
        try:
            self._handler = load(
                name,
                folder,
                program=parameters.get("program", PROGRAM),
                runtime=_runtime(parameters),
                report=metrics.update,
            )
        except EntryError as error:
            raise pb_utils.TritonModelException(f"{name}: {error}") from None
        except ValueError as error:
            raise pb_utils.TritonModelException(f"{name}: config.pbtxt has a wrong parameter: {error}") from None
        spool = os.environ.get(wire.SPOOL_ENV)
        self._spool = wire.Spool(Path(spool)) if spool else None

    def execute(self, requests: list[Any]) -> None:
        """Hand the requests over. Each is answered through its own sender, most of them after this returns."""
        batch: list[tuple[Request, Respond]] = []
        replies = []
        for request in requests:
            reply = _Reply(request.get_response_sender(), self._spool)
            replies.append(reply)
            try:
                batch.append((self._read(request, reply), reply))
            except RequestError as error:
                reply(error)
        try:
            self._handler.handle(batch)
        except Exception:
            # A fault of ours. It must not leave execute(), which would end all of tritonserver with it.
            logger.exception("unexpected failure")
            for reply in replies:
                reply(ModelError("unexpected failure in the server; see its log"))

    def finalize(self) -> None:
        self._handler.close()

    def _read(self, request: Any, reply: _Reply) -> Request:
        texts = {name: _text(request, name) for name in (wire.CONTENT_TYPE, wire.ACCEPT, wire.ATTRIBUTES)}
        try:
            headers = json.loads(texts[wire.ATTRIBUTES] or "{}")
            if not isinstance(headers, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise MalformedBody(f"attributes is not a JSON object: {error}") from error
        name = _text(request, wire.BODY_FILE)
        if not name:
            body = _item(request, wire.BODY) or b""
        elif self._spool is None:
            raise MalformedBody("body_file needs the server's spool folder, which this Triton has not")
        else:
            try:
                body = self._spool.read(name)
            except (OSError, ValueError) as error:
                raise MalformedBody("body_file names no spooled body") from error
        return Request(body, texts[wire.CONTENT_TYPE], texts[wire.ACCEPT], headers, reply.cancelled)


class _Reply:
    """The way back of one request. Only the first answer counts."""

    def __init__(self, sender: Any, spool: wire.Spool | None) -> None:
        self._sender, self._spool = sender, spool
        self._open = threading.Lock()

    def cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())

    def __call__(self, outcome: Response | RequestError) -> None:
        if not self._open.acquire(blocking=False):
            return
        try:
            self._sender.send(self._response(outcome), flags=FINAL)
        except Exception as error:
            # Shared memory or the spool is full: the client gets a word and not silence.
            logger.exception("an answer could not be sent")
            failure = ModelError(f"the answer could not be sent: {first_line(error)}")
            self._sender.send(self._response(failure), flags=FINAL)

    def _response(self, outcome: Response | RequestError) -> Any:
        if isinstance(outcome, RequestError):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(outcome.to_wire()))
        body, name = outcome.body, ""
        if self._spool is not None and len(body) > wire.SPOOL_ABOVE:
            body, name = b"", self._spool.write(body)
        attributes = ""
        if outcome.status != 200 or outcome.headers:
            attributes = json.dumps({"status": outcome.status, "headers": dict(outcome.headers)})
        return pb_utils.InferenceResponse(
            output_tensors=[
                _tensor(wire.BODY, body),
                _tensor(wire.CONTENT_TYPE, outcome.content_type),
                _tensor(wire.ATTRIBUTES, attributes),
                _tensor(wire.BODY_FILE, name),
            ]
        )


class _Metrics:
    """What the model ran, on Triton's own /metrics."""

    def __init__(self, model: str) -> None:
        self._sent = {"runs": 0, "rows": 0, "tokens": 0}
        self._metrics: dict[str, Any] = {}
        # A metric outlives its family only to crash.
        self._families: list[Any] = []
        for name, what in (
            ("runs", "Runs of the ONNX graph"),
            ("rows", "Rows in those runs"),
            ("tokens", "Tokens in those runs, padding included"),
        ):
            family = pb_utils.MetricFamily(
                name=f"triton_hf_{name}_total", description=what, kind=pb_utils.MetricFamily.COUNTER
            )
            self._families.append(family)
            self._metrics[name] = family.Metric(labels={"model": model})

    def update(self, counters: Counters) -> None:
        for name, metric in self._metrics.items():
            now = getattr(counters, name)
            if now > self._sent[name]:
                metric.increment(now - self._sent[name])
                self._sent[name] = now


class _TritonLog(logging.Handler):
    """Log records as Triton's own lines, which its keeper levels."""

    def emit(self, record: logging.LogRecord) -> None:
        log = {logging.ERROR: pb_utils.Logger.log_error, logging.WARNING: pb_utils.Logger.log_warn}
        log.get(record.levelno, pb_utils.Logger.log_info)(self.format(record))


def _runtime(parameters: dict[str, str]) -> Runtime:
    """What config.pbtxt and the operator say; ValueError where a number is none."""
    return Runtime(
        token_budget=int(parameters.get("token_budget", "0")),
        threads=int(parameters.get("threads", "0")),
        follow_references=os.environ.get(wire.FOLLOW_ENV) == "1",
    )


def _item(request: Any, name: str) -> bytes | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    array = tensor.as_numpy()
    if not array.size:
        return None
    item = array.flat[0]
    return item if isinstance(item, bytes) else bytes(item)


def _text(request: Any, name: str) -> str:
    return (_item(request, name) or b"").decode("utf-8", "replace")


def _tensor(name: str, value: str | bytes) -> Any:
    data = value if isinstance(value, bytes) else value.encode("utf-8")
    return pb_utils.Tensor(name, np.array([[data]], dtype=np.object_))
