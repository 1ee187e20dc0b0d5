"""A user's script, read without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.code import normal_program, submitted_folder, why_no_script
from converters.errors import ConversionError
from converters.exports import ACCELERATED_AS, EXPORTABLE, FAST_AS, PROVEN, known_architectures, outlook
from converters.plan import Ask, instances, plan
from converters.scripts import ScriptFacts, read_script
from converters.worker.candidates import supported_tasks
from huggingface_backend.errors import EntryError
from huggingface_backend.script import HOOKS, Script, program_file


def facts(folder: Path, text: str, **others: str) -> ScriptFacts:
    for name, content in {"inference": text, **others}.items():
        path = folder / "code" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return read_script(folder / "code", folder / "code" / "inference.py")


def test_hooks_are_found_without_running_the_script(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        "raise SystemExit\n"
        "from elsewhere import my_output as output_fn\n"
        "def model_fn(model_dir): ...\n"
        "predict_fn = lambda data, model: data\n"
        "class A:\n    def input_fn(self): ...\n",
    )
    assert found.names == ("model_fn", "predict_fn", "output_fn")
    by_name = {hook.name: hook for hook in found.hooks}
    assert (by_name["model_fn"].signature, by_name["model_fn"].where) == ("(model_dir)", "inference.py:3")
    assert by_name["predict_fn"].signature == "(data, model)"
    assert (by_name["output_fn"].signature, by_name["output_fn"].context) == (None, None)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("try:\n    import torch\n    def model_fn(d): ...\nexcept ImportError:\n    pass\n", ("model_fn",)),
        ("if True:\n    def input_fn(b, t): ...\n", ("input_fn",)),
        ("def own(d, m): ...\npredict_fn = own\n", ("predict_fn",)),
        ("def predict_fn(d, m): ...\npredict_fn = None\n", ()),
        ("input_fn, output_fn = make()\n", ("input_fn", "output_fn")),
        ("input_fn: object = lambda b, t: b\n", ("input_fn",)),
        ("async def predict_fn(d, m): ...\n", ("predict_fn",)),
        ("def other():\n    def predict_fn(d, m): ...\n", ()),
        ("def predict_batch_fn(d, m): ...\n", ("predict_batch_fn",)),
    ],
)
def test_ways_to_bind_a_hook(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    assert facts(tmp_path, text).names == names


def test_names_are_followed_through_the_users_own_modules(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        "from handlers import *\nfrom lib.more import mine as output_fn\nfrom .near import input_fn\n",
        handlers="def predict_fn(data, model, context):\n    return model.tokenizer\n_input_fn = 1\n",
        lib__more="def mine(prediction, accept): ...\n",
        near="from json import *\n",
    )
    assert [(hook.name, hook.where, hook.context) for hook in found.hooks] == [
        ("input_fn", "inference.py:3", None),
        ("predict_fn", "handlers.py:1", True),
        ("output_fn", "lib/more.py:1", False),
    ]
    assert found.model_use is not None
    assert found.model_use.startswith("handlers.py:2: predict_fn uses model.tokenizer")


def test_stars_from_elsewhere_are_told(tmp_path: Path) -> None:
    assert facts(tmp_path, "import os\nfrom json import *\n").stars == ("inference.py:2: from json import *",)


@pytest.mark.parametrize(
    ("hook", "use"),
    [
        ("def predict_fn(data, model):\n    return model(data['inputs'], **data)", None),
        ("def predict_fn(data, model):\n    return {'task': model.task, 'answer': model(data)}", None),
        ("def predict_fn(data, model):\n    return model(data) if model is not None else []", None),
        ("def predict_fn(data, model):\n    return data.model", None),
        ("def predict_fn(data, m):\n    return m.model(data)", "inference.py:2: predict_fn uses m.model"),
        ("def predict_fn(data, model):\n    x = 1\n    return run(model, x)", ":3: predict_fn passes model to run()"),
        ("def predict_fn(data, model):\n    return run(pipe=model)", "passes model on as pipe"),
        ("def predict_fn(data, model):\n    return model['net']", "indexes model"),
        ("def predict_fn(data, model):\n    net, tok = model\n    return net", "unpacks model"),
        ("def predict_fn(data, model):\n    pipe = model\n    return pipe(data)", "passes model on"),
        ("def predict_fn(data, model):\n    return [f(model.tokenizer) for f in data]", "uses model.tokenizer"),
        ("predict_fn = lambda data, model: model.tokenizer(data)", "uses model.tokenizer"),
        ("def transform_fn(model, body, kind, accept):\n    return model.config", "transform_fn uses model.config"),
        ("def transform_fn(first, model, kind, accept):\n    return model.lower() + first(model)", None),
        ("def predict_batch_fn(batch, model):\n    return model.forward(batch)", "predict_batch_fn uses model.forward"),
        ("def model_fn(d): ...\ndef predict_fn(data, model):\n    return model.tokenizer", None),
        ("def input_fn(body, model):\n    return model.lower()", None),
    ],
)
def test_what_a_hook_does_with_the_default_model(hook: str, use: str | None, tmp_path: Path) -> None:
    found = facts(tmp_path, hook + "\n").model_use
    assert (found is None) == (use is None)
    assert found is None or (use is not None and use in found)


def test_problems_are_the_loaders_own_words(tmp_path: Path) -> None:
    text = "def transform_fn(m, b, t): ...\ndef input_fn(*args): ...\ndef output_fn(p, a, c=None): ...\n"
    found = facts(tmp_path, text)
    namespace: dict[str, object] = {}
    exec(text, namespace)
    said = []
    for hooks in ({"transform_fn"}, {"input_fn"}, {"output_fn"}):
        try:
            Script("inference.py", {name: namespace[name] for name in hooks})  # type: ignore[misc]
        except EntryError as error:
            said.append(str(error))
    assert len(said) == 2
    assert set(said) < set(found.problems)
    assert "transform_fn cannot be used together with input_fn, output_fn" in found.problems[-1]


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("hook", HOOKS)
def test_the_context_is_told_by_the_number_of_parameters(hook: str, count: int, tmp_path: Path) -> None:
    parameters = ", ".join(f"p{index}" for index in range(count))
    found = facts(tmp_path, f"def {hook}({parameters}): ...\n")
    fits = count in (HOOKS[hook], HOOKS[hook] + 1)
    assert bool(found.problems) != fits
    assert found.hooks[0].context == (count == HOOKS[hook] + 1)


def test_a_decorator_may_change_the_parameters(tmp_path: Path) -> None:
    assert not facts(tmp_path, "@wrapped\ndef predict_fn(self, data, model, more): ...\n").problems


def test_imports_that_may_be_absent_are_not_needed(tmp_path: Path) -> None:
    found = facts(
        tmp_path,
        "import here, lib.more, needed.sub\n"
        "from typing import TYPE_CHECKING\n"
        "try:\n    import perhaps\nexcept ImportError:\n    perhaps = None\n"
        "if TYPE_CHECKING:\n    import only_for_types\n"
        "def f():\n    import later\n",
        here="import behind\n",
        lib__more="from json import loads\n",
    )
    assert found.imports == {
        "needed": "inference.py:1",
        "typing": "inference.py:2",
        "behind": "here.py:1",
        "json": "lib/more.py:1",
    }


@pytest.mark.parametrize("text", ["def predict_fn(:\n", "x = '\n", "\0"])
def test_a_script_that_is_no_python(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"^inference.py"):
        facts(tmp_path, text)


def test_programs(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "package" / "sub").mkdir(parents=True)
    for name in ("inference.py", "package/__init__.py", "package.py", "package/serve.py"):
        (code / name).write_text("")
    assert normal_program("inference") == normal_program("inference.py") == "inference.py"
    assert program_file(code, "inference") == code / "inference.py"
    assert program_file(code, "package.py") == code / "package" / "__init__.py"
    assert program_file(code, "package.serve") == code / "package" / "serve.py"
    for program in ("absent.py", "../code/inference.py", str(code / "inference.py"), "package/serve.py", ""):
        assert program_file(code, program) is None
    assert why_no_script(tmp_path / "none", "inference.py") is None
    assert why_no_script(tmp_path / "none", "serve") == (
        "there is no serve in code/: the model is served without a script"
    )


def test_submitted_folders(tmp_path: Path) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "with space").mkdir()
    model = tmp_path / "model"
    assert submitted_folder(None, model) == (None, None)
    assert submitted_folder("", model) == (None, None)
    assert submitted_folder(str(model / "code"), model) == (None, None)
    assert submitted_folder(str(model / "code"), None) == (model / "code", None)
    assert submitted_folder((tmp_path / "with space").as_uri(), model) == (tmp_path / "with space", None)
    for ignored in ("s3://bucket/source.tar.gz", "https://example.org/x", str(tmp_path / "absent")):
        folder, note = submitted_folder(ignored, model)
        assert folder is None
        assert note is not None
        assert ignored in note


def test_a_submitted_folder_needs_no_trust(tmp_path: Path) -> None:
    for name in ("model/code", "mine"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "inference.py").write_text("def model_fn(d): ...\n")
    model = tmp_path / "model"
    assert "HF_TRUST_REMOTE_CODE" in plan(model, Ask(trusted=False), ()).notes[0]
    assert plan(model, Ask(trusted=False, trust_remote_code=True), ()).tier == "script"
    assert plan(model, Ask(trusted=False, submitted=tmp_path / "mine"), ()).code == tmp_path / "mine"


def test_instances() -> None:
    assert instances("fast", (), 4) == 1
    assert instances("fast", ("input_fn", "output_fn"), 4) == 1
    assert instances("fast", ("predict_fn",), 4) == 4
    assert instances("torch", (), 4) == 4
    assert instances("script", ("model_fn", "predict_batch_fn"), 4) == 1


def test_architectures_are_those_of_the_libraries() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert known_architectures() == frozenset(CONFIG_MAPPING_NAMES)
    for task, kinds in EXPORTABLE.items():
        exported = {kind for kind in CONFIG_MAPPING_NAMES if task in supported_tasks(kind)}
        assert exported == kinds, task
    assert {*FAST_AS.values(), *ACCELERATED_AS.values()} == {*EXPORTABLE, "text-to-image"}
    assert EXPORTABLE["feature-extraction"] >= PROVEN
    assert [outlook("text-classification", kind) for kind in ("bert", "xlm", "t5")] == ["proven", "open", "none"]
