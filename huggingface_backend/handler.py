"""What happens to a batch of requests: decode, the user's hooks, the model, encode."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from huggingface_backend import decoder_encoder
from huggingface_backend.context import Context
from huggingface_backend.engine import DEFAULT_TOKEN_BUDGET, Engine
from huggingface_backend.errors import (
    EntryError,
    MalformedBody,
    ModelError,
    RequestError,
    ScriptStatus,
    first_line,
)
from huggingface_backend.manifest import GRAPH, TOKENIZER, Manifest
from huggingface_backend.messages import Request, Respond, Response, split
from huggingface_backend.rows import Done, never
from huggingface_backend.script import Script
from huggingface_backend.session import Counters, Session
from huggingface_backend.tasks import TASKS
from huggingface_backend.tokenization import TextTokenizer
from huggingface_backend.torch_pipeline import TorchPipeline

logger = logging.getLogger(__name__)


class Predictor(Protocol):
    """The engine or the torch pipeline."""

    def submit(
        self, inputs: object, parameters: Mapping[str, Any], done: Done, cancelled: Callable[[], bool] = never
    ) -> None: ...

    def close(self) -> None: ...


class Pipeline:
    """What a script gets for a model when it overrides no model_fn: called like a transformers pipeline."""

    def __init__(self, task: str, predictor: Predictor) -> None:
        self.task = task
        self._predictor = predictor

    def __call__(self, inputs: object, **parameters: Any) -> Any:
        """The answer to one call; its failure is raised as a RequestError."""
        outcomes: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._predictor.submit(inputs, parameters, outcomes.put)
        outcome = outcomes.get()
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome


class Handler:
    """One loaded entry."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        program: str = "",
        token_budget: int = 0,
        threads: int = 0,
        report: Callable[[Counters], None] = lambda _counters: None,
    ) -> None:
        """Load the entry's version folder. EntryError says in one line why it cannot be served.

        `report` is told now and then what the session ran.
        """
        self.name, self._folder = name, folder
        self.manifest = manifest = Manifest.read(folder)
        predictor: Predictor | None = None
        if manifest.tier == "fast":
            predictor = self._engine(token_budget or DEFAULT_TOKEN_BUDGET, threads, report)
        elif manifest.tier == "torch":
            predictor = TorchPipeline(manifest.task, folder)
        self._predictor = predictor
        # After our own imports, so that a script's modules cannot shadow what we need.
        self._script = Script.load(folder, *([program] if program else []))
        self._model: Any = None if predictor is None else Pipeline(manifest.task, predictor)
        if self._script and "model_fn" in self._script:
            self._model = self._hook("model_fn", str(folder), context=self._context({}))
        elif predictor is None:
            raise EntryError("the manifest says that a script brings the model, but it has no model_fn")

    def handle(self, requests: Sequence[tuple[Request, Respond]]) -> None:
        """Take a batch of requests; each is answered as soon as it is done, many of them after this returns.

        With a script it returns only when all are answered, and every hook runs in the calling thread: scripts
        expect to have their process to themselves.
        """
        calls = [call for request, respond in requests if (call := self._prepare(request, respond))]
        if not calls:
            return
        assert self._predictor is not None  # without one, _prepare has answered  # noqa: S101
        outcomes: queue.SimpleQueue[tuple[_Call, object]] = queue.SimpleQueue()
        for call in calls:
            done = call.finish if self._script is None else partial(_put, outcomes, call)
            self._predictor.submit(call.inputs, call.parameters, done, call.cancelled)
        if self._script is not None:
            for _ in calls:
                call, outcome = outcomes.get()
                call.finish(outcome)

    def close(self) -> None:
        if self._predictor is not None:
            self._predictor.close()

    def _engine(self, token_budget: int, threads: int, report: Callable[[Counters], None]) -> Engine:
        manifest, folder = self.manifest, self._folder
        if manifest.task not in TASKS:
            raise EntryError(f"{manifest.task} has no fast path; the manifest was written by another version")
        session = Session(folder / GRAPH, threads)
        return Engine(
            TASKS[manifest.task](manifest),
            lambda: TextTokenizer(folder / TOKENIZER, manifest.tokenizer),
            session,
            token_budget,
            lambda: report(session.counters),
        )

    def _prepare(self, request: Request, respond: Respond) -> _Call | None:
        """The call to the model that a request asks for; None where it is answered already."""
        context = self._context(request.headers)

        def finish(outcome: object) -> None:
            if isinstance(outcome, RequestError):
                respond(outcome)
                return
            try:
                respond(self._encode(outcome, request.accept, context))
            except RequestError as error:
                respond(error)
            except Exception:
                logger.exception("unexpected failure")
                respond(ModelError("unexpected failure in the server; see its log"))

        try:
            data = self._before(request, context)
            if isinstance(data, Response):
                respond(data)
                return None
            return _Call(*split(data), finish, request.cancelled)
        except RequestError as error:
            respond(error)
            return None

    def _before(self, request: Request, context: Context) -> Any:
        """The decoded data, or a whole Response where the script predicts for itself."""
        script, media = self._script, decoder_encoder.media_type(request.content_type)
        body: str | bytes = request.body
        if script is None or not ("output_fn" in script or "transform_fn" in script):
            decoder_encoder.choose(request.accept)
        if script is None:
            return decoder_encoder.decode(body, media)
        if media in decoder_encoder.TEXT_TYPES:
            try:
                body = request.body.decode("utf-8")
            except UnicodeDecodeError as error:
                raise MalformedBody(f"the body is not UTF-8: {error}") from error
        accept = decoder_encoder.accepted(request.accept)[0]
        if "transform_fn" in script:
            answer = self._hook("transform_fn", self._model, body, media, accept, context=context)
            return raw(answer, accept, context) or self._encode(answer, request.accept, context)
        if "input_fn" in script:
            data = self._hook("input_fn", body, media, context=context)
        else:
            data = decoder_encoder.decode(body, media)
        if "predict_fn" in script:
            prediction = self._hook("predict_fn", data, self._model, context=context)
        elif self._predictor is None or "model_fn" in script:
            inputs, parameters = split(data)
            prediction = self._guard("model", lambda: self._model(inputs, **parameters))
        else:
            return data
        return self._encode(prediction, request.accept, context)

    def _encode(self, prediction: Any, accept: str, context: Context) -> Response:
        script = self._script
        if script is not None and "output_fn" in script:
            wanted = decoder_encoder.accepted(accept)[0]
            prediction = self._hook("output_fn", prediction, wanted, context=context)
            answer = raw(prediction, wanted, context)
            if answer is not None:
                return answer
        chosen = decoder_encoder.choose(accept)
        return _response(decoder_encoder.encode(prediction, chosen), chosen, context)

    def _hook(self, hook: str, *arguments: Any, context: Context) -> Any:
        script = self._script
        assert script is not None  # noqa: S101
        return self._guard(hook, lambda: script.call(hook, *arguments, context=context))

    def _guard(self, what: str, call: Callable[[], Any]) -> Any:
        """Run user code: its traceback goes to the log, its message and status to the client."""
        try:
            return call()
        except RequestError:
            raise
        except Exception as error:
            status = _status(error)
            if status is not None:
                raise ScriptStatus(str(getattr(error, "message", "") or error), status) from error
            logger.exception("%s failed", what)
            raise ModelError(f"{what} failed: {type(error).__name__}: {first_line(error)}") from error

    def _context(self, headers: Mapping[str, str]) -> Context:
        return Context(self.name, str(self._folder), headers)


@dataclass(slots=True)
class _Call:
    """One call to the model, and what to do with its outcome."""

    inputs: object
    parameters: Mapping[str, Any]
    finish: Done
    cancelled: Callable[[], bool]


def _put(outcomes: queue.SimpleQueue[tuple[_Call, object]], call: _Call, outcome: object) -> None:
    outcomes.put((call, outcome))


def raw(answer: Any, accept: str, context: Context) -> Response | None:
    """What a hook returned if that is a body already: bytes, str, or either with its media type."""
    content_type = accept
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str) and "/" in answer[1]:
        answer, content_type = answer
    if isinstance(answer, bytes | bytearray):
        return _response(bytes(answer), content_type, context)
    return _response(answer.encode("utf-8"), content_type, context) if isinstance(answer, str) else None


def _response(body: bytes, content_type: str, context: Context) -> Response:
    return Response(
        body,
        context.response_content_type or content_type,
        context.response_status or 200,
        context.response_headers,
    )


def _status(error: BaseException) -> int | None:
    """The HTTP status an exception of a script carries (`PredictionException.error_code`, `status_code`)."""
    for name in ("error_code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None
