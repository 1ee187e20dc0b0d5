"""SageMaker's decoder: bodies to numpy arrays."""

import json
from io import BytesIO, StringIO

import numpy as np

from huggingface_backend.decoder_encoder import decode_npy
from sagemaker_inference import content_types, errors


def _json_to_numpy(string_like, dtype=None):
    return np.array(json.loads(string_like), dtype=dtype)


def _csv_to_numpy(string_like, dtype=None):
    return np.genfromtxt(StringIO(string_like), dtype=dtype, delimiter=",")


def _npy_to_numpy(npy_array):
    """Never unpickles."""
    return decode_npy(bytes(npy_array))


def _npz_to_sparse(npz_bytes):
    import scipy.sparse

    return scipy.sparse.load_npz(BytesIO(npz_bytes))


_decoder_map = {
    content_types.NPY: _npy_to_numpy,
    content_types.CSV: _csv_to_numpy,
    content_types.JSON: _json_to_numpy,
    content_types.NPZ: _npz_to_sparse,
}


def decode(obj, content_type):
    """An array of a body; UnsupportedFormatError for a type that is not read."""
    if content_type not in _decoder_map:
        raise errors.UnsupportedFormatError(content_type)
    return _decoder_map[content_type](obj)
