"""Models that read one picture, or two, and no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.parity.zoo.common import SMALL, attend, grow, labels, save

SIZE = {"height": 32, "width": 32}
THINGS = labels("stone", "paper", "tea", "bridge")
ALL_THINGS = labels("stone", "paper", "tea", "bridge", "rain", "fox", "dog")


def _vit_processor() -> Any:
    from transformers import ViTImageProcessor

    return ViTImageProcessor(size=SIZE)


def vit_config(**more: Any) -> dict[str, Any]:
    return {**SMALL, "image_size": 32, "patch_size": 8, **more}


def vit_classifier(folder: Path) -> Path:
    from transformers import ViTConfig, ViTForImageClassification

    return save(folder, grow(ViTForImageClassification(ViTConfig(**vit_config(**ALL_THINGS)))), _vit_processor())


def vit(folder: Path) -> Path:
    from transformers import ViTConfig, ViTModel

    return save(folder, grow(ViTModel(ViTConfig(**vit_config()))), _vit_processor())


def convnext_classifier(folder: Path) -> Path:
    """Its processor crops a share of the picture, and resizes the shorter side."""
    from transformers import ConvNextConfig, ConvNextForImageClassification, ConvNextImageProcessor

    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, layer_scale_init_value=1.0, **ALL_THINGS)
    processor = ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875)
    return save(folder, grow(ConvNextForImageClassification(config)), processor)


def resnet_classifier(folder: Path) -> Path:
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **ALL_THINGS)
    processor = ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875)
    return save(folder, grow(ResNetForImageClassification(config)), processor)


def segformer(folder: Path) -> Path:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[16, 32],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
        decoder_hidden_size=32,
        **THINGS,
    )
    processor = SegformerImageProcessor(size=SIZE)
    return save(folder, grow(SegformerForSemanticSegmentation(config)), processor)


def _resnet_backbone() -> Any:
    from transformers import ResNetConfig

    return ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _detr_config(**more: Any) -> Any:
    from transformers import DetrConfig

    return DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=_resnet_backbone(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=12,
        **more,
    )


def _louder(module: Any, factor: float) -> None:
    """Certain enough to pass the thresholds that pipelines begin with."""
    import torch

    with torch.no_grad():
        module.weight.mul_(factor)


def detr(folder: Path) -> Path:
    from transformers import DetrForObjectDetection, DetrImageProcessor

    model = grow(DetrForObjectDetection(_detr_config(**THINGS)))
    _louder(model.class_labels_classifier, 2)
    return save(folder, model, DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}))


def detr_panoptic(folder: Path) -> Path:
    from transformers import DetrForSegmentation, DetrImageProcessor

    model = grow(DetrForSegmentation(_detr_config(**THINGS)), gain=1.4)
    attend(model, "encoder_attn")
    _louder(model.detr.class_labels_classifier, 2)
    _louder(model.mask_head.out_lay, 4)
    return save(folder, model, DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}))


def maskformer(folder: Path) -> Path:
    from transformers import (
        DetrConfig,
        MaskFormerConfig,
        MaskFormerForInstanceSegmentation,
        MaskFormerImageProcessor,
        SwinConfig,
    )

    backbone = SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[2, 2, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    decoder = DetrConfig(d_model=32, decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=64, num_queries=10)
    config = MaskFormerConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, **THINGS
    )
    model = grow(MaskFormerForInstanceSegmentation(config))
    _louder(model.class_predictor, 3)
    return save(folder, model, MaskFormerImageProcessor(size={"height": 64, "width": 64}, ignore_index=255))


def yolos(folder: Path) -> Path:
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    config = YolosConfig(**SMALL, image_size=[32, 48], patch_size=8, num_detection_tokens=12, **THINGS)
    model = grow(YolosForObjectDetection(config))
    _louder(model.class_labels_classifier.layers[-1], 2)
    return save(folder, model, YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48}))


def depth_anything(folder: Path) -> Path:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        patch_size=14,
        neck_hidden_sizes=[16, 16],
        reassemble_factors=[2, 1],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    processor = DPTImageProcessor(size={"height": 42, "width": 42}, ensure_multiple_of=14, keep_aspect_ratio=True)
    model = grow(DepthAnythingForDepthEstimation(config))
    import torch

    with torch.no_grad():
        # Its last layer is a ReLU: keep it above zero.
        model.head.conv3.bias.fill_(3.0)
    return save(folder, model, processor)


def dpt(folder: Path) -> Path:
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(
        **{**SMALL, "num_hidden_layers": 4},
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        is_hybrid=False,
    )
    model = grow(DPTForDepthEstimation(config))
    import torch

    with torch.no_grad():
        model.head.head[4].bias.fill_(3.0)
    return save(folder, model, DPTImageProcessor(size=SIZE))


def swin2sr(folder: Path) -> Path:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessor

    config = Swin2SRConfig(
        image_size=16,
        patch_size=1,
        embed_dim=16,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=8,
        mlp_ratio=2,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
    return save(folder, grow(Swin2SRForImageSuperResolution(config)), Swin2SRImageProcessor(pad_size=8))


def superglue(folder: Path) -> Path:
    from transformers import SuperGlueConfig, SuperGlueForKeypointMatching, SuperGlueImageProcessor, SuperPointConfig

    points = SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16],
        decoder_hidden_size=32,
        keypoint_decoder_dim=65,
        descriptor_decoder_dim=32,
        keypoint_threshold=0.0,
        max_keypoints=24,
        nms_radius=2,
        border_removal_distance=2,
    )
    config = SuperGlueConfig(
        keypoint_detector_config=points,
        hidden_size=32,
        keypoint_encoder_sizes=[16, 32],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=4,
        sinkhorn_iterations=10,
        matching_threshold=0.0,
    )
    processor = SuperGlueImageProcessor(size={"height": 48, "width": 48}, do_grayscale=True)
    model = grow(SuperGlueForKeypointMatching(config))
    grow(model.keypoint_detector, gain=2.0)
    _louder(model.final_projection.final_proj, 3)
    return save(folder, model, processor)


def sam(folder: Path) -> Path:
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    vision = SamVisionConfig(
        hidden_size=32, output_channels=32, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=8,
        mlp_ratio=2, window_size=4, global_attn_indexes=[1], num_pos_feats=16,
    )  # fmt: skip
    prompt = SamPromptEncoderConfig(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=8)
    decoder = SamMaskDecoderConfig(
        hidden_size=32, mlp_dim=64, num_hidden_layers=2, num_attention_heads=4, iou_head_hidden_dim=32, iou_head_depth=2
    )
    config = SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompt.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    processor = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    model = grow(SamModel(config))
    for head in model.mask_decoder.output_hypernetworks_mlps:
        _louder(head.proj_out, 6)
    return save(folder, model, SamProcessor(processor))


def videomae(folder: Path) -> Path:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessor

    config = VideoMAEConfig(**vit_config(**THINGS), num_frames=4, tubelet_size=2)
    processor = VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE)
    return save(folder, grow(VideoMAEForVideoClassification(config)), processor)
