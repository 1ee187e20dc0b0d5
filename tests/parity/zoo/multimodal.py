"""Models that see and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.parity.zoo.common import (
    SMALL,
    attend,
    bpe_tokenizer,
    grow,
    labels,
    save,
    twist,
    without_token_types,
    wordpiece_tokenizer,
)
from tests.parity.zoo.vision import SIZE, vit_config

POSITIONS = 64
CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %} {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def _pixels() -> Any:
    from transformers import ViTImageProcessor

    return ViTImageProcessor(size=SIZE)


def _clip_processor(side: int) -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPModel

    tokenizer = bpe_tokenizer(POSITIONS)
    without_token_types(tokenizer)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    text = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS, "projection_dim": 16, **ids}
    config = CLIPConfig(text_config=text, vision_config=vit_config(projection_dim=16), projection_dim=16)
    model = grow(CLIPModel(config))
    _warm(model.logit_scale)
    return save(folder, model, _clip_processor(32), tokenizer)


def _warm(scale: Any) -> None:
    """A temperature at which no label gets everything."""
    import torch

    with torch.no_grad():
        scale.fill_(1.5)


def owlvit(folder: Path) -> Path:
    from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor

    # A query whose first token is 0 counts as padding, so the byte-level tokenizer with its <s> will not do.
    tokenizer = wordpiece_tokenizer(folder, 16, token_types=False)
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 16, **ids}
    config = OwlViTConfig(text_config=text, vision_config=vit_config(), projection_dim=32)
    processor = OwlViTImageProcessor(size=SIZE, crop_size=SIZE)
    model = grow(OwlViTForObjectDetection(config))
    _certain(model.class_head)
    return save(folder, model, processor, tokenizer)


def _certain(head: Any) -> None:
    """Some boxes over the threshold of a tenth, and some under it."""
    import torch

    with torch.no_grad():
        for line, bias in ((head.logit_scale, 2.0), (head.logit_shift, -0.4)):
            line.weight.mul_(0.2)
            line.bias.fill_(bias)


def vilt(folder: Path) -> Path:
    from transformers import ViltConfig, ViltForQuestionAnswering, ViltImageProcessor

    tokenizer = wordpiece_tokenizer(folder, 40, token_types=True)
    config = ViltConfig(
        **vit_config(**labels("yes", "no", "tea", "three", "fox", "nobody", "rain")),
        vocab_size=len(tokenizer),
        max_position_embeddings=40,
        max_image_length=-1,
    )
    processor = ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=8)
    return save(folder, grow(ViltForQuestionAnswering(config)), processor, tokenizer)


def layoutlm(folder: Path) -> Path:
    from transformers import LayoutLMConfig, LayoutLMForQuestionAnswering

    tokenizer = wordpiece_tokenizer(folder, POSITIONS, token_types=True)
    config = LayoutLMConfig(
        **SMALL, vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, max_2d_position_embeddings=1024
    )
    return save(folder, grow(LayoutLMForQuestionAnswering(config)), tokenizer)


def _text_decoder(tokenizer: Any, positions: int = POSITIONS) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=positions, vocab_size=len(tokenizer), add_cross_attention=True,
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip


def vit_gpt2(folder: Path) -> Path:
    from transformers import GPT2LMHeadModel, VisionEncoderDecoderModel, ViTConfig, ViTModel

    tokenizer = bpe_tokenizer(POSITIONS)
    encoder = ViTModel(ViTConfig(**vit_config()), add_pooling_layer=False)
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=GPT2LMHeadModel(_text_decoder(tokenizer)))
    grow(model, embedding=0.5, seed=2)
    attend(model, "crossattention")
    twist(model.decoder.transformer.ln_f)
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id, settings.eos_token_id = 0, 1, 2
    model.generation_config.max_length = 20
    return save(folder, model, _pixels(), tokenizer)


def blip(folder: Path) -> Path:
    """Takes a prompt, which a vision encoder-decoder does not."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    tokenizer = wordpiece_tokenizer(folder, POSITIONS, token_types=False)
    text = {
        **SMALL,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": POSITIONS,
        "encoder_hidden_size": 32,
        "projection_dim": 16,
        "bos_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = BlipConfig(text_config=text, vision_config=vit_config(), projection_dim=16, image_text_hidden_size=16)
    model = grow(BlipForConditionalGeneration(config))
    model.generation_config.max_length = 20
    return save(folder, model, BlipImageProcessor(size=SIZE), tokenizer)


def donut(folder: Path) -> Path:
    """Reads a document without OCR, and writes its answer between tags."""
    from transformers import (
        DonutImageProcessor,
        DonutSwinConfig,
        DonutSwinModel,
        MBartConfig,
        MBartForCausalLM,
        VisionEncoderDecoderModel,
    )

    tokenizer = bpe_tokenizer(POSITIONS)
    tags = ["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>"]
    tokenizer.add_special_tokens({"additional_special_tokens": tags})
    encoder = DonutSwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, num_channels=3
    )
    decoder = MBartConfig(
        d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS, is_decoder=True, add_cross_attention=True, add_final_layer_norm=True,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = VisionEncoderDecoderModel(encoder=DonutSwinModel(encoder), decoder=MBartForCausalLM(decoder))
    grow(model, gain=1.5, embedding=0.5)
    attend(model, "encoder_attn")
    twist(model.decoder.model.decoder.layer_norm)
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id, settings.eos_token_id = 0, 1, 2
    model.generation_config.max_length = 40
    model.generation_config.forced_eos_token_id = tokenizer.convert_tokens_to_ids("</s_answer>")
    processor = DonutImageProcessor(size=SIZE, do_align_long_axis=False)
    return save(folder, model, processor, tokenizer)


def llava(folder: Path) -> Path:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = bpe_tokenizer(192)
    without_token_types(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**vit_config()),
        text_config=LlamaConfig(
            **SMALL,
            vocab_size=len(tokenizer),
            max_position_embeddings=256,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    model = grow(LlavaForConditionalGeneration(config))
    model.generation_config.pad_token_id = 1
    model.generation_config.suppress_tokens = [tokenizer.convert_tokens_to_ids("<image>")]
    processor = LlavaProcessor(
        image_processor=_clip_processor(32),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return save(folder, model, processor)
