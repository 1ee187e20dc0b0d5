"""The accelerated tier behind real servers: generation, sounds and pictures."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from converters.entry import place
from huggingface_backend.images import encode_image
from huggingface_backend.torch_pipeline import build
from tests.models import pictures, texts
from tests.parity import zoo
from tests.serving import BACKEND, Server

pytestmark = pytest.mark.filterwarnings("ignore")

GREEDY = {"max_new_tokens": 8, "do_sample": False}
CHAT = [{"role": "user", "content": "who counts rain"}]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Path]]:
    """Task and folder by the name of the entry."""
    root = tmp_path_factory.mktemp("sources")
    return {
        "writer": ("text-generation", zoo.build("qwen2", root)),
        "detector": ("object-detection", zoo.build("yolos", root)),
        "listener": ("audio-classification", zoo.build("wav2vec2-classifier", root)),
    }


@pytest.fixture(scope="module")
def accelerated(
    tmp_path_factory: pytest.TempPathFactory, convert: Callable[..., Any], sources: dict[str, tuple[str, Path]]
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("accelerated")
    for name, (task, folder) in sources.items():
        artifact = convert(folder, task=task)
        assert artifact.manifest.tier == "accelerated"
        place(artifact.path, root / "repository", name)
    server = Server("--repository", str(root / "repository"), log=root / "serve.log").wait()
    yield server
    server.stop()


def ask(server: Server, name: str, body: Any, **headers: str) -> Any:
    answer = server.post(body, f"/models/{name}/invoke", **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_writers_share_passes(accelerated: Server, sources: dict[str, tuple[str, Path]]) -> None:
    reference = build(*sources["writer"])
    prompts = [*texts(23, longest=20), CHAT]
    expected = [reference(prompt, **GREEDY) for prompt in prompts]
    assert len({str(answer) for answer in expected}) == len(expected)
    order = [index for index in range(len(prompts)) for _ in range(3)]
    random.Random(0).shuffle(order)
    before = {name: accelerated.metric(f"triton_hf_{name}_total") for name in ("runs", "rows")}
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda i: ask(accelerated, "writer", {"inputs": prompts[i], "parameters": GREEDY}), order)
        )
    assert answers == [expected[index] for index in order]
    ran = {name: accelerated.metric(f"triton_hf_{name}_total") - count for name, count in before.items()}
    assert ran["rows"] == len(order)
    assert ran["runs"] < len(order) / 2


def test_a_seed_gives_the_same_text_again(accelerated: Server) -> None:
    def sampled(seed: int) -> Any:
        parameters = {"max_new_tokens": 12, "do_sample": True, "seed": seed}
        return ask(accelerated, "writer", {"inputs": "the quick", "parameters": parameters})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(sampled, [1, 2, 1, 2, 1, 2, 1, 2]))
    assert answers[0::2] == [answers[0]] * 4
    assert answers[1::2] == [answers[1]] * 4
    assert answers[0] != answers[1]


def test_pictures_and_sounds_as_bodies(accelerated: Server, sources: dict[str, tuple[str, Path]]) -> None:
    import numpy as np
    import soundfile

    picture = pictures(1, seed=4)[0]
    found = ask(accelerated, "detector", encode_image(picture, "image/png"), content_type="image/png")
    expected = build(*sources["detector"])(picture)
    assert found
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    assert [entry["box"] for entry in found] == [entry["box"] for entry in expected]

    wave = (0.4 * np.sin(np.arange(12_000) / 9)).astype(np.float32)
    with io.BytesIO() as file:
        soundfile.write(file, wave, 16_000, format="WAV", subtype="FLOAT")
        heard = ask(accelerated, "listener", file.getvalue(), content_type="audio/wav")
    reference = build(*sources["listener"])({"raw": wave, "sampling_rate": 16_000})
    assert [entry["label"] for entry in heard] == [entry["label"] for entry in reference]
    assert [entry["score"] for entry in heard] == pytest.approx([entry["score"] for entry in reference], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("writer", {"inputs": "tea", "parameters": {"max_new_tokens": "many"}}),
        ("writer", {"inputs": "tea", "parameters": {"lenght": 3}}),
        ("writer", {"inputs": 3}),
        ("detector", {"inputs": "no picture"}),
        ("listener", {"inputs": {"raw": [], "sampling_rate": 16_000}}),
    ],
)
def test_a_bad_request_is_a_422(accelerated: Server, name: str, body: Any) -> None:
    answer = accelerated.post(body, f"/models/{name}/invoke")
    assert (answer.status_code, answer.json()["type"]) == (422, "InvalidInput")


def test_a_killed_writer_comes_back_and_no_request_is_lost(accelerated: Server) -> None:
    victims = [
        child
        for child in accelerated.tree()
        if BACKEND in " ".join(child.cmdline()) and "writer" in str(child.cmdline())
    ]
    assert victims
    body = {"inputs": "seven wizards", "parameters": {"max_new_tokens": 30, "min_new_tokens": 30, "do_sample": False}}
    expected = ask(accelerated, "writer", body)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, accelerated, "writer", body) for _ in range(16)]
        victims[0].kill()
        assert [answer.result(60) for answer in asked] == [expected] * 16
