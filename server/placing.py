"""An entry as this machine's Triton sees it: its own files, with as many instances as it needs here."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf import text_format

from converters.entry import CONFIG, VERSION
from huggingface_backend.manifest import Manifest

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
INSTANCE_BYTES = 2 * 2**20
"""Shared memory of one instance: Triton's megabyte, and as much again when it grows."""


def instances(manifest: Manifest, asked: int | None = None) -> int:
    """How many processes a model gets.

    One where requests are batched, for it uses every core. Where they are answered one after the other, as many as
    the original toolkit has workers: `asked`, else one a core; fewer where /dev/shm is too small for them.
    """
    if not manifest.one_at_a_time:
        return 1
    wanted = asked or len(os.sched_getaffinity(0))
    room = os.statvfs(SHARED_MEMORY)
    return max(1, min(wanted, room.f_bavail * room.f_frsize // INSTANCE_BYTES))


def show(entry: Path, target: Path, count: int, *, queued: bool) -> None:
    """Show an entry to Triton in the folder `target`: a config.pbtxt of its own, and the entry's files behind a link.

    `queued` hands each request to the next free instance, which Triton's batcher would not do.
    """
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse((entry / CONFIG).read_text("utf-8"), model_config_pb2.ModelConfig())
    group = config.instance_group[0] if config.instance_group else config.instance_group.add()
    group.count = max(group.count, count)
    if queued:
        config.ClearField("dynamic_batching")
    if count > 1 and "threads" not in config.parameters:
        config.parameters["threads"].string_value = str(max(1, len(os.sched_getaffinity(0)) // count))
    target.mkdir()
    (target / CONFIG).write_text(text_format.MessageToString(config), "utf-8")
    (target / VERSION).symlink_to((entry / VERSION).absolute(), target_is_directory=True)
