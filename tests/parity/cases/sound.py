"""Cases of the tasks that hear, and of the one that speaks."""

from __future__ import annotations

from tests.models import texts
from tests.parity.case import Case, Subject
from tests.parity.media import Samples, Sound

S = [Sound(1), Sound(2, 0.8), Sound(3, 0.3), Sound(4, 0.5, 8_000), Sound(5, 0.4, 44_100, 2), Sound(6, 1.1)]
OTHER = [Sound(11), Sound(12, 0.8), Sound(13, 0.3), Sound(14, 0.5, 8_000), Sound(15, 0.4, 44_100, 2), Sound(16, 1.1)]
LONG, LONG_OTHER = Sound(7, 3.0), Sound(17, 3.0)
T = texts(6, longest=8, seed=23)
T_OTHER = texts(6, longest=8, seed=24)

ONE_AND_LIST = (
    Case("one", S[0], wrong=OTHER[0]),
    Case("list", S[:3], wrong=OTHER[:3]),
    Case("other-rate", S[3], wrong=OTHER[3]),
    Case("stereo", S[4], wrong=OTHER[4]),
    Case("samples", Samples(1), wrong=Samples(11)),
    Case("array", Samples(2, key="array"), wrong=Samples(12, key="array")),
)

CLASSES = (
    *ONE_AND_LIST,
    Case("two-best", S[1], {"top_k": 2}, wrong=OTHER[1]),
    Case("all", S[2], {"top_k": None}, wrong=OTHER[2], idle="it is the default, said aloud"),
    Case("sigmoid", S[0], {"function_to_apply": "sigmoid"}, wrong=OTHER[0]),
    Case("softmax", S[1], {"function_to_apply": "softmax"}, wrong=OTHER[1], idle="it is the default, said aloud"),
    Case("logits", S[2], {"function_to_apply": "none"}, wrong=OTHER[2]),
)

LETTERS = (
    *ONE_AND_LIST,
    Case("letters-in-time", S[1], {"return_timestamps": "char"}, wrong=OTHER[1]),
    Case("words-in-time", S[5], {"return_timestamps": "word"}, wrong=OTHER[5]),
    Case("chunks", LONG, {"chunk_length_s": 1}, wrong=LONG_OTHER),
    Case("strides", LONG, {"chunk_length_s": 1, "stride_length_s": [0.2, 0.1]}, wrong=LONG_OTHER),
    Case("one-stride", LONG, {"chunk_length_s": 1, "stride_length_s": 0.3, "ignore_warning": True}, wrong=LONG_OTHER),
)

LONGER = (
    Case("one", Sound(1, 1.6), wrong=Sound(11, 1.6)),
    Case("list", [Sound(2, 1.8), Sound(3, 1.0)], wrong=[Sound(12, 1.8), Sound(13, 1.0)]),
    Case("other-rate", Sound(4, 1.9, 8_000), wrong=Sound(14, 1.9, 8_000)),
    Case("stereo", Sound(5, 1.9, 44_100, 2), wrong=Sound(15, 1.9, 44_100, 2)),
    Case("samples", Samples(1, 1.5), wrong=Samples(11, 1.5)),
    Case("array", Samples(2, 1.5, key="array"), wrong=Samples(12, 1.5, key="array")),
)
SHORT = {"generate_kwargs": {"num_beams": 1, "max_new_tokens": 12}}
WRITTEN = (
    *LONGER,
    Case("greedy", S[0], {"num_beams": 1, "max_new_tokens": 10}, wrong=OTHER[0]),
    Case("generation", S[5], SHORT, wrong=OTHER[5]),
    Case("times", S[5], {"return_timestamps": True, "num_beams": 1}, wrong=OTHER[5]),
    Case("words-in-time", S[5], {"return_timestamps": "word", "num_beams": 1}, wrong=OTHER[5]),
    Case("language", S[2], {"return_language": True, "num_beams": 1}, wrong=OTHER[2]),
    Case("french", S[3], {"generate_kwargs": {"language": "fr", "num_beams": 1}}, wrong=OTHER[3]),
    Case("translate", S[4], {"generate_kwargs": {"task": "translate", "language": "fr"}}, wrong=OTHER[4]),
    Case("long", LONG, {"return_timestamps": True, "num_beams": 1}, wrong=LONG_OTHER),
    Case("chunks", LONG, {"chunk_length_s": 2, "num_beams": 1}, wrong=LONG_OTHER),
    Case("strides", LONG, {"chunk_length_s": 2, "stride_length_s": 0.5, "ignore_warning": True}, wrong=LONG_OTHER),
    Case("sampled", S[0], {"do_sample": True, "num_beams": 1, "seed": 5, "temperature": 1.5}, wrong=OTHER[0]),
    Case("no-repetition", S[1], {"num_beams": 1, "repetition_penalty": 3.0}, wrong=OTHER[1]),
    Case("no-pairs-again", S[2], {"num_beams": 1, "no_repeat_ngram_size": 2}, wrong=OTHER[2]),
    Case("three-beams", S[2], {"num_beams": 3}, wrong=OTHER[2]),
)

WHAT = {"candidate_labels": ["rain", "the river", "a good dog"]}
ZERO_SHOT = (
    Case("one", S[0], WHAT, wrong=OTHER[0]),
    Case("list", S[:3], WHAT, wrong=OTHER[:3]),
    Case("other-rate", S[3], WHAT, wrong=OTHER[3]),
    Case("stereo", S[4], WHAT, wrong=OTHER[4]),
    Case("samples", Samples(1), WHAT, wrong=Samples(11)),
    Case("template", S[1], {**WHAT, "hypothesis_template": "{} in winter"}, wrong=OTHER[1]),
)

SPEECH = (
    Case("one", T[0], wrong=T_OTHER[0]),
    Case("list", T[:3], wrong=T_OTHER[:3]),
    Case("forward", T[1], {"forward_params": {"speaker_id": None}}, wrong=T_OTHER[1], idle="the model has one speaker"),
)

SUBJECTS = (
    Subject("audio-classification", "wav2vec2-classifier", CLASSES),
    Subject("audio-classification", "spectrogram-classifier", CLASSES),
    Subject("automatic-speech-recognition", "wav2vec2-letters", LETTERS),
    Subject("automatic-speech-recognition", "whisper", WRITTEN),
    Subject("zero-shot-audio-classification", "clap", ZERO_SHOT),
    Subject("text-to-audio", "vits", SPEECH),
)
