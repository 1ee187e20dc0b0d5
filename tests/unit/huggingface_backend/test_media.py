"""Media types, images, audio, CSV and NPY."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from huggingface_backend import audio, decoder_encoder, images
from huggingface_backend.errors import InvalidInput, MalformedBody, RequestError, UnacceptableType, UnsupportedType
from huggingface_backend.media_inputs import MediaInputs
from huggingface_backend.media_types import AUDIO_TYPES, IMAGE_FORMATS, acceptable, charset, media_type, preferred

KNOWN = ("application/json", "text/csv", "application/x-npy", "image/png", "image/jpeg")


@pytest.mark.parametrize(
    ("header", "type_", "charset_"),
    [
        ("", "application/json", "utf-8"),
        ("Application/JSON ; Charset=UTF-8", "application/json", "utf-8"),
        ('text/csv; header=present; charset="latin-1"', "text/csv", "latin-1"),
        ("image/png;", "image/png", "utf-8"),
    ],
)
def test_content_types(header: str, type_: str, charset_: str) -> None:
    assert (media_type(header), charset(header)) == (type_, charset_)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("*", "application/json"),
        ("application/*", "application/json"),
        ("image/*", "image/png"),
        ("IMAGE/JPEG; q=1.0", "image/jpeg"),
        ("text/csv;q=0.5, image/png, */*;q=0.1", "image/png"),
        ("text/html, application/xml;q=0.9, */*;q=0.8", "application/json"),
        ("text/html, text/csv;q=0.2", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=0.3,application/json;q=0.3", "text/csv"),
        ("text/csv;q=nonsense, application/json;q=0.1", "application/json"),
        ("text/csv;q=7", None),
        ("text/csv;q=0", None),
        ("text/html", None),
        ("video/*", None),
    ],
)
def test_accept(accept: str, chosen: str | None) -> None:
    assert next(iter(acceptable(accept, KNOWN)), None) == chosen


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("application/x-own; v=2", "application/x-own"),
        ("a/b;q=0.1, c/d", "c/d"),
        ("text/csv;q=0", "application/json"),
    ],
)
def test_what_a_script_is_told(accept: str, told: str) -> None:
    assert preferred(accept, KNOWN) == told


def test_types_that_nobody_reads_or_writes() -> None:
    with pytest.raises(UnacceptableType):
        decoder_encoder.writable("text/html")
    with pytest.raises(UnsupportedType):
        decoder_encoder.decode(b"x", "application/x-nothing")
    with pytest.raises(UnsupportedType):
        decoder_encoder.decode(b"{}", "application/json; charset=klingon")
    assert decoder_encoder.decode('{"a": "ä"}'.encode("latin-1"), "application/json; charset=latin-1") == {"a": "ä"}


def picture(mode: str = "RGB", size: tuple[int, int] = (5, 3)) -> Image.Image:
    colours = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(colours).convert(mode)


def written(image: Image.Image, format_: str) -> bytes:
    with io.BytesIO() as out:
        image.save(out, format=format_)
        return out.getvalue()


@pytest.mark.parametrize("type_", IMAGE_FORMATS)
def test_images_in_and_out(type_: str) -> None:
    body = written(picture(), IMAGE_FORMATS[type_])
    read = decoder_encoder.decode(body, type_)["inputs"]
    assert (read.mode, read.size) == ("RGB", (5, 3))
    again = Image.open(io.BytesIO(decoder_encoder.encode(read, type_)))
    assert (again.format, again.size) == (IMAGE_FORMATS[type_], (5, 3))
    if IMAGE_FORMATS[type_] in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(np.asarray(again), np.asarray(picture()))


def test_an_image_inside_json_is_base64_of_a_png() -> None:
    [text] = decoder_encoder.decode_json(decoder_encoder.encode([picture("L")]))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))), np.asarray(picture("L")))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_image_bombs_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too large"):
        images.decode_image(bomb(30_000, 30_000))
    with pytest.raises(InvalidInput, match="too large"):
        images.from_base64(base64.b64encode(bomb(60_000, 60_000)).decode())


@pytest.mark.parametrize(
    "body", [b"", b"not an image", written(picture(size=(99, 99)), "PNG")[:200], b"%!PS-Adobe-3.0"]
)
def test_broken_images_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decoder_encoder.decode(body, "image/png")


@pytest.mark.parametrize(
    ("content", "type_"),
    [([1], "image/png"), (picture("CMYK"), "image/png"), (picture("RGBA"), "image/jpeg"), ({"a": 1}, "text/csv")],
    ids=["a list", "four inks", "transparency", "an object"],
)
def test_a_prediction_that_a_type_cannot_hold_is_406(content: Any, type_: str) -> None:
    with pytest.raises(UnacceptableType):
        decoder_encoder.encode(content, type_)


def test_the_next_type_is_taken_where_the_first_cannot_hold_the_prediction() -> None:
    body, type_ = decoder_encoder.write([{"a": 1}], "image/png, application/json;q=0.1")
    assert (body, type_) == (b'[{"a":1}]', "application/json")
    assert decoder_encoder.write([[1]], "text/csv, application/x-npy;q=0.5, */*;q=0.1")[1] == "application/x-npy"


def tone(rate: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray[Any, Any]:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave] * channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("type_", AUDIO_TYPES)
def test_audio_reaches_the_model_as_bytes(type_: str) -> None:
    assert decoder_encoder.decode(b"RIFF", type_) == {"inputs": b"RIFF"}


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 2), (48_000, 1)])
def test_audio_of_any_rate(format_: str, rate: int, channels: int) -> None:
    with io.BytesIO() as out:
        soundfile.write(out, tone(rate, channels=channels), rate, format=format_)
        samples = audio.waveform(out.getvalue(), 16_000)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    # Codecs that are not exact pad and delay; the tone and its loudness have to come through.
    assert abs(len(samples) - 8_000) < 1_500
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 16_000 / len(samples) - 440) < 4
    assert abs(np.abs(samples[2_000:6_000]).max() - 0.5) < 0.05


@pytest.mark.parametrize("body", [b"", b"no audio", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_audio(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        audio.waveform(body, 16_000)


def test_audio_without_samples() -> None:
    with io.BytesIO() as out:
        soundfile.write(out, np.zeros((0, 1)), 16_000, format="WAV")
        with pytest.raises(InvalidInput, match="no samples"):
            audio.waveform(out.getvalue(), 16_000)


def npy(array: np.ndarray[Any, Any], **keywords: Any) -> bytes:
    with io.BytesIO() as out:
        np.save(out, array, **keywords)
        return out.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.ones((2, 3), "f4")),
        np.array("text"),
        np.zeros((0, 4)),
        np.array(1),
    ],
    ids=str,
)
def test_npy_in_and_out(array: np.ndarray[Any, Any]) -> None:
    read = decoder_encoder.decode(npy(array), "application/x-npy")
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)
    assert decoder_encoder.encode(array, "application/x-npy") == npy(array)


class Evil:
    ran = False

    def __reduce__(self) -> Any:
        return setattr, (Evil, "ran", True)


def test_npy_never_unpickles() -> None:
    body = npy(np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(MalformedBody, match="pickled"):
        decoder_encoder.decode(body, "application/x-npy")
    assert not Evil.ran
    with pytest.raises(UnacceptableType):
        decoder_encoder.encode([{"label": "a"}], "application/x-npy")


@pytest.mark.parametrize(
    "body",
    [b"", b"\x93NUMPY", npy(np.arange(9))[:-1], npy(np.arange(9)) + b"x", npy(np.arange(3)).replace(b"(3,)", b"(9,)")],
)
def test_npy_that_announces_what_it_does_not_hold(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decoder_encoder.decode(body, "application/x-npy")


class TestReferences:
    """Texts in place of media."""

    coded = base64.b64encode(written(picture(), "PNG")).decode()

    @pytest.mark.parametrize(
        "value", ["http://169.254.169.254/", "https://a/b.png", "/etc/passwd", "cat.png", "file:///x"]
    )
    @pytest.mark.parametrize(
        ("task", "shape"),
        [
            ("image-classification", lambda v: v),
            ("image-classification", lambda v: [v]),
            ("visual-question-answering", lambda v: {"image": v, "question": "what?"}),
            ("zero-shot-object-detection", lambda v: [{"image": v, "candidate_labels": ["a"]}]),
            ("automatic-speech-recognition", lambda v: v),
            ("audio-classification", lambda v: [v]),
            (
                "image-text-to-text",
                lambda v: [{"role": "user", "content": [{"type": "image", "url": v}, {"type": "text", "text": v}]}],
            ),
        ],
    )
    def test_they_are_not_followed(self, task: str, shape: Any, value: str) -> None:
        with pytest.raises(RequestError) as caught:
            MediaInputs(task, 16_000, follow=False).inputs(shape(value))
        assert caught.value.status == 422
        assert MediaInputs(task, 16_000, follow=True).inputs(shape(value)) == shape(value)

    def test_video_is_only_followed(self) -> None:
        with pytest.raises(InvalidInput):
            MediaInputs("video-classification", 0, follow=False).inputs("clip.mp4")

    def test_base64_becomes_the_image(self) -> None:
        media = MediaInputs("visual-question-answering", 0, follow=False)
        read = media.inputs({"image": f"data:image/png;base64,{self.coded}", "question": self.coded})
        assert np.array_equal(np.asarray(read["image"]), np.asarray(picture()))
        assert read["question"] == self.coded
        [one, two] = MediaInputs("image-classification", 0, follow=False).inputs([self.coded, picture()])
        assert one.size == two.size
        jpeg = base64.b64encode(written(picture(), "JPEG")).decode()
        assert jpeg.startswith("/9j/")
        assert MediaInputs("image-to-text", 0, follow=False).inputs(jpeg).size == (5, 3)

    def test_parameters_hold_images_too(self) -> None:
        media = MediaInputs("image-text-to-text", 0, follow=False)
        assert media.inputs("a prompt") == "a prompt"
        [image] = media.parameters({"images": [self.coded], "text": "x"})["images"]
        assert image.size == (5, 3)
        with pytest.raises(InvalidInput):
            media.parameters({"images": "https://a/b.png"})

    @pytest.mark.parametrize("kind", ["video", "audio"])
    def test_what_a_message_names_is_not_opened(self, kind: str) -> None:
        message = [{"role": "user", "content": [{"type": kind, kind: "https://a/b"}]}]
        with pytest.raises(InvalidInput, match="--follow-references"):
            MediaInputs("image-text-to-text", 0, follow=False).inputs(message)
        assert MediaInputs("image-text-to-text", 0, follow=True).inputs(message) == message

    def test_audio_as_text_and_as_numbers(self) -> None:
        media = MediaInputs("automatic-speech-recognition", 16_000, follow=False)
        with io.BytesIO() as out:
            soundfile.write(out, tone(16_000), 16_000, format="WAV", subtype="FLOAT")
            coded = base64.b64encode(out.getvalue()).decode()
        assert np.array_equal(media.inputs(coded), tone(16_000)[:, 0])
        assert len(media.inputs({"raw": [0.0] * 8_000, "sampling_rate": 8_000})) == 16_000
        for wrong in ({"raw": [1]}, {"raw": [[1], [2]], "sampling_rate": 8}, {"raw": ["x"], "sampling_rate": 8}):
            with pytest.raises(InvalidInput):
                media.inputs(wrong)

    def test_texts_of_other_tasks_are_texts(self) -> None:
        assert MediaInputs("summarization", 0, follow=False).inputs(["http://a", "/etc"]) == ["http://a", "/etc"]


def test_csv_in() -> None:
    assert decoder_encoder.decode(b'inputs\n"a, b"\n\xc3\xa4\n', "text/csv") == {"inputs": ["a, b", "ä"]}
    assert decoder_encoder.decode("question,context\r\nwho?,me\r\n", "text/csv") == {
        "inputs": [{"question": "who?", "context": "me"}]
    }


@pytest.mark.parametrize("body", ["", "\n", "a,b\n1,2\n", "inputs\n", "inputs\n" + "x" * 200_000, b"inputs\n\xff"])
def test_csv_that_is_none(body: str | bytes) -> None:
    with pytest.raises(MalformedBody):
        decoder_encoder.decode(body, "text/csv")


def test_csv_out() -> None:
    rows = [{"label": "a, b", "score": 0.5}, {"label": "ä", "score": 1}]
    assert decoder_encoder.encode(rows, "text/csv") == 'label,score\r\n"a, b",0.5\r\nä,1\r\n'.encode()


def test_long_integers_keep_their_digits() -> None:
    assert decoder_encoder.decode(b'{"inputs": 123456789012345678901234567890}') == {
        "inputs": 123456789012345678901234567890
    }
