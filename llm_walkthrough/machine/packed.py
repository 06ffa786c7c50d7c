"""The copy of a model whose weights lie as onnxruntime packs them for this machine.

Each process that opens a model lays its weights out anew, which takes as much memory
again. From a packed copy they are mapped, and all processes share them. It lies beside
the graph, under a name that fits one build of onnxruntime, one state of the model and
one processor. Knows nothing of sessions.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import onnxruntime as ort

from llm_walkthrough.graph import Graph
from llm_walkthrough.machine import facts, storage

FOLDER = "packed"
SWITCH = "LLM_WALKTHROUGH_PACKED"  # "off": no copy is used, and none is made
_OLD = 2  # seconds; a file that changes after them has another time


def is_off() -> bool:
    """Tell whether no copy shall be used."""
    return os.environ.get(SWITCH) == "off"


def find(graph: Graph) -> Path | None:
    """Return the graph in the packed copy, None where none fits."""
    with suppress(OSError):  # what cannot be read here, is said by who opens the model
        if not is_off() and (place := place_of(graph)).is_file():
            return place
    return None


def make(graph: Graph, save: Callable[[Path], None]) -> Path:
    """Have a copy made unless it is there, and drop those that are stale; returns it.

    One process at a time makes it, and it gets its name when `save` has written all.
    InputError without room on the disk, or without the right to write.
    """
    place = place_of(graph)
    home = place.parent.parent
    with storage.exclusive(home, lambda: None):
        if not place.is_file():
            found = [one.stat() for one in _files(graph)]
            storage.require_room(home, 4 * sum(one.st_size for one in found))
            age = time.time() - max(one.st_mtime for one in found)
            time.sleep(min(max(0, _OLD - age), _OLD))
            with storage.replacement(place.parent) as folder:
                save(folder / place.name)
                for file in folder.iterdir():  # on the disk before it has its name
                    with file.open("r+b") as written:
                        os.fsync(written.fileno())
        fits = place.parent.name.rpartition("-")[0]  # also on other processors
        for other in home.glob("[!.]*"):
            if not other.name.startswith(fits):
                shutil.rmtree(other, ignore_errors=True)
    return place


def place_of(graph: Graph) -> Path:
    """Return where the graph of the packed copy is, or would be."""
    stats = [(one.name, one.stat()) for one in _files(graph)]
    model = [(name, found.st_size, int(found.st_mtime)) for name, found in stats]
    record = graph.path.with_name("conversion.json")  # has a hash of each file
    hashes = record.read_bytes() if record.is_file() else b""
    processor = platform.machine(), facts.processor_name(), facts.instruction_sets()
    parts = (ort.get_build_info(), (model, hashes), processor)
    digests = (hashlib.sha256(repr(part).encode()).hexdigest()[:8] for part in parts)
    name = "-".join([ort.__version__, *digests])
    return graph.path.parent / FOLDER / name / "model.onnx"


def _files(graph: Graph) -> list[Path]:
    return [graph.path, *map(graph.path.parent.joinpath, graph.data_files)]
