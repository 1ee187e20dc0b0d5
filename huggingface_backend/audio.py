"""Audio in bodies, through libsndfile and soxr: no ffmpeg, no temporary files. Imported when the first one comes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.errors import InvalidInput, first_line

MAX_SAMPLES = 250_000_000
"""Decoded samples of all channels, a gigabyte: four hours and more of 16 kHz speech."""


def waveform(body: bytes, rate: int) -> NDArray[np.float32]:
    """Mono samples `[n]` at `rate` Hz of a WAV, FLAC, OGG, MP3 or AIFF body; InvalidInput where it is none or empty."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(body)) as file:
            if file.frames * file.channels > MAX_SAMPLES:
                raise InvalidInput(f"the audio is too long: at most {MAX_SAMPLES} samples are read")
            samples, original = file.read(dtype="float32", always_2d=True), file.samplerate
    except (soundfile.SoundFileError, ValueError) as error:
        # The whole message would name an object of this process.
        why = getattr(error, "error_string", first_line(error))
        raise InvalidInput(f"the body is no audio that libsndfile reads: {why}") from error
    return resample(samples.mean(axis=1), original, rate)


def from_base64(text: str, rate: int) -> NDArray[np.float32]:
    """The same of a base64 text, with or without `data:audio/…;base64,` before it."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return waveform(base64.b64decode(text.encode("ascii"), validate=True), rate)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidInput("audio as text must be base64; a path or URL is not followed") from error


def from_object(value: Mapping[str, Any], rate: int) -> NDArray[np.float32]:
    """The same of `{"raw" or "array": samples, "sampling_rate": Hz}`."""
    samples, original = value.get("raw", value.get("array")), value.get("sampling_rate")
    if not isinstance(original, int) or isinstance(original, bool) or original <= 0:
        raise InvalidInput("audio as an object needs its sampling_rate in Hz")
    try:
        array = np.asarray(samples, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"audio as an object needs a list of numbers as raw: {first_line(error)}") from error
    if array.ndim != 1:
        raise InvalidInput("audio as an object needs one channel: raw is a flat list of numbers")
    return resample(array, original, rate)


def resample(samples: NDArray[np.float32], original: int, rate: int) -> NDArray[np.float32]:
    """Samples `[n]` at another rate, both in Hz."""
    if not samples.size:
        raise InvalidInput("the audio has no samples")
    if original == rate:
        return samples
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, original, rate)
    return resampled
