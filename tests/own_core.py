"""A core of its own for each of pytest's workers, with all that the worker starts.

Importing this is all: before what counts the cores. Two models on the same cores would
only wait for each other's threads; like this each is opened with one.
"""

from __future__ import annotations

import os

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # "gw0", "gw1" and so on
if _WORKER and hasattr(os, "sched_setaffinity"):
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(_WORKER.removeprefix("gw")) % len(_CORES)]})
