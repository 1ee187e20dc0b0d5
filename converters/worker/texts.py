"""Texts for the gate: many lengths, scripts and oddities, in an order that mixes them."""

from __future__ import annotations

from pathlib import Path

from converters.errors import ConversionError

MOST = 256
"""Texts of the user's own that are looked at; PyTorch takes them one by one."""

_SHORT = (
    "Yes.",
    "The parcel arrived two days late and the box was torn.",
    "hello",
    "Я не понимаю, почему поезд опять опаздывает.",
    "I would buy this again without thinking twice!",
    "Order #4711: 3 × 12.50 € = 37.50 €",
    "東京の天気は明日晴れるでしょう。",
    "a",
    "What is the capital of Australia, and why is it not Sydney?",
    "ALL CAPS AND NO PUNCTUATION",
    "Das Frühstück war köstlich 😀🥐, der Kaffee leider kalt.",
    "",
    "https://example.org/path?query=1&other=two#fragment",
    "El servicio fue excelente, aunque la espera resultó larga.",
    "\tTabs,\nnew lines\r\nand   runs   of   spaces ",
    "naïve café — “quoted”, …and a dash–dash",
    "def add(a, b):\n    return a + b",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "मुझे यह किताब बहुत पसंद आई।",
    "0123456789 3.14159 -42 1e-9",
    "!!!???",
    "هذا المنتج لا يعمل كما هو موصوف.",
    "The committee will meet on Thursday; bring the revised budget, please.",
    "not good, not bad",
)
_LONG = (
    "The bridge was closed for repairs in spring, and traffic moved to the old road along the river. ",
    "Nobody had counted on the rain. Within a week the road was under water and the ferry ran day and night. ",
    "A reader wrote to ask why the price had doubled; the answer filled half a page and satisfied no one. ",
    "In the laboratory the samples were kept at four degrees, weighed every morning, and logged by hand. ",
)


def _long(words: int, first: int) -> str:
    sentences = [_LONG[(first + turn) % len(_LONG)] for turn in range(words // 15 + 1)]
    return " ".join("".join(sentences).split()[:words])


TEXTS = tuple(
    text
    for index, short in enumerate(_SHORT)
    for text in ([short, _long(8 + 37 * (index // 2 % 12), index)] if index % 2 else [short])
)


def own_texts(file: str | None) -> tuple[str, ...]:
    """The lines of a file of texts, the first `MOST` that are not empty; none where there is no file.

    ConversionError where it holds no text.
    """
    if file is None:
        return ()
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{file} is not a file of texts: {error}") from error
    found = tuple(line for line in lines if line.strip())[:MOST]
    if not found:
        raise ConversionError(f"{file} holds no texts: one a line is wanted")
    return found
