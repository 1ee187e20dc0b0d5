"""tokenizer.json with the parameters of a transformers tokenizer call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer

from huggingface_backend.errors import EntryError, InvalidInput
from huggingface_backend.manifest import TokenizerFacts

_TRUNCATIONS = {"longest_first", "only_first", "only_second", "do_not_truncate"}
_PADDINGS = {"longest", "max_length", "do_not_pad"}


@dataclass(frozen=True, slots=True)
class TokenizeOptions:
    """How a row is tokenised. Rows with equal options are encoded in one call."""

    PARAMETERS = ("truncation", "max_length", "padding", "pad_to_multiple_of", "add_special_tokens")

    truncate_to: int | None = None
    strategy: str = "longest_first"
    pad_to: int | None = None
    pad_to_multiple_of: int | None = None
    add_special_tokens: bool = True

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], facts: TokenizerFacts) -> TokenizeOptions:
        """The options that `transformers` 4.57 would use for these keyword arguments on one text at a time.

        Raises InvalidInput where transformers would raise.
        """
        truncation = _choice(parameters, "truncation", _TRUNCATIONS, true="longest_first", false="do_not_truncate")
        padding = _choice(parameters, "padding", _PADDINGS, true="longest", false="do_not_pad")
        max_length = _positive(parameters, "max_length")
        multiple = _positive(parameters, "pad_to_multiple_of")
        special = parameters.get("add_special_tokens", True)
        if not isinstance(special, bool):
            raise InvalidInput("add_special_tokens must be true or false")
        if truncation is None:
            # A bare max_length truncates, unless padding is asked for.
            truncation = "longest_first" if max_length and padding in (None, "do_not_pad") else "do_not_truncate"
        limit = max_length or facts.model_max_length
        truncate_to = limit if truncation != "do_not_truncate" else None
        pad_to = limit if padding == "max_length" else None
        pads = padding in ("longest", "max_length")
        if pads and facts.pad_token is None:
            raise InvalidInput("this model's tokenizer has no padding token")
        if pads and truncate_to and multiple and truncate_to % multiple:
            raise InvalidInput(f"max_length {truncate_to} is not a multiple of pad_to_multiple_of {multiple}")
        return cls(truncate_to, truncation, pad_to, multiple if pads else None, special)


@dataclass(frozen=True, slots=True)
class Text:
    """One text, or a pair, on its way to become one row of token ids."""

    text: str
    pair: str | None = None


class TextTokenizer:
    """A `tokenizers.Tokenizer` whose truncation and padding follow the call and not the file."""

    def __init__(self, path: Path, facts: TokenizerFacts) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise EntryError(f"{path} is not a tokenizer: {error}") from error
        self._still = sibling(self._tokenizer)
        self._facts = facts
        self._state: TokenizeOptions | None = None

    def encode(self, texts: Sequence[Text], options: TokenizeOptions, *, offsets: bool = False) -> list[Encoding]:
        """Token ids of each text, each as if it were alone: unpadded unless the options pad.

        With `offsets` the encodings also know which characters their tokens came from.
        """
        if options != self._state:
            self._configure(options)
        inputs = [item.text if item.pair is None else (item.text, item.pair) for item in texts]
        run = self._tokenizer.encode_batch if offsets else self._tokenizer.encode_batch_fast
        encodings = encoded(run, inputs, add_special_tokens=options.add_special_tokens)
        if options.pad_to or options.pad_to_multiple_of:
            self._pad(encodings, options)
        return encodings

    @property
    def backend(self) -> Tokenizer:
        """For the vocabulary and for decoding, in any thread; nobody may change its truncation or padding.

        It is not the one that encodes, which refuses every other use in the moment in which its truncation is changed.
        """
        return self._still

    def _pad(self, encodings: list[Encoding], options: TokenizeOptions) -> None:
        """Pad each row by itself: the tokenizer's own padding would look at the longest of the batch."""
        multiple = options.pad_to_multiple_of or 1
        for encoding in encodings:
            length = max(options.pad_to or 0, len(encoding))
            pad(encoding, -(-length // multiple) * multiple, self._facts)

    def _configure(self, options: TokenizeOptions) -> None:
        facts, tokenizer = self._facts, self._tokenizer
        tokenizer.no_padding()
        self._state = None
        try:
            if options.truncate_to is None:
                tokenizer.no_truncation()
            else:
                tokenizer.enable_truncation(
                    options.truncate_to, strategy=options.strategy, direction=facts.truncation_side
                )
        except (ValueError, OverflowError) as error:
            raise InvalidInput(str(error)) from error
        self._state = options


def sibling(backend: Any) -> Any:
    """Another tokenizer around the same model, without truncation and padding."""
    other = Tokenizer(backend.model)
    other.normalizer = backend.normalizer
    other.pre_tokenizer = backend.pre_tokenizer
    other.post_processor = backend.post_processor
    if backend.decoder is not None:
        other.decoder = backend.decoder
    added: dict[int, AddedToken] = backend.get_added_tokens_decoder()
    other.add_tokens([token for _index, token in sorted(added.items())])
    if list(other.get_added_tokens_decoder()) != list(added):
        # Added tokens whose numbers have gaps cannot be added again: copy everything.
        other = Tokenizer.from_str(backend.to_str())
        other.no_padding()
        other.no_truncation()
    return other


def encoded(run: Callable[..., list[Encoding]], texts: Sequence[Any], **options: Any) -> list[Encoding]:
    """What one of a tokenizer's methods makes of texts; InvalidInput for one that is not Unicode."""
    try:
        return run(texts, **options)
    except TypeError as error:
        # The inputs are str, so what does not convert has lone surrogates, which JSON can carry.
        raise InvalidInput("a text is not valid Unicode") from error


def pad(encoding: Encoding, length: int, facts: TokenizerFacts) -> None:
    """Pad in place, as the model's tokenizer pads."""
    encoding.pad(
        length,
        direction=facts.padding_side,
        pad_id=facts.pad_token_id,
        pad_type_id=facts.pad_token_type_id,
        pad_token=facts.pad_token or "",
    )


def _choice(parameters: Mapping[str, Any], name: str, allowed: set[str], *, true: str, false: str) -> str | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool):
        return true if value else false
    if value in allowed:
        return str(value)
    raise InvalidInput(f"{name} must be true, false or one of {', '.join(sorted(allowed))}, not {value!r}")


def _positive(parameters: Mapping[str, Any], name: str) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise InvalidInput(f"{name} must be a positive whole number, not {value!r}")
    return value
