"""Requests to an entry with a script: the user's hooks around the model, in the order of the toolkit."""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_backend import decoder_encoder
from huggingface_backend.context import Context
from huggingface_backend.errors import (
    EntryError,
    InvalidInput,
    MalformedBody,
    ModelError,
    RequestError,
    ScriptStatus,
    UnacceptableType,
    UnsupportedType,
    first_line,
)
from huggingface_backend.handler import Handler, decode, unexpected
from huggingface_backend.manifest import Manifest
from huggingface_backend.media_types import JSON, TEXT_TYPES, media_type, preferred
from huggingface_backend.messages import Request, Respond, Response, split, wants_stream
from huggingface_backend.predictor import Predictor, as_lists, for_script
from huggingface_backend.script import CODE, Script, said_in_one_line
from huggingface_backend.stand_ins import decode_audio_without_ffmpeg

logger = logging.getLogger(__name__)

_OF_JSON = (dict, list, tuple, int, float, bool, type(None))


@dataclass(slots=True)
class _Call:
    """One request on its way through the hooks."""

    request: Request
    respond: Respond
    context: Context
    accept: str
    """What hooks are told that the client accepts."""
    data: Any = None


class ScriptHandler(Handler):
    """Every hook runs in the thread that calls `handle`: scripts expect to have their process to themselves."""

    def __init__(
        self,
        name: str,
        folder: Path,
        manifest: Manifest,
        predictor: Predictor | None,
        script: Script,
        batch_size: int = 0,
    ) -> None:
        """`predict_batch_fn` gets `batch_size` requests at most, where that is not 0.

        EntryError where model_fn fails or there is no model at all.
        """
        super().__init__(manifest, predictor)
        self._name, self._folder, self._script, self._batch_size = name, folder, script, batch_size
        if "model_fn" in script:
            with said_in_one_line(folder / CODE, script.name, "model_fn"):
                self._model = script.call("model_fn", str(folder), context=self._context())
            decode_audio_without_ffmpeg()
        elif predictor is None:
            raise EntryError("the manifest says that a script brings the model, but it has no model_fn")
        else:
            self._model = for_script(manifest, predictor)

    def handle(self, requests: Sequence[tuple[Request, Respond]]) -> None:
        """Answer a batch of requests; returns when all of them are answered."""
        begun = [
            _Call(request, respond, self._context(request), preferred(request.accept, decoder_encoder.ENCODERS))
            for request, respond in requests
        ]
        waiting = [call for call in begun if _waits(call, partial(self._begin, call))]
        if not waiting:
            return
        for call, outcome in self._by_script(waiting) if self._batched else self._by_predictor(waiting):
            _waits(call, partial(self._write, call, outcome))

    @property
    def _batched(self) -> bool:
        return "predict_batch_fn" in self._script

    def _begin(self, call: _Call) -> Response | None:
        """The answer of a request that the script answers alone; else None, with the data read."""
        script = self._script
        if "transform_fn" in script:
            answer = self._hook(
                "transform_fn", self._model, self._body(call), self._content_type(call), call.accept, call=call
            )
            return self._returned(answer, call)
        if "output_fn" not in script:
            decoder_encoder.writable(call.request.accept)
        call.data = self._read(call)
        if self._batched:
            return None
        if "predict_fn" in script:
            return self._write(call, self._hook("predict_fn", call.data, self._model, call=call))
        if "model_fn" in script:
            inputs, parameters = split(call.data)
            return self._write(call, self._guard("the model", lambda: self._model(inputs, **parameters)))
        return None

    def _read(self, call: _Call) -> Any:
        if "input_fn" in self._script:
            return self._hook("input_fn", self._body(call), self._content_type(call), call=call)
        return decode(call.request, self.manifest.task)

    def _by_predictor(self, calls: Sequence[_Call]) -> Iterator[tuple[_Call, object]]:
        """The model's outcomes for all calls, in the order in which they come."""
        assert self._predictor is not None  # noqa: S101
        outcomes: queue.SimpleQueue[tuple[_Call, object]] = queue.SimpleQueue()
        for call in calls:
            try:
                if wants_stream(call.data):
                    raise InvalidInput("a model with a script does not stream: leave stream out")
                inputs, parameters = split(call.data)
            except RequestError as error:
                outcomes.put((call, error))
            else:
                done = partial(_put, outcomes, call)
                self._predictor.submit(inputs, parameters, done, call.request.cancelled, waits=len(calls) == 1)
        for _ in calls:
            call, outcome = outcomes.get()
            yield call, as_lists(outcome) if "output_fn" in self._script else outcome

    def _by_script(self, calls: Sequence[_Call]) -> Iterator[tuple[_Call, object]]:
        """The outcomes of predict_batch_fn; a batch that fails is tried again one by one."""
        if 0 < self._batch_size < len(calls):
            for first in range(0, len(calls), self._batch_size):
                yield from self._by_script(calls[first : first + self._batch_size])
            return
        try:
            predictions = self._predict_batch(calls)
        except RequestError as error:
            if len(calls) == 1:
                yield calls[0], error
                return
            logger.info("predict_batch_fn failed on %d requests: trying them one by one", len(calls))
            for call in calls:
                try:
                    call.data = self._read(call)  # the failed attempt may have changed it
                    [outcome] = self._predict_batch([call])
                except RequestError as failure:
                    yield call, failure
                else:
                    yield call, outcome
        else:
            yield from zip(calls, predictions, strict=True)

    def _predict_batch(self, calls: Sequence[_Call]) -> list[Any]:
        data, contexts = [call.data for call in calls], [call.context for call in calls]
        answer: list[Any] = self._guard(
            "predict_batch_fn",
            lambda: list(self._script.call("predict_batch_fn", data, self._model, context=contexts)),
        )
        if len(answer) != len(calls):
            raise ModelError(f"predict_batch_fn returned {len(answer)} predictions for {len(calls)} requests")
        return answer

    def _write(self, call: _Call, prediction: object) -> Response:
        """The answer for a prediction, or raises the RequestError that is in its place."""
        if isinstance(prediction, RequestError):
            raise prediction
        if "output_fn" in self._script:
            return self._returned(self._hook("output_fn", prediction, call.accept, call=call), call)
        return _response(*decoder_encoder.write(prediction, call.request.accept), call.context)

    def _returned(self, answer: Any, call: _Call) -> Response:
        """What output_fn or transform_fn returned: a body, a body with its media type, or something to encode."""
        content_type = call.accept
        if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str) and "/" in answer[1]:
            answer, content_type = answer
        if isinstance(answer, str):
            return _response(answer.encode("utf-8"), content_type, call.context)
        if isinstance(answer, bytes | bytearray):
            return _response(bytes(answer), content_type, call.context)
        if isinstance(answer, _OF_JSON):
            # multi-model-server writes these as JSON whatever the client accepts.
            return _response(decoder_encoder.encode(answer, JSON), JSON, call.context)
        return _response(*decoder_encoder.write(answer, content_type), call.context)

    def _content_type(self, call: _Call) -> str:
        return media_type(call.request.content_type)

    def _body(self, call: _Call) -> str | bytes:
        """The body as hooks get it: text where its type is JSON or CSV."""
        body, content_type = call.request.body, call.request.content_type
        return decoder_encoder.text(body, content_type) if media_type(content_type) in TEXT_TYPES else body

    def _hook(self, hook: str, *arguments: Any, call: _Call) -> Any:
        return self._guard(hook, lambda: self._script.call(hook, *arguments, context=call.context), call)

    def _guard(self, what: str, run: Callable[[], Any], call: _Call | None = None) -> Any:
        """Run user code: its traceback goes to the log, its message and status to the client."""
        try:
            return run()
        except RequestError:
            raise
        except (Exception, SystemExit) as error:
            status = _status(error)
            if status is not None:
                raise ScriptStatus(str(getattr(error, "message", "") or error), status) from error
            if call is not None and (clients := _clients_fault(error, what, call.request)) is not None:
                raise clients from error
            logger.exception("%s failed", what)
            raise ModelError(f"{what} failed: {type(error).__name__}: {first_line(error)}") from error

    def _context(self, request: Request | None = None) -> Context:
        return Context(self._name, str(self._folder), request.headers if request else {})


def _waits(call: _Call, step: Callable[[], Response | None]) -> bool:
    """Run a step of a call and answer it with the response or failure; True where there was neither."""
    outcome: Response | RequestError | None
    try:
        outcome = step()
    except RequestError as error:
        outcome = error
    except Exception:
        outcome = unexpected()
    if outcome is None:
        return True
    call.respond(outcome)
    return False


def _put(outcomes: queue.SimpleQueue[tuple[_Call, object]], call: _Call, outcome: object) -> None:
    outcomes.put((call, outcome))


def _response(body: bytes, content_type: str, context: Context) -> Response:
    headers = {key: value for key, value in context.get_response_headers(0).items() if key.lower() != "content-type"}
    status, _phrase = context.get_response_status(0)
    return Response(body, context.get_response_content_type(0) or content_type, status, headers)


def _clients_fault(error: BaseException, hook: str, request: Request) -> RequestError | None:
    """The failure of a hook that only passes on what is wrong with the request; None where it is the script's own."""
    if isinstance(error, json.JSONDecodeError) and hook in ("input_fn", "transform_fn"):
        # The document that it could not read is the body, and not a file of the script.
        body = request.body.decode("utf-8", "replace")
        return MalformedBody(f"the body is not JSON: {error}") if error.doc == body else None
    if type(error).__name__ == "UnsupportedFormatError" and hook != "predict_fn":
        unread = media_type(request.content_type) not in decoder_encoder.DECODERS
        said = UnsupportedType if hook == "input_fn" or (hook == "transform_fn" and unread) else UnacceptableType
        return said(first_line(error))
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status an exception of a script carries (`PredictionException.error_code`, `status_code`)."""
    if isinstance(error, MemoryError):
        return 507
    for name in ("error_code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None
