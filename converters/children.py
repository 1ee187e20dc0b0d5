"""Child processes that do not outlive this one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def bound(command: Sequence[str]) -> list[str]:
    """A command whose process the kernel kills when this one ends, however that comes about.

    It is as it was where util-linux's setpriv is missing. What the process starts in turn is not bound.
    """
    if shutil.which("setpriv"):
        return ["setpriv", "--pdeathsig", "KILL", "--", *command]
    return list(command)
