"""The copy of a model whose weights lie as onnxruntime packs them for this machine.

Each process that opens a model lays its weights out anew for the processor, which takes
as much memory again. In a packed copy they lie so already: they are mapped, and all
processes share them. A copy is in a folder beside the graph, under a name that fits one
build of onnxruntime, one state of the model and one processor; whoever finds none of
that name opens the model itself. Knows nothing of sessions.
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
SWITCH = "LLM_WALKTHROUGH_PACKED"
"""Set to "off", no copy is used, and none is made in the background."""
_RECORD = "conversion.json"  # has the hash of each file, where there is one
_OLD = 2  # seconds, from which on a file that changes gets another time


def is_on() -> bool:
    """Tell whether copies may be used."""
    return os.environ.get(SWITCH, "").lower() not in ("off", "0", "no")


def find(graph: Graph) -> Path | None:
    """Return the graph in the packed copy, None where none fits."""
    with suppress(OSError):  # what cannot be read here, is said by who opens the model
        if is_on() and (place := place_of(graph)).is_file():
            return place
    return None


def make(graph: Graph, save: Callable[[Path], None]) -> Path:
    """Have a copy made unless it is there, drop those of other states; returns it.

    One process at a time makes it, and it gets its name when `save` has written all.

    Raises:
        InputError: no room on the disk, or no right to write.
    """
    place = place_of(graph)
    home = place.parent.parent
    with storage.exclusive(home, lambda: None):
        if not place.is_file():
            files = _files(graph)
            storage.require_room(home, 4 * sum(one.stat().st_size for one in files))
            newest = max(one.stat().st_mtime for one in files)
            time.sleep(min(max(0, newest + _OLD - time.time()), _OLD))
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
    record = graph.path.with_name(_RECORD)
    known = record.read_bytes() if record.is_file() else b""
    processor = platform.machine(), facts.processor_name(), facts.instruction_sets()
    parts = (ort.get_build_info(), (graph.path.name, model, known), processor)
    name = "-".join([ort.__version__, *(_short(part) for part in parts)])
    return graph.path.parent / FOLDER / name / "model.onnx"


def _files(graph: Graph) -> list[Path]:
    return [graph.path, *map(graph.path.parent.joinpath, graph.data_files)]


def _short(part: object) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:8]
