"""A text that is streamed, in the events of Text Generation Inference: one a token, the last with the whole text.

They are server-sent events, `data:` with an object and an empty line each, or the same objects as lines of JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from huggingface_backend.decoder_encoder import encode_json
from huggingface_backend.errors import MAX_MESSAGE, ModelError, RequestError
from huggingface_backend.media_types import JSON_LINES_TYPES, acceptable
from huggingface_backend.messages import Respond, Response, Token
from huggingface_backend.wire import MEDIA_TYPE_EVENTS, event

logger = logging.getLogger(__name__)


class EventStream:
    """The answer to one streamed request, event by event."""

    def __init__(self, send: Callable[[Response], None], respond: Respond, accept: str) -> None:
        """JSON lines where Accept prefers one of their types, else server-sent events, whatever it says."""
        self._send, self._respond = send, respond
        self._type = next(iter(acceptable(accept, (MEDIA_TYPE_EVENTS, *JSON_LINES_TYPES))), MEDIA_TYPE_EVENTS)
        self._tokens = 0
        self._last = Token(0, "", special=False, last=True)

    def token(self, token: Token) -> None:
        """Send a token. The last one waits for the whole text."""
        self._tokens += 1
        if token.last:
            self._last = token
        else:
            self._send(self._event(self._object(token, None)))

    def finish(self, outcome: object) -> None:
        """End with the answer that the call would have had unstreamed, or its RequestError."""
        if not isinstance(outcome, RequestError):
            try:
                self._respond(self._event(self._object(self._last, outcome[0]["generated_text"])))  # type: ignore[index]
            except Exception:
                logger.exception("unexpected failure")
                outcome = ModelError("unexpected failure in the server; see its log")
            else:
                return
        if self._tokens:
            self._respond(self._event({"error": str(outcome)[:MAX_MESSAGE], "error_type": outcome.type}))
        else:
            self._respond(outcome)

    def _object(self, token: Token, text: object) -> dict[str, Any]:
        told = {"id": token.id, "text": token.text, "logprob": None, "special": token.special}
        return {"index": self._tokens, "token": told, "generated_text": text, "details": None}

    def _event(self, content: dict[str, Any]) -> Response:
        return Response(event(encode_json(content), self._type), self._type)
