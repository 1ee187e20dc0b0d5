"""Cases of the tasks that write texts from texts."""

from __future__ import annotations

from tests.models import texts
from tests.parity.case import Case, Subject

T = texts(10, longest=12, seed=13)
OTHER = texts(8, longest=12, seed=14)
LONG = " ".join(texts(4, shortest=30, longest=40, seed=15))
SHORT = {"max_new_tokens": 12, "do_sample": False}
"""Said each time: the text-generation pipeline samples unless it is told not to."""
SAMPLED = {"max_new_tokens": 12, "do_sample": True}
NAMED = "it is the default, said aloud"

SEARCH = (
    Case("length", T[0], {"max_new_tokens": 5, "do_sample": False}, wrong=OTHER[0]),
    Case("at-least", T[1], {**SHORT, "min_new_tokens": 10}, wrong=OTHER[1]),
    Case("beams", T[2], {**SHORT, "num_beams": 3}, wrong=OTHER[2]),
    Case("beams-stop", T[3], {**SHORT, "num_beams": 3, "early_stopping": True, "length_penalty": 2.0}, wrong=OTHER[3]),
    Case("several", T[4], {**SHORT, "num_beams": 3, "num_return_sequences": 2}, wrong=OTHER[4]),
    Case("no-repetition", T[5], {**SHORT, "repetition_penalty": 2.5}, wrong=OTHER[5]),
    Case("no-pairs-again", T[6], {**SHORT, "no_repeat_ngram_size": 2}, wrong=OTHER[6]),
    Case("bad-words", T[7], {**SHORT, "bad_words_ids": [[token] for token in range(5, 200)]}, wrong=OTHER[7]),
    Case("greedy", T[8], {**SHORT, "do_sample": False}, wrong=OTHER[0]),
    Case("best-of-one", T[9], {**SAMPLED, "top_k": 1, "num_beams": 1}, wrong=OTHER[1]),
    Case("hot", T[0], {**SAMPLED, "temperature": 1.5, "seed": 7}, wrong=OTHER[2]),
    Case("nucleus", T[1], {**SAMPLED, "top_p": 0.5, "top_k": 0, "seed": 8}, wrong=OTHER[3]),
    Case("default-search", T[2], {"max_new_tokens": 12, "seed": 9}, wrong=OTHER[4]),
)

WRITING = (
    *SEARCH,
    Case("one", T[0], SHORT, wrong=OTHER[0]),
    Case("list", T[:3], SHORT, wrong=OTHER[:3]),
    Case("at-least-all", T[2], {**SHORT, "min_length": 30, "max_new_tokens": 30}, wrong=OTHER[2], idle="it never ends"),
    Case("only-new", T[1], {**SHORT, "return_full_text": False}, wrong=OTHER[1]),
    Case("all", T[1], {**SHORT, "return_full_text": True}, wrong=OTHER[1]),
    Case("text", T[2], {**SHORT, "return_text": True}, wrong=OTHER[2]),
    Case("tokens", T[2], {**SHORT, "return_tensors": True}, wrong=OTHER[2]),
    Case("spaces", T[4], {**SHORT, "clean_up_tokenization_spaces": False}, wrong=OTHER[4]),
    Case("prefix", T[5], {**SHORT, "prefix": "tea and rain "}, wrong=OTHER[5]),
    Case("hole", LONG, {"max_new_tokens": 6, "do_sample": False, "handle_long_generation": "hole"}, wrong=OTHER[5]),
    Case("stop", T[6], {**SHORT, "stop_sequence": "e"}, wrong=OTHER[6]),
    Case("truncation", LONG, {**SHORT, "truncation": True}, wrong=OTHER[7]),
    Case("max-length", "tea", {"truncation": True, "max_length": 12, "do_sample": False}, wrong="rain"),
    Case("special-tokens", f"{T[8]}</s>{T[9]}", {**SHORT, "skip_special_tokens": False}, wrong=OTHER[0]),
    Case("begin", T[9], {**SHORT, "add_special_tokens": True}, wrong=OTHER[1], idle="the tokenizer adds none"),
    Case("padding", T[0], {**SHORT, "padding": True}, wrong=OTHER[2], idle="one text needs no padding"),
    Case("encoding", T[1], {**SHORT, "tokenizer_encode_kwargs": {"max_length": 3, "truncation": True}}, wrong=OTHER[3]),
)

USER = [{"role": "user", "content": T[0]}]
USER_2 = [{"role": "system", "content": "answer always"}, {"role": "user", "content": OTHER[0]}]
BEGUN = [{"role": "user", "content": T[1]}, {"role": "assistant", "content": "the river"}]
BEGUN_2 = [{"role": "user", "content": OTHER[1]}, {"role": "assistant", "content": "the river"}]
CHAT = (
    *SEARCH[:4],
    Case("one", T[0], SHORT, wrong=OTHER[0]),
    Case("chat", USER, SHORT, wrong=USER_2),
    Case("chats", [USER, USER_2], SHORT, wrong=[USER_2, USER]),
    Case("only-new", USER, {**SHORT, "return_full_text": False}, wrong=USER_2),
    Case("begun", BEGUN, SHORT, wrong=BEGUN_2),
    Case("not-continued", BEGUN, {**SHORT, "continue_final_message": False}, wrong=BEGUN_2),
    Case("continued", BEGUN, {**SHORT, "continue_final_message": True}, wrong=BEGUN_2),
    Case("special-tokens", USER, {**SHORT, "skip_special_tokens": False}, wrong=USER_2),
)

REWRITING = (
    *SEARCH,
    Case("one", T[0], SHORT, wrong=OTHER[0]),
    Case("list", T[:3], SHORT, wrong=OTHER[:3]),
    Case("bounds", T[1], {"max_length": 9, "min_length": 3, "do_sample": False}, wrong=OTHER[1]),
    Case("tokens", T[2], {**SHORT, "return_tensors": True}, wrong=OTHER[2]),
    Case("text", T[2], {**SHORT, "return_text": True}, wrong=OTHER[2]),
    Case("spaces", T[4], {**SHORT, "clean_up_tokenization_spaces": True}, wrong=OTHER[4]),
    Case("truncation", LONG, {**SHORT, "truncation": True}, wrong=OTHER[5]),
    Case("stop", T[6], {**SHORT, "stop_sequence": "e"}, wrong=OTHER[6]),
)

TRANSLATION = {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"}
LANGUAGES = (
    Case("one", T[0], {**SHORT, **TRANSLATION}, wrong=OTHER[0]),
    Case("list", T[:3], {**SHORT, **TRANSLATION}, wrong=OTHER[:3]),
    Case("other-target", T[1], {**SHORT, "src_lang": "eng_Latn", "tgt_lang": "deu_Latn"}, wrong=OTHER[1]),
    Case("other-source", T[2], {**SHORT, "src_lang": "spa_Latn", "tgt_lang": "fra_Latn"}, wrong=OTHER[2]),
)

SUBJECTS = (
    Subject("text-generation", "gpt2", WRITING),
    Subject("text-generation", "qwen2", CHAT),
    Subject("text2text-generation", "t5", REWRITING),
    Subject("summarization", "bart", REWRITING),
    Subject("translation", "marian", REWRITING),
    Subject("translation", "nllb", LANGUAGES),
    Subject("translation_en_to_de", "t5", REWRITING[-6:]),
)
