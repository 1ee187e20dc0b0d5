"""Other servers, each in an environment of its own, as systems that can be measured beside ours.

All run on processors, whatever card there is. `python -m perf.bench.peers.environments` installs them.
"""

from perf.bench.peers.infinity import Infinity
from perf.bench.peers.litserve import LitServe
from perf.bench.peers.pipeline import Pipeline
from perf.bench.peers.toolkit import Toolkit

PEERS = {"toolkit": Toolkit, "litserve": LitServe, "infinity": Infinity, "pipeline": Pipeline}
"""Classes by name. An instance is one system; `Pipeline` is asked without HTTP, see there."""
