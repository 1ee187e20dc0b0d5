"""An entry as this machine's Triton sees it: its own files, with what the operator and the machine ask of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from converters.entry import CONFIG, VERSION
from huggingface_backend.manifest import Manifest
from huggingface_backend.wire import MAX_BATCH_SIZE
from server.errors import NoRoomError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


AHEAD = 2
"""Requests that Triton holds for each instance of a model which answers them one by one, or for each core of one with
batches: one more than it works on, so that it never waits."""


@dataclass(frozen=True)
class Placing:
    """What the operator wants of every model; None where the model and the machine decide."""

    instances: int | None = None
    """Processes of a model that answers its requests one after the other."""
    batch_size: int | None = None
    """Requests that Triton's dynamic batcher prefers to hand over together."""
    batch_delay: float = 0
    """Milliseconds that it waits for them."""
    rows_per_run: int | None = None
    sequence_length: int | None = None

    def count(self, manifest: Manifest, instance_bytes: int) -> int:
        """How many processes a model gets; NoRoomError where /dev/shm has no room for one.

        One where requests are batched, for it uses every core. Where they are answered one after the other, as many
        as the original toolkit has workers: as asked, else one a core; fewer where /dev/shm is too small for them.
        `instance_bytes` is what each takes there.
        """
        free = _free_shared_memory()
        if free < instance_bytes:
            raise NoRoomError(
                f"{SHARED_MEMORY} has {free / 2**20:.0f} MiB free, and a model's process takes "
                f"{instance_bytes / 2**20:.0f}: give it more, or lower SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE"
            )
        wanted = (self.instances or _cores()) if manifest.one_at_a_time else 1
        return min(wanted, free // instance_bytes)

    def show(self, entry: Path, target: Path, count: int, *, queued: bool, on_cards: bool = False) -> None:
        """Show an entry to Triton in the folder `target`: a config.pbtxt of its own, and its files behind a link.

        `queued` hands each request to the next free instance, which Triton's batcher would not do. `on_cards` lets it
        run on every card that Triton has.
        """
        from tritonclient.grpc import model_config_pb2

        config = text_format.Parse((entry / CONFIG).read_text("utf-8"), model_config_pb2.ModelConfig())
        group = config.instance_group[0] if config.instance_group else config.instance_group.add()
        group.count = max(group.count, count)
        if on_cards and group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU and not group.gpus:
            # Triton makes an instance a card, or on the processor where there is none.
            group.kind = model_config_pb2.ModelInstanceGroup.KIND_AUTO
        if queued:
            config.ClearField("dynamic_batching")
        elif config.HasField("dynamic_batching"):
            self._batch(config.dynamic_batching)
        if count > 1 and "threads" not in config.parameters:
            config.parameters["threads"].string_value = str(max(1, _cores() // count))
        for name in ("batch_size", "rows_per_run", "sequence_length"):
            if getattr(self, name) is not None:
                config.parameters[name].string_value = str(getattr(self, name))
        target.mkdir()
        (target / CONFIG).write_text(text_format.MessageToString(config), "utf-8")
        (target / VERSION).symlink_to((entry / VERSION).absolute(), target_is_directory=True)

    def _batch(self, batcher: Any) -> None:
        if self.batch_size is not None:
            batcher.preferred_batch_size[:] = [min(self.batch_size, MAX_BATCH_SIZE)]
        if self.batch_delay:
            batcher.max_queue_delay_microseconds = round(self.batch_delay * 1000)


def concurrency(manifest: Manifest, count: int) -> int | None:
    """Requests to Triton at once that calls of a model share; None where each has its own.

    A model of the accelerated tier ends its calls at different times, and none should wait for another.
    """
    if manifest.one_at_a_time:
        return AHEAD * count
    return AHEAD * _cores() if manifest.tier == "fast" else None


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _free_shared_memory() -> int:
    room = os.statvfs(SHARED_MEMORY)
    return room.f_bavail * room.f_frsize
