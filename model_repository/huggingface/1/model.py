"""An entry made by triton-hf; everything lies in the installed package."""

from huggingface_backend.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
