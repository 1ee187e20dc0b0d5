"""Whose variables the settings answer to."""

from __future__ import annotations

_TOOLKIT = "Hugging Face toolkit"
_NEWER_TOOLKIT = "newer Hugging Face toolkit"
_INFERENCE = "SageMaker inference toolkit"

_BY_NAME = {
    "HF_TOKEN": "huggingface_hub",
    "HUGGING_FACE_HUB_TOKEN": "huggingface_hub",
    "HF_HUB_TOKEN": _NEWER_TOOLKIT,
    "HF_MODEL_DIR": _NEWER_TOOLKIT,
    "HF_REVISION": _NEWER_TOOLKIT,
    "SAGEMAKER_PROGRAM": _INFERENCE,
    "SAGEMAKER_SUBMIT_DIRECTORY": _INFERENCE,
    "SAGEMAKER_BASE_DIR": _INFERENCE,
    "SAGEMAKER_MODEL_SERVER_WORKERS": _INFERENCE,
    "SAGEMAKER_NUM_MODEL_WORKERS": _INFERENCE,
    "SAGEMAKER_MODEL_SERVER_TIMEOUT": _INFERENCE,
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": _INFERENCE,
    "SAGEMAKER_STARTUP_TIMEOUT": _INFERENCE,
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": _INFERENCE,
    "SAGEMAKER_MAX_REQUEST_SIZE": _INFERENCE,
    "SAGEMAKER_CONTAINER_LOG_LEVEL": _INFERENCE,
}

_BY_PREFIX = {
    "TRITON_HF_": "triton-hf",
    "HF_": _TOOLKIT,
    "MMS_": "multi-model-server",
    "TS_": "TorchServe",
    "SAGEMAKER_TS_": "TorchServe, in SageMaker's PyTorch image",
    "SAGEMAKER_TRITON_": "Triton's SageMaker image",
    "SAGEMAKER_": "SageMaker",
}
"""The more special ones stand before what they begin with."""


def origin(variable: str) -> str:
    """Who named a variable; KeyError where nobody is known to have."""
    if variable in _BY_NAME:
        return _BY_NAME[variable]
    for prefix, who in _BY_PREFIX.items():
        if variable.startswith(prefix):
            return who
    raise KeyError(variable)
