"""SageMaker's logger."""

import logging


def get_logger():
    """The logger of SageMaker's inference toolkit."""
    return logging.getLogger("sagemaker-inference")


def configure_logger():
    """The server has configured logging already."""
