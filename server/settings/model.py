"""Settings of which model is served, and how it runs."""

from __future__ import annotations

from pathlib import Path

import click

from huggingface_backend.wire import MAX_BATCH_SIZE
from server.settings.kinds import setting

MODEL = (
    setting(
        "--model-id",
        envvar=["HF_MODEL_ID"],
        help="The Hub model to serve when no SOURCE is given.",
    ),
    setting(
        "--model-dir",
        envvar=["HF_MODEL_DIR"],
        type=click.Path(path_type=Path),
        show_default="model/ of --base-dir",
        help="The model folder to serve when neither SOURCE nor a Hub model is given.",
    ),
    setting(
        "--base-dir",
        envvar=["SAGEMAKER_BASE_DIR"],
        type=click.Path(path_type=Path),
        default="/opt/ml",
        show_default=True,
        help="SageMaker's folder; its model/ is served when neither SOURCE nor --model-id nor --model-dir is given.",
    ),
    setting(
        "--startup-timeout",
        envvar=["SAGEMAKER_STARTUP_TIMEOUT"],
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds a model may take to load.",
    ),
    setting(
        "--strict/--no-strict",
        envvar=["TRITON_HF_STRICT"],
        default=False,
        help="Fail where the ONNX graph does not answer like PyTorch, instead of serving with PyTorch.",
    ),
    setting(
        "--instances",
        envvar=["SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_NUM_MODEL_WORKERS", "MMS_DEFAULT_WORKERS_PER_MODEL"],
        type=click.IntRange(min=1),
        show_default="one a core",
        help="Processes of a model that answers its requests one by one (a script that predicts, or the torch tier); "
        "a model whose requests are batched has one, which uses every core.",
    ),
    setting(
        "--preferred-batch-size",
        envvar=["SAGEMAKER_TS_BATCH_SIZE"],
        type=click.IntRange(min=1),
        show_default="as many as wait",
        help="Requests that Triton's dynamic batcher prefers to hand over together (`preferred_batch_size`), "
        f"{MAX_BATCH_SIZE} at most; predict_batch_fn gets no more at once. Rows are batched across requests whatever "
        "this says.",
    ),
    setting(
        "--max-batch-delay",
        envvar=["SAGEMAKER_TS_MAX_BATCH_DELAY"],
        type=click.FloatRange(min=0, max=60_000),
        default=0,
        show_default=True,
        help="Milliseconds that a request may wait for others to fill --preferred-batch-size "
        "(`max_queue_delay_microseconds`).",
    ),
    setting(
        "--rows-per-run",
        envvar=["HF_OPTIMUM_BATCH_SIZE"],
        type=click.IntRange(min=1),
        show_default="as many as the token budget takes",
        help="Rows in one run of the graph at most. On Neuron the batch is padded to this size; here smaller ones "
        "stay small. The torch and script tiers, which run no graph, ignore it.",
    ),
    setting(
        "--sequence-length",
        envvar=["HF_OPTIMUM_SEQUENCE_LENGTH"],
        type=click.IntRange(min=1),
        show_default="what the model takes",
        help="Tokens of a row at most: the model is served as one that takes no more. Where a task cuts, it cuts "
        "there; elsewhere longer texts get 422. On Neuron texts are padded to this length; here shorter ones stay "
        "short. Only the fast tier knows it.",
    ),
    setting(
        "--retry-scripts/--no-retry-scripts",
        envvar=["TRITON_HF_RETRY_SCRIPTS"],
        default=False,
        help="Also try requests again that were in a user's script when its process died.",
    ),
)
