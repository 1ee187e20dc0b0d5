"""The parameters that each pipeline's call takes, and what may be in them: for the tiers around transformers.

Its pipelines ignore most names they do not know and fail deep inside on a value of the wrong kind. And what they hand
on to `generate` unread could ask it for code by name (`custom_generate`), so that names have to be known here.
"""

from __future__ import annotations

from huggingface_backend.parameter_kinds import (
    ANY,
    FLAG,
    FUNCTION,
    LABEL_LIST,
    LABELS,
    NUMBER,
    OBJECT,
    PADDING,
    TEMPERATURE,
    TEMPLATE,
    TEXT,
    TEXTS,
    TOKEN_IDS,
    TRUNCATION,
    Kind,
    between,
    either,
    multiple,
    object_of,
    one_of,
    or_null,
    several,
    whole,
)

MOST_NGRAM = 1000
"""Tokens in a row that may be compared: transformers loops over as many, each step, and 10^12 would take for ever."""
MOST_SEQUENCES = 64
"""Texts that a row may be written in side by side: each has a cache, and one request must not take all memory."""

GENERATION: dict[str, Kind] = {
    **dict.fromkeys(
        ("encoder_no_repeat_ngram_size", "max_matching_ngram_size", "no_repeat_ngram_size"), between(0, MOST_NGRAM)
    ),
    **dict.fromkeys(("assistant_early_exit", "assistant_lookbehind", "max_length", "max_new_tokens"), whole()),
    **dict.fromkeys(("min_length", "min_new_tokens", "num_assistant_tokens"), whole()),
    **dict.fromkeys(("num_beam_groups", "num_beams", "num_return_sequences"), between(1, MOST_SEQUENCES)),
    **dict.fromkeys(("prefill_chunk_size", "prompt_lookup_num_tokens", "top_k"), whole()),
    **dict.fromkeys(("bos_token_id", "decoder_start_token_id", "pad_token_id", "target_lookbehind"), whole()),
    **dict.fromkeys(("eos_token_id", "forced_bos_token_id", "forced_eos_token_id"), either(whole(), TOKEN_IDS)),
    **dict.fromkeys(("assistant_confidence_threshold", "diversity_penalty", "encoder_repetition_penalty"), NUMBER),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "guidance_scale", "length_penalty", "max_time", "min_p"), NUMBER),
    **dict.fromkeys(("penalty_alpha", "repetition_penalty", "top_p", "typical_p"), NUMBER),
    **dict.fromkeys(("disable_compile", "do_sample", "is_assistant", "low_memory", "output_attentions"), FLAG),
    **dict.fromkeys(("output_hidden_states", "output_logits", "output_scores", "remove_invalid_values"), FLAG),
    **dict.fromkeys(("renormalize_logits", "return_dict_in_generate", "return_legacy_cache", "token_healing"), FLAG),
    **dict.fromkeys(("use_cache", "use_model_defaults"), FLAG),
    **dict.fromkeys(("begin_suppress_tokens", "suppress_tokens"), TOKEN_IDS),
    **dict.fromkeys(("cache_implementation", "num_assistant_tokens_schedule"), TEXT),
    **dict.fromkeys(("cache_config", "compile_config", "watermarking_config"), OBJECT),
    **dict.fromkeys(("constraints", "exponential_decay_length_penalty", "sequence_bias", "transformers_version"), ANY),
    "bad_words_ids": several(TOKEN_IDS, "lists of token ids"),
    "dola_layers": either(TEXT, TOKEN_IDS),
    "early_stopping": one_of(True, False, "never"),
    "force_words_ids": ANY,
    "stop_strings": TEXTS,
    "temperature": TEMPERATURE,
}
"""What `GenerationConfig` of transformers 4.57 has."""
GENERATION = {name: or_null(kind) for name, kind in GENERATION.items()}

WHISPER: dict[str, Kind] = {
    **dict.fromkeys(("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"), NUMBER),
    **dict.fromkeys(
        ("condition_on_prev_tokens", "is_multilingual", "return_segments", "return_token_timestamps"), FLAG
    ),
    "language": TEXTS,
    "num_segment_frames": whole(1),
    "prompt_condition_type": one_of("first-segment", "all-segments"),
    "task": one_of("transcribe", "translate"),
    "time_precision": NUMBER,
    "return_timestamps": one_of(True, False, "char", "word"),
}
GENERATE = {"generate_kwargs": object_of(GENERATION)}
TOKENIZER: dict[str, Kind] = {
    **dict.fromkeys(("add_special_tokens", "is_split_into_words", "return_attention_mask", "verbose"), FLAG),
    **dict.fromkeys(("return_length", "return_special_tokens_mask", "return_token_type_ids"), FLAG),
    **dict.fromkeys(("max_length", "pad_to_multiple_of"), whole(1)),
    "padding": PADDING,
    "padding_side": one_of("left", "right"),
    "stride": whole(0),
    "truncation": TRUNCATION,
}
PICTURES: dict[str, Kind] = {"timeout": NUMBER}
NAMED_PICTURES = {**PICTURES, "images": ANY}
"""`images` is an older name of the inputs, and is checked as those."""
PROCESSOR: dict[str, Kind] = {
    **dict.fromkeys(("do_center_crop", "do_convert_rgb", "do_normalize", "do_pad", "do_rescale", "do_resize"), FLAG),
    **dict.fromkeys(("crop_size", "image_mean", "image_std", "resample", "size"), ANY),
    "rescale_factor": NUMBER,
}
REWRITING: dict[str, Kind] = {
    **GENERATION,
    **dict.fromkeys(("clean_up_tokenization_spaces", "return_tensors", "return_text"), FLAG),
    "stop_sequence": TEXT,
    "truncation": TRUNCATION,
}
TALKING: dict[str, Kind] = {
    **dict.fromkeys(("continue_final_message", "return_full_text", "skip_special_tokens"), FLAG),
    **dict.fromkeys(("clean_up_tokenization_spaces", "return_tensors"), FLAG),
    "stop_sequence": TEXT,
}
EMBEDDING: dict[str, Kind] = {"normalize_embeddings": FLAG, "prompt": TEXT, "prompt_name": TEXT}

TABLE: dict[str, dict[str, Kind]] = {
    "text-classification": {
        **TOKENIZER,
        "function_to_apply": one_of("sigmoid", "softmax", "none", any_case=True),
        "return_all_scores": FLAG,
        "top_k": or_null(either(whole(), one_of(""))),
    },
    "feature-extraction": {"return_tensors": FLAG, "tokenize_kwargs": OBJECT, "truncation": TRUNCATION},
    "fill-mask": {"targets": TEXTS, "tokenizer_kwargs": OBJECT, "top_k": whole(0)},
    "token-classification": {
        "aggregation_strategy": one_of("none", "simple", "first", "average", "max", any_case=True),
        **dict.fromkeys(("grouped_entities", "ignore_subwords", "is_split_into_words"), FLAG),
        "delimiter": TEXT,
        "ignore_labels": several(TEXT, "texts"),
        "offset_mapping": ANY,
        "stride": whole(0),
    },
    "question-answering": {
        **dict.fromkeys(("align_to_words", "handle_impossible_answer"), FLAG),
        **dict.fromkeys(("max_answer_len", "max_seq_len", "top_k", "topk"), whole(1)),
        **dict.fromkeys(("doc_stride", "max_question_len"), whole(0)),
        "padding": PADDING,
    },
    "table-question-answering": {
        "padding": PADDING,
        "sequential": FLAG,
        "truncation": either(TRUNCATION, one_of("drop_rows_to_fit")),
    },
    "zero-shot-classification": {
        **TOKENIZER,
        "candidate_labels": LABELS,
        "hypothesis_template": TEMPLATE,
        **dict.fromkeys(("multi_class", "multi_label"), FLAG),
    },
    "text-generation": {
        **GENERATION,
        **TALKING,
        "add_special_tokens": FLAG,
        "handle_long_generation": one_of("hole"),
        "padding": PADDING,
        "prefix": TEXT,
        "return_text": FLAG,
        "tokenizer_encode_kwargs": OBJECT,
        "truncation": TRUNCATION,
    },
    "text2text-generation": REWRITING,
    "summarization": REWRITING,
    "translation": {**REWRITING, "src_lang": TEXT, "tgt_lang": TEXT},
    "sentence-embedding": {
        **EMBEDDING,
        "chunk_size": whole(1),
        "output_value": one_of("sentence_embedding", "token_embeddings"),
        "precision": one_of("float32", "int8", "uint8", "binary", "ubinary"),
        "truncate_dim": whole(1),
    },
    "sentence-similarity": EMBEDDING,
    "text-ranking": {"raw_scores": FLAG, "return_text": FLAG},
    "image-classification": {
        **NAMED_PICTURES,
        "function_to_apply": one_of("sigmoid", "softmax", "none", any_case=True),
        "top_k": whole(),
    },
    "image-feature-extraction": {
        **PICTURES,
        "image_processor_kwargs": OBJECT,
        "pool": FLAG,
        "return_tensors": FLAG,
    },
    "image-segmentation": {
        **NAMED_PICTURES,
        **dict.fromkeys(("mask_threshold", "overlap_mask_area_threshold", "threshold"), NUMBER),
        "subtask": one_of("panoptic", "instance", "semantic"),
    },
    "object-detection": {**NAMED_PICTURES, "threshold": NUMBER},
    "depth-estimation": {**NAMED_PICTURES, "parameters": OBJECT},
    "image-to-image": PICTURES,
    "mask-generation": {
        **PICTURES,
        **dict.fromkeys(("points_per_batch", "points_per_crop"), whole(1)),
        **dict.fromkeys(("crop_n_points_downscale_factor", "crops_n_layers"), whole(0)),
        **dict.fromkeys(("crop_overlap_ratio", "crops_nms_thresh", "mask_threshold", "max_hole_area"), NUMBER),
        **dict.fromkeys(("max_sprinkle_area", "pred_iou_thresh", "stability_score_offset"), NUMBER),
        "stability_score_thresh": NUMBER,
        **dict.fromkeys(("output_bboxes_mask", "output_rle_mask"), FLAG),
    },
    "keypoint-matching": {**PICTURES, "threshold": NUMBER},
    "video-classification": {
        "frame_sampling_rate": whole(1),
        "function_to_apply": FUNCTION,
        "num_frames": whole(1),
        "top_k": whole(0),
        "videos": ANY,
    },
    "zero-shot-image-classification": {
        **NAMED_PICTURES,
        "candidate_labels": LABEL_LIST,
        "hypothesis_template": TEMPLATE,
        "tokenizer_kwargs": OBJECT,
    },
    "zero-shot-object-detection": {
        **PICTURES,
        "candidate_labels": LABELS,
        "text_queries": LABELS,
        "threshold": NUMBER,
        "top_k": whole(0),
    },
    "visual-question-answering": {
        **PICTURES,
        "padding": PADDING,
        "question": TEXTS,
        "top_k": whole(1),
        "truncation": TRUNCATION,
    },
    "document-question-answering": {
        **PICTURES,
        **dict.fromkeys(("max_answer_len", "max_seq_len", "top_k"), whole(1)),
        **dict.fromkeys(("doc_stride", "max_question_len"), whole(0)),
        "handle_impossible_answer": FLAG,
        "lang": TEXT,
        "padding": PADDING,
        "question": TEXT,
        "word_boxes": ANY,
    },
    "image-to-text": {**NAMED_PICTURES, **GENERATE, "max_new_tokens": whole(), "prompt": TEXT},
    "image-text-to-text": {
        **PICTURES,
        **GENERATE,
        **TALKING,
        **TOKENIZER,
        **PROCESSOR,
        "max_new_tokens": whole(),
        "text": ANY,
    },
    "audio-classification": {"function_to_apply": FUNCTION, "top_k": or_null(whole(0))},
    "automatic-speech-recognition": {
        **GENERATION,
        **WHISPER,
        **dict.fromkeys(("ignore_warning", "return_language"), FLAG),
        "chunk_length_s": NUMBER,
        "decoder_kwargs": OBJECT,
        "generate_kwargs": object_of({**GENERATION, **WHISPER}),
        "stride_length_s": either(NUMBER, several(NUMBER, "two numbers")),
    },
    "zero-shot-audio-classification": {"candidate_labels": LABEL_LIST, "hypothesis_template": TEMPLATE},
    "text-to-audio": dict.fromkeys(("forward_params", "generate_kwargs", "preprocess_params"), OBJECT),
    "text-to-image": {
        **dict.fromkeys(("clip_skip", "max_sequence_length", "num_images_per_prompt"), whole(1)),
        **dict.fromkeys(("height", "width"), multiple(8)),
        "num_inference_steps": whole(1),
        **dict.fromkeys(("denoising_end", "eta", "guidance_rescale", "guidance_scale", "true_cfg_scale"), NUMBER),
        **dict.fromkeys(("negative_prompt", "negative_prompt_2", "negative_prompt_3", "prompt_2", "prompt_3"), TEXT),
        **dict.fromkeys(("crops_coords_top_left", "original_size", "sigmas", "target_size", "timesteps"), ANY),
        "output_type": TEXT,
    },
}
"""By task. A command line for Tesseract (`tesseract_config`) is none of a client's business, and left out."""
