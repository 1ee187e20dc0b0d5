"""What happens to a batch of requests without a script: decode, the model, encode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from huggingface_backend import decoder_encoder
from huggingface_backend.errors import InvalidInput, ModelError, RequestError, UnsupportedType
from huggingface_backend.manifest import Manifest
from huggingface_backend.media_types import CSV, media_type
from huggingface_backend.messages import Done, Request, Respond, Response, Tell, split, wants_stream
from huggingface_backend.predictor import Predictor
from huggingface_backend.streaming import EventStream

logger = logging.getLogger(__name__)

NO_CSV = frozenset({"zero-shot-classification", "table-question-answering"})
"""Tasks whose inputs are nested, which CSV is not."""


class Handler:
    """One loaded entry without a script."""

    def __init__(self, manifest: Manifest, predictor: Predictor | None) -> None:
        self.manifest = manifest
        self._predictor = predictor

    def handle(self, requests: Sequence[tuple[Request, Respond]]) -> None:
        """Take a batch of requests; each is answered as soon as it is done, most of them after this returns."""
        assert self._predictor is not None  # noqa: S101
        for request, respond in requests:
            tell: Tell | None = None
            done: Done
            try:
                data = decode(request, self.manifest.task)
                if wants_stream(data):
                    stream = EventStream(self._pieces(request), respond, request.accept)
                    tell, done = stream.token, stream.finish
                else:
                    decoder_encoder.writable(request.accept)
                    done = partial(_finish, respond, request.accept)
                inputs, parameters = split(data)
            except RequestError as error:
                respond(error)
            except Exception:
                respond(unexpected())
            else:
                self._predictor.submit(inputs, parameters, done, request.cancelled, tell, waits=len(requests) == 1)

    def _pieces(self, request: Request) -> Callable[[Response], None]:
        if not self.manifest.streams:
            raise InvalidInput(f"this {self.manifest.task} model does not stream: leave stream out")
        if request.piece is None:
            raise InvalidInput("a stream needs a decoupled entry and a request of one row")
        return request.piece

    def close(self) -> None:
        if self._predictor is not None:
            self._predictor.close()


def decode(request: Request, task: str) -> object:
    """A request's body as the object its Content-Type describes."""
    if task in NO_CSV and media_type(request.content_type) == CSV:
        raise UnsupportedType(f"{task} has nested inputs, which {CSV} cannot hold: send JSON")
    return decoder_encoder.decode(request.body, request.content_type)


def _finish(respond: Respond, accept: str, outcome: object) -> None:
    if not isinstance(outcome, RequestError):
        try:
            outcome = Response(*decoder_encoder.write(outcome, accept))
        except RequestError as error:
            outcome = error
        except Exception:
            outcome = unexpected()
    respond(outcome)


def unexpected() -> ModelError:
    logger.exception("unexpected failure")
    return ModelError("unexpected failure in the server; see its log")
