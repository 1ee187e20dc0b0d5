"""Cases of the tasks that read texts and write none."""

from __future__ import annotations

from tests.models import texts
from tests.parity.case import Case, Subject

T = texts(12, longest=24, seed=3)
LONG = " ".join(texts(4, shortest=30, longest=40, seed=4))
"""More tokens than any model here has positions."""
OTHER = texts(6, longest=24, seed=5)
CONTEXT = "the quick brown fox jumps over a lazy dog. seven wizards brew strong tea and nobody counts rain, always."
CONTEXT_2 = "winter light on the river bridge. paper and stone never answer a good question in the city"
LONG_CONTEXT = " ".join(texts(5, shortest=20, longest=25, seed=6))
MASKED = "padding is masked"
CUT = "cut off at the limit anyway: without truncation the model would refuse the text"

CLASSIFICATION = (
    Case("one", T[0], wrong=OTHER[0]),
    Case("list", T[:5], wrong=OTHER[:5]),
    Case("pair", {"text": T[1], "text_pair": T[2]}, wrong={"text": OTHER[0], "text_pair": OTHER[1]}),
    Case("two-best", T[3], {"top_k": 2}, wrong=OTHER[3]),
    Case("all", T[4], {"top_k": None}, wrong=OTHER[4]),
    Case("all-of-list", T[4:7], {"top_k": None}, wrong=OTHER[1:4]),
    Case("all-scores", T[5], {"return_all_scores": True}, wrong=OTHER[5]),
    Case("one-score", T[5], {"return_all_scores": False}, wrong=OTHER[5], idle="it is the default, said aloud"),
    Case("sigmoid", T[6], {"function_to_apply": "sigmoid", "top_k": None}, wrong=OTHER[0]),
    Case("softmax", T[6], {"function_to_apply": "softmax", "top_k": None}, wrong=OTHER[0]),
    Case("logits", T[7], {"function_to_apply": "none", "top_k": None}, wrong=OTHER[1]),
    Case("truncation", LONG, {"truncation": True}, wrong=OTHER[2], idle=CUT),
    Case("max-length", T[8], {"truncation": True, "max_length": 5, "top_k": None}, wrong=OTHER[3]),
    Case(
        "padding", T[9], {"padding": "max_length", "max_length": 40, "top_k": 2}, wrong=T[0], idle="padding is masked"
    ),
    Case("bare-tokens", T[10], {"add_special_tokens": False, "top_k": None}, wrong=OTHER[5]),
    Case("batches", T[:6], {"batch_size": 4}, wrong=OTHER, idle="a batch answers like each of its texts"),
)

FEATURES = (
    Case("one", T[0], wrong=OTHER[0]),
    Case("list", T[1:4], wrong=OTHER[1:4]),
    Case("truncation", LONG, {"truncation": True}, wrong=OTHER[0], idle=CUT),
    Case("kwargs", T[4], {"tokenize_kwargs": {"truncation": True, "max_length": 6}}, wrong=OTHER[1]),
    Case("bare-tokens", T[5], {"tokenize_kwargs": {"add_special_tokens": False}}, wrong=OTHER[2]),
    Case("tensors", T[6], {"return_tensors": True}, wrong=OTHER[3], idle="a tensor is the same list in JSON"),
)


def masked(mask: str) -> tuple[Case, ...]:
    one, two = f"the quick {mask} fox jumps", f"strong {mask} and a lazy {mask} in winter"
    other = f"paper {mask} stone never answer the question"
    cut = {"tokenizer_kwargs": {"truncation": True, "max_length": 8}}
    return (
        Case("one", one, wrong=other),
        Case("two-masks", two, wrong=f"city {mask} light {mask} bridge"),
        Case("list", [one, two, other], wrong=[other, two, one]),
        Case("three-best", one, {"top_k": 3}, wrong=other),
        Case("targets", one, {"targets": ["fox", "dog", "rain"]}, wrong=other),
        Case("one-target", other, {"targets": "tea"}, wrong=one),
        Case("best-target", one, {"targets": ["fox", "dog", "rain"], "top_k": 2}, wrong=other),
        Case("truncation", f"{one} {T[0]}", cut, wrong=f"{other} {T[0]}"),
    )


ENTITIES = (
    Case("one", T[0], wrong=OTHER[0]),
    Case("list", T[1:5], wrong=OTHER[1:5]),
    Case("no-labels-ignored", CONTEXT, {"ignore_labels": []}, wrong=CONTEXT_2),
    Case("some-labels-ignored", T[3], {"ignore_labels": ["B-PER", "O", "I-LOC"]}, wrong=OTHER[3]),
    *(
        Case(strategy, CONTEXT, {"aggregation_strategy": strategy}, wrong=CONTEXT_2)
        for strategy in ("simple", "first", "average", "max")
    ),
    Case("none", T[4], {"aggregation_strategy": "none"}, wrong=OTHER[4], idle="it is the default, said aloud"),
    Case("grouped", CONTEXT, {"grouped_entities": True}, wrong=CONTEXT_2),
    Case("whole-words", CONTEXT, {"grouped_entities": True, "ignore_subwords": True}, wrong=CONTEXT_2),
    Case("stride", LONG_CONTEXT, {"stride": 8, "aggregation_strategy": "simple"}, wrong=LONG),
    Case("split", T[5].split(), {"is_split_into_words": True}, wrong=OTHER[5].split()),
    Case(
        "delimiter",
        T[6].split(),
        {"is_split_into_words": True, "delimiter": "-", "aggregation_strategy": "simple"},
        wrong=OTHER[0].split(),
    ),
)


def answers() -> tuple[Case, ...]:
    one = {"question": "who brew tea", "context": CONTEXT}
    other = {"question": "what of paper", "context": CONTEXT_2}
    long = {"question": "where is the bridge", "context": LONG_CONTEXT}
    long_2 = {"question": "where is the bridge", "context": LONG}
    return (
        Case("one", one, wrong=other),
        Case("list", [one, other, long], wrong=[other, one, long_2]),
        Case("three-best", one, {"top_k": 3}, wrong=other),
        Case("old-name", one, {"topk": 2}, wrong=other),
        Case("short-answers", one, {"max_answer_len": 1, "top_k": 2}, wrong=other),
        Case("long", long, wrong=long_2),
        Case("windows", long, {"max_seq_len": 32, "doc_stride": 8, "top_k": 4}, wrong=long_2),
        Case("short-question", long, {"max_question_len": 2, "max_seq_len": 40, "doc_stride": 4}, wrong=long_2),
        Case("padding", one, {"padding": "max_length", "max_seq_len": 60}, wrong=other, idle="padding is masked"),
        Case("impossible", one, {"handle_impossible_answer": True, "top_k": 5}, wrong=other),
        Case("inside-words", one, {"align_to_words": False, "top_k": 5}, wrong=other),
    )


TABLE = {
    "animal": ["fox", "dog", "wizards", "rain"],
    "age": ["7", "5", "300", "1"],
    "city": ["winter", "light", "stone", "bridge"],
}
TABLE_2 = {"river": ["tea", "paper"], "number": ["10", "20"]}
ASK = {"table": TABLE, "query": "how old is the fox"}
ASK_2 = {"table": TABLE_2, "query": "which river is strong"}
BIG = {"table": {key: column * 8 for key, column in TABLE.items()}, "query": "how old is the dog"}
TABLES = (
    Case("one", ASK, wrong=ASK_2),
    Case("several-queries", {"table": TABLE, "query": ["how old is the fox", "what city", "nobody"]}, wrong=ASK_2),
    Case("list", [ASK, ASK_2], wrong=[ASK_2, ASK]),
    Case("rows-dropped", BIG, {"truncation": "drop_rows_to_fit"}, wrong=ASK, idle="it is the default, said aloud"),
    Case("padding", ASK, {"padding": "max_length"}, wrong=ASK_2, idle="padding is masked"),
    Case(
        "conversation",
        {"table": TABLE, "query": ["how old is the fox", "what city", "and the dog"]},
        {"sequential": True},
        wrong=ASK_2,
    ),
)

WHAT = {"candidate_labels": ["tea", "winter city", "good fox"]}
ZERO_SHOT = (
    Case("one", T[0], WHAT, wrong=OTHER[0]),
    Case("list", T[1:4], WHAT, wrong=OTHER[1:4]),
    Case("labels-in-a-text", T[4], {"candidate_labels": "tea, winter city"}, wrong=OTHER[4]),
    Case("template", T[5], {**WHAT, "hypothesis_template": "the question is {}"}, wrong=OTHER[5]),
    Case("several-labels", T[6], {**WHAT, "multi_label": True}, wrong=OTHER[0]),
    Case("old-name", T[7], {**WHAT, "multi_class": True}, wrong=OTHER[1]),
    Case("one-label", T[8], {"candidate_labels": ["rain"]}, wrong=OTHER[2]),
)

EMBEDDING = (
    Case("one", T[0], wrong=OTHER[0]),
    Case("list", T[:6], wrong=OTHER[:6]),
    Case("long", LONG, wrong=OTHER[0]),
    Case("normalised", T[1], {"normalize_embeddings": True}, wrong=OTHER[1], idle="the model does it already"),
    Case("prompt", T[2], {"prompt": "question: "}, wrong=OTHER[2]),
    Case("short", T[3], {"truncate_dim": 8}, wrong=OTHER[3]),
)
NAMED_PROMPT = Case("named-prompt", T[4], {"prompt_name": "passage"}, wrong=OTHER[4])
REAL_EMBEDDING = (
    *EMBEDDING,
    Case(
        "languages",
        ["ein schneller brauner Fuchs", "素早い茶色の狐", "быстрая лиса 🦊"],
        wrong=["tea", "rain", "winter"],
    ),
)


def _similar(source: str, *sentences: str) -> dict[str, object]:
    return {"source_sentence": source, "sentences": list(sentences)}


SIMILARITY = (
    Case("several", _similar(T[0], *T[1:5]), wrong=_similar(T[0], *OTHER[:4])),
    Case("one", _similar(T[5], T[6]), wrong=_similar(T[5], OTHER[0])),
    Case("itself", _similar(T[7], T[7], LONG), wrong=_similar(T[7], LONG, T[7])),
)
RANK = {"query": T[0], "texts": T[1:6]}
RANK_2 = {"query": T[0], "texts": OTHER[:5]}
RANKING = (
    Case("several", RANK, wrong=RANK_2),
    Case("one", {"query": T[6], "texts": [T[7]]}, wrong={"query": OTHER[3], "texts": [OTHER[0]]}),
    Case("raw", RANK, {"raw_scores": True}, wrong=RANK_2),
    Case("with-texts", RANK, {"return_text": True}, wrong=RANK_2),
    Case("long", {"query": T[8], "texts": [LONG, T[9]]}, wrong={"query": T[8], "texts": [OTHER[1], T[9]]}),
)

REGRESSION = tuple(case for case in CLASSIFICATION if case.name in ("one", "list", "pair", "logits", "truncation"))
"""One label: nothing to choose from, and softmax is always 1."""

SUBJECTS = (
    Subject("text-classification", "bert-classifier", CLASSIFICATION),
    Subject("text-classification", "bert-regression", REGRESSION),
    Subject("text-classification", "roberta-multi-label", CLASSIFICATION),
    Subject("feature-extraction", "bert", FEATURES),
    Subject("feature-extraction", "minilm", FEATURES),
    Subject("fill-mask", "bert-masked", masked("[MASK]")),
    Subject("fill-mask", "roberta-masked", masked("<mask>")),
    Subject("token-classification", "bert-entities", ENTITIES),
    Subject("token-classification", "roberta-entities", ENTITIES),
    Subject("question-answering", "distilbert-answers", answers()),
    Subject("question-answering", "roberta-answers", answers()),
    Subject("table-question-answering", "tapas", TABLES),
    Subject("zero-shot-classification", "bert-entailment", ZERO_SHOT),
    Subject("sentence-embedding", "sentence-bert", (*EMBEDDING, NAMED_PROMPT)),
    Subject("sentence-embedding", "minilm", REAL_EMBEDDING),
    Subject("sentence-similarity", "sentence-bert", SIMILARITY),
    Subject("sentence-similarity", "minilm", SIMILARITY),
    Subject("text-ranking", "cross-encoder", RANKING),
    Subject("text-ranking", "cross-encoder-roberta", RANKING),
)
