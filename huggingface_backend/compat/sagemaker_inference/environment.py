"""SageMaker's view of the environment."""

import os
from pathlib import Path

from sagemaker_inference import content_types, parameters

SAGEMAKER_BASE_PATH = "/opt/ml"
base_dir = os.environ.get(parameters.BASE_PATH_ENV, SAGEMAKER_BASE_PATH)
model_dir = str(Path(base_dir, "models" if os.environ.get(parameters.MULTI_MODEL_ENV) == "true" else "model"))
code_dir = str(Path(model_dir, "code"))


class Environment:
    """The settings of the container, read when it is made."""

    def __init__(self):
        get = os.environ.get
        self.module_name = get(parameters.USER_PROGRAM_ENV, "inference.py").removesuffix(".py")
        self.model_server_timeout = int(get(parameters.MODEL_SERVER_TIMEOUT_ENV, "60"))
        seconds = get(parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV)
        self.model_server_timeout_seconds = None if seconds is None else int(seconds)
        self.model_server_workers = get(parameters.MODEL_SERVER_WORKERS_ENV)
        self.startup_timeout = int(get(parameters.STARTUP_TIMEOUT_ENV, "600"))
        self.default_accept = get(parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV, content_types.JSON)
        self.inference_http_port = self.management_http_port = get(parameters.BIND_TO_PORT_ENV, "8080")
        self.safe_port_range = get(parameters.SAFE_PORT_RANGE_ENV)
        megabytes = get(parameters.MAX_REQUEST_SIZE)
        self.max_request_size = None if megabytes is None else int(megabytes) * 1024 * 1024
