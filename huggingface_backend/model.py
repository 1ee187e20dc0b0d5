"""The Triton model: Triton's requests to the handler's, its responses back.

An entry's `1/model.py` is one import of `TritonPythonModel` from here.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import threading
import time
from functools import partial
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
    from collections.abc import Callable, Mapping

    from huggingface_backend.session import Counters

logger = logging.getLogger(__name__)

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        """Load the entry; a failure is a TritonModelException of one line, which fails the load."""
        logging.basicConfig(handlers=[_TritonLog()], level=logging.INFO, force=True)
        # A script's forked child has copies of Triton's objects. Collected there, they would free the shared memory of
        # this process a second time, and both it and tritonserver would crash.
        os.register_at_fork(after_in_child=gc.freeze)
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
                runtime=_runtime(parameters, _device(args)),
                report=metrics.update,
            )
        except EntryError as error:
            raise pb_utils.TritonModelException(f"{name}: {error}") from None
        except ValueError as error:
            raise pb_utils.TritonModelException(f"{name}: config.pbtxt has a wrong parameter: {error}") from None
        # A row of several gets no stream: their parts would have to be told apart.
        self._decoupled = bool(json.loads(args["model_config"]).get("model_transaction_policy", {}).get("decoupled"))
        self._timed = self._handler.manifest.one_at_a_time
        spool = os.environ.get(wire.SPOOL_ENV)
        self._spool = wire.Spool(Path(spool)) if spool else None
        # What is loaded stays; looking through it again and again for garbage takes time from requests.
        gc.collect()
        gc.freeze()

    def execute(self, requests: list[Any]) -> None:
        """Hand the requests over. Each is answered through its own sender, most of them after this returns."""
        batch, replies = self._take(requests)
        # A script that keeps a traceback keeps this frame; it must not keep Triton's requests and their shared memory.
        del requests
        try:
            self._handler.handle(batch)
        except Exception:
            # A fault of ours. It must not leave execute(), which would end all of tritonserver with it.
            logger.exception("unexpected failure")
            for reply in replies:
                reply.fail(ModelError("unexpected failure in the server; see its log"))

    def finalize(self) -> None:
        self._handler.close()

    def _take(self, requests: list[Any]) -> tuple[list[tuple[Request, Respond]], list[_Reply]]:
        batch: list[tuple[Request, Respond]] = []
        replies = []
        for request in requests:
            rows = _Rows(request)
            reply = _Reply(request.get_response_sender(), self._spool, rows.count, self._timed)
            replies.append(reply)
            for index in range(rows.count):
                respond = partial(reply.answer, index)
                try:
                    batch.append((self._read(rows, index, reply), respond))
                except RequestError as error:
                    respond(error)
        return batch, replies

    def _read(self, rows: _Rows, index: int, reply: _Reply) -> Request:
        headers = _attributes(rows.item(wire.ATTRIBUTES, index))
        name = rows.text(wire.BODY_FILE, index)
        if not name:
            body = rows.item(wire.BODY, index)
        elif self._spool is None:
            raise MalformedBody("body_file needs the server's spool folder, which this Triton has not")
        else:
            try:
                body = self._spool.read(name)
            except (OSError, ValueError) as error:
                raise MalformedBody("body_file names no spooled body") from error
        content_type, accept = rows.text(wire.CONTENT_TYPE, index), rows.text(wire.ACCEPT, index)
        piece = reply.piece if self._decoupled and rows.count == 1 else None
        return Request(body, content_type, accept, headers, reply.cancelled, piece)


class _Rows:
    """The rows of a Triton request, without the padding."""

    def __init__(self, request: Any) -> None:
        self._items: dict[str, list[bytes]] = {}
        for name in (*wire.INPUTS, *wire.OPTIONAL_INPUTS):
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                flat = tensor.as_numpy().reshape(-1).tolist()
                self._items[name] = [item if isinstance(item, bytes) else bytes(item) for item in flat]
        self.count = max(map(len, self._items.values()), default=1) or 1
        while self.count > 1 and not any(self.item(name, self.count - 1) for name in self._items):
            self.count -= 1

    def item(self, name: str, index: int) -> bytes:
        items = self._items.get(name, [])
        return items[index] if index < len(items) else b""

    def text(self, name: str, index: int) -> str:
        return self.item(name, index).decode("utf-8", "replace")


def _attributes(given: bytes) -> dict[str, Any]:
    if not given:
        return {}
    try:
        headers = json.loads(given.decode("utf-8", "replace"))
        if not isinstance(headers, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise MalformedBody(f"attributes is not a JSON object: {error}") from error
    return headers


class _Reply:
    """The way back of one Triton request: sent when all of its rows are answered. A row's first answer counts."""

    def __init__(self, sender: Any, spool: wire.Spool | None, rows: int, timed: bool) -> None:
        self._sender, self._spool = sender, spool
        self._began = time.monotonic() if timed else None
        self._outcomes: list[Response | RequestError | None] = [None] * rows
        self._lock = threading.Lock()

    def cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())

    def piece(self, response: Response) -> None:
        """Send a part of the answer, which is not the last."""
        self._sender.send(self._response([response]))

    def answer(self, index: int, outcome: Response | RequestError) -> None:
        with self._lock:
            if self._outcomes[index] is not None:
                return
            self._outcomes[index] = outcome
            outcomes = [each for each in self._outcomes if each is not None]
        if len(outcomes) == len(self._outcomes):
            self._send(outcomes)

    def fail(self, error: RequestError) -> None:
        for index in range(len(self._outcomes)):
            self.answer(index, error)

    def _send(self, outcomes: list[Response | RequestError]) -> None:
        try:
            self._sender.send(self._response(outcomes), flags=FINAL)
        except Exception as error:
            # Shared memory or the spool is full: the client gets a word and not silence.
            logger.exception("an answer could not be sent")
            failure = ModelError(f"the answer could not be sent: {first_line(error)}")
            self._sender.send(self._response([failure] * len(outcomes)), flags=FINAL)

    def _response(self, outcomes: list[Response | RequestError]) -> Any:
        if len(outcomes) == 1 and isinstance(outcomes[0], RequestError):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(outcomes[0].to_wire()))
        rows = [self._row(outcome, wire.SPOOL_ABOVE // len(outcomes)) for outcome in outcomes]
        if self._began is not None and not rows[0][wire.ATTRIBUTES]:
            rows[0][wire.ATTRIBUTES] = b'{"seconds": %.6f}' % ((time.monotonic() - self._began) / len(rows))
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor(name, np.array([[row[name]] for row in rows], dtype=np.object_))
                for name in wire.OUTPUTS
            ]
        )

    def _row(self, outcome: Response | RequestError, spool_above: int) -> dict[str, bytes]:
        body, content_type, name, attributes = b"", "", "", ""
        if isinstance(outcome, RequestError):
            attributes = json.dumps({"error": outcome.to_wire()})
        else:
            body, content_type = outcome.body, outcome.content_type
            if outcome.status != 200 or outcome.headers:
                attributes = json.dumps({"status": outcome.status, "headers": dict(outcome.headers)})
        if self._spool is not None and len(body) > spool_above:
            body, name = b"", self._spool.write(body)
        return {
            wire.BODY: body,
            wire.CONTENT_TYPE: content_type.encode("utf-8"),
            wire.ATTRIBUTES: attributes.encode("utf-8"),
            wire.BODY_FILE: name.encode("utf-8"),
        }


class _Metrics:
    """What the model ran, on Triton's own /metrics."""

    def __init__(self, model: str) -> None:
        self._model = {"model": model}
        self._parts: list[tuple[Callable[[Counters], float], Any, list[float]]] = []
        self._add("runs", "Runs of the ONNX graph", {"": lambda counters: counters.runs})
        self._add("rows", "Rows in those runs", {"": lambda counters: counters.rows})
        self._add("tokens", "Tokens in those runs, padding included", {"": lambda counters: counters.tokens})
        self._add(
            "cancelled", "Rows given up because their clients had gone", {"": lambda counters: counters.cancelled}
        )
        self._add("answered", "Requests in triton_hf_stage_seconds", {"": lambda counters: counters.requests})
        wall = {stage: partial(_seconds, "seconds", stage) for stage in wire.STAGES}
        self._add("stage_seconds", "Seconds of those requests, by stage", wall)
        cpu = {stage: partial(_seconds, "cpu_seconds", stage) for stage in wire.STAGES[1:]}
        self._add("stage_cpu_seconds", "Processor time of the engine's threads, by stage", cpu)

    def _add(self, name: str, what: str, parts: Mapping[str, Callable[[Counters], float]]) -> None:
        counter = pb_utils.MetricFamily.COUNTER
        family = pb_utils.MetricFamily(name=f"triton_hf_{name}_total", description=what, kind=counter)
        _leak(family)
        for stage, read in parts.items():
            metric = family.Metric(labels={**self._model, "stage": stage} if stage else self._model)
            _leak(metric)
            self._parts.append((read, metric, [0.0]))

    def update(self, counters: Counters) -> None:
        for read, metric, sent in self._parts:
            now = read(counters)
            if now > sent[0]:
                metric.increment(now - sent[0])
                sent[0] = now


def _leak(metric: Any) -> None:
    """Keep a part of Triton's metrics for ever: a family that is destroyed with the interpreter crashes the process,
    and one that is given back before takes away what other instances of the model count with."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(metric))


def _seconds(kind: str, stage: str, counters: Counters) -> float:
    return float(getattr(counters, kind)[stage])


class _TritonLog(logging.Handler):
    """Log records as Triton's own lines, which its keeper levels."""

    def emit(self, record: logging.LogRecord) -> None:
        log = {logging.ERROR: pb_utils.Logger.log_error, logging.WARNING: pb_utils.Logger.log_warn}
        log.get(record.levelno, pb_utils.Logger.log_info)(self.format(record))


def _device(args: dict[str, str]) -> int | None:
    """The card that Triton gave this instance; None for the processor."""
    return int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None


def _runtime(parameters: dict[str, str], device: int | None) -> Runtime:
    """What config.pbtxt and the operator say; ValueError where a number is none."""
    return Runtime(
        token_budget=int(parameters.get("token_budget", "0")),
        batch_size=int(parameters.get("batch_size", "0")),
        rows_per_run=int(parameters.get("rows_per_run", "0")),
        sequence_length=int(parameters.get("sequence_length", "0")),
        threads=int(parameters.get("threads", "0")),
        lanes=int(parameters.get("lanes", "0")),
        device=device,
        memory_limit=int(parameters.get("gpu_memory_limit", "0")),
        engines=Path(os.environ[wire.ENGINES_ENV]) if wire.ENGINES_ENV in os.environ else None,
        follow_references=os.environ.get(wire.FOLLOW_ENV) == "1",
    )
