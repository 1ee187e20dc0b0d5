"""multi-model-server's context, for annotations and tests of scripts."""

from huggingface_backend.context import Context, RequestProcessor

__all__ = ["Context", "RequestProcessor"]
