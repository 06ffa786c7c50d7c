"""A model's packed copy: made at once, or by a helper while a learner goes on.

The helper comes when the first cells are long done, has the lowest priority, and ends
with the process that started it. Knows nothing of where copies lie and which one fits.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread, Timer

import psutil

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph, read_graph
from llm_walkthrough.machine import packed
from llm_walkthrough.machine.providers import session_options
from llm_walkthrough.model import new_session

_SAVED = "session.optimized_model_external_initializers"
SECONDS_BEFORE = 30  # what a learner does first is not to become slower


def pack(graph: Graph) -> Path:
    """Make the packed copy that `open_session` opens, unless it is there; returns it.

    InputError if onnxruntime cannot open the graph, or as `packed.make` raises.
    """
    return packed.make(graph, partial(_save, graph))


def _save(graph: Graph, file: Path) -> None:
    options, providers = session_options(1, None)  # others may be at work meanwhile
    options.optimized_model_filepath = str(file)
    add = options.add_session_config_entry
    add(f"{_SAVED}_file_name", f"{file.name}.data")
    add(f"{_SAVED}_min_size_in_bytes", "1024")
    add("session.save_external_prepacked_constant_initializers", "1")
    new_session(graph, graph.path, options, providers, "pack")


def in_background(graph: Graph, after: float = SECONDS_BEFORE) -> Timer:
    """Have the copy made `after` so many seconds, unless it is there or cannot be."""
    timer = Timer(after, _make, [graph])
    timer.daemon = True  # a process that ends does not wait for it
    can_write = os.access(graph.path.parent, os.W_OK)
    if can_write and not packed.is_off() and not packed.find(graph):
        timer.start()
    return timer


def _make(graph: Graph) -> None:
    command = [sys.executable, "-P", "-m", __name__, str(graph.path)]
    with (
        suppress(OSError, psutil.Error),  # then this machine goes on without
        Popen(  # noqa: S603 - ourselves
            command,
            stdin=PIPE,  # closed by whatever ends this process
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process
        ) as helper,
    ):
        lowest = psutil.IDLE_PRIORITY_CLASS if psutil.WINDOWS else 19
        psutil.Process(helper.pid).nice(lowest)
        helper.wait()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    Thread(target=_end_with_input, daemon=True).start()
    with suppress(InputError):
        pack(read_graph(Path(sys.argv[1])))
