"""image-classification against the transformers pipeline on the same weights."""

from __future__ import annotations

import base64
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.errors import ConversionError
from converters.worker import image_processors
from converters.worker.protocol import NotFastError
from huggingface_backend.errors import InvalidInput
from huggingface_backend.image_processing import ImageProcessor
from huggingface_backend.manifest import ImageFacts, Manifest
from huggingface_backend.predictor import Pipeline, Runtime, build
from huggingface_backend.tasks.image_classification import ImageClassification
from tests.models import build_vision, pictures

TASK = "image-classification"
TOLERANCE = 1e-4
"""The models' logits spread by 1 over our pictures."""

PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("Beit", {}),
    ("Bit", {}),
    ("Blip", {}),
    ("CLIP", {}),
    ("CLIP", {"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 28}}),
    ("CLIP", {"size": {"height": 40, "width": 60}, "do_center_crop": False}),
    ("CLIP", {"do_resize": False, "crop_size": 50}),
    ("ConvNext", {}),
    ("ConvNext", {"size": {"shortest_edge": 224}}),
    ("ConvNext", {"size": {"shortest_edge": 100}, "crop_pct": 0.9}),
    ("DeiT", {}),
    ("EfficientNet", {}),
    ("EfficientNet", {"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False}),
    ("EfficientNet", {"do_center_crop": True, "do_normalize": False}),
    ("Levit", {}),
    ("Levit", {"size": {"height": 64, "width": 48}}),
    ("MobileNetV1", {}),
    ("MobileNetV2", {}),
    ("MobileViT", {}),
    ("MobileViT", {"do_flip_channel_order": False, "size": {"shortest_edge": 288}}),
    ("PoolFormer", {}),
    ("PoolFormer", {"size": {"height": 64, "width": 64}, "crop_size": 56}),
    ("PoolFormer", {"size": {"height": 64, "width": 48}, "crop_size": 56}),
    ("PoolFormer", {"size": {"shortest_edge": 64}, "crop_pct": None, "crop_size": 80}),
    ("Pvt", {}),
    ("Segformer", {}),
    ("Siglip", {}),
    ("ViT", {}),
    ("ViT", {"image_mean": 0.3, "image_std": 0.7, "size": {"height": 33, "width": 20}}),
    ("ViT", {"do_rescale": False}),
    ("ViT", {"do_normalize": False, "rescale_factor": 1 / 127.5}),
    *[("ViT", {"resample": resample, "size": 40}) for resample in range(6)],
    ("ViTHybrid", {}),
]
OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("ImageGPT", {}, "is of another kind"),
    ("Perceiver", {}, "otherwise than the fast path"),
    ("Siglip2", {}, "is of another kind"),
    ("TextNet", {}, "otherwise than the fast path"),
    ("Vilt", {}, "pixel_mask"),
    ("ViT", {"do_resize": False}, "leaves images their sizes"),
    ("CLIP", {"do_center_crop": False}, "leaves images their sizes"),
    ("ViT", {"do_normalize": False, "do_rescale": False}, "uint8"),
    ("ViT", {"size": {"shortest_edge": 40}}, "fails on an image"),
]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "vit": ("ViT", {"size": 32}, {**SMALL, "image_size": 32, "patch_size": 8}),
    "convnext": (
        "ConvNext",
        {"size": {"shortest_edge": 32}},
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    ),
    "resnet": (
        "ConvNext",
        {"size": {"shortest_edge": 64}},
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
    "mobilevit": (
        "MobileViT",
        {"size": {"shortest_edge": 72}, "crop_size": 64},
        {
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64],
            "num_attention_heads": 2,
            "image_size": 64,
        },
    ),
}


def encoded(image: Any, form: str = "PNG", **options: Any) -> str:
    with BytesIO() as file:
        image.save(file, form, **options)
        return base64.b64encode(file.getvalue()).decode()


def processor_of(name: str, **settings: Any) -> Any:
    import transformers

    return getattr(transformers, f"{name}ImageProcessor")(**settings)


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    known: dict[str, Path] = {}

    def vision(kind: str, **config: Any) -> Path:
        key = f"{kind}{config}"
        if key not in known:
            processor, settings, shape = MODELS[kind]
            folder = tmp_path_factory.mktemp(kind)
            known[key] = build_vision(folder, kind, processor_of(processor, **settings), **shape, **config)
        return known[key]

    return vision


def pipeline(folder: Path) -> Any:
    import transformers

    return transformers.pipeline(TASK, model=str(folder), device=-1)


def ours(artifact: Any) -> Pipeline:
    """The entry as it answers in this process, to images that no JSON holds."""
    predictor = build(artifact.manifest, artifact.path / "1", Runtime(), lambda _counters: None)
    assert predictor is not None
    return Pipeline(TASK, predictor)


def assert_close(mine: Any, theirs: Any) -> None:
    assert type(mine) is type(theirs)
    if isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert_close(one, other)
    else:
        assert list(mine) == list(theirs) == ["label", "score"]
        assert mine["label"] == theirs["label"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=TOLERANCE)


@pytest.mark.parametrize(("name", "settings"), PROCESSORS, ids=str)
def test_processors_are_followed_to_the_bit(name: str, settings: dict[str, Any]) -> None:
    processor = processor_of(name, **settings)
    facts = image_processors.describe(processor)
    samples = image_processors.verify(facts, processor)
    assert len(samples) > 12
    mine = ImageProcessor(facts)
    for image in pictures(4, seed=5):
        values = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0])
        np.testing.assert_array_equal(mine(image).values, values)


@pytest.mark.parametrize(("name", "settings", "reason"), OTHERS, ids=str)
def test_processors_that_cannot_be_followed_are_refused(name: str, settings: dict[str, Any], reason: str) -> None:
    processor = processor_of(name, **settings)
    with pytest.raises(NotFastError, match=reason):
        image_processors.verify(image_processors.describe(processor), processor)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resample": 3},
        {"size": (224, 223)},
        {"mean": (0.5, 0.5, 0.501)},
        {"rescale": 1 / 256},
        {"reverse_channels": True},
        {"offset": -1.0},
        {"crop": (223, 223)},
    ],
    ids=str,
)
def test_wrong_facts_do_not_pass(wrong: dict[str, Any]) -> None:
    processor = processor_of("ViT")
    facts = {**vars(image_processors.describe(processor)), **wrong}
    with pytest.raises(NotFastError, match="otherwise than the fast path"):
        image_processors.verify(ImageFacts(**facts), processor)


@pytest.mark.parametrize("kind", MODELS)
def test_architectures(kind: str, vision: Callable[..., Path], convert: Any, ask: Any) -> None:
    folder = vision(kind)
    artifact = convert(folder, task=TASK)
    assert artifact.manifest.tier == "fast"
    assert artifact.manifest.gate.verdict == "passed"
    theirs, images = pipeline(folder), pictures(12, seed=1)
    parameters = {"function_to_apply": "none"}
    bodies: list[Any] = [{"inputs": encoded(image), "parameters": parameters} for image in images]
    together = ask(artifact, [*bodies, {"inputs": [encoded(image) for image in images], "parameters": parameters}])
    for image, answer in zip(images, together[:-1], strict=True):
        assert_close(answer, theirs(image, **parameters))
    assert_close(together[-1], theirs(images, **parameters))
    # The comparison must be able to fail.
    with pytest.raises(AssertionError):
        assert_close(together[0], theirs(images[1], **parameters))
    with pytest.raises(AssertionError):
        assert_close(together[0], theirs(images[0].rotate(180), **parameters))


CALLS: list[dict[str, Any]] = [
    {},
    {"top_k": 2},
    {"top_k": None},
    {"top_k": 0},
    {"top_k": -1},
    {"top_k": 50},
    {"function_to_apply": "sigmoid"},
    {"function_to_apply": "SoftMax"},
    {"function_to_apply": "none"},
    {"function_to_apply": None},
    {"timeout": 3},
    {"batch_size": 2},
]


@pytest.mark.parametrize(
    "config",
    [
        {"num_labels": 6, "id2label": dict(enumerate("abcdef")), "label2id": {c: i for i, c in enumerate("abcdef")}},
        {"num_labels": 1},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
    ],
    ids=str,
)
def test_every_call_answers_as_the_pipeline(
    config: dict[str, Any], vision: Callable[..., Path], convert: Any, ask: Any
) -> None:
    folder = vision("vit", **config)
    theirs, image = pipeline(folder), pictures(1, seed=2)[0]
    answers = ask(
        convert(folder, task=TASK), [{"inputs": encoded(image), "parameters": parameters} for parameters in CALLS]
    )
    for parameters, answer in zip(CALLS, answers, strict=True):
        assert_close(answer, theirs(image, **parameters))


def test_images_of_every_kind(vision: Callable[..., Path], convert: Any, ask: Any) -> None:
    folder = vision("convnext")
    artifact = convert(folder, task=TASK)
    theirs, mine = pipeline(folder), ours(artifact)
    for image in image_processors.images():
        if image.height == 1:
            with pytest.raises(ValueError, match="mean must have 1 elements"):
                theirs(image)
            with pytest.raises(InvalidInput, match="2 pixels high"):
                mine(image)
        else:
            assert_close(mine(image), theirs(image))
    image = pictures(1)[0]
    turned = Image.Exif()
    turned[0x0112] = 6
    texts = [encoded(image, "JPEG"), f"data:image/gif;base64,{encoded(image, 'GIF')}", encoded(image, exif=turned)]
    for text, answer in zip(texts, ask(artifact, [{"inputs": text} for text in texts]), strict=True):
        assert_close(answer, theirs(text))
    assert ask(artifact, [{"inputs": []}]) == [theirs([])] == [[]]
    assert_close(mine([image, texts[0]]), theirs([image, texts[0]]))


def test_threads_share_a_processor() -> None:
    mine, images = ImageProcessor(image_processors.describe(processor_of("CLIP"))), pictures(8) * 4
    alone = [mine(image).values for image in images]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(mine, images), strict=True):
            np.testing.assert_array_equal(one, other.values)


@pytest.mark.parametrize(
    ("inputs", "parameters", "expected"),
    [
        (3, {}, "inputs is a number"),
        (None, {}, "inputs is null"),
        ({"image": "x"}, {}, "inputs is an object with 'image'"),
        ([["x"]], {}, "inputs[0] is a list"),
        ("no base64", {}, "base64"),
        ("aGVsbG8=", {}, "no image"),
        ("http://localhost/cat.png", {}, "--follow-references"),
        ("/etc/hostname", {}, "--follow-references"),
        (encoded(Image.new("RGB", (9, 1))), {}, "2 pixels high or more, not 9×1"),
        (encoded(Image.new("RGB", (1, 60_000))), {}, "too narrow"),
        (encoded(Image.new("RGB", (9, 9))), {"top_k": "3"}, "top_k"),
        (encoded(Image.new("RGB", (9, 9))), {"function_to_apply": "tanh"}, "sigmoid, softmax, none"),
        (encoded(Image.new("RGB", (9, 9))), {"timeout": "x"}, "timeout"),
        (encoded(Image.new("RGB", (9, 9))), {"nonsense": 1}, "'nonsense'"),
    ],
    ids=range(14),
)
def test_bad_input_says_what_was_expected(
    inputs: Any, parameters: Any, expected: str, vision: Callable[..., Path], convert: Any, ask: Any
) -> None:
    good_body = {"inputs": encoded(pictures(1)[0])}
    edge = {"size": {"shortest_edge": 224}, "crop_size": 224}
    artifact = convert(vision("resnet"), task=TASK)
    if expected == "too narrow":
        with pytest.raises(InvalidInput, match=expected):
            ImageProcessor(image_processors.describe(processor_of("CLIP", **edge)))(Image.new("RGB", (1, 60_000)))
        return
    bad, good = ask(artifact, [{"inputs": inputs, "parameters": parameters}, good_body])
    assert isinstance(bad, InvalidInput)
    assert expected in str(bad)
    assert good[0]["label"].startswith("LABEL_")


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    pictures(1)[0].save(tmp_path / "cat.png")
    (tmp_path / "text.png").write_text("none")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, directory=str(tmp_path), **settings)

        def log_message(self, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_references_are_followed_where_the_operator_allows_it(website: str, tmp_path: Path) -> None:
    task = ImageClassification(Manifest(TASK, "fast", labels={0: "a"}, image=ImageFacts(size=(8, 8), rescale=1 / 255)))
    image = pictures(1)[0]
    expected = task.call(image, {}).items[0].values  # type: ignore[union-attr]
    task.follow_references = True
    for reference in (f"{website}/cat.png", str(tmp_path / "cat.png"), encoded(image), f"data:,{encoded(image)}"):
        followed = task.call(reference, {"timeout": 9}).items[0].values  # type: ignore[union-attr]
        np.testing.assert_array_equal(followed, expected)
    for reference in (f"{website}/dog.png", f"{website}/text.png", str(tmp_path / "text.png"), "nowhere.png"):
        with pytest.raises(InvalidInput):
            task.call(reference, {})


def test_a_folder_without_a_processor_is_not_converted(vision: Callable[..., Path], tmp_path: Path) -> None:
    config = (vision("vit") / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConversionError, match="missing image processor"):
        image_processors.resolve(tmp_path, trust_remote_code=False)


def test_serving_images_loads_neither_torch_nor_transformers(vision: Callable[..., Path], convert: Any) -> None:
    artifact = convert(vision("vit"), task=TASK)
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from huggingface_backend.loading import load\n"
        "from huggingface_backend.messages import Request\n"
        "handler = load('m', Path(sys.argv[1]))\n"
        "done, outcomes = threading.Semaphore(0), []\n"
        "request = Request(sys.stdin.buffer.read(), 'image/png')\n"
        "handler.handle([(request, lambda outcome: (outcomes.append(outcome), done.release()))])\n"
        "assert done.acquire(timeout=30)\n"
        "handler.close()\n"
        "print(outcomes[0].body.decode())\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, str(artifact.path / "1")]
    body = base64.b64decode(encoded(pictures(1)[0]))
    answer, loaded = subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode().splitlines()
    assert answer.startswith('[{"label":"LABEL_')
    assert {"onnxruntime", "PIL"} < set(loaded.split())
    assert not set(loaded.split()) & {"torch", "transformers", "optimum", "converters", "sentence_transformers"}
