"""Images, sounds and films of the cases: made from a number, so that no file is kept.

A request holds them as base64; a pipeline in this process is given what that base64 stands for, without any of our
own decoding.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Picture:
    """A lossless picture of coarse coloured patches, no two seeds alike."""

    seed: int
    width: int = 32
    height: int = 32
    data_url: bool = False

    @cached_property
    def pixels(self) -> Any:
        chance = np.random.default_rng(self.seed)
        patches = chance.integers(0, 256, (5, 5, 3)).astype(np.float64)
        rows = np.linspace(0, 4, self.height).round().astype(int)
        columns = np.linspace(0, 4, self.width).round().astype(int)
        noise = chance.integers(-20, 21, (self.height, self.width, 3))
        return np.clip(patches[rows][:, columns] + noise, 0, 255).astype(np.uint8)

    def text(self) -> str:
        from PIL import Image

        with BytesIO() as out:
            Image.fromarray(self.pixels).save(out, format="PNG")
            encoded = base64.b64encode(out.getvalue()).decode()
        return f"data:image/png;base64,{encoded}" if self.data_url else encoded

    def value(self, _rate: int) -> Any:
        from PIL import Image

        return Image.fromarray(self.pixels)


@dataclass(frozen=True)
class Sound:
    """A WAV of two tones and noise."""

    seed: int
    seconds: float = 0.5
    rate: int = 16_000
    channels: int = 1

    @cached_property
    def samples(self) -> Any:
        """`[n, channels]`, as 16 bits hold them."""
        chance = np.random.default_rng(self.seed)
        time = np.arange(int(self.seconds * self.rate)) / self.rate
        tones = [np.sin(2 * np.pi * chance.uniform(80, 2000) * time + chance.uniform(0, 6)) for _ in range(2)]
        wave = 0.3 * tones[0] * (1 + np.sin(9 * time)) + 0.2 * tones[1]
        wave = np.stack([wave * chance.uniform(0.4, 1) for _ in range(self.channels)], axis=1)
        return (np.clip(wave + chance.normal(0, 0.05, wave.shape), -1, 1) * 32767).astype(np.int16)

    def text(self) -> str:
        import soundfile

        with BytesIO() as out:
            soundfile.write(out, self.samples, self.rate, format="WAV", subtype="PCM_16")
            return base64.b64encode(out.getvalue()).decode()

    def value(self, rate: int) -> Any:
        import soxr

        wave = (self.samples.astype(np.float32) / 32768).mean(axis=1)
        return wave if rate == self.rate else soxr.resample(wave, self.rate, rate)


@dataclass(frozen=True)
class Samples:
    """A sound as an object of raw numbers."""

    seed: int
    seconds: float = 0.3
    rate: int = 16_000
    key: str = "raw"

    @cached_property
    def sound(self) -> Sound:
        return Sound(self.seed, self.seconds, self.rate)

    def text(self) -> dict[str, Any]:
        wave = self.sound.samples[:, 0].astype(np.float32) / 32768
        return {self.key: wave.tolist(), "sampling_rate": self.rate}

    def value(self, rate: int) -> Any:
        return self.sound.value(rate)


@dataclass(frozen=True)
class Film:
    """A short MP4 without loss of colour resolution, whose frames move from one picture to another."""

    seed: int
    frames: int = 12
    width: int = 32
    height: int = 32

    @cached_property
    def body(self) -> bytes:
        import av

        first, last = (Picture(self.seed * 1000 + end, self.width, self.height).pixels for end in (0, 1))
        with BytesIO() as out:
            with av.open(out, "w", format="mp4") as container:
                stream = container.add_stream("mpeg4", rate=10)
                stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
                stream.bit_rate = 4_000_000
                for index in range(self.frames):
                    share = index / (self.frames - 1)
                    pixels = ((1 - share) * first + share * last).astype(np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
            return out.getvalue()

    def text(self) -> str:
        return base64.b64encode(self.body).decode()

    def value(self, _rate: int) -> str:
        """A path: the pipeline takes nothing else."""
        path = Path(tempfile.gettempdir()) / f"parity-film-{self.seed}-{self.frames}-{self.width}x{self.height}.mp4"
        if not path.is_file():
            path.write_bytes(self.body)
        return str(path)


MEDIA = (Picture, Sound, Samples, Film)


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """A nested value with every medium replaced; containers are copied."""
    if isinstance(value, MEDIA):
        return change(value)
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    if isinstance(value, dict):
        return {key: replaced(item, change) for key, item in value.items()}
    return value
