"""A packed copy is used where it fits, and gives the very same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil
import pytest
from tiny_graph import LAYOUTS, VOCAB, Layout, write_model

from llm_walkthrough import packing
from llm_walkthrough.catalogue import find
from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import Graph, read_graph
from llm_walkthrough.machine import facts, packed, storage
from llm_walkthrough.model import Model, open_model, open_session
from llm_walkthrough.packing import pack

TWO_FILES = LAYOUTS["grouped, positions"]
TOKENS = np.random.default_rng(1).integers(0, VOCAB, 24)


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(packed.SWITCH)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return read_graph(old(write_model(tmp_path / "tiny", TWO_FILES)))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What sessions were opened from, the ones that failed as well."""
    heard: list[object] = []
    original = ort.InferenceSession

    def session(source: object, *rest: object, **more: object) -> object:
        heard.append(source)
        return original(source, *rest, **more)

    monkeypatch.setattr(ort, "InferenceSession", session)
    return heard


def old(folder: Path, seconds: float = 60) -> Path:
    """Make the files of a folder so old, as those of real models are."""
    then = time.time() - seconds
    for file in folder.iterdir():
        os.utime(file, (then, then))
    return folder


def bits(opened: Model, tokens: np.ndarray = TOKENS) -> Iterator[bytes]:
    """The logits of a prompt and of steps behind it, and the cache."""
    cache = opened.new_cache(len(tokens) + 2)
    for part in (tokens, tokens[:1], tokens[5:6]):
        rows, cache = opened.run(part, cache)
        yield rows.tobytes()
    yield from (np.ascontiguousarray(one).tobytes() for one in cache.arrays().values())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_bits_from_its_copy(
    tmp_path: Path, layout: Layout, opened: list[object]
) -> None:
    folder = old(write_model(tmp_path, layout))
    expected = list(bits(open_model(folder)))
    copy = pack(read_graph(folder))
    assert list(bits(open_model(folder))) == expected
    assert opened[-1] == copy
    assert opened[0] == folder / "model.onnx"


@pytest.mark.model
@pytest.mark.parametrize("variant", ["int4", "float32"])
def test_real_models_keep_every_bit_and_leave_the_weights_to_be_shared(
    tmp_path: Path, variant: str, opened: list[object]
) -> None:
    folder = find(f"smollm2-135m-instruct-{variant}")
    bare = shutil.ignore_patterns(packed.FOLDER)  # the models may be packed already
    here = shutil.copytree(folder, tmp_path / "model", ignore=bare)
    tokens = np.arange(40) * 977
    expected = list(bits(open_model(here), tokens))
    own = private_megabytes(here)
    copy = pack(read_graph(here))
    for threads in (None, 1):
        assert list(bits(open_model(here, threads=threads), tokens)) == expected
    assert opened[-1] == copy
    empty, shared = private_megabytes(None), private_megabytes(here)
    assert not empty or shared - empty < (own - empty) / 4


def private_megabytes(folder: Path | None) -> float:
    """What a process that opens a model has of its own, which it has written to."""
    code = (
        "import sys, llm_walkthrough.model as m; from pathlib import Path\n"
        "model = m.open_model(Path(sys.argv[1])) if sys.argv[1:] else None\n"
        "print(open('/proc/self/smaps_rollup').read())"
    )
    words = [sys.executable, "-c", code, *([str(folder)] if folder else [])]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (line,) = (one for one in told.splitlines() if one.startswith("Private_Dirty"))
    return int(line.split()[1]) / 1000


def test_it_is_made_once_and_lies_beside_the_model(
    graph: Graph, opened: list[object]
) -> None:
    copy = pack(graph)
    assert pack(graph) == copy
    assert len(opened) == 1
    assert copy.is_relative_to(graph.path.parent / packed.FOLDER)
    assert copy.with_name("model.onnx.data").stat().st_size > 0


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_a_changed_model_has_no_copy_until_it_is_packed_and_the_old_one_is_dropped(
    graph: Graph, name: str
) -> None:
    before = pack(graph)
    file = graph.path.with_name(name)
    file.write_bytes(file.read_bytes())  # as many bytes, and perhaps others
    assert packed.find(graph) is None
    after = pack(graph)
    assert packed.find(graph) == after
    assert not before.parent.exists()


def test_a_model_that_has_just_been_written_is_packed_when_its_second_is_over(
    tmp_path: Path,
) -> None:
    """What is written after the copy was made has another time then."""
    folder = write_model(tmp_path, TWO_FILES)
    copy = pack(read_graph(folder))
    weights = folder / "model.onnx.data"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert packed.place_of(read_graph(folder)) != copy


def test_another_onnxruntime_drops_the_copy_and_another_processor_keeps_it(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(graph)
    monkeypatch.setattr(facts, "processor_name", lambda: "Another 9000")
    assert packed.find(graph) is None
    second = pack(graph)
    assert first.is_file()
    monkeypatch.setattr(ort, "get_build_info", lambda: "another build")
    assert packed.find(graph) is None
    third = pack(graph)
    assert [one.is_file() for one in (first, second, third)] == [False, False, True]


@pytest.mark.parametrize("damage", [b"", b"damaged"])
@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_a_damaged_copy_is_as_good_as_none(
    graph: Graph, opened: list[object], name: str, damage: bytes
) -> None:
    expected = list(bits(open_model(graph.path)))
    copy = pack(graph)
    copy.with_name(name).write_bytes(damage)
    assert list(bits(open_model(graph.path))) == expected
    assert opened[-2:] == [copy, graph.path]


def test_altered_graphs_weights_read_in_place_and_other_providers_use_no_copy(
    graph: Graph, opened: list[object]
) -> None:
    copy = pack(graph)
    altered = graph.path.read_bytes()
    open_session(graph, altered)
    open_session(graph, packs=False)
    open_session(graph, provider="cpu")
    assert opened[1:] == [altered, graph.path, graph.path]
    open_session(graph, threads=1)
    assert opened[-1] == copy


def test_the_variable_switches_it_off(
    graph: Graph, opened: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(graph)
    monkeypatch.setenv(packed.SWITCH, "off")
    open_session(graph)
    assert opened[-1] == graph.path


def test_a_copy_that_is_cut_off_leaves_nothing_that_is_used(graph: Graph) -> None:
    def save(file: Path) -> None:
        file.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed.make(graph, save)
    assert packed.find(graph) is None
    home = graph.path.parent / packed.FOLDER
    assert [one.name for one in home.iterdir()] == [".lock"]


def test_two_processes_at_once_make_one_copy(graph: Graph) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from llm_walkthrough import packing, graph\n"
        "saved, save = [], packing._save\n"
        "packing._save = lambda *what: (saved.append(1), save(*what))\n"
        "packing.pack(graph.read_graph(Path(sys.argv[1]))); print(len(saved))"
    )
    command = [sys.executable, "-c", code, str(graph.path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert sorted(one.communicate()[0].strip() for one in both) == [b"0", b"1"]
    assert packed.find(graph) is not None


def test_a_full_disk_is_told_and_nothing_is_written(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_disk", lambda _: 0)
    with pytest.raises(InputError, match="will take 0 MB, but its disk has only 0 MB"):
        pack(graph)
    assert packed.find(graph) is None


# --- in the background ----------------------------------------------------------------


def test_in_the_background_it_is_made_by_a_process_of_its_own(
    graph: Graph, opened: list[object]
) -> None:
    others = psutil.Process().children()
    packing.in_background(graph, 0).join()
    assert packed.find(graph) is not None
    assert opened == []
    assert psutil.Process().children() == others


def test_what_is_there_switched_off_or_read_only_is_not_waited_for(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits() -> bool:
        timer = packing.in_background(graph, 3_600)
        timer.cancel()
        return timer.ident is not None

    pack(graph)
    assert not waits()
    shutil.rmtree(graph.path.parent / packed.FOLDER)
    monkeypatch.setenv(packed.SWITCH, "off")
    assert not waits()
    monkeypatch.delenv(packed.SWITCH)
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        assert not waits()
    assert waits()


def test_the_helper_ends_with_the_process_that_started_it(graph: Graph) -> None:
    # it waits for the lock that we hold
    code = (
        "import sys, time; from pathlib import Path\n"
        "from llm_walkthrough import graph, packing\n"
        "packing.in_background(graph.read_graph(Path(sys.argv[1])), 0)\n"
        "time.sleep(600)"
    )
    home = graph.path.parent / packed.FOLDER
    with storage.exclusive(home, lambda: None):
        words = [sys.executable, "-c", code, str(graph.path)]
        kernel = subprocess.Popen(words)
        deadline = time.monotonic() + 60
        while not (helpers := psutil.Process(kernel.pid).children()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kernel.kill()
        kernel.wait()
        gone, alive = psutil.wait_procs(helpers, timeout=60)
        assert gone
        assert not alive
    assert packed.find(graph) is None
