"""Why a pipeline of transformers fails on a request, in words for its client: mostly deep inside, on something long."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_backend import images
from huggingface_backend.errors import InvalidInput, ModelError, RequestError, first_line
from huggingface_backend.manifest import family

ABSOLUTE = frozenset(
    {
        *("albert", "bart", "bert", "blenderbot", "blenderbot-small", "camembert", "distilbert", "electra", "gpt2"),
        *("gpt_neo", "marian", "mbart", "mpnet", "openai-gpt", "opt", "pegasus", "plbart", "roberta", "vilt"),
        "xlm-roberta",
    }
)
"""Architectures with a table of positions: one token more than it has is certain to fail."""
RELATIVE = frozenset({"longt5", "mt5", "switch_transformers", "t5", "umt5"})
"""Architectures whose configurations name a number of positions and that take more."""
PADDED = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
"""Architectures whose first positions are those of the padding."""
WHOLE = frozenset(
    {
        *("feature-extraction", "fill-mask", "summarization", "text-classification", "text-generation"),
        *("text2text-generation", "translation", "visual-question-answering"),
    }
)
"""Tasks whose texts reach the model uncut unless a parameter says otherwise."""
CUTTING = frozenset(
    {
        *("handle_long_generation", "max_length", "tokenize_kwargs", "tokenizer_encode_kwargs", "tokenizer_kwargs"),
        "truncation",
    }
)
"""Parameters with which a text may be cut."""
SPOKEN = frozenset({"automatic-speech-recognition", "audio-classification", "table-question-answering"})
"""Tasks without a text that could be too long: their tokenizers write, or cut tables."""
NO_TEXTS = frozenset({"image", "images", "url", "path", "base64", "video", "audio", "role", "type"})
SMALL = 3
"""Pixels of a side that pass for an image's colours."""

SHORT = 1000
"""Samples that may be fewer than a model's first layers look at together."""


class Failures:
    """What one pipeline cannot answer."""

    def __init__(self, task: str, pipe: Any) -> None:
        self._task, self._pipe = family(task), pipe
        self._config = getattr(getattr(pipe, "model", None), "config", None)
        self._lock = threading.Lock()
        self._own_tokenizer: Any = None

    def expect(self, inputs: object, parameters: Mapping[str, Any]) -> None:
        """InvalidInput for texts that are certain to fail, before they do and their neighbours are run again."""
        limit = self._positions()
        if limit is None or self._kind() not in ABSOLUTE or self._task not in WHOLE or _cut(parameters):
            return
        # A token is a character at least, but for rare ones; this spares nearly all texts the second reading.
        texts = [text for text in self._texts(inputs, parameters) if len(text) > limit]
        tokens = self._longest(texts)
        if tokens > limit:
            raise InvalidInput(_too_long(tokens, limit))

    def blame(self, error: Exception, inputs: object, parameters: Mapping[str, Any]) -> RequestError:
        """What to tell the client of a call on which the pipeline failed."""
        try:
            reason = self._reason(error, inputs, parameters)
        except Exception:  # whatever a tokenizer raises, it was not asked for an answer
            reason = ""
        if reason:
            return InvalidInput(reason)
        if isinstance(error, TypeError | ValueError | KeyError | AttributeError):
            return InvalidInput(f"the pipeline refused these inputs: {first_line(error)}")
        return ModelError(f"the pipeline failed on this input: {first_line(error)}")

    def _reason(self, error: Exception, inputs: object, parameters: Mapping[str, Any]) -> str:
        small = next((image for image in _images(inputs) if min(image.size) <= SMALL), None)
        if small is not None:
            return (
                f"the pipeline cannot read an image of {small.width}×{small.height} pixels, "
                f"sides that pass for colours: {first_line(error)}"
            )
        sounds = [len(item) for item in _many(inputs) if getattr(item, "ndim", 0) == 1]
        if sounds and min(sounds) < SHORT:
            return f"audio of {min(sounds)} samples is too short: {first_line(error)}"
        if self._task == "video-classification":
            return self._too_short(inputs, parameters)
        if self._task == "table-question-answering":
            return "" if _cells_are_texts(inputs) else f"the cells of a table must be texts: {first_line(error)}"
        if isinstance(error, TypeError | KeyError | AttributeError | ValueError):
            return ""
        texts = list(self._texts(inputs, parameters))
        return self._length(texts, inputs, parameters) or self._emptiness(texts)

    def _too_short(self, inputs: object, parameters: Mapping[str, Any]) -> str:
        frames = parameters.get("num_frames") or getattr(self._config, "num_frames", None)
        if not isinstance(frames, int):
            return ""
        needed = frames * (parameters.get("frame_sampling_rate") or 1)
        films = [item for item in _many(inputs) if hasattr(item, "read")]
        shortest = min((_frames(film, needed) for film in films), default=needed)
        if shortest >= needed:
            return ""
        return f"a video of {shortest} frames is too short: {needed} are needed to take {frames} from"

    def _length(self, texts: list[str], inputs: object, parameters: Mapping[str, Any]) -> str:
        limit = self._positions()
        if limit is None or self._kind() in RELATIVE:
            return ""
        tokens = max(self._longest(texts), self._of_chats(inputs))
        if tokens > limit and not parameters.get("truncation"):
            return _too_long(tokens, limit)
        asked = self._new_tokens(parameters)
        room = limit if getattr(self._config, "is_encoder_decoder", False) else limit - tokens
        if asked is None or asked <= room:
            return ""
        prompt = f"a prompt of {tokens} tokens and " if room < limit else ""
        return f"{prompt}{asked} new tokens are too many, the model takes {limit}: lower max_new_tokens or shorten it"

    def _emptiness(self, texts: list[str]) -> str:
        if not texts or self._tokenizer() is None:
            return ""
        empty = self._longest([""])
        return "a text without any token cannot be answered" if any(self._longest([t]) <= empty for t in texts) else ""

    def _new_tokens(self, parameters: Mapping[str, Any]) -> int | None:
        """How many tokens a generation was asked for; None where nothing says."""
        if not getattr(self._pipe, "_pipeline_calls_generate", False):
            return None
        asked = {**parameters, **_inner(parameters)}
        config = getattr(self._pipe, "generation_config", None)
        asked_for = asked.get("max_new_tokens") or getattr(config, "max_new_tokens", None)
        return asked_for if isinstance(asked_for, int) else None

    def _kind(self) -> str:
        return str(getattr(self._config, "model_type", ""))

    def _positions(self) -> int | None:
        """Tokens that the model has positions for, if that is known."""
        text_config = getattr(self._config, "get_text_config", lambda: None)()
        for config in (self._config, text_config):
            limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
            if isinstance(limit, int) and limit > 0:
                padding = getattr(config, "pad_token_id", None)
                return limit - (padding or 0) - 1 if self._kind() in PADDED else limit
        return None

    def _texts(self, inputs: object, parameters: Mapping[str, Any]) -> Iterator[str]:
        if self._task in SPOKEN:
            return
        bare = not self._task.startswith(("image-to", "visual", "document", "zero-shot-image", "zero-shot-object"))
        yield from _texts(inputs, bare=bare and self._task != "zero-shot-audio-classification")
        for name in ("question", "prompt", "candidate_labels", "text"):
            yield from _texts(parameters.get(name), bare=True)

    def _of_chats(self, inputs: object) -> int:
        chats = [inputs] if _is_chat(inputs) else inputs if isinstance(inputs, list) else []
        tokenizer = self._tokenizer()
        if tokenizer is None or not getattr(tokenizer, "chat_template", None):
            return 0
        return max((len(tokenizer.apply_chat_template(chat)) for chat in chats if _is_chat(chat)), default=0)

    def _longest(self, texts: list[str]) -> int:
        """Tokens of the longest text; 0 where they cannot be counted."""
        try:
            tokenizer = self._tokenizer() if texts else None
            if tokenizer is None:
                return 0
            with self._lock:
                return max(len(tokenizer(text)["input_ids"]) for text in texts)
        except Exception:  # not every tokenizer takes a text alone, or can be copied while it is used
            return 0

    def _tokenizer(self) -> Any:
        """One of its own, since another thread may be using the pipeline's."""
        with self._lock:
            if self._own_tokenizer is None:
                processor = getattr(self._pipe, "processor", None)
                shared = getattr(self._pipe, "tokenizer", None) or getattr(processor, "tokenizer", None)
                self._own_tokenizer = copy.deepcopy(shared)
            return self._own_tokenizer


def _too_long(tokens: int, limit: int) -> str:
    return f"the text has {tokens} tokens, the model takes {limit}: shorten it"


def _inner(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    given = parameters.get("generate_kwargs") or parameters.get("forward_params")
    return given if isinstance(given, Mapping) else {}


def _cut(parameters: Mapping[str, Any]) -> bool:
    return any(parameters.get(name) for name in CUTTING)


def _texts(value: object, *, bare: bool) -> Iterator[str]:
    """The texts in a value; a bare one, outside of an object, may be something else."""
    if isinstance(value, str):
        if bare:
            yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in NO_TEXTS:
                yield from _texts(item, bare=True)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, bare=bare)


def _frames(film: Any, most: int) -> int:
    """Frames of a file that was a video, counted up to a number; 0 where it has no pictures."""
    import av

    film.seek(0)
    with av.open(film) as container:
        if not container.streams.video:
            return 0
        return sum(1 for _frame, _number in zip(container.decode(video=0), range(most), strict=False))


def _images(value: object) -> Iterator[Any]:
    if images.is_image(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _images(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _images(item)


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and "role" in value[0]


def _cells_are_texts(inputs: object) -> bool:
    for item in _many(inputs):
        table = item.get("table") if isinstance(item, Mapping) else None
        if not _only_texts(table):
            return False
    return True


def _only_texts(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_only_texts, value.values()))
    if hasattr(value, "to_numpy"):  # the pipeline put a frame in the table's place
        value = value.to_numpy().ravel().tolist()
    if isinstance(value, list | tuple):
        return all(map(_only_texts, value))
    return isinstance(value, str)
