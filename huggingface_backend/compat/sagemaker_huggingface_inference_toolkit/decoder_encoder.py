"""The toolkit's decoder_encoder: JSON and CSV are written as text, everything else as bytes."""

import json

import numpy as np
from mms.service import PredictionException
from sagemaker_inference import errors

from huggingface_backend import decoder_encoder as _ours
from huggingface_backend.errors import MalformedBody, ModelError, UnacceptableType, UnsupportedType
from sagemaker_huggingface_inference_toolkit import content_types


class _JSONEncoder(json.JSONEncoder):
    """For `json.dumps(…, cls=_JSONEncoder)`: numpy, tensors, dates and images."""

    def default(self, obj):
        if isinstance(obj, np.generic):
            return obj.item()
        try:
            return _ours.plain(obj)
        except TypeError:
            return super().default(obj)


def decode(content, content_type=content_types.JSON):
    """A body as an object. UnsupportedFormatError for a type that is not read; of a bad body, its parser's error."""
    try:
        return _ours.decode(content, content_type or "")
    except UnsupportedType:
        raise errors.UnsupportedFormatError(content_type) from None
    except MalformedBody as error:
        raise error.__cause__ or PredictionException(str(error), 400) from None


def encode(content, accept_type=content_types.JSON):
    """An object as a body. UnsupportedFormatError for a type that is not written; else the writer's own error."""
    try:
        body = _ours.encode(content, accept_type)
    except (ModelError, UnacceptableType) as error:
        if accept_type not in _ours.ENCODERS:
            raise errors.UnsupportedFormatError(accept_type) from None
        raise error.__cause__ or ValueError(str(error)) from None
    return body.decode("utf-8") if accept_type in content_types.UTF8_TYPES else body


def decode_json(content):
    return decode(content, content_types.JSON)


def decode_csv(string_like):
    return decode(string_like, content_types.CSV)


def decode_image(bpayload):
    return decode(bytes(bpayload), content_types.PNG)


def decode_audio(bpayload):
    return {"inputs": bytes(bpayload)}


def encode_json(content, accept_type=None):  # noqa: ARG001
    return encode(content, content_types.JSON)


def encode_csv(content, accept_type=None):  # noqa: ARG001
    return encode(content, content_types.CSV)


def encode_image(image, accept_type=content_types.PNG):
    return encode(image, accept_type)


def _array_to_npy(array_like, accept_type=None):  # noqa: ARG001
    return encode(array_like, content_types.NPY)


__all__ = [
    "decode",
    "decode_audio",
    "decode_csv",
    "decode_image",
    "decode_json",
    "encode",
    "encode_csv",
    "encode_image",
    "encode_json",
]
