"""code/requirements.txt: real pip into a folder of the model's own, beside an environment that stays as it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from converters import packages
from converters.convert import Artifact, Converter, Options
from converters.errors import ConversionError
from converters.progress import Lines
from tests.serving import TRITON_HF, Server, run_cli

MODEL = "def model_fn(model_dir): ...\ndef predict_fn(data, model): ...\n"


def scripted(folder: Path, requirements: str, script: str = MODEL) -> Path:
    """A model that is its script alone."""
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "inference.py").write_text(script)
    (folder / "code" / "requirements.txt").write_text(requirements)
    return folder


def wheel(folder: Path, name: str, release: str, *, needs: str = "") -> Path:
    """A pure wheel of one module that knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{release}-py3-none-any.whl"
    info = f"{name}-{release}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {release!r}\n")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
        file.writestr(f"{info}/METADATA", metadata + (f"Requires-Dist: {needs}\n" if needs else ""))
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


class Convert:
    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.lines: list[str] = []

    def __call__(self, source: Path, cancelled: threading.Event | None = None, **options: Any) -> Artifact:
        self.lines.clear()
        converter = Converter(self.cache)
        return converter.convert(str(source), Options(**options), Lines(self.lines.append), cancelled=cancelled)

    @property
    def left(self) -> list[Path]:
        """Folders and scratch that a failure may not leave."""
        found = [*self.cache.glob("artifacts/*"), *self.cache.glob("artifacts/.*"), *self.cache.glob("requirements/*")]
        return [path for path in [*found, *self.cache.glob("requirements/.*")] if path.is_dir()]


@pytest.fixture
def converted(tmp_path: Path) -> Convert:
    return Convert(tmp_path / "cache")


def test_a_package_from_the_index_and_one_the_server_has_otherwise(converted: Convert, tmp_path: Path) -> None:
    ours = version("packaging")
    other = "23.2" if ours != "23.2" else "24.0"
    source = scripted(tmp_path / "model", f"packaging=={other}\nsix==1.16.0  # tiny\nclick\n")
    installed = converted(source).path / "1" / "packages"
    assert {path.name for path in installed.iterdir()} == {
        "packaging",
        f"packaging-{other}.dist-info",
        "six.py",
        "six-1.16.0.dist-info",
    }
    assert "installing code/requirements.txt …" in converted.lines
    seen = subprocess.run(
        [sys.executable, "-c", "import packaging, six; print(packaging.__version__, six.__version__)"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == [other, "1.16.0"]
    assert version("packaging") == ours
    assert not list((tmp_path / "cache" / "requirements").glob(".*"))


def test_the_same_file_is_installed_once(converted: Convert, tmp_path: Path) -> None:
    for name in ("first", "second"):
        wheel(tmp_path / name / "code" / "wheels", "tiny_thing", "1.0")
    lines = "-r more.txt\n"
    for name in ("first", "second"):
        scripted(tmp_path / name, lines, MODEL + f"# {name}\n")
        (tmp_path / name / "code" / "more.txt").write_text("./wheels/tiny_thing-1.0-py3-none-any.whl\n")
    first = converted(tmp_path / "first").path
    assert "installing code/requirements.txt …" in converted.lines
    second = converted(tmp_path / "second").path
    assert first != second
    assert "installing code/requirements.txt …" not in converted.lines
    module = Path("1/packages/tiny_thing.py")
    assert (first / module).samefile(second / module)

    wheel(tmp_path / "second" / "code" / "wheels", "tiny_thing", "1.0", needs="click")
    converted(tmp_path / "second")
    assert "installing code/requirements.txt …" in converted.lines, "the wheel has changed"


def test_an_entry_whose_packages_are_no_longer_right_is_made_anew(
    converted: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "model" / "code", "tiny_thing", "1.0")
    source = scripted(tmp_path / "model", "./tiny_thing-1.0-py3-none-any.whl\n")
    converted(source)
    assert converted(source).cached
    # Another environment cannot be had in one test; its list of packages is what tells it.
    monkeypatch.setattr(packages, "installed", lambda: {"nothing": "1"})
    assert not converted(source).cached


def test_what_the_server_has_needs_no_folder(converted: Convert, tmp_path: Path) -> None:
    source = scripted(tmp_path / "model", "# none\nclick\nnumpy>=1\n")
    assert not (converted(source).path / "1" / "packages").exists()
    (source / "code" / "requirements.txt").unlink()
    assert not (converted(source).path / "1" / "packages").exists()
    assert "installing code/requirements.txt …" not in converted.lines


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ("no-such-package-anywhere-at-all\n", "nothing found for no-such-package-anywhere-at-all: "),
        ("click\nsix==99\n", "no version fits six==99: there are "),
        ("six==1.16.0\nsix==1.15.0\n", "conflicting requirements: The user requested six==1.16.0; The user"),
        ("click\n\nnumpy=>2\n", "'numpy=>2': Expected semicolon (after name with no version specifier) or end, line 3"),
        ("./wheels\n", "'./wheels', line 1 of requirements.txt: File './wheels' does not exist"),
        ("-r more.txt\n", "Could not open requirements file"),
        ("./broken\n", "broken cannot be built (getting requirements to build wheel): RuntimeError: boom"),
        ("--nonsense\n", "--nonsense"),
        (f"./a_thing-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n", "the hash is wrong: "),
        ("six @ http://127.0.0.1:9/six-1.17.0-py2.py3-none-any.whl\n", "no network: Failed to connect to 127.0.0.1"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(
    requirements: str, expected: str, converted: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    source = scripted(tmp_path / "model", requirements)
    wheel(source / "code", "a_thing", "1.0")
    local_project(source / "code" / "broken", "raise RuntimeError('boom')")
    with pytest.raises(ConversionError) as raised:
        converted(source)
    assert str(raised.value).startswith("code/requirements.txt: ")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert not converted.left


def test_an_index_that_cannot_be_reached(converted: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConversionError, match="nothing found for tiny-thing: the package index cannot be reached"):
        converted(scripted(tmp_path / "model", "tiny-thing\n"))


def test_pips_own_variables_reach_it(converted: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "elsewhere", "tiny_thing", "2.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_USER", "1")
    assert (converted(scripted(tmp_path / "model", "tiny-thing\n")).path / "1/packages/tiny_thing.py").is_file()


def test_requirements_without_a_script_are_left_alone(converted: Convert, tmp_path: Path, minilm: Path) -> None:
    from converters.plan import Ask, plan

    shutil.copytree(minilm, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors", "*.onnx"))
    scripted(tmp_path / "model", "no-such-package-anywhere-at-all\n")
    (tmp_path / "model" / "code" / "inference.py").unlink()
    decided = plan(tmp_path / "model", Ask(), ())
    assert decided.requirements is None
    assert "code/requirements.txt is left alone: there is no script that could need it" in decided.notes


def test_without_pip(converted: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An environment without pip cannot be had beside this one.
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ConversionError, match="this environment has no pip"):
        converted(scripted(tmp_path / "model", "six\n"))


def local_project(folder: Path, build: str) -> Path:
    """A project that builds itself with a backend of its own, from a wheel beside it; needs no index."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "local"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbackend-path = ["."]\nbuild-backend = "backend"\n'
    )
    (folder / "backend.py").write_text(
        "import os, pathlib, shutil, time\n"
        f"def get_requires_for_build_wheel(settings=None):\n    {build}\n    return []\n"
        "def build_wheel(folder, *rest, **settings):\n"
        "    return pathlib.Path(shutil.copy(next(pathlib.Path('..').glob('local*.whl')), folder)).name\n"
    )
    return folder


def slow(tmp_path: Path) -> tuple[Path, Path]:
    """A model whose requirements take for ever the first time, and where the building process notes its id."""
    source, noted = scripted(tmp_path / "model", "./slow\n"), tmp_path / "pid"
    wheel(source / "code", "local", "1.0")
    note = f"pathlib.Path({str(noted)!r})"
    local_project(
        source / "code" / "slow",
        f"{note}.exists() or ({note}.write_text(str(os.getpid())), time.sleep(600))",
    )
    return source, noted


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_cancelling_ends_pip_and_what_it_started(converted: Convert, tmp_path: Path) -> None:
    source, noted = slow(tmp_path)
    cancelled, failures = threading.Event(), []

    def work() -> None:
        try:
            converted(source, cancelled)
        except ConversionError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: noted.is_file() and noted.read_text())
    cancelled.set()
    thread.join(20)
    assert failures == ["the conversion was cancelled"]
    until(lambda: not psutil.pid_exists(int(noted.read_text())))
    assert not converted.left


def test_what_a_killed_conversion_left_is_swept(converted: Convert, tmp_path: Path) -> None:
    source, noted = slow(tmp_path)
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [TRITON_HF, "convert", str(source), "--cache", str(cache)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    until(lambda: noted.is_file() and noted.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    psutil.Process(int(noted.read_text())).kill()
    left = [*cache.glob("artifacts/.*-*"), *cache.glob("requirements/.*-*")]
    assert len(left) == 2
    again = run_cli("convert", str(source), "--cache", str(cache))
    assert again.returncode == 0, again.stderr
    assert (Path(again.stdout.strip()) / "1" / "packages" / "local.py").is_file()
    assert not [path for path in left if path.exists()]


def test_a_relative_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scripted(tmp_path / "model", "./tiny_thing-1.0-py3-none-any.whl\n")
    wheel(source / "code", "tiny_thing", "1.0")
    monkeypatch.chdir(tmp_path)
    entry = Convert(Path("cache"))(Path("model")).path
    assert (entry / "1" / "packages" / "tiny_thing.py").is_file()


def test_check_imports_with_what_it_installs(tmp_path: Path) -> None:
    script = "import six\nassert six.__version__ == '1.16.0'\nassert 'packages' in six.__file__\n"
    source = scripted(tmp_path / "model", "six==1.16.0\n", script + MODEL)
    ended = run_cli("check", str(source), "--import", "--cache", str(tmp_path / "cache"))
    assert (ended.returncode, "serves: custom by its script" in ended.stdout) == (0, True), ended.stdout
    (source / "code" / "requirements.txt").write_text("six==99\n")
    ended = run_cli("check", str(source), "--import", "--cache", str(tmp_path / "cache"))
    assert ended.returncode == 1
    assert "would not serve: code/requirements.txt: no version fits six==99" in ended.stdout


def test_a_submitted_folder_takes_the_place_of_code(converted: Convert, tmp_path: Path) -> None:
    source = scripted(tmp_path / "model", "")
    other = tmp_path / "other"
    other.mkdir()
    (other / "inference.py").write_text(MODEL + "# the other\n")
    own = converted(source)
    assert converted(source, submit_directory=str(source / "code")).path == own.path
    for ignored in ("s3://bucket/sourcedir.tar.gz", "/no/such/folder"):
        assert converted(source, submit_directory=ignored).path == own.path
        [note] = [line for line in converted.lines if "SAGEMAKER_SUBMIT_DIRECTORY is ignored" in line]
        assert ignored in note
    taken = converted(source, submit_directory=other.as_uri())
    assert (taken.path / "1" / "code" / "inference.py").read_text().endswith("# the other\n")
    assert not (taken.path / "1" / "code" / "requirements.txt").exists()
    assert converted(source, submit_directory=str(other)).cached
    (other / "inference.py").write_text(MODEL + "# changed\n")
    assert not converted(source, submit_directory=str(other)).cached
    ended = run_cli(
        "check", str(source), "--cache", str(tmp_path / "cache"), env={"SAGEMAKER_SUBMIT_DIRECTORY": str(other)}
    )
    assert ended.returncode == 0, ended.stdout


def test_the_torch_tier_runs_with_what_the_requirements_pin(
    built: Callable[..., Path], tmp_path: Path, cache: Path, start: Callable[..., Server]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(built("bert", num_labels=3), folder)
    (folder / "code").mkdir()
    (folder / "code" / "requirements.txt").write_text("tqdm==4.66.5\n")  # which transformers imports
    (folder / "code" / "inference.py").write_text(
        "import tqdm\n"
        "def predict_fn(data, model):\n"
        "    return [tqdm.__version__, type(model.tokenizer).__name__, model(data['inputs'])[0]['label']]\n"
    )
    server = start(str(folder), "--cache", str(cache), "--instances", "1").wait()
    version, tokenizer, label = server.post({"inputs": "tea"}).json()
    assert (version, tokenizer) == ("4.66.5", "BertTokenizerFast")
    assert label.startswith("LABEL_")
