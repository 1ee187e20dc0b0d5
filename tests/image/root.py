"""Commands in a folder that holds a whole system, in namespaces of their own, as Docker would run them."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CAPABILITIES = (
    "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,"
    "audit_write,setfcap"
)
"""What Docker leaves to a container's root."""

SHM = "64m"
"""Docker's and SageMaker's /dev/shm."""

# Runs as process 1 of new namespaces; $1 is the root.
_PREPARE = """
set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for name in null zero full random urandom tty; do
    touch "$1/dev/$name"
    mount --bind "/dev/$name" "$1/dev/$name"
done
ln -s /proc/self/fd "$1/dev/fd"
mkdir "$1/dev/shm"
mount -t tmpfs -o "mode=1777,size=$2" shm "$1/dev/shm"
"""


@dataclass
class Overlay:
    """Layers, lowest first, and one to write into, seen as one folder while it is mounted."""

    layers: Sequence[Path]
    upper: Path

    def __enter__(self) -> Path:
        work, root = (self.upper.with_name(f"{self.upper.name}.{kind}") for kind in ("work", "root"))
        for folder in (self.upper, work, root):
            folder.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in reversed(self.layers))
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={self.upper},workdir={work}", root],
            check=True,
        )
        self._root = root
        return root

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self._root], check=True)


@dataclass
class Run:
    """One command and what surrounds it."""

    root: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    user: str = "0:0"
    folder: str = "/"
    network: bool = False
    """The machine's network; else nothing but a loopback of its own."""
    mounts: Mapping[str, tuple[Path, bool]] = field(default_factory=dict)
    """Path in the root to a path outside, and whether it may be written to."""

    def start(self, output: int | None = None) -> subprocess.Popen[bytes]:
        unshare = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        script = [_PREPARE]
        if self.network:
            script += [_bind(Path(name), f"$1{name}", writable=False) for name in ("/etc/resolv.conf", "/etc/hosts")]
        else:
            unshare.append("--net")
            script.append("ip link set lo up")
        for inside, (outside, writable) in self.mounts.items():
            script.append(_bind(outside, f"$1{inside}", writable))
        privileges = f"setpriv --bounding-set=-all,+{',+'.join(CAPABILITIES.split(','))} --inh-caps=-all"
        inner = 'cd "$0" && exec "$@"'
        script.append(
            f"exec env -i {_assignments(self.environment)} {privileges} "
            f'chroot --userspec={self.user} --groups= "$1" /bin/sh -c {shlex.quote(inner)} '
            f"{shlex.quote(self.folder)} {shlex.join(self.command)}"
        )
        return subprocess.Popen(
            [*unshare, "sh", "-c", "\n".join(script), "sh", self.root, SHM],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
        )


def _bind(outside: Path, inside: str, writable: bool) -> str:
    source = shlex.quote(str(outside))
    make = f'mkdir -p "{inside}"' if outside.is_dir() else f'mkdir -p "$(dirname "{inside}")"; touch "{inside}"'
    bind = f'mount --bind {source} "{inside}"'
    return f"{make}\n{bind}" if writable else f'{make}\n{bind}\nmount -o remount,bind,ro "{inside}"'


def _assignments(environment: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())


class Container:
    """A running image, reached through its own loopback."""

    def __init__(self, run: Run, log: Path) -> None:
        with log.open("wb") as file:
            self._process = run.start(file.fileno())
        self._log = log
        self._first = self._first_process()

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def inside(self, code: str, *arguments: str, timeout: float = 120) -> str:
        """What a piece of Python prints that runs outside the image but on its network and sees its processes."""
        command = ["nsenter", f"--target={self._first}", "--net", "--pid", "--", sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return done.stdout

    def processes(self) -> dict[int, tuple[str, str]]:
        """State and command of each of its processes, by its number outside."""
        namespace = Path(f"/proc/{self._first}/ns/pid").readlink()
        found: dict[int, tuple[str, str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "ns/pid").readlink() == namespace:
                    name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
                    found[int(folder.name)] = (rest.split()[0], name)
            except OSError:
                # It has ended meanwhile.
                continue
        return found

    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self, deadline: float = 30) -> tuple[int, float]:
        """SIGTERM to its first process: exit code and seconds."""
        began = time.monotonic()
        os.kill(self._first, signal.SIGTERM)
        return self._process.wait(deadline), time.monotonic() - began

    def wait(self, deadline: float) -> int:
        return self._process.wait(deadline)

    def kill(self) -> None:
        if self.running():
            os.kill(self._first, signal.SIGKILL)
            self._process.wait(10)

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for _ in range(100):
            if numbers := children.read_text().split():
                return int(numbers[0])
            time.sleep(0.05)
        raise RuntimeError(self.log())


def require_tools() -> None:
    missing = [name for name in ("debootstrap", "unshare", "nsenter", "setpriv", "ip") if shutil.which(name) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (apt-get install debootstrap util-linux iproute2)")
    if os.geteuid() != 0:
        sys.exit("only root can mount and chroot")
