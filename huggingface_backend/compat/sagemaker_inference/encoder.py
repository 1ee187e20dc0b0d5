"""SageMaker's encoder: arrays, or what numpy makes arrays of, to bodies."""

import json
from io import BytesIO, StringIO

import numpy as np

from sagemaker_inference import content_types, errors


def _plain(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _array_to_json(array_like):
    return json.dumps(array_like, default=_plain)


def _array_to_npy(array_like):
    buffer = BytesIO()
    np.save(buffer, array_like)
    return buffer.getvalue()


def _array_to_csv(array_like):
    stream = StringIO()
    np.savetxt(stream, array_like, delimiter=",", fmt="%s")
    return stream.getvalue()


_encoder_map = {
    content_types.NPY: _array_to_npy,
    content_types.CSV: _array_to_csv,
    content_types.JSON: _array_to_json,
}
SUPPORTED_CONTENT_TYPES = set(_encoder_map)


def encode(array_like, content_type):
    """A body of an array; UnsupportedFormatError for a type that is not written."""
    if content_type not in _encoder_map:
        raise errors.UnsupportedFormatError(content_type)
    return _encoder_map[content_type](array_like)
