"""triton-hf: convert, serve, check, transform and bench."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click

from converters.errors import ConversionError
from huggingface_backend.errors import EntryError
from server import settings
from server.bench.command import bench
from server.errors import ServerError
from server.transform.command import transform


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="triton-hf")
def cli() -> None:
    """Hugging Face models on Triton behind SageMaker's /invocations, batched."""


@cli.command()
@click.argument("source")
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="Triton model repository to put the entry into; the cache alone if not given.",
)
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to pack the entry into, such as model.tar.gz: SageMaker serves it without converting anything.",
)
@click.option("--name", help="Name of the entry; the source's own name if not given.")
@click.option(
    "--fall-back/--no-fall-back",
    default=False,
    help="Make an entry for PyTorch where the ONNX graph does not answer like it, as serve does, instead of failing.",
)
@settings.options(settings.CONVERSION)
def convert(
    source: str, repository: Path | None, archive: Path | None, name: str | None, fall_back: bool, **given: Any
) -> None:
    """Convert SOURCE, a Hub id, a folder or a model.tar.gz, to an entry of a Triton model repository."""
    require_one_runtime()
    from converters.entry import place
    from converters.pack import pack
    from converters.progress import for_console

    progress = for_console()
    artifact = converted(source, given, progress, fall_back=fall_back)
    manifest = artifact.manifest
    path = place(artifact.path, repository, checked_name(name or artifact.name)) if repository else artifact.path
    if repository and manifest.engine == "tensorrt":
        from converters.tensorrt import place_plan

        plan = place_plan(artifact.path, repository, path.name)
        progress.note(f"for Triton's own tensorrt backend: {plan}")
    done = "converted already" if artifact.cached else "converted"
    progress.note(
        f"{done}: {manifest.task}, {manifest.tier} tier"
        + (f", {manifest.graph} graph in {manifest.precision}" if manifest.graph else "")
    )
    if manifest.tier in ("fast", "accelerated"):
        progress.note(manifest.gate.describe())
    if manifest.quantization is not None:
        progress.note(manifest.quantization.describe())
    if archive is not None:
        pack(artifact.path, archive, progress)
    click.echo(archive or path)


@cli.command()
@click.argument("source", required=False)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="Triton model repository; without SOURCE every entry in it is served.",
)
@click.option("--name", help="Name of the model; the source's own name if not given.")
@settings.options(settings.CONVERSION)
@settings.options(settings.SERVING)
def serve(source: str | None, repository: Path | None, name: str | None, **given: Any) -> None:
    """Serve SOURCE, converting it first if that was not done yet.

    Without SOURCE: every entry of --repository; else, in multi-model mode, none at first; else the Hub model
    HF_MODEL_ID; else the folder HF_MODEL_DIR; else SageMaker's model folder.
    """
    from server.listen import bind
    from server.logs import set_up

    set_up(given["log_level"], triton=given["triton_log_verbose"] > 0)
    logger = logging.getLogger("server")
    require_one_runtime()
    if source is None and repository is None and not given["multi_model"]:
        source = given["model_id"] or str(given["model_dir"] or given["base_dir"] / "model")
        logger.info("serving %s", source)
    listener = bind(given["host"], given["port"])
    logger.info("listening on %s:%d", given["host"], given["port"])
    # Slow to import, and clients are let in already.
    from server.lines import Reading
    from server.placing import Placing
    from server.serve import Serving
    from server.serve import serve as run

    serving = Serving(
        source=source,
        cache=given["cache"] or settings.default_cache(),
        environ=os.environ,
        repository=repository,
        multi_model=given["multi_model"],
        base_dir=given["base_dir"],
        memory_limit=None if given["memory_limit"] is None else given["memory_limit"] * 2**20,
        name=checked_name(name) if name else None,
        options=conversion_options(given),
        strict=given["strict"],
        revision=given["revision"],
        token=given["token"],
        host=given["host"],
        port_range=given["port_range"],
        timeout=settings.timeout(given["timeout"], batch=given["batch"]),
        startup_timeout=given["startup_timeout"],
        queue_size=max(given["queue_size"], given["max_concurrent_transforms"] or 0),
        max_body=settings.max_body(given["max_payload_in_mb"], given["max_request_size"]),
        retry_scripts=given["retry_scripts"],
        placing=Placing(
            given["instances"],
            given["preferred_batch_size"],
            given["max_batch_delay"],
            given["rows_per_run"],
            given["sequence_length"],
        ),
        triton=settings.triton_options(given),
        default_accept=given["default_accept"],
        follow_references=given["follow_references"],
        local_endpoint=given["local_endpoint"],
        reading=Reading(given["batch"], given["mark_bad_lines"]),
        execution_parameters=settings.execution_parameters(
            given["max_concurrent_transforms"], given["batch_strategy"], given["max_payload_in_mb"]
        ),
    )
    run(serving, listener)


@cli.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Print the report as a JSON object.")
@click.option(
    "--import",
    "run_script",
    is_flag=True,
    help="Also install the requirements and import the script, as a server would.",
)
@settings.options(settings.CONVERSION)
def check(source: str, as_json: bool, run_script: bool, **given: Any) -> None:
    """Tell what would become of SOURCE, a Hub id, a folder or a model.tar.gz, without converting or running it.

    Exit code 0 if it would serve, 1 if not.
    """
    from converters.check import check as look
    from converters.check import failed
    from converters.progress import for_console
    from converters.report import show

    try:
        report = look(
            source,
            conversion_options(given),
            given["cache"] or settings.default_cache(),
            for_console(),
            revision=given["revision"],
            token=given["token"],
            run_script=run_script,
        )
    except (ConversionError, EntryError) as error:
        if as_json:
            click.echo(json.dumps(failed(source, error).as_json(), indent=2))
        raise
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        show(report)
    if not report.serves:
        raise click.exceptions.Exit(1)


cli.add_command(transform)
cli.add_command(bench)


def require_one_runtime() -> None:
    """ServerError unless exactly one ONNX Runtime is installed: two share a folder and break each other."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) > 1:
        raise ServerError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall both, then install triton-hf[cpu] or triton-hf[gpu]"
        )
    if not found:
        raise ServerError("no ONNX Runtime is installed: pip install 'triton-hf[cpu]' or 'triton-hf[gpu]'")


def checked_name(name: str) -> str:
    """A model's name as Triton and a URL take it."""
    if not name or name.startswith(".") or not all(c.isalnum() or c in "._-" for c in name):
        raise click.UsageError(f"{name!r} is no model name: letters, digits, dots, dashes and underscores only")
    return name


def main() -> None:
    """Exit codes: 0 done, 1 the work failed, 2 wrong usage."""
    code: Any = 0
    try:
        cli(prog_name="triton-hf")
    except (ConversionError, ServerError, EntryError) as error:
        click.echo(f"triton-hf: {error}", err=True)
        code = 1
    except SystemExit as leaving:
        code = leaving.code
    if threading.active_count() > 1:
        # A download that was given up has threads which the interpreter would wait for.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(code)


def converted(source: str, given: dict[str, Any], progress: Any, *, fall_back: bool) -> Any:
    """The finished entry of a source, by the settings of a conversion."""
    from converters.convert import Converter

    return Converter(given["cache"] or settings.default_cache()).convert(
        source,
        conversion_options(given),
        progress,
        fall_back=fall_back,
        revision=given["revision"],
        token=given["token"],
    )


def conversion_options(given: dict[str, Any]) -> Any:
    """What the settings of a conversion choose."""
    from converters.convert import Options

    return Options(
        task=given["task"],
        program=given["program"],
        trust_remote_code=given["trust_remote_code"],
        submit_directory=given["submit_directory"],
        precision=given["precision"],
        format=given["format"],
        calibration=None if given["calibration"] is None else str(given["calibration"].resolve()),
    )


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
