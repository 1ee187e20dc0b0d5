"""Cases of the tasks that see one picture, two, or a film, and read no text."""

from __future__ import annotations

from dataclasses import replace

from tests.parity.case import Case, Subject
from tests.parity.media import Film, Picture

P = [
    Picture(1),
    Picture(2, 48, 36),
    Picture(3, 40, 64),
    Picture(4, 32, 32, data_url=True),
    Picture(5, 57, 33),
    Picture(6, 64, 48),
]
OTHER = [
    Picture(11),
    Picture(12, 48, 36),
    Picture(13, 40, 64),
    Picture(14),
    Picture(15, 57, 33),
    Picture(16, 64, 48),
]

ONE_AND_LIST = (
    Case("one", P[0], wrong=OTHER[0]),
    Case("wide", P[1], wrong=OTHER[1]),
    Case("high", P[2], wrong=OTHER[2]),
    Case("data-url", P[3], wrong=OTHER[3]),
    Case("list", P[:4], wrong=OTHER[:4]),
)

CLASSES = (
    *ONE_AND_LIST,
    Case("two-best", P[4], {"top_k": 2}, wrong=OTHER[4]),
    Case("more-than-all", P[5], {"top_k": 50}, wrong=OTHER[5]),
    Case("sigmoid", P[0], {"function_to_apply": "sigmoid"}, wrong=OTHER[0]),
    Case("softmax", P[1], {"function_to_apply": "softmax"}, wrong=OTHER[1], idle="it is the default, said aloud"),
    Case("logits", P[2], {"function_to_apply": "none"}, wrong=OTHER[2]),
    Case("batches", P[:4], {"batch_size": 4}, wrong=OTHER[:4], idle="a batch answers like each of its pictures"),
)

FEATURES = (
    *ONE_AND_LIST,
    Case("pooled", P[4], {"pool": True}, wrong=OTHER[4]),
    Case("tensors", P[5], {"return_tensors": True}, wrong=OTHER[5], idle="a tensor is the same list in JSON"),
    Case("processor", P[1], {"image_processor_kwargs": {"do_normalize": False}}, wrong=OTHER[1]),
)

SEMANTIC = (
    *ONE_AND_LIST,
    Case("semantic", P[4], {"subtask": "semantic"}, wrong=OTHER[4], idle="the model knows no other"),
)

LOW = {"threshold": 0.3}
LOWERED = tuple(replace(case, parameters=LOW, idle="makes sure of an answer") for case in ONE_AND_LIST)
SEGMENTS = (
    *LOWERED,
    Case("default", P[0], wrong=OTHER[1]),
    Case("panoptic", P[0], {"subtask": "panoptic"}, wrong=OTHER[1], idle="it is the default, said aloud"),
    Case("threshold", P[1], {"threshold": 0.7}, wrong=OTHER[1]),
    Case("mask-threshold", P[1], {**LOW, "mask_threshold": 0.4}, wrong=OTHER[1]),
    Case("overlap", P[0], {**LOW, "overlap_mask_area_threshold": 0.1}, wrong=OTHER[0]),
    Case("semantic", P[0], {"subtask": "semantic"}, wrong=OTHER[0]),
    Case("instance", P[1], {**LOW, "subtask": "instance"}, wrong=OTHER[1]),
)

OBJECTS = (
    *ONE_AND_LIST,
    Case("low-threshold", P[4], {"threshold": 0.2}, wrong=OTHER[4]),
    Case("all", P[5], {"threshold": 0.0}, wrong=OTHER[5]),
)

PAIRS = (
    Case("pair", [P[0], P[1]], wrong=[OTHER[0], OTHER[1]]),
    Case("pairs", [[P[0], P[1]], [P[2], P[4]]], wrong=[[OTHER[0], OTHER[1]], [OTHER[2], OTHER[4]]]),
    Case("threshold", [P[4], P[5]], {"threshold": 0.2}, wrong=[OTHER[4], OTHER[5]]),
)

EASY = {"pred_iou_thresh": -10.0, "stability_score_thresh": 0.0, "points_per_crop": 3, "points_per_batch": 9}
"""The pipeline wants the number of points to be a multiple of the batch."""
STABLE = {**EASY, "stability_score_thresh": 0.4}
SMALL_P = [Picture(21, 24, 20), Picture(22, 20, 24), Picture(23, 24, 24)]
SMALL_OTHER = [Picture(31, 24, 20), Picture(32, 20, 24), Picture(33, 24, 24)]
MASKS = (
    Case("one", SMALL_P[0], EASY, wrong=SMALL_OTHER[0]),
    Case("list", SMALL_P[:2], EASY, wrong=SMALL_OTHER[:2]),
    Case("points", SMALL_P[1], {**EASY, "points_per_crop": 4, "points_per_batch": 16}, wrong=SMALL_OTHER[1]),
    Case("batches", SMALL_P[2], {**EASY, "points_per_batch": 3}, wrong=SMALL_OTHER[2]),
    Case("stable", SMALL_P[0], STABLE, wrong=SMALL_OTHER[0]),
    Case("offset", SMALL_P[0], {**STABLE, "stability_score_offset": 0.2}, wrong=SMALL_OTHER[0]),
    Case("mask-threshold", SMALL_P[2], {**EASY, "mask_threshold": 0.5}, wrong=SMALL_OTHER[2]),
    Case("sure", SMALL_P[0], {**EASY, "pred_iou_thresh": 0.2}, wrong=SMALL_OTHER[0]),
    Case("distinct", SMALL_P[1], {**EASY, "crops_nms_thresh": 0.1}, wrong=SMALL_OTHER[1]),
    Case("run-lengths", SMALL_P[2], {**EASY, "output_rle_mask": True}, wrong=SMALL_OTHER[2]),
    Case("boxes", SMALL_P[0], {**EASY, "output_bboxes_mask": True}, wrong=SMALL_OTHER[0]),
)

FILMS = (
    Case("one", Film(1), wrong=Film(11)),
    Case("list", [Film(2), Film(3, 16, 48, 32)], wrong=[Film(12), Film(13, 16, 48, 32)]),
    Case("two-best", Film(4), {"top_k": 2}, wrong=Film(14)),
    Case("every-other-frame", Film(5), {"frame_sampling_rate": 3}, wrong=Film(15)),
    Case("frames", Film(6), {"num_frames": 4}, wrong=Film(16), idle="the model takes no other number"),
    Case("sigmoid", Film(7), {"function_to_apply": "sigmoid"}, wrong=Film(17)),
    Case("softmax", Film(8), {"function_to_apply": "softmax"}, wrong=Film(18), idle="it is the default, said aloud"),
    Case("logits", Film(9), {"function_to_apply": "none"}, wrong=Film(19)),
)

SUBJECTS = (
    Subject("image-classification", "vit-classifier", CLASSES),
    Subject("image-classification", "convnext-classifier", CLASSES),
    Subject("image-classification", "resnet-classifier", CLASSES),
    Subject("image-feature-extraction", "vit", FEATURES),
    Subject("image-segmentation", "segformer", SEMANTIC),
    Subject("image-segmentation", "detr-panoptic", LOWERED),
    Subject("image-segmentation", "maskformer", SEGMENTS),
    Subject("object-detection", "yolos", OBJECTS),
    Subject("object-detection", "detr", OBJECTS),
    Subject("depth-estimation", "depth-anything", ONE_AND_LIST),
    Subject("depth-estimation", "dpt", ONE_AND_LIST),
    Subject("image-to-image", "swin2sr", ONE_AND_LIST),
    Subject("keypoint-matching", "superglue", PAIRS),
    Subject("mask-generation", "sam", MASKS),
    Subject("video-classification", "videomae", FILMS),
)
