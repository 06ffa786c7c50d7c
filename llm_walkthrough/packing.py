"""A helper process that makes a model's packed copy while a learner goes on.

It comes when the first cells are long done, has the lowest priority, says nothing, and
ends with the process that started it. Knows nothing of what a copy is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph, read_graph
from llm_walkthrough.machine import packed
from llm_walkthrough.model import pack

SECONDS_BEFORE = 30  # what a learner does first is not to become slower
_LOWEST = psutil.IDLE_PRIORITY_CLASS if psutil.WINDOWS else 19


def in_background(graph: Graph, after: float = SECONDS_BEFORE) -> threading.Timer:
    """Have the copy made `after` so many seconds, if it can be; returns at once."""
    timer = threading.Timer(after, partial(_make, graph))
    timer.daemon = True  # a process that ends does not wait for it
    timer.start()
    return timer


def _make(graph: Graph) -> None:
    """Make the copy in a process of its own, unless it is there; wait for that."""
    can_write = os.access(graph.path.parent, os.W_OK)
    if not packed.is_on() or packed.find(graph) or not can_write:
        return
    with (
        suppress(OSError, psutil.Error),  # then this machine goes on without
        subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", __name__, str(graph.path)],
            stdin=subprocess.PIPE,  # closed by whatever ends this process
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process
        ) as helper,
    ):
        psutil.Process(helper.pid).nice(_LOWEST)
        helper.wait()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    with suppress(InputError):
        pack(read_graph(Path(sys.argv[1])))
