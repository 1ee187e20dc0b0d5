"""Cases of the tasks that see and read, and of the one that paints."""

from __future__ import annotations

from tests.models import texts
from tests.parity.case import Case, Subject
from tests.parity.cases.vision import OTHER, P

T = texts(8, longest=8, seed=33)
T_OTHER = texts(8, longest=8, seed=34)
WHAT = {"candidate_labels": ["tea", "a river in winter", "the fox"]}
TWO = {"candidate_labels": ["stone and paper", "rain"]}
EXTRA = {"tokenizer_kwargs": {"padding": "max_length", "max_length": 40}}

IMAGE_CLASSES = (
    Case("one", P[0], WHAT, wrong=OTHER[0]),
    Case("wide", P[1], WHAT, wrong=OTHER[1]),
    Case("list", P[:4], TWO, wrong=OTHER[:4]),
    Case("template", P[2], {**WHAT, "hypothesis_template": "{} at the bridge"}, wrong=OTHER[2]),
    Case("tokenizer", P[4], {**WHAT, **EXTRA}, wrong=OTHER[4], idle="padding is masked"),
)


def _look(picture: object, *names: str) -> dict[str, object]:
    return {"image": picture, "candidate_labels": list(names)}


OBJECTS = (
    Case("one", _look(P[0], "tea", "a fox"), wrong=_look(OTHER[0], "tea", "a fox")),
    Case("names-in-a-text", {"image": P[1], "candidate_labels": "tea,fox"}, wrong=_look(OTHER[1], "tea", "fox")),
    Case("list", [_look(P[0], "tea"), _look(P[2], "rain")], wrong=[_look(OTHER[0], "tea"), _look(OTHER[2], "rain")]),
    Case("as-parameter", P[4], WHAT, wrong=OTHER[4]),
    Case("old-name", P[5], {"text_queries": ["tea", "a fox"]}, wrong=OTHER[5]),
    Case("threshold", _look(P[0], "tea", "a fox"), {"threshold": 0.5}, wrong=_look(OTHER[0], "tea", "a fox")),
    Case("two-best", _look(P[1], "tea", "a fox"), {"top_k": 2}, wrong=_look(OTHER[1], "tea", "a fox")),
)


def _ask(picture: object, question: str) -> dict[str, object]:
    return {"image": picture, "question": question}


LONG_QUESTION = " ".join(texts(4, shortest=20, longest=24, seed=35))
QUESTIONS = (
    Case("one", _ask(P[0], T[0]), wrong=_ask(OTHER[0], T_OTHER[0])),
    Case("other-picture", _ask(P[1], T[1]), wrong=_ask(OTHER[1], T[1])),
    Case("other-question", _ask(P[2], T[2]), wrong=_ask(P[2], T_OTHER[2])),
    Case("list", [_ask(P[0], T[0]), _ask(P[1], T[1])], wrong=[_ask(OTHER[0], T[0]), _ask(OTHER[1], T[1])]),
    Case("two-best", _ask(P[4], T[3]), {"top_k": 2}, wrong=_ask(OTHER[4], T[3])),
    Case("truncation", _ask(P[3], LONG_QUESTION), {"truncation": True}, wrong=_ask(OTHER[3], LONG_QUESTION)),
    Case("padding", _ask(P[0], T[4]), {"padding": "max_length"}, wrong=_ask(OTHER[0], T[4]), idle="padding is masked"),
    Case("question-as-parameter", P[2], {"question": T[5]}, wrong=OTHER[2]),
)


def _document(text: str, question: str) -> dict[str, object]:
    """Words from left to right in lines of five."""
    boxes = []
    for index, word in enumerate(text.split()):
        left, top = 40 + 180 * (index % 5), 30 * (index // 5)
        boxes.append([word, [left, top, left + 160, top + 25]])
    return {"question": question, "word_boxes": boxes}


PAPER = _document(" ".join(texts(2, shortest=14, longest=18, seed=36)), "where is the tea")
PAPER_2 = _document(" ".join(texts(2, shortest=14, longest=18, seed=37)), "who counts the rain")
LONG_PAPER = _document(" ".join(texts(5, shortest=20, longest=24, seed=38)), "where is the tea")
LONG_PAPER_2 = _document(" ".join(texts(5, shortest=20, longest=24, seed=39)), "where is the tea")
PAPERS = (
    Case("one", PAPER, wrong=PAPER_2),
    Case("list", [PAPER, LONG_PAPER], wrong=[PAPER_2, LONG_PAPER_2]),
    Case("with-picture", {**PAPER, "image": P[0]}, wrong={**PAPER_2, "image": P[0]}),
    Case("three-best", PAPER, {"top_k": 3}, wrong=PAPER_2),
    Case("short-answers", PAPER, {"max_answer_len": 1, "top_k": 3}, wrong=PAPER_2),
    Case("windows", LONG_PAPER, {"max_seq_len": 32, "doc_stride": 8, "top_k": 4}, wrong=LONG_PAPER_2),
    Case("impossible", PAPER, {"handle_impossible_answer": True, "top_k": 5}, wrong=PAPER_2),
    Case("padding", PAPER, {"padding": "max_length"}, wrong=PAPER_2, idle="padding is masked"),
)
SCANS = (
    Case("one", _ask(P[0], "tea"), wrong=_ask(OTHER[0], "tea")),
    Case("other-question", _ask(P[1], "rain"), wrong=_ask(P[1], "who is the fox")),
    Case("list", [_ask(P[0], "tea"), _ask(P[2], "fox")], wrong=[_ask(OTHER[0], "tea"), _ask(OTHER[2], "fox")]),
)

SHORT = {"max_new_tokens": 8}
HOT = {**SHORT, "generate_kwargs": {"do_sample": True, "temperature": 1.5}}
CAPTIONS = (
    Case("one", P[0], SHORT, wrong=OTHER[0]),
    Case("wide", P[1], SHORT, wrong=OTHER[1]),
    Case("list", P[:4], SHORT, wrong=OTHER[:4]),
    Case("length", P[2], {"max_new_tokens": 4}, wrong=OTHER[2]),
    Case("beams", P[3], {**SHORT, "generate_kwargs": {"num_beams": 3, "num_return_sequences": 2}}, wrong=OTHER[3]),
    Case("at-least", P[4], {"generate_kwargs": {"min_new_tokens": 9, "max_new_tokens": 10}}, wrong=OTHER[4]),
    Case("no-repetition", P[5], {**SHORT, "generate_kwargs": {"repetition_penalty": 3.0}}, wrong=OTHER[5]),
    Case(
        "sampled",
        P[0],
        {**HOT, "seed": 3},
        wrong=OTHER[0],
    ),
)
PROMPTED = (
    Case("one", P[0], SHORT, wrong=OTHER[0]),
    Case("list", P[:3], SHORT, wrong=OTHER[:3]),
    Case("prompt", P[1], {**SHORT, "prompt": "the river"}, wrong=OTHER[1]),
)


def _show(picture: object, text: str) -> dict[str, object]:
    return {"images": picture, "text": f"<image> {text}"}


def _say(picture: object, text: str) -> list[object]:
    return [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": text}]}]


def _begin(picture: object, text: str) -> list[object]:
    return [*_say(picture, text), {"role": "assistant", "content": [{"type": "text", "text": "the tea"}]}]


MORE = {"generate_kwargs": {"max_new_tokens": 8, "num_beams": 2}}
TALK = (
    Case("one", _show(P[0], T[0]), SHORT, wrong=_show(OTHER[0], T[0])),
    Case("other-text", _show(P[1], T[1]), SHORT, wrong=_show(P[1], T_OTHER[1])),
    Case("chat", _say(P[2], T[2]), SHORT, wrong=_say(OTHER[2], T[2])),
    Case("chats", [_say(P[2], T[2]), _say(P[0], T[3])], SHORT, wrong=[_say(OTHER[2], T[2]), _say(OTHER[0], T[3])]),
    Case("only-new", _say(P[3], T[3]), {**SHORT, "return_full_text": False}, wrong=_say(OTHER[3], T[3])),
    Case("tokens", _show(P[4], T[4]), {**SHORT, "return_tensors": True}, wrong=_show(OTHER[4], T[4])),
    Case("generation", _show(P[5], T[5]), MORE, wrong=_show(OTHER[5], T[5])),
    Case("begun", _begin(P[0], T[6]), SHORT, wrong=_begin(OTHER[0], T[6])),
    Case("not-continued", _begin(P[1], T[7]), {**SHORT, "continue_final_message": False}, wrong=_begin(OTHER[1], T[7])),
    Case("special-tokens", _show(P[2], T[0]), {**SHORT, "skip_special_tokens": False}, wrong=_show(OTHER[2], T[0])),
    Case(
        "spaces",
        _show(P[3], T[1]),
        {**SHORT, "clean_up_tokenization_spaces": True},
        wrong=_show(OTHER[3], T[1]),
        idle="nothing to clean up",
    ),
    Case("stop", _show(P[4], T[2]), {**MORE, "stop_sequence": "e"}, wrong=_show(OTHER[4], T[2])),
)

STEPS = {"num_inference_steps": 2, "height": 16, "width": 16}
PAINTING = (
    Case("one", T[0], {**STEPS, "seed": 1}, wrong=T_OTHER[0]),
    Case("list", T[:2], {**STEPS, "seed": 2}, wrong=T_OTHER[:2]),
    Case("steps", T[1], {**STEPS, "num_inference_steps": 3, "seed": 1}, wrong=T_OTHER[1]),
    Case("size", T[2], {**STEPS, "height": 32, "width": 24, "seed": 1}, wrong=T_OTHER[2]),
    Case("guidance", T[3], {**STEPS, "guidance_scale": 2.0, "seed": 1}, wrong=T_OTHER[3]),
    Case("no-guidance", T[4], {**STEPS, "guidance_scale": 1.0, "seed": 1}, wrong=T_OTHER[4]),
    Case("not-that", T[5], {**STEPS, "negative_prompt": "rain", "seed": 1}, wrong=T_OTHER[5]),
)

SUBJECTS = (
    Subject("zero-shot-image-classification", "clip", IMAGE_CLASSES),
    Subject("zero-shot-object-detection", "owlvit", OBJECTS),
    Subject("visual-question-answering", "vilt", QUESTIONS),
    Subject("document-question-answering", "layoutlm", PAPERS),
    Subject("document-question-answering", "donut", SCANS),
    Subject("image-to-text", "vit-gpt2", CAPTIONS),
    Subject("image-to-text", "blip", PROMPTED),
    Subject("image-text-to-text", "llava", TALK),
    Subject("text-to-image", "stable-diffusion", PAINTING),
)
