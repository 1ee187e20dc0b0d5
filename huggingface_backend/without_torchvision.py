"""What pipelines take from torchvision, for a torch that has none beside it.

Its published wheels want the CUDA build of torch; beside the CPU build they cannot even be imported.
"""

from __future__ import annotations

import sys
from typing import Any


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
