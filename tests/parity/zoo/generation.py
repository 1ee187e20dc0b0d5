"""Decoders and encoder-decoders whose greedy answers are neither alike nor one token again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.parity.zoo.common import SMALL, attend, bpe_tokenizer, grow, save, twist, without_token_types

POSITIONS = 96
ROOM = 16
"""Positions that truncation leaves for an answer."""
CHAT = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


def _tokenizer(*, ending: bool, chat: bool = False) -> Any:
    """Byte-level pieces; `ending` puts </s> after each text and nothing before it."""
    from tokenizers.processors import ByteLevel, TemplateProcessing

    tokenizer = bpe_tokenizer(POSITIONS - ROOM)
    end = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = (
        TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)])
        if ending
        else ByteLevel(trim_offsets=False)
    )
    without_token_types(tokenizer)
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def gpt2(folder: Path) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = _tokenizer(ending=False)
    config = GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=POSITIONS,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = grow(GPT2LMHeadModel(config))
    twist(model.transformer.ln_f)
    return _save(folder, model, tokenizer)


def qwen2(folder: Path) -> Path:
    """With a chat template, grouped key-value heads and rotary positions."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tokenizer(ending=False, chat=True)
    config = Qwen2Config(
        **SMALL,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS * 2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = grow(Qwen2ForCausalLM(config))
    return _save(folder, model, tokenizer)


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    """With a length of answers in the folder, as published models have one; 256 tokens would take long."""
    model.generation_config.max_length = 24 if model.config.is_encoder_decoder else POSITIONS
    return save(folder, model, tokenizer)


def _ids(tokenizer: Any) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }


def t5(folder: Path) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = _tokenizer(ending=True)
    prefix = {"prefix": "translate English to German: ", "max_length": 24}
    config = T5Config(
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        **_ids(tokenizer),
        decoder_start_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        task_specific_params={"translation_en_to_de": prefix},
    )
    model = grow(T5ForConditionalGeneration(config))
    attend(model, "EncDecAttention")
    return _save(folder, model, tokenizer)


def _bart_config(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": POSITIONS,
        **_ids(tokenizer),
        "decoder_start_token_id": tokenizer.eos_token_id,
        **more,
    }


def bart(folder: Path) -> Path:
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = bpe_tokenizer(POSITIONS)
    config = BartConfig(**_bart_config(tokenizer, forced_bos_token_id=None, forced_eos_token_id=None))
    model = grow(BartForConditionalGeneration(config))
    attend(model, "encoder_attn")
    twist(model.model.decoder.layers[-1].final_layer_norm)
    return _save(folder, model, tokenizer)


def marian(folder: Path) -> Path:
    from transformers import MarianConfig, MarianMTModel

    tokenizer = _tokenizer(ending=True)
    config = MarianConfig(**_bart_config(tokenizer, forced_eos_token_id=None))
    model = grow(MarianMTModel(config), seed=1)
    attend(model, "encoder_attn")
    twist(model.model.decoder.layers[-1].final_layer_norm)
    return _save(folder, model, tokenizer)


def nllb(folder: Path) -> Path:
    """A model of many languages: the first token of the answer says which."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    bpe_tokenizer(POSITIONS).backend_tokenizer.save(str(file))
    tokenizer = NllbTokenizerFast(tokenizer_file=str(file), model_max_length=POSITIONS)
    config = M2M100Config(**_bart_config(tokenizer, forced_eos_token_id=None))
    model = grow(M2M100ForConditionalGeneration(config), gain=1.5, embedding=0.5)
    attend(model, "encoder_attn")
    twist(model.model.decoder.layer_norm)
    return _save(folder, model, tokenizer)
