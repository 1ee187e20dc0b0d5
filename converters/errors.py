"""Why a conversion ends without an entry."""

from __future__ import annotations


class ConversionError(Exception):
    """The message is one line for the person who asked for the conversion."""


class PrecisionError(ConversionError):
    """The precision or format asked for cannot be had; in fp32 and ONNX the model could be served."""


class GateError(ConversionError):
    """The ONNX graph does not answer like PyTorch; the message has the figures."""
