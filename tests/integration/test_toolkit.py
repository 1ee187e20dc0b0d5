"""The toolkit's decoder, encoder and hook rules, case by case, against ours in one run."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from huggingface_backend.script import COMPAT
from tests.toolkit import environment

DRIVER = Path(__file__).parents[1] / "toolkit" / "driver.py"
PNG = "(lambda o: (Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).{}, o.getvalue())[1])(io.BytesIO())"


def picture(save: str) -> str:
    """An expression for an image's bytes."""
    return PNG.format(save)


def npy(expression: str) -> str:
    return f"(lambda o: (np.save(o, {expression}), o.getvalue())[1])(io.BytesIO())"


DECODE: dict[str, tuple[str, str]] = {
    "json object": ('\'{"inputs": "tea", "n": [1, 2.5, null, true]}\'', "application/json"),
    "json text": ("'\"tea\"'", "application/json"),
    "json NaN": ("'[NaN, Infinity, -Infinity]'", "application/json"),
    "json big integer": ("'[123456789012345678901234567890, -1e400, 1e-400]'", "application/json"),
    "json keys twice": ('\'{"a": 1, "a": 2}\'', "application/json"),
    "json surrogate": ("'\"\\\\ud83d\\\\ude00 \\\\ud800\"'", "application/json"),
    "json not ascii": ('\'{"inputs": "Größe 茶"}\'', "application/json"),
    "json white space": ("' \\n[1 , 2]\\t '", "application/json"),
    "json as bytes": ('b\'{"inputs": "tea"}\'', "application/json"),
    "json empty": ("''", "application/json"),
    "json broken": ("'{\"a\": '", "application/json"),
    "json single quotes": ("\"{'a': 1}\"", "application/json"),
    "json trailing": ("'{} {}'", "application/json"),
    "json bom": ("'\\ufeff{}'", "application/json"),
    "csv inputs": ("'inputs\\ntea\\nrain and tea\\n'", "text/csv"),
    "csv quoted": ('\'inputs\\n"a, ""b""\\nc"\\n\'', "text/csv"),
    "csv question": ("'question,context\\nwho?,me\\nwhat?,tea\\n'", "text/csv"),
    "csv more columns": ("'id,inputs,x\\n1,tea,2\\n'", "text/csv"),
    "csv capitals": ("'Inputs,Other\\ntea,1\\n'", "text/csv"),
    "csv short row": ("'question,context\\nwho?\\n'", "text/csv"),
    "csv long row": ("'question,context\\nwho?,me,more\\n'", "text/csv"),
    "csv blank lines": ("'inputs\\n\\ntea\\n\\n'", "text/csv"),
    "csv crlf": ("'inputs\\r\\ntea\\r\\n'", "text/csv"),
    "csv no header": ("'a,b\\n1,2\\n'", "text/csv"),
    "csv only header": ("'inputs\\n'", "text/csv"),
    "csv empty": ("''", "text/csv"),
    "npy integers": (npy("np.arange(6).reshape(2, 3)"), "application/x-npy"),
    "npy floats in columns": (npy("np.asfortranarray(np.ones((2, 3), 'f4'))"), "application/x-npy"),
    "npy texts": (npy("np.array(['tea', 'rain'])"), "application/x-npy"),
    "npy scalar": (npy("np.float32(3)"), "application/x-npy"),
    "npy broken": ("b'\\x93NUMPY nonsense'", "application/x-npy"),
    "npy pickled": (npy("np.array([{'a': 1}], dtype=object)"), "application/x-npy"),
    "png": (picture("save(o, 'PNG')"), "image/png"),
    "jpeg": (picture("save(o, 'JPEG')"), "image/jpeg"),
    "tiff": (picture("save(o, 'TIFF')"), "image/tiff"),
    "bmp": (picture("save(o, 'BMP')"), "image/bmp"),
    "gif": (picture("save(o, 'GIF')"), "image/gif"),
    "webp": (picture("save(o, 'WEBP')"), "image/webp"),
    "x-image": (picture("save(o, 'PNG')"), "image/x-image"),
    "grey": (picture("convert('L').save(o, 'PNG')"), "image/png"),
    "transparent": (picture("convert('RGBA').save(o, 'PNG')"), "image/png"),
    "palette": (picture("convert('P').save(o, 'GIF')"), "image/gif"),
    "jpeg named png": (picture("save(o, 'JPEG')"), "image/png"),
    "no image": ("b'tea'", "image/png"),
    **{f"audio {name}": ("b'RIFF tea'", f"audio/{name}") for name in ("x-flac", "mpeg", "wave", "ogg", "x-audio")},
    "unknown type": ("b'tea'", "application/tea"),
    "octets": ("b'tea'", "application/octet-stream"),
    "type with parameters": ("'[1]'", "application/json; charset=utf-8"),
    "type in capitals": ("'[1]'", "Application/JSON"),
    "audio wav": ("b'RIFF'", "audio/wav"),
}

ENCODE: dict[str, tuple[str, str]] = {
    "pipeline answer": ("[{'label': 'tea', 'score': 0.1234567890123456}]", "application/json"),
    "not ascii": ("{'a': 'Größe 茶 😀'}", "application/json"),
    "constants": ("[None, True, False, 'null', 0, -0.0, 1e22, 1e-7]", "application/json"),
    "keys": ("{1: 'a', None: 'b', True: 'c', 2.5: 'd'}", "application/json"),
    "tuple": ("(1, (2, 3))", "application/json"),
    "numpy scalars": (
        "[np.int64(3), np.float64(0.1), np.bool_(True), np.str_('a'), np.uint8(255)]",
        "application/json",
    ),
    "float32": ("[np.float32(0.1)]", "application/json"),
    "array": ("np.arange(6.0).reshape(2, 3)", "application/json"),
    "half array": ("np.array([0.5, 2], 'f2')", "application/json"),
    "array not in a row": ("np.arange(6)[::2]", "application/json"),
    "tensor": ("{'v': torch.tensor([[1.0, 2.5]]), 'n': torch.tensor(3)}", "application/json"),
    "datetime": ("[datetime.datetime(2026, 1, 2, 3, 4, 5)]", "application/json"),
    "date": ("[datetime.date(2026, 1, 2)]", "application/json"),
    "image": ("Image.new('RGB', (3, 2), 'red')", "application/json"),
    "image inside": ("[{'mask': Image.new('L', (3, 2), 7), 'label': 'a'}]", "application/json"),
    "big integer": ("[2**80]", "application/json"),
    "NaN": ("[float('nan')]", "application/json"),
    "infinity": ("{'a': np.array([np.inf])}", "application/json"),
    "object": ("[object()]", "application/json"),
    "set": ("[{1}]", "application/json"),
    "bytes": ("[b'tea']", "application/json"),
    "csv rows": ("[{'label': 'a, b', 'score': 0.5}, {'label': 'ä', 'score': 1}]", "text/csv"),
    "csv generator": ("({'n': n} for n in range(2))", "text/csv"),
    "csv numpy": ("[{'score': np.float64(0.25)}]", "text/csv"),
    "csv missing": ("[{'a': 1, 'b': 2}, {'a': 3}]", "text/csv"),
    "csv more": ("[{'a': 1}, {'a': 3, 'b': 4}]", "text/csv"),
    "csv object": ("{'a': 1}", "text/csv"),
    "csv lists": ("[[1, 2]]", "text/csv"),
    "csv empty": ("[]", "text/csv"),
    "npy list": ("[[1, 2], [3, 4]]", "application/x-npy"),
    "npy array": ("np.ones((2, 2), 'f4')", "application/x-npy"),
    "npy tensor": ("torch.ones(2)", "application/x-npy"),
    "npy number": ("3.5", "application/x-npy"),
    "npy text": ("'tea'", "application/x-npy"),
    "npy objects": ("[{'a': 1}]", "application/x-npy"),
    **{
        f"{name} image": ("Image.new('RGB', (3, 2), 'red')", f"image/{name}")
        for name in ("png", "jpeg", "tiff", "bmp", "gif", "webp", "x-image")
    },
    "transparent jpeg": ("Image.new('RGBA', (3, 2))", "image/jpeg"),
    "list as png": ("[1]", "image/png"),
    "unknown type": ("[1]", "application/tea"),
    "audio": ("b'tea'", "audio/wave"),
}

MODEL = (
    "def model_fn(model_dir):\n    return lambda inputs, **parameters: {'inputs': inputs, 'parameters': parameters}\n"
)
CONTEXT = "type(context).__name__ == 'Context'"
HOOKS: dict[str, str] = {
    "only model_fn": MODEL,
    "model_fn with context": "def model_fn(model_dir, context):\n"
    "    return lambda i: [context.system_properties['batch_size'], i]\n",
    "input_fn": MODEL
    + "def input_fn(body, content_type):\n    return {'inputs': [type(body).__name__, content_type]}\n",
    "input_fn with context": MODEL + f"def input_fn(b, c, context):\n    return {{'inputs': {CONTEXT}}}\n",
    "input_fn returns a list": MODEL + "def input_fn(b, c):\n    return [1]\n",
    "input_fn without inputs": MODEL + "def input_fn(b, c):\n    return {'a': 1, 'parameters': {'k': 2}}\n",
    "input_fn with empty parameters": MODEL + "def input_fn(b, c):\n    return {'inputs': 1, 'parameters': None}\n",
    "predict_fn": MODEL + "def predict_fn(data, model):\n    return [data, model(1)]\n",
    "predict_fn with context": MODEL + f"def predict_fn(data, model, context):\n    return {CONTEXT}\n",
    "output_fn": MODEL + "def output_fn(prediction, accept):\n    return str([prediction, accept])\n",
    "output_fn with context": MODEL + f"def output_fn(p, accept, context):\n    return str({CONTEXT})\n",
    "output_fn returns an object": MODEL + "def output_fn(p, accept):\n    return {'p': p}\n",
    "transform_fn": MODEL + "def transform_fn(m, body, c, a):\n    return str([type(body).__name__, c, a, m(body)])\n",
    "transform_fn with context": MODEL + f"def transform_fn(m, b, c, a, context):\n    return str({CONTEXT})\n",
    "transform_fn returns bytes": MODEL + "def transform_fn(m, b, c, a):\n    return b'\\xff\\x00'\n",
    "a default counts": MODEL + "def predict_fn(data, model, context=None):\n    return context is None\n",
    "any arguments count as one": MODEL + "def output_fn(*arguments):\n    return 'x'\n",
    "one and any arguments": MODEL + "def output_fn(prediction, *rest):\n    return str(len(rest))\n",
    "two and any arguments": MODEL + "def output_fn(prediction, accept, *rest):\n    return str(len(rest))\n",
    "keywords count as one": MODEL + "def predict_fn(data, model, **keywords):\n    return 1\n",
    "only a keyword": MODEL + "def predict_fn(data, model, *, context):\n    return 1\n",
    "too few": MODEL + "def predict_fn(data):\n    return 1\n",
    "too many": MODEL + "def predict_fn(data, model, context, more):\n    return 1\n",
    "no parameters": "def model_fn():\n    return 1\n",
    "a lambda": MODEL + "predict_fn = lambda data, model: [1]\n",
    "a partial": MODEL + "import functools\ndef f(k, d, m):\n    return [k]\npredict_fn = functools.partial(f, 7)\n",
    "a callable object": MODEL
    + "class P:\n    def __call__(self, data, model):\n        return [8]\npredict_fn = P()\n",
    "a method": MODEL + "class P:\n    def p(self, data, model):\n        return [9]\npredict_fn = P().p\n",
    "a class": MODEL + "class predict_fn(list):\n    def __init__(self, data, model):\n        self.append(10)\n",
    "decorated": MODEL
    + "import functools\ndef d(f):\n    @functools.wraps(f)\n"
    + "    def g(*a, **k):\n        return f(*a, **k)\n    return g\n"
    + "@d\ndef predict_fn(data, model):\n    return [11]\n",
    "set to None": MODEL + "predict_fn = None\n",
    "transform_fn beside input_fn": MODEL + "def transform_fn(m, b, c, a): ...\ndef input_fn(b, c): ...\n",
    "transform_fn beside predict_fn": MODEL + "def transform_fn(m, b, c, a): ...\ndef predict_fn(d, m): ...\n",
    "transform_fn beside output_fn": MODEL + "def transform_fn(m, b, c, a): ...\ndef output_fn(p, a): ...\n",
    "import error": "import no_such_module_anywhere\n",
    "syntax error": "def model_fn(:\n",
    "model_fn raises": "def model_fn(model_dir):\n    raise OSError('no weights')\n",
    "mutates its input": MODEL + "def predict_fn(data, model):\n    return data.pop('inputs', data)\n",
    "raises": MODEL + "def predict_fn(data, model):\n    raise ValueError('no')\n",
    "async": MODEL + "async def predict_fn(data, model):\n    return 1\n",
    "a tuple of values": MODEL + "def predict_fn(data, model):\n    return ({'a': 1}, 2)\n",
    "returns None": MODEL + "def predict_fn(data, model):\n    return None\n",
}
REQUESTS: list[dict[str, Any]] = [
    {"body": body, "headers": headers}
    for body, headers in (
        (
            '{"inputs": "tea", "parameters": {"k": 1}}',
            {"Content-Type": "application/json", "Accept": "application/json"},
        ),
        ('{"inputs": ["tea", 1]}', {"Content-Type": "application/json"}),
        ('{"a": "tea"}', {"content-type": "application/json", "accept": "*/*"}),
        ("[1]", {"Content-Type": "application/json"}),
        ("{", {"Content-Type": "application/json"}),
        ("inputs\ntea\n", {"Content-Type": "text/csv", "Accept": "application/json"}),
        ("tea", {"Content-Type": "application/tea", "Accept": "application/json"}),
        ('{"inputs": "tea"}', {"Content-Type": "application/json", "Accept": "application/tea"}),
    )
]

DIFFERENT: dict[str, str] = {
    "decode npy pickled": "a pickle runs what its sender put in it",
    "encode npy objects": "the same, on the client",
    "decode type with parameters": "parameters are no part of a media type",
    "decode type in capitals": "media types have no case",
    "decode audio wav": "clients send audio/wav more often than the toolkit's audio/wave",
    "encode float32": "the shortest text that reads back as the same float32",
    "hooks input_fn": "a binary body is bytes and not a bytearray",
    "hooks transform_fn": "a binary body is bytes and not a bytearray",
}
"""Where ours answers differently on purpose, and why; docs/architecture.md says it too."""


def cases() -> list[dict[str, Any]]:
    return [
        *({"name": f"decode {name}", "kind": "decode", "body": b, "type": t} for name, (b, t) in DECODE.items()),
        *({"name": f"encode {name}", "kind": "encode", "content": c, "type": t} for name, (c, t) in ENCODE.items()),
        *({"name": f"hooks {name}", "kind": "hooks", "script": s, "requests": REQUESTS} for name, s in HOOKS.items()),
    ]


def run(python: Path | str, side: str, path: str) -> list[Any]:
    ended = subprocess.run(
        [str(python), str(DRIVER), side],
        input=json.dumps(cases()),
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    results: list[Any] = json.loads(ended.stdout.splitlines()[-1])
    return results


@pytest.fixture(scope="module")
def both() -> dict[str, tuple[Any, Any]]:
    """Every case's outcome under the toolkit and under ours."""
    logging.getLogger(__name__).info("the toolkit's environment is made once")
    theirs = run(environment.ensure(), "toolkit", "")
    ours = run(sys.executable, "ours", os.pathsep.join([str(COMPAT), str(DRIVER.parents[2])]))
    return {case["name"]: pair for case, pair in zip(cases(), zip(theirs, ours, strict=True), strict=True)}


def plain(outcome: Any) -> Any:
    """An outcome without the words of failures; a failure is one however it is called."""
    if isinstance(outcome, dict) and "raised" in outcome:
        return "failed"
    if isinstance(outcome, dict) and isinstance(outcome.get("returned"), list):
        return [plain(each) for each in outcome["returned"]]
    return outcome


@pytest.mark.parametrize("name", [case["name"] for case in cases()])
def test_the_same(name: str, both: dict[str, tuple[Any, Any]]) -> None:
    theirs, ours = map(plain, both[name])
    if name in DIFFERENT:
        assert ours != theirs, "they agree: strike it off the list of differences"
    else:
        assert ours == theirs


def test_differences_name_cases() -> None:
    assert set(DIFFERENT) <= {case["name"] for case in cases()}


def test_the_comparison_can_fail(both: dict[str, tuple[Any, Any]]) -> None:
    assert plain(both["decode csv inputs"][0]) != plain(both["decode csv quoted"][1])
    assert plain(both["decode png"][0]) != plain(both["decode grey"][1])
    assert plain(both["hooks a method"][0]) != plain(both["hooks a lambda"][1])
    assert plain(both["hooks too few"][1]) == "failed"


def test_failures_of_ours_say_whose_they_are(both: dict[str, tuple[Any, Any]]) -> None:
    failures = [each.get("raised") for each in both["hooks only model_fn"][1]["returned"][3:]]
    assert failures == ["InvalidInput", "MalformedBody", None, "UnsupportedType", "UnacceptableType"]
    raised = both["hooks raises"][1]["returned"][0]
    assert raised == {"raised": "ModelError", "message": "predict_fn failed: ValueError: no"}
