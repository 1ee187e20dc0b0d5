"""The real toolkit behind multi-model-server, serving one model."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

from tests.toolkit.environment import ensure

# The toolkit keeps its configuration in /etc, where not everyone may write.
START = """
import sys
from sagemaker_inference import model_server
from sagemaker_huggingface_inference_toolkit import mms_model_server, serving
model_server.MMS_CONFIG_FILE = mms_model_server.MMS_CONFIG_FILE = sys.argv[1]
serving.main()
"""


class Toolkit:
    """The toolkit being started; `wait` for its workers.

    It serves a copy of the model. `workers` of None leaves their number to multi-model-server: one a processor. `env`
    has further variables; one of None is taken away.
    One at a time on a machine: the toolkit looks for its server among all processes.
    """

    def __init__(
        self, model_dir: Path, log: Path, workers: int | None = None, env: Mapping[str, str | None] | None = None
    ) -> None:
        """RuntimeError where there is no Java."""
        if shutil.which("java") is None:
            raise RuntimeError("multi-model-server needs Java: apt-get install openjdk-17-jre-headless")
        python = ensure()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        # Short, for there will be Unix sockets in it.
        self.base = Path(tempfile.mkdtemp(prefix="toolkit-")).resolve()
        shutil.copytree(model_dir, self.base / "model")
        own = {
            "SAGEMAKER_BASE_DIR": str(self.base),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "CUDA_VISIBLE_DEVICES": "",
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "LOG_LOCATION": str(self.base / "logs"),
            "METRICS_LOCATION": str(self.base / "logs"),
            "TMPDIR": str(self.base),
            "TEMP": str(self.base),
        }
        if workers is not None:
            own["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(workers)
        wanted = {**os.environ, **own, **(env or {})}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(python), "-c", START, str(self.base / "mms.properties")],
                cwd=self.base,
                env={name: value for name, value in wanted.items() if value is not None},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, timeout: float = 180) -> Toolkit:
        """Until every worker is ready: /ping answers 200 long before."""
        deadline = time.monotonic() + timeout
        with httpx.Client(base_url=self.url, timeout=5) as client:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the toolkit ended with {self.process.returncode}:\n{self.text[-3000:]}")
                if self._ready(client):
                    return self
                time.sleep(0.1)
        raise RuntimeError(f"the toolkit is not ready after {timeout} s:\n{self.text[-3000:]}")

    @property
    def text(self) -> str:
        """What it printed, and the log of its workers."""
        files = [self.log, *sorted((self.base / "logs").glob("m*_log.log"))]
        return "\n".join(file.read_text("utf-8", "replace") for file in files if file.exists())

    def _ready(self, client: httpx.Client) -> bool:
        """Whether each worker has loaded the model; its status is READY as soon as its process runs."""
        try:
            answer = client.get("/models/model")
        except httpx.TransportError:
            return False
        log = self.base / "logs" / "mms_log.log"
        loaded = log.read_text("utf-8", "replace").count("Model model loaded") if log.exists() else 0
        return answer.status_code == 200 and 0 < len(answer.json().get("workers", ())) <= loaded

    def stop(self) -> None:
        """End it with Java and the workers, and delete its copy of the model."""
        group = [process for process in psutil.process_iter() if _group(process) == self.process.pid]
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(30)
        psutil.wait_procs(group, 10)
        shutil.rmtree(self.base, ignore_errors=True)


def _free_port() -> int:
    """A free port below 32,768: multi-model-server calls the others invalid."""
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0
