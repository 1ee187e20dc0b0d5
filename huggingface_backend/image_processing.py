"""Images to pixels as the image processors of transformers make them, with Pillow and numpy.

A processor's arithmetic after resizing and cropping looks at one 8-bit value at a time. It is done once for the 256
values a channel can have, in the processor's own order and types, and looked up then: the results are equal to the
bit, and no image is held in float64 on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.batches import Pixels
from huggingface_backend.errors import InvalidInput
from huggingface_backend.images import MAX_PIXELS
from huggingface_backend.manifest import ImageFacts

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = 3


class ImageProcessor:
    """Makes the pixels of images. It holds nothing of an image, so that threads can share it."""

    def __init__(self, facts: ImageFacts) -> None:
        self._facts = facts
        self._table = _table(facts)

    def __call__(self, image: Image) -> Pixels:
        """The pixels of an image of any mode; InvalidInput for one that no processor takes."""
        prepared = self._sized(_channels_last(_upright(image)))
        values = np.asarray(prepared)
        pixels = np.empty((CHANNELS, *values.shape[:2]), np.float32)
        for channel in range(CHANNELS):
            source = CHANNELS - 1 - channel if self._facts.reverse_channels else channel
            # Every index is in the table; without the check of that, numpy needs no buffer.
            np.take(self._table[source], values[..., source], out=pixels[channel], mode="clip")
        return Pixels(pixels)

    def _sized(self, image: Image) -> Image:
        facts = self._facts
        size = facts.size or (facts.shortest_edge and _in_proportion(image, facts.shortest_edge))
        if size:
            height, width = size
            image = image.resize((width, height), resample=facts.resample)
        if facts.crop is None:
            return image
        height, width = facts.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))


def _table(facts: ImageFacts) -> NDArray[np.float32]:
    """What each value of each channel becomes: (channels, 256)."""
    column = np.arange(256, dtype=np.float32)
    if facts.rescale is not None:
        column = (column.astype(np.float64) * facts.rescale).astype(np.float32) + np.float32(facts.offset)
    table = np.repeat(column[None], CHANNELS, axis=0)
    if facts.mean is not None:
        table -= np.array(facts.mean, np.float32)[:, None]
    for divisor in (facts.std, facts.divisor):
        if divisor is not None:
            table /= np.array(divisor, np.float32)[:, None]
    return table


def _upright(image: Image) -> Image:
    """RGB, turned as the camera says."""
    from PIL import ExifTags, ImageOps

    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _channels_last(image: Image) -> Image:
    """The image as the processors of transformers understand it, which guess from its shape where the channels are.

    A height of 1 or 3 passes for a number of channels: they fail on the one and read the other as if it was stored
    one plane a channel.
    """
    if image.height == 1:
        raise InvalidInput(f"an image must be 2 pixels high or more, not {image.width}×1")
    if image.height != CHANNELS:
        return image
    import PIL.Image

    return PIL.Image.fromarray(np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0)))


def _in_proportion(image: Image, shortest_edge: int) -> tuple[int, int]:
    """Height and width; InvalidInput for an image so narrow that they would fill the memory."""
    short, long = sorted(image.size)
    longest_edge = int(shortest_edge * long / short)
    if shortest_edge * longest_edge > MAX_PIXELS:
        raise InvalidInput(
            f"the image is too narrow: {image.width}×{image.height} pixels would become {shortest_edge}×{longest_edge}"
        )
    return (longest_edge, shortest_edge) if image.width <= image.height else (shortest_edge, longest_edge)
