"""`python -m perf.bench.peers.environments [NAME…]` makes the peers' environments that are missing, one line each."""

from __future__ import annotations

import sys

from perf.bench.peers.environment import NAMES, ensure
from perf.bench.system import Unavailable


def main(names: list[str]) -> int:
    """All where none is named; the exit status."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        sys.stderr.write(f"no environment is called {unknown[0]}; there are {', '.join(NAMES)}\n")
        return 2
    failed = False
    for name in names or NAMES:
        try:
            sys.stdout.write(f"{name}: {ensure(name)}\n")
        except Unavailable as error:
            sys.stderr.write(f"{error}\n")
            failed = True
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
