"""Images in bodies, through Pillow, which is imported when the first one comes."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import TYPE_CHECKING, Any

from huggingface_backend.errors import InvalidInput, MalformedBody, UnacceptableType, describe, first_line
from huggingface_backend.media_types import IMAGE_FORMATS

if TYPE_CHECKING:
    from PIL.Image import Image

READ_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "ICO", "TGA", "JPEG2000")
"""What Pillow may read; its other readers (PostScript starts a program) see no request's bytes."""

MAX_PIXELS = 178_956_970
"""Where Pillow itself refuses an image: a quarter of a gigabyte in three 8-bit channels, doubled."""


def decode_image(body: bytes | bytearray) -> Image:
    """An RGB image of a body in one of READ_FORMATS, whatever its media type says.

    MalformedBody where it is none, InvalidInput over MAX_PIXELS, before they are unpacked.
    """
    import PIL.Image

    try:
        image = PIL.Image.open(BytesIO(body), formats=READ_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise PIL.Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
        return image.convert("RGB")
    except PIL.Image.DecompressionBombError as error:
        raise InvalidInput(f"the image is too large: at most {MAX_PIXELS} pixels are read") from error
    except PIL.UnidentifiedImageError as error:
        raise MalformedBody(f"the body is no image in one of the formats {', '.join(READ_FORMATS)}") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        # Pillow's readers raise any of these on broken files.
        raise MalformedBody(f"the image is broken: {first_line(error)}") from error


def from_base64(text: str) -> Image:
    """The image of a base64 text, with or without `data:image/…;base64,` before it."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return decode_image(base64.b64decode(text.encode("ascii")))
    except (binascii.Error, UnicodeEncodeError, MalformedBody) as error:
        raise InvalidInput(
            f"a text where an image belongs must be base64 of one; paths and URLs are not followed: {first_line(error)}"
        ) from error


def encode_image(image: Any, media_type: str) -> bytes:
    """A Pillow image in the format of a media type; UnacceptableType for anything else, or if the format cannot."""
    if not is_image(image):
        raise UnacceptableType(f"the prediction is {describe(image)}, which cannot be written as {media_type}")
    with BytesIO() as out:
        try:
            image.save(out, format=IMAGE_FORMATS[media_type])
        except (OSError, ValueError, KeyError) as error:
            raise UnacceptableType(f"the image cannot be written as {media_type}: {first_line(error)}") from error
        return out.getvalue()


def to_base64(image: Image) -> str:
    """An image inside JSON: base64 of its PNG."""
    return base64.b64encode(encode_image(image, "image/png")).decode("ascii")


def is_image(value: Any) -> bool:
    """Whether it is a Pillow image, without importing Pillow to find out."""
    return any(base.__module__ == "PIL.Image" and base.__name__ == "Image" for base in type(value).__mro__)
