"""Models that hear, and one that speaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.parity.zoo.common import SMALL, attend, bpe_tokenizer, grow, labels, save, twist, without_token_types

SOUNDS = labels("rain", "river", "dog", "silence", "bridge", "tea")


def _wav2vec2(**more: Any) -> Any:
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        **SMALL,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=16,
        **more,
    )


def wav2vec2_classifier(folder: Path) -> Path:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    return save(folder, grow(Wav2Vec2ForSequenceClassification(_wav2vec2(**SOUNDS))), Wav2Vec2FeatureExtractor())


def spectrogram_classifier(folder: Path) -> Path:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(
        **SMALL, patch_size=8, frequency_stride=8, time_stride=8, max_length=64, num_mel_bins=32, **SOUNDS
    )
    extractor = ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    return save(folder, grow(ASTForAudioClassification(config)), extractor)


def wav2vec2_letters(folder: Path) -> Path:
    """CTC: a letter or nothing for each frame."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Processor

    folder.mkdir(parents=True, exist_ok=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    model = grow(Wav2Vec2ForCTC(_wav2vec2(vocab_size=len(letters), pad_token_id=0, ctc_loss_reduction="mean")))
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    return save(folder, model, Wav2Vec2Processor(extractor, tokenizer))


def whisper(folder: Path) -> Path:
    """With every special token its decoding relies on: languages, tasks, timestamps."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizerFast,
    )

    folder.mkdir(parents=True, exist_ok=True)
    pieces = bpe_tokenizer(448).backend_tokenizer
    pieces.save(str(folder / "pieces.json"))
    model_part = json.loads((folder / "pieces.json").read_text())["model"]
    (folder / "pieces.json").unlink()
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|fr|>", "<|translate|>", "<|transcribe|>"]
    special += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    # The timestamps come right after the last special token: that is how they are found.
    words = [token for token in model_part["vocab"] if not token.startswith("<")]
    known = {token: index for index, token in enumerate([*words, *special])}
    (folder / "vocab.json").write_text(json.dumps(known))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model_part["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = WhisperTokenizerFast(
        vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt"), language="en", task="transcribe"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(1501)])
    tokenizer.model_max_length = 448
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in special}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        # Thirty seconds, as every Whisper has it: optimum exports no other length.
        max_source_positions=1500,
        max_target_positions=64,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = grow(WhisperForConditionalGeneration(config), gain=1.5, embedding=0.5)
    attend(model, "encoder_attn")
    twist(model.model.decoder.layer_norm)
    _hush(model.model.decoder.embed_tokens, len(words))
    model.generation_config = GenerationConfig(
        max_length=24,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|fr|>": ids["<|fr|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        max_initial_timestamp_index=50,
        alignment_heads=[[0, 0], [1, 1]],
        return_timestamps=False,
    )
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=30, n_fft=400, hop_length=160)
    return save(folder, model, WhisperProcessor(extractor, tokenizer))


def _hush(embeddings: Any, first: int) -> None:
    """Let the special tokens, of which there are more than others, be said less."""
    import torch

    with torch.no_grad():
        embeddings.weight[first:].mul_(0.3)


def clap(folder: Path) -> Path:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    tokenizer = bpe_tokenizer(62)
    without_token_types(tokenizer)
    text = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "pad_token_id": 1}
    audio = {
        "spec_size": 64,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "num_mel_bins": 16,
        "hidden_size": 32,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "window_size": 4,
        "num_hidden_layers": 2,
        "enable_fusion": False,
        "aff_block_r": 2,
    }
    audio["hidden_size"] = 16
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=16)
    model = grow(ClapModel(config))
    import torch

    with torch.no_grad():
        model.logit_scale_a.fill_(2.5)
    extractor = ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, hop_length=160, max_length_s=2, fft_window_size=400,
        truncation="rand_trunc", padding="repeatpad", frequency_min=50, frequency_max=8000,
    )  # fmt: skip
    return save(folder, model, extractor, tokenizer)


def vits(folder: Path) -> Path:
    """Speech from letters, without the noise that makes each answer another one."""
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = ["<pad>", "<unk>", *" abcdefghijklmnopqrstuvwxyz0123456789'"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = VitsTokenizer(str(folder / "vocab.json"), phonemize=False, is_uroman=False)
    config = VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=9,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        duration_predictor_filter_channels=16,
        use_stochastic_duration_prediction=False,
        depth_separable_num_layers=2,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 2]],
        noise_scale=0.0,
        noise_scale_duration=0.0,
        sampling_rate=8_000,
    )
    return save(folder, grow(VitsModel(config)), tokenizer)
