"""An image processor of transformers, written down as numbers, and the proof that they say all of it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.worker.protocol import NotFastError
from huggingface_backend.batches import Pixels
from huggingface_backend.errors import InvalidInput, first_line
from huggingface_backend.image_processing import CHANNELS, ImageProcessor
from huggingface_backend.manifest import ImageFacts

TOLERANCE = 1e-4
_SIZES = (
    (48, 64),
    (90, 60),
    (64, 64),
    (300, 40),
    (31, 257),
    (5, 5),
    (1, 1),
    (1, 9),
    (2, 1),
    (3, 7),
    (3, 3),
    (700, 500),
)
"""Heights and widths; of the smallest, processors mistake the height for a number of channels."""
_MODES = ("RGB", "L", "RGBA", "P", "LA", "1", "CMYK", "I;16")
_ORIENTATION = 0x0112
_TURNED = 6


def resolve(source: Path, trust_remote_code: bool) -> tuple[ImageFacts, list[Pixels]]:
    """What a source's image processor does, and what our images become by it, all of one size.

    NotFastError where we cannot do the same, ConversionError where there is no processor.
    """
    try:
        from transformers import AutoImageProcessor
    except ImportError as error:
        raise ConversionError(
            f"the image processor can only be read by transformers, which the convert extra installs: {error}"
        ) from error
    try:
        processor = AutoImageProcessor.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ConversionError(f"missing image processor: none loads from {source.name}: {first_line(error)}") from error
    facts = describe(processor)
    return facts, verify(facts, processor)


def describe(processor: Any) -> ImageFacts:
    """A processor's attributes as facts; whether they tell everything, only `verify` knows."""
    kind = type(processor).__name__.removesuffix("Fast")
    try:
        size, shortest_edge, crop = _SIZING.get(kind, _plain)(processor)
        normalize = _wants(processor, "normalize")
        std = _channels(processor.image_std) if normalize or getattr(processor, "include_top", False) else None
        return ImageFacts(
            size=size,
            shortest_edge=shortest_edge,
            resample=int(getattr(processor, "resample", 2)),
            crop=crop,
            rescale=float(processor.rescale_factor) if _wants(processor, "rescale") else None,
            offset=-1.0 if getattr(processor, "rescale_offset", False) else 0.0,
            mean=_channels(processor.image_mean) if normalize else None,
            std=std if normalize else None,
            divisor=std if getattr(processor, "include_top", False) else None,
            reverse_channels=_wants(processor, "flip_channel_order"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotFastError(f"the image processor {kind} is of another kind: {first_line(error)}") from error


def verify(facts: ImageFacts, processor: Any) -> list[Pixels]:
    """The pixels of our images, after a comparison with the processor's."""
    from transformers.image_utils import load_image

    kind, ours = type(processor).__name__, ImageProcessor(facts)
    samples: list[Pixels] = []
    for image in images():
        what = f"{image.mode} of {image.width}×{image.height}"
        try:
            theirs = processor(images=load_image(image), return_tensors="np")
            values = np.asarray(theirs["pixel_values"][0])
        except Exception as error:
            theirs, reason = None, first_line(error)
        try:
            mine = ours(image)
        except InvalidInput as error:
            if theirs is None or _unusable(values):
                continue
            raise NotFastError(f"{kind} takes an image ({what}) that the fast path does not: {error}") from error
        if theirs is None:
            raise NotFastError(f"{kind} fails on an image ({what}): {reason}")
        if set(theirs) != {"pixel_values"} or values.dtype != np.float32:
            raise NotFastError(f"{kind} gives {', '.join(theirs)} in {values.dtype}; pixel_values in float32 only")
        difference = np.abs(mine.values - values).max() if mine.values.shape == values.shape else np.inf
        if not difference <= TOLERANCE:
            raise NotFastError(
                f"{kind} prepares an image ({what}) otherwise than the fast path: max |Δ| {difference:.2g}"
            )
        samples.append(mine)
    if len({sample.values.shape for sample in samples}) > 1:
        raise NotFastError(f"{kind} leaves images their sizes, which cannot share a batch")
    return samples


def images() -> list[Any]:
    """Images of many sizes and modes, one of them to be turned, the same in every run."""
    import PIL.Image

    chance = np.random.default_rng(7)
    found = []
    for index, (height, width) in enumerate(_SIZES):
        # Waves with some noise: noise alone would be grey once it is small.
        rows, columns = np.mgrid[:height, :width]
        waves = [np.sin(rows / chance.uniform(2, 30)) * np.cos(columns / chance.uniform(2, 30)) for _ in range(4)]
        pixels = 127 + 100 * np.stack(waves, -1) + chance.normal(0, 15, (height, width, 4))
        rgba = PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")
        mode = _MODES[index % len(_MODES)] if min(height, width) > CHANNELS else "RGB"
        found.append(_as(rgba, mode))
        if mode != "RGB":
            found.append(rgba.convert("RGB"))
    exif = PIL.Image.Exif()
    exif[_ORIENTATION] = _TURNED
    with BytesIO() as file:
        found[0].save(file, "PNG", exif=exif)
        turned = PIL.Image.open(BytesIO(file.getvalue()))
        turned.load()
    return [*found, turned]


def _as(rgba: Any, mode: str) -> Any:
    if mode == "I;16":
        import PIL.Image

        return PIL.Image.fromarray(np.asarray(rgba)[..., 0].astype(np.uint16) * 257)
    return rgba.convert("RGB").convert(mode) if mode in ("P", "1", "CMYK") else rgba.convert(mode)


def _unusable(values: Any) -> bool:
    """Pixels that no model for RGB takes, of an image that the processor mistook."""
    return bool(values.ndim != 3 or values.shape[0] != CHANNELS)


def _wants(processor: Any, step: str) -> bool:
    return bool(getattr(processor, f"do_{step}", False))


def _channels(value: Any) -> tuple[float, ...]:
    values = tuple(map(float, value)) if hasattr(value, "__len__") else (float(value),) * CHANNELS
    if len(values) != CHANNELS:
        raise ValueError(f"{len(values)} channels")
    return values


Sizing = tuple[tuple[int, int] | None, int | None, tuple[int, int] | None]
"""`size`, `shortest_edge` and `crop` of ImageFacts."""


def _plain(processor: Any) -> Sizing:
    size, edge = _size(processor) if _wants(processor, "resize") else (None, None)
    return size, edge, _crop(processor)


def _crop(processor: Any) -> tuple[int, int] | None:
    if not _wants(processor, "center_crop"):
        return None
    crop = dict(processor.crop_size)
    return int(crop["height"]), int(crop["width"])


def _size(processor: Any) -> tuple[tuple[int, int] | None, int | None]:
    size = dict(processor.size)
    if size.get("shortest_edge"):
        return None, int(size["shortest_edge"])
    return (int(size["height"]), int(size["width"])), None


def _convnext(processor: Any) -> Sizing:
    """Below 384 pixels an image is resized to more and cut; from there on it is squeezed."""
    if not _wants(processor, "resize"):
        return None, None, None
    edge = int(dict(processor.size)["shortest_edge"])
    if edge >= 384:
        return (edge, edge), None, None
    return None, int(edge / processor.crop_pct), (edge, edge)


def _levit(processor: Any) -> Sizing:
    size, edge, crop = _plain(processor)
    return size, edge and int(256 / 224 * edge), crop


def _poolformer(processor: Any) -> Sizing:
    size, edge, crop = _plain(processor)
    if processor.crop_pct is None or (size is None and edge is None):
        return size, edge, crop
    if size is not None and size[0] != size[1]:
        return (int(size[0] / processor.crop_pct), int(size[1] / processor.crop_pct)), None, crop
    return None, int((edge or size[0]) / processor.crop_pct), crop  # type: ignore[index]


_SIZING: dict[str, Callable[[Any], Sizing]] = {
    "ConvNextImageProcessor": _convnext,
    "LevitImageProcessor": _levit,
    "PoolFormerImageProcessor": _poolformer,
}
"""Processors whose sizes mean something of their own."""
