"""Stand-ins for what pipelines take from elsewhere: audio from ffmpeg, and one function from torchvision.

torchvision's published wheels want the CUDA build of torch; beside the CPU build they cannot even be imported.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

from huggingface_backend import audio


def decode_audio_without_ffmpeg() -> None:
    """Give the audio pipelines that are loaded libsndfile where the ffmpeg that they would start is missing."""
    if shutil.which("ffmpeg"):
        return
    for task in ("automatic_speech_recognition", "audio_classification", "zero_shot_audio_classification"):
        module = sys.modules.get(f"transformers.pipelines.{task}")
        if module is not None:
            module.ffmpeg_read = audio.waveform  # type: ignore[attr-defined]


def suppress_overlaps() -> None:
    """Give mask generation, where it is loaded, the one function that it misses."""
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.models.sam") and "image_processing" in name:
            vars(module).setdefault("batched_nms", batched_nms)


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Of boxes of one kind that overlap by more than the threshold only the best: indices by falling score.

    `boxes` are (n, 4) corners, `scores` and `idxs` (n,), as in torchvision.ops.
    """
    import torch

    order: list[int] = scores.argsort(descending=True, stable=True).tolist()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    kept: list[int] = []
    for index in order:
        left_top = torch.maximum(boxes[index, :2], boxes[kept, :2])
        right_bottom = torch.minimum(boxes[index, 2:], boxes[kept, 2:])
        shared = (right_bottom - left_top).clamp(min=0).prod(dim=1)
        overlap = shared / (areas[kept] + areas[index] - shared)
        if not ((overlap > iou_threshold) & (idxs[kept] == idxs[index])).any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long)
