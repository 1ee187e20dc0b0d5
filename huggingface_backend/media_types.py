"""Content-Type and Accept, read as RFC 9110 has them."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
ANY = "*/*"
JSON_LINES_TYPES = ("application/jsonlines", "application/x-ndjson", "application/x-jsonlines", "application/jsonl")
TEXT_TYPES = frozenset({JSON, CSV})
"""Bodies that reach a script as str and not as bytes."""

IMAGE_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/x-image": "PNG",
}
"""Media types of images, each with Pillow's name of the format it is written in."""

AUDIO_TYPES = (
    "audio/x-flac",
    "audio/flac",
    "audio/mpeg",
    "audio/mp3",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/ogg",
    "audio/x-audio",
)

Accepted = list[tuple[str, float]]
"""Media types or ranges like `image/*` with their quality, the preferred first; quality 0 means never."""


def media_type(value: str) -> str:
    """A Content-Type without its parameters, in lower case; JSON where there is none."""
    return value.partition(";")[0].strip().lower() or JSON


def charset(value: str) -> str:
    """The charset of a Content-Type; UTF-8 where it names none."""
    if ";" not in value:
        return "utf-8"
    message = Message()
    message["content-type"] = value
    return message.get_content_charset("utf-8")


def parse_accept(accept: str) -> Accepted:
    """An Accept header; JSON for an empty one. A malformed quality counts as 0."""
    ranked: Accepted = []
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(value.strip())
        if name:
            ranked.append((ANY if name == "*" else name, quality))
    ranked.sort(key=lambda entry: -entry[1])
    return ranked or [(JSON, 1.0)]


def acceptable(accept: str, known: Iterable[str]) -> list[str]:
    """The types out of `known` that an Accept header takes, the best first; a range takes them in their order."""
    known = tuple(known)
    parsed = parse_accept(accept)
    refused = {name for name, quality in parsed if not quality}
    wanted = [name for name, quality in parsed if quality]
    found = (candidate for name in wanted for candidate in known if _matches(candidate, name))
    return list(dict.fromkeys(candidate for candidate in found if candidate not in refused))


def preferred(accept: str, known: Iterable[str]) -> str:
    """What a script is told that the client accepts: its first choice, whoever can write that.

    A range becomes the first of `known` in it; JSON where the header refuses everything it names.
    """
    known = tuple(known)
    for name, quality in parse_accept(accept):
        if quality:
            return next((candidate for candidate in known if _matches(candidate, name)), name)
    return JSON


def _matches(candidate: str, wanted: str) -> bool:
    if wanted.endswith("/*"):
        return wanted == ANY or candidate.startswith(wanted[:-1])
    return candidate == wanted


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
