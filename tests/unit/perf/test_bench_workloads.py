"""The work is what it is said to be, by the real tokenizer."""

import random
import statistics
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from perf.bench import grid, inputs, models, requests, workloads


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(str(models.minilm_source() / "tokenizer.json"))
    found.no_padding()
    found.no_truncation()
    return found


def counts(tokenizer: Tokenizer, texts: tuple[str, ...]) -> list[int]:
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


@pytest.mark.parametrize(("name", "tokens"), [("short-minilm", 13), ("long-distilbert", 128)])
def test_texts_have_as_many_tokens_as_they_should(tokenizer: Tokenizer, name: str, tokens: int):
    items = workloads.items(name, Path("unused"))
    assert set(counts(tokenizer, items)) == {tokens}
    assert len(set(items)) == len(items) >= 512


def test_mixed_texts_are_short_and_long(tokenizer: Tokenizer):
    found = counts(tokenizer, workloads.items("mixed-minilm", Path("unused")))
    assert min(found) >= 4
    assert max(found) <= 384
    assert max(found) > 200
    assert 25 <= statistics.median(found) <= 36
    assert statistics.mean(found) > 1.2 * statistics.median(found), "not log-normal"


def test_texts_to_compare_are_not_those_that_are_measured():
    assert not set(workloads.mixed_texts(48)) & set(workloads.items("mixed-minilm", Path("unused")))


def test_a_context_has_300_words_and_fits_the_model(tokenizer: Tokenizer):
    items = workloads.items("qa", Path("unused"))
    assert {len(item["context"].split()) for item in items} == {300}
    tokens = [len(each.ids) for each in tokenizer.encode_batch([(i["question"], i["context"]) for i in items])]
    assert max(tokens) <= 384, "the pipeline would cut it into two"


def test_images_are_of_both_kinds_and_distinct(tmp_path: Path):
    from PIL import Image

    items = workloads.items("image", tmp_path)
    assert {path.suffix for path in items} == {".jpg", ".png"}
    assert len({path.read_bytes() for path in items}) == len(items)
    with Image.open(items[0]) as image:
        assert image.size == (224, 224)
    body, headers = requests.body(items[1])
    assert headers == {"Content-Type": "image/png"}
    assert body.startswith(b"\x89PNG")


def test_the_same_in_every_run():
    assert (
        workloads.items("short-minilm", Path("unused"))[:3] == workloads.items("short-distilbert", Path("unused"))[:3]
    )
    assert workloads.text_of(13, random.Random(1)) == workloads.text_of(13, random.Random(1))


def test_every_workload_has_a_plan():
    for name in workloads.NAMES:
        for quick in (False, True):
            assert grid.plan(name, quick=quick).of("ours", "fp32")


def test_batches_pad_to_their_own_longest():
    import numpy as np

    rows = [
        {"input_ids": np.ones(length, np.int64), "attention_mask": np.ones(length, np.int64)} for length in (9, 2, 8, 3)
    ]
    arrived = inputs.batches(rows, 2, ["input_ids", "attention_mask"], by_length=False)
    assert [batch["input_ids"].shape for batch in arrived] == [(2, 9), (2, 8)]
    assert arrived[0]["attention_mask"].sum() == 11
    ordered = inputs.batches(rows, 2, ["input_ids"], by_length=True)
    assert sorted(batch["input_ids"].shape for batch in ordered) == [(2, 3), (2, 9)]
