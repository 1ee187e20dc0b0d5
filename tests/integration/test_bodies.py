"""Bodies of every kind and size through the real server."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from converters.entry import place
from tests import models
from tests.serving import Server

USER_CODE = Path(__file__).parents[1] / "user_code"
SMALL_SHM = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh")


def folder_of(case: str, folder: Path) -> Path:
    """A model folder with a script that brings the model, and nothing else."""
    shutil.copytree(USER_CODE / case / "code", folder / "code")
    return folder


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("classifiers")
    return {
        "image-classification": models.build_image_classifier(root / "images"),
        "audio-classification": models.build_audio_classifier(root / "audio"),
    }


@pytest.fixture(scope="module")
def media(
    tmp_path_factory: pytest.TempPathFactory, classifiers: dict[str, Path], convert: Callable[..., Any]
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("media")
    for task, folder in classifiers.items():
        place(convert(folder, task=task).path, root / "repository", task)
    # Without ffmpeg on the PATH, whatever this machine has.
    env = {"PATH": os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not Path(p, "ffmpeg").exists())}
    server = Server(
        "--repository", str(root / "repository"), "--instances", "1", log=root / "serve.log", env=env
    ).wait()
    yield server
    server.stop()


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8))
        for width, height in ((32, 32), (100, 40), (7, 90), (5, 6))
    ]


def written(image: Image.Image, format_: str) -> bytes:
    with io.BytesIO() as out:
        image.save(out, format=format_)
        return out.getvalue()


def same(answer: Any, expected: Any) -> bool:
    return [row["label"] for row in answer] == [row["label"] for row in expected] and all(
        abs(ours["score"] - theirs["score"]) < 1e-4 for ours, theirs in zip(answer, expected, strict=True)
    )


def test_images(media: Server, classifiers: dict[str, Path]) -> None:
    import transformers

    task = "image-classification"
    pipeline = transformers.pipeline(task, model=str(classifiers[task]), device=-1)
    path = f"/models/{task}/invoke"
    expected = [pipeline(picture) for picture in pictures()]
    assert not same(expected[0], expected[1])
    for picture, answer in zip(pictures(), expected, strict=True):
        assert same(media.post(written(picture, "PNG"), path, content_type="image/png").json(), answer)
        assert same(media.post(written(picture, "BMP"), path, content_type="image/x-image").json(), answer)
        coded = base64.b64encode(written(picture, "PNG")).decode()
        assert same(media.post({"inputs": coded}, path).json(), answer)
        limited = media.post({"inputs": f"data:image/png;base64,{coded}", "parameters": {"top_k": 1}}, path)
        assert same(limited.json(), answer[:1])


@pytest.mark.parametrize("value", ["http://127.0.0.1:9/cat.png", "/etc/passwd", "cat.png"])
@pytest.mark.parametrize("task", ["image-classification", "audio-classification"])
def test_references_in_bodies_are_not_followed(media: Server, task: str, value: str) -> None:
    answer = media.post({"inputs": value}, f"/models/{task}/invoke")
    assert answer.status_code == 422, answer.text
    assert "passwd:" not in answer.text


def test_references_are_followed_where_the_operator_allows_it(
    classifiers: dict[str, Path], cache: Path, start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(written(pictures()[0], "PNG"))
    folder = str(classifiers["image-classification"])
    server = start(folder, "--task", "image-classification", "--cache", str(cache), "--follow-references").wait()
    assert server.post({"inputs": str(tmp_path / "cat.png")}).status_code == 200


def test_audio_of_any_rate_without_ffmpeg(media: Server, classifiers: dict[str, Path]) -> None:
    import soxr
    import transformers

    task = "audio-classification"
    pipeline = transformers.pipeline(task, model=str(classifiers[task]), device=-1)
    answers = []
    for rate, channels, format_, type_ in (
        (16_000, 1, "WAV", "audio/wav"),
        (44_100, 2, "FLAC", "audio/x-flac"),
        (8_000, 1, "WAV", "audio/x-audio"),
    ):
        seconds = np.arange(rate) / rate
        wave = np.stack([np.sin(2 * np.pi * rate / 40 * seconds) * (1 - 0.5 * n) for n in range(channels)], axis=1)
        with io.BytesIO() as out:
            soundfile.write(out, wave, rate, format=format_, subtype="PCM_16")
            body = out.getvalue()
        read = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)[0].mean(axis=1)
        expected = pipeline(read if rate == 16_000 else soxr.resample(read, rate, 16_000))
        answers.append(expected)
        answer = media.post(body, f"/models/{task}/invoke", content_type=type_)
        assert answer.status_code == 200, answer.text
        assert same(answer.json(), expected)
    assert not same(answers[0], answers[1])
    broken = media.post(b"RIFF", f"/models/{task}/invoke", content_type="audio/wav")
    assert (broken.status_code, broken.json()["type"]) == (422, "InvalidInput")


def test_an_image_bomb_harms_nobody(media: Server) -> None:
    wide = written(Image.new("1", (40_000, 20_000)), "PNG")
    assert len(wide) < 200_000
    answer = media.post(wide, "/models/image-classification/invoke", content_type="image/png")
    assert (answer.status_code, answer.json()["type"]) == (422, "InvalidInput")
    fine = media.post(written(pictures()[0], "PNG"), "/models/image-classification/invoke", content_type="image/png")
    assert fine.status_code == 200


def test_types_are_parsed_and_refused(server: Server) -> None:
    path = "/models/classifier/invoke"
    body = b'{"inputs": ["tea", "rain and more rain"]}'
    expected = server.post(body, path).json()
    for content_type in ("Application/JSON", "application/json; charset=UTF-8", "application/json;v=1"):
        assert server.post(body, path, content_type=content_type).json() == expected
    csv = server.post(b"inputs\ntea\nrain and more rain\n", path, content_type="text/csv; header=present")
    assert csv.json() == expected
    as_csv = server.post(body, path, accept="text/html, text/csv;q=0.9, */*;q=0.1")
    assert as_csv.headers["content-type"] == "text/csv"
    assert as_csv.text.splitlines()[0] == "label,score"
    assert server.post(body, path, accept="image/png").status_code == 406
    assert server.post(body, path, accept="text/html").status_code == 406
    assert server.post(body, path, content_type="application/pdf").status_code == 415
    assert server.post(body, path, content_type="text/csv").status_code == 400
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    assert server.post(pickled.getvalue(), path, content_type="application/x-npy").status_code == 400


def test_an_array_as_answer(server: Server) -> None:
    answer = server.post({"inputs": ["tea", "rain"]}, "/models/minilm/invoke", accept="application/x-npy")
    array = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert array.shape == (2, 384)
    assert np.allclose(array, server.post({"inputs": ["tea", "rain"]}, "/models/minilm/invoke").json(), atol=1e-6)


def test_the_operators_type_for_clients_that_take_any(minilm_entry: Any, start: Callable[..., Server]) -> None:
    server = start(str(minilm_entry.path), env={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-npy"}).wait()
    assert server.post({"inputs": "tea"}, accept="*/*").headers["content-type"] == "application/x-npy"
    assert server.post({"inputs": "tea"}, accept="application/json").headers["content-type"] == "application/json"


def can_shrink_shm() -> bool:
    return subprocess.run([*SMALL_SHM, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_shrink_shm(), reason="no right to mount a small /dev/shm here")
def test_big_bodies_under_a_small_shm(cache: Path, tmp_path: Path, start: Callable[..., Server]) -> None:
    """100 MB there and back where containers have 64 MB of shared memory."""
    folder = folder_of("echo", tmp_path / "echo")
    (tmp_path / "tmp").mkdir()
    server = start(str(folder), "--cache", str(cache), under=SMALL_SHM, env={"TMPDIR": str(tmp_path / "tmp")}).wait()
    for megabytes in (1, 5, 30, 100):
        body = random.Random(megabytes).randbytes(megabytes * 2**20)
        answer = server.post(body, content_type="application/octet-stream", accept="application/octet-stream")
        assert answer.status_code == 200, answer.text[:300]
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest()
    assert server.post(b"x" * (101 * 2**20)).status_code == 413
    assert server.metric("triton_hf_restarts") == 0
    [spool] = (tmp_path / "tmp").glob("triton-hf-*/spool")
    assert list(spool.iterdir()) == []
