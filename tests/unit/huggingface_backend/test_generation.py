"""Tokens as texts that put together are the text, and generations that end with their clients."""

from __future__ import annotations

import random
from typing import Any

import pytest

from huggingface_backend.errors import InvalidInput
from huggingface_backend.generation import Follower, expect_one_text
from huggingface_backend.messages import Token
from tests.models import WORDS, bpe_tokenizer, texts, wordpiece_tokenizer

SPACED = [
    "a ' . b",
    "do n't n ' t see 's 've",
    "x  ' ' n't ,",
    "never , ever ! ?",
    "we 're seven 's ' ' .",
    " ' m",
    "'",
]
"""What cleaning up changes, also across pieces."""
BEYOND_ASCII = [
    "naïve café",
    "日本語のテキスト",
    "🙂🙃👩‍👩‍👧",
    "Ελληνικά, русский",
    "\N{REPLACEMENT CHARACTER} as it is",
]


def metaspace_tokenizer() -> Any:
    """Pieces that begin with their space, and bytes for characters it has not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces += [(f"<0x{value:02X}>", -9.0) for value in range(256)]
    pieces += (
        [("▁", -3.0)] + [(f"▁{word}", -2.0) for word in WORDS] + [(word, -3.0) for word in (".", "'", "n", "t", "s")]
    )
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module", params=["bytes", "wordpiece", "metaspace"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "bytes":
        return bpe_tokenizer(1000)
    if request.param == "wordpiece":
        return wordpiece_tokenizer(tmp_path_factory.mktemp("wordpiece"), 1000, token_types=False)
    return metaspace_tokenizer()


def follow(tokenizer: Any, prompt: list[int], ids: list[int], **parameters: Any) -> list[Token]:
    told: list[Token] = []
    follower = Follower(tokenizer, parameters, told.append)
    for index, token in enumerate(ids):
        follower.step([*prompt, token] if index == 0 else [token], last=index == len(ids) - 1)
    return told


def new_text(tokenizer: Any, prompt: list[int], ids: list[int], **parameters: Any) -> str:
    """As the text-generation pipeline makes it."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": True, **parameters}
    text: str = tokenizer.decode([*prompt, *ids], **options)
    return text[len(tokenizer.decode(prompt, **options)) :]


def cases(tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """Prompts and what is generated: texts cut anywhere, and ids by chance."""
    chance = random.Random(5)
    known = [*SPACED, *BEYOND_ASCII, *texts(8, longest=12)]
    known += [" ".join(chance.sample(known, 3)) for _ in range(20)]
    found = []
    for text in known:
        ids = tokenizer.encode(text, add_special_tokens=False)
        for _ in range(3):
            cut = chance.randrange(len(ids))
            found.append((ids[:cut], ids[cut:]))
    # Where a byte makes a run of bytes no text, a decoder with fallback takes back the characters before it.
    pieces = [index for piece, index in sorted(tokenizer.get_vocab().items()) if not piece.startswith("<0x")]
    for _ in range(60):
        ids = [chance.choice(pieces) for _ in range(chance.randint(2, 40))]
        cut = chance.randrange(len(ids))
        found.append((ids[:cut], ids[cut:]))
    # Half a character at a prompt's end changes the prompt's own text when the rest follows, and the pipeline cuts that
    # off by its length.
    return [
        (prompt, ids) for prompt, ids in found if not tokenizer.decode(prompt).endswith("\N{REPLACEMENT CHARACTER}")
    ]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"clean_up_tokenization_spaces": False}, {"skip_special_tokens": False}],
    ids=["cleaned", "as decoded", "special tokens too"],
)
def test_pieces_put_together_are_the_text(tokenizer: Any, parameters: dict[str, Any]) -> None:
    for prompt, ids in cases(tokenizer):
        told = follow(tokenizer, prompt, ids, **parameters)
        assert [token.id for token in told] == ids
        assert "".join(token.text for token in told) == new_text(tokenizer, prompt, ids, **parameters)
        assert [token.last for token in told] == [False] * (len(ids) - 1) + [True]


def test_no_piece_breaks_a_character(tokenizer: Any) -> None:
    for text in ("日本語のテキスト 🙂 naïve", "русский 🙃"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        whole = new_text(tokenizer, [], ids)
        pieces = [token.text for token in follow(tokenizer, [], ids)]
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
        assert "".join(pieces) == whole


def test_pieces_come_as_soon_as_they_are_certain() -> None:
    tokenizer = bpe_tokenizer(1000)
    ids = tokenizer.encode("the quick brown fox jumps over a lazy dog", add_special_tokens=False)
    pieces = [token.text for token in follow(tokenizer, ids[:2], ids[2:])]
    behind = 0
    for index in range(1, len(pieces)):
        certain = "".join(pieces[:index])
        behind = max(behind, len(tokenizer.decode(ids[: 2 + index])) - len(tokenizer.decode(ids[:2])) - len(certain))
    assert behind <= len(" over ")


def test_special_tokens_are_marked() -> None:
    tokenizer = bpe_tokenizer(1000)
    ids = [*tokenizer.encode("the fox", add_special_tokens=False), tokenizer.eos_token_id]
    told = follow(tokenizer, [5], ids)
    assert [token.special for token in told] == [False] * (len(ids) - 1) + [True]
    assert told[-1].text == ""


@pytest.mark.parametrize(
    ("inputs", "parameters"),
    [
        (["a text", "another"], {}),
        ([[{"role": "user", "content": "hi"}]], {}),
        ("a text", {"num_beams": 2}),
        ("a text", {"num_return_sequences": 3, "do_sample": True}),
        ("a text", {"return_tensors": True}),
        ("a text", {"prompt_lookup_num_tokens": 2}),
    ],
)
def test_what_is_not_one_text_is_refused(inputs: object, parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        expect_one_text(inputs, parameters, None)
    expect_one_text("a text", {"do_sample": True, "num_beams": 1}, None)
    expect_one_text([{"role": "user", "content": "hi"}], {}, None)
