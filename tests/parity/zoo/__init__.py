"""Tiny models by name, each saved in a folder as from_pretrained reads it, the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.parity.zoo import diffusion, generation, multimodal, sound, text, vision

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "bert": text.bert,
    "bert-classifier": text.bert_classifier,
    "bert-regression": text.bert_regression,
    "roberta-multi-label": text.roberta_multi_label,
    "bert-entailment": text.bert_entailment,
    "bert-entities": text.bert_entities,
    "roberta-entities": text.roberta_entities,
    "bert-masked": text.bert_masked,
    "roberta-masked": text.roberta_masked,
    "distilbert-answers": text.distilbert_answers,
    "roberta-answers": text.roberta_answers,
    "tapas": text.tapas,
    "sentence-bert": text.sentence_bert,
    "minilm": text.minilm,
    "cross-encoder": text.cross_encoder,
    "cross-encoder-roberta": text.cross_encoder_roberta,
    "gpt2": generation.gpt2,
    "qwen2": generation.qwen2,
    "t5": generation.t5,
    "bart": generation.bart,
    "marian": generation.marian,
    "nllb": generation.nllb,
    "vit-classifier": vision.vit_classifier,
    "vit": vision.vit,
    "convnext-classifier": vision.convnext_classifier,
    "resnet-classifier": vision.resnet_classifier,
    "segformer": vision.segformer,
    "detr": vision.detr,
    "detr-panoptic": vision.detr_panoptic,
    "maskformer": vision.maskformer,
    "yolos": vision.yolos,
    "depth-anything": vision.depth_anything,
    "dpt": vision.dpt,
    "swin2sr": vision.swin2sr,
    "superglue": vision.superglue,
    "sam": vision.sam,
    "videomae": vision.videomae,
    "wav2vec2-classifier": sound.wav2vec2_classifier,
    "spectrogram-classifier": sound.spectrogram_classifier,
    "wav2vec2-letters": sound.wav2vec2_letters,
    "whisper": sound.whisper,
    "clap": sound.clap,
    "vits": sound.vits,
    "clip": multimodal.clip,
    "owlvit": multimodal.owlvit,
    "vilt": multimodal.vilt,
    "layoutlm": multimodal.layoutlm,
    "donut": multimodal.donut,
    "vit-gpt2": multimodal.vit_gpt2,
    "blip": multimodal.blip,
    "llava": multimodal.llava,
    "stable-diffusion": diffusion.stable_diffusion,
}

_BUILT: dict[tuple[Path, str], Path] = {}


def build(name: str, root: Path) -> Path:
    """The folder of a model, made below `root` when it is first asked for."""
    import torch

    if (root, name) not in _BUILT:
        torch.manual_seed(0)
        (root / name).mkdir(parents=True, exist_ok=True)
        _BUILT[root, name] = BUILDERS[name](root / name)
    return _BUILT[root, name]
