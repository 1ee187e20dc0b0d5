"""The work that is measured: seeded items, the same in every run and for every system.

Items are distinct, so that no cache can help: texts as `str`, questions as {"question", "context"}, images as `Path` of
an encoded file, prompts as {"prompt", "parameters"}.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from perf.bench import models

NEW_TOKENS = 64
SHORT, LONG = 13, 128
SHORTEST, LONGEST = 4, 384
"""Tokens of a mixed text, special tokens included."""
_MIDDLE, _SIGMA = 3.4, 0.9
"""Of the log-normal lengths: a median of 30 tokens."""
CONTEXT_WORDS = 300
IMAGE_SIDE = 224


@dataclass(frozen=True)
class Workload:
    """A model and what it is asked."""

    name: str
    model: str
    """A name of `perf.bench.models.MODELS`."""
    task: str
    folder: Path
    """The model, as save_pretrained leaves it. Systems only read it."""
    items: tuple[Any, ...]
    what: str
    """One line for a reader of the report."""


@dataclass(frozen=True)
class _Kind:
    model: str
    items: Callable[[Path], tuple[Any, ...]]
    what: str


def build(name: str, root: Path) -> Workload:
    """A workload of a name of `NAMES`; models and images are made below `root` once."""
    kind = _KINDS[name]
    folder = models.ensure(kind.model, root)
    return Workload(name, kind.model, models.MODELS[kind.model].task, folder, items(name, root), kind.what)


def items(name: str, root: Path) -> tuple[Any, ...]:
    """The items of a workload; images are made below `root` once."""
    return _KINDS[name].items(root)


def lengths(count: int, seed: int) -> list[int]:
    """Log-normal numbers of tokens within SHORTEST and LONGEST."""
    chance = random.Random(seed)
    found: list[int] = []
    while len(found) < count:
        length = round(chance.lognormvariate(_MIDDLE, _SIGMA))
        if SHORTEST <= length <= LONGEST:
            found.append(length)
    return found


def text_of(tokens: int, chance: random.Random) -> str:
    """A text of exactly so many tokens of the WordPiece tokenizer, its two special tokens counted (at least 3).

    Words of one to three pieces and some commas, as written text has them.
    """
    plain, pieced = _words()
    left = tokens - 2
    words: list[str] = []
    while left:
        if left > 3 and chance.random() < 0.12:
            word, size = chance.choice(pieced)
            if size > left:
                continue
        else:
            word, size = chance.choice(plain), 1
        left -= size
        if left > 1 and chance.random() < 0.08:
            word, left = word + ",", left - 1
        words.append(word)
    return " ".join(words)


@cache
def _words() -> tuple[list[str], list[tuple[str, int]]]:
    """Words that are one token, and (word, tokens) of those that are two or three."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(models.minilm_source() / "tokenizer.json"))
    tokenizer.no_padding()
    vocabulary = tokenizer.get_vocab()
    known = sorted(
        (token for token, index in vocabulary.items() if token.isascii() and token.isalpha() and 1996 <= index < 12000),
        key=vocabulary.__getitem__,
    )
    plain = [word for word in known if 3 <= len(word) <= 10]
    joined = [first + second for first, second in zip(plain[1::7], plain[4::5], strict=False)]
    sizes = [len(encoding.ids) - 2 for encoding in tokenizer.encode_batch(joined)]
    return plain, [(word, size) for word, size in zip(joined, sizes, strict=True) if 2 <= size <= 3]


def _distinct(sizes: list[int], seed: int) -> tuple[str, ...]:
    chance = random.Random(seed)
    found: dict[str, None] = {}
    for size in sizes:
        while (text := text_of(size, chance)) in found:
            pass
        found[text] = None
    return tuple(found)


def _short(_: Path) -> tuple[Any, ...]:
    return _distinct([SHORT] * 2048, 13)


def _long(_: Path) -> tuple[Any, ...]:
    return _distinct([LONG] * 512, 128)


def _mixed(_: Path) -> tuple[Any, ...]:
    return _distinct(lengths(1024, 4), 384)


def mixed_texts(count: int) -> tuple[str, ...]:
    """Texts as those of the mixed workloads, but others."""
    return _distinct(lengths(count, 5), 385)


def _questions(_: Path) -> tuple[Any, ...]:
    """Contexts of 300 words in sentences, each with a question of its own."""
    chance = random.Random(300)
    plain, _pieced = _words()
    found = []
    for index in range(256):
        words = [chance.choice(plain) for _ in range(CONTEXT_WORDS)]
        sentences = [" ".join(words[at : at + 15]).capitalize() + "." for at in range(0, CONTEXT_WORDS, 15)]
        asked = " ".join(chance.choice(words) for _ in range(6))
        found.append({"question": f"What {asked} {index}?", "context": " ".join(sentences)})
    return tuple(found)


def _images(root: Path) -> tuple[Any, ...]:
    """JPEG and PNG files of 224 by 224 pixels, by turns, each with waves of its own."""
    import numpy as np
    from PIL import Image

    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(IMAGE_SIDE)
    found = []
    rows, columns = np.mgrid[:IMAGE_SIDE, :IMAGE_SIDE] / IMAGE_SIDE
    for index in range(64):
        waves = [np.sin(rows * chance.uniform(1, 30)) * np.cos(columns * chance.uniform(1, 30)) for _ in range(3)]
        pixels = chance.uniform(60, 190, 3) + 90 * np.stack(waves, -1)
        path = folder / f"{index:02}.{'png' if index % 2 else 'jpg'}"
        if not path.exists():
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        found.append(path)
    return tuple(found)


def _prompts(_: Path) -> tuple[Any, ...]:
    chance = random.Random(NEW_TOKENS)
    plain, _pieced = _words()
    parameters = {
        "max_new_tokens": NEW_TOKENS,
        "min_new_tokens": NEW_TOKENS,
        "do_sample": False,
        "return_full_text": False,
    }
    sizes = [chance.randint(8, 24) for _ in range(256)]
    return tuple(
        {"prompt": " ".join(chance.choice(plain) for _ in range(size)), "parameters": parameters} for size in sizes
    )


_KINDS = {
    "short-distilbert": _Kind("distilbert", _short, "texts of 13 tokens, two labels, DistilBERT-base's shape"),
    "long-distilbert": _Kind("distilbert", _long, "texts of 128 tokens, two labels, DistilBERT-base's shape"),
    "short-minilm": _Kind("minilm", _short, "texts of 13 tokens, embeddings of all-MiniLM-L6-v2"),
    "long-minilm": _Kind("minilm", _long, "texts of 128 tokens, embeddings of all-MiniLM-L6-v2"),
    "mixed-minilm": _Kind(
        "minilm", _mixed, "texts of 4 to 384 tokens, log-normal with a median of 30, embeddings of all-MiniLM-L6-v2"
    ),
    "mixed-distilbert": _Kind(
        "distilbert", _mixed, "texts of 4 to 384 tokens, log-normal with a median of 30, DistilBERT-base's shape"
    ),
    "qa": _Kind("distilbert-qa", _questions, "questions about 300 words, DistilBERT-base's shape"),
    "image": _Kind("vit", _images, "images of 224 × 224 pixels, two labels, ViT-base's shape"),
    "generation": _Kind("gpt2", _prompts, "64 new tokens, greedy, GPT-2-small's shape"),
}
NAMES = tuple(_KINDS)
