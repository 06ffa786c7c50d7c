"""A class is reviewed: who is right is found out whatever a learner's code does.

The lessons are those whose checks need no model, but for the last test.
"""

from __future__ import annotations

import csv
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from made_class import COURSE, Made, odd_files, solved
from playwright.sync_api import Browser

from llm_walkthrough.errors import InputError
from tools.review import __main__ as review
from tools.review import kernel, learner
from tools.review.judge import RIGHT, STOPPED, UNANSWERED, UNTRIED
from tools.review.lesson import handed_in, lighter, names_in, needed

LESSON = "04_kv_cache"
LESSONS = (LESSON, "05_sampling", "08_structured_output", "09_inside")
HARM = """\
endless loop, many blocks, os._exit, forks, claims, patched, equal to all,
leaves a process, writes elsewhere, exit(), syntax"""
NAMES = {"patched": "=1+2", "forks": "<script>bad()", "claims": "two\nlines"}
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tools.review"]
posix = pytest.mark.skipif(os.name == "nt", reason="such names and files are POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="unshare is Linux's")


class Reviewed(NamedTuple):
    made: Made
    to: Path

    def read(self, ending: str) -> str:
        return (self.to / f"review.{ending}").read_text("utf-8-sig")


def reviewed(made: Made, to: Path, *words: str) -> Reviewed:
    limits = ("--jobs", "2", "--memory", "0.5", *words)
    review.main([str(made.folder), "--to", str(to), *limits])
    return Reviewed(made, to)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    folder = tmp_path_factory.mktemp("class")
    made = Made(folder / "7b")
    made.answer_rightly("learner 00", LESSON)
    for number, lesson in enumerate(LESSONS[1:]):
        made.answer_wrongly("wrong", lesson, number)
    made.damage("half", LESSON, "half")
    for harm in re.split(r",\s+", HARM):
        made.do_harm(NAMES.get(harm, harm), LESSON, harm)
    odd_files(made, "odd files", LESSONS)
    return reviewed(made, folder / "tables", "--seconds", "8")


@posix
def test_each_gets_what_its_answers_are_worth(whole: Reviewed) -> None:
    assert whole.made.mistakes(whole.to / "review.csv") == []


@posix
def test_nothing_that_a_learner_started_is_left(whole: Reviewed) -> None:
    del whole
    lines = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if "time.sleep(987)" in " ".join(line)] == []


@posix
def test_no_name_is_a_formula_a_tag_or_a_line(whole: Reviewed) -> None:
    rows = [*csv.reader(whole.read("csv").splitlines())]
    assert {len(row) for row in rows} == {5}
    assert not any(
        cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row
    )
    assert "<script>" not in whole.read("html")
    assert "two⏎lines" in whole.read("txt")


@posix
def test_the_tables_say_that_the_code_runs_here(whole: Reviewed) -> None:
    for ending in ("txt", "html"):
        assert "runs the learners" in whole.read(ending)


@posix
@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_read_the_page(
    whole: Reviewed, chromium: Browser, theme: str
) -> None:
    page = chromium.new_page(color_scheme=theme)  # type: ignore[arg-type]
    page.goto((whole.to / "review.html").as_uri())
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    page.close()
    assert found.response["violations"] == []


# --- how it ends ----------------------------------------------------------------------


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still do something, a moment later."""
    _, left = psutil.wait_procs([*processes], timeout=0.5)
    return [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def words_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):  # it may end meanwhile
        return " ".join(process.cmdline())
    return ""


def children() -> set[psutil.Process]:
    return {*psutil.Process().children(recursive=True)}


def table(to: Path) -> dict[str, str]:
    with (to / "review.csv").open(encoding="utf-8-sig") as stream:
        return {row["exercise"]: row["verdict"] for row in csv.DictReader(stream)}


def test_when_the_time_is_up_the_table_says_what_was_not_tried(tmp_path: Path) -> None:
    made = Made(tmp_path / "7b")
    made.do_harm("one", LESSON, "endless loop")
    before, began = children(), time.monotonic()
    words = ["--to", str(tmp_path), "--jobs", "1", "--minutes", "0.03"]
    assert review.main([str(made.folder), *words]) == 1
    assert time.monotonic() - began < 20
    assert alive(children() - before) == []
    assert UNTRIED in table(tmp_path).values()
    assert "The 0.03 minutes were up." in (tmp_path / "review.txt").read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_leaves_a_table_and_no_process(tmp_path: Path) -> None:
    made = Made(tmp_path / "7b")
    made.do_harm("one", LESSON, "endless loop")
    words = [str(made.folder), "--to", str(tmp_path), "--jobs", "1"]
    with subprocess.Popen(
        [*COMMAND, *words], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as it:
        family, deadline = set[psutil.Process](), time.monotonic() + 20
        while not any("learner.py" in words_of(p) for p in family):
            assert time.monotonic() < deadline
            time.sleep(0.1)
            family = {p for p in kernel.family(it.pid) if p.is_running()}
        it.send_signal(signal.SIGINT)
        assert it.wait(timeout=120) == 1
    assert alive(family) == []
    assert "It was interrupted." in (tmp_path / "review.txt").read_text("utf-8")


@linux
def test_a_judge_that_is_killed_is_replaced_behind_the_culprit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # so that nothing shuts the learner in
    kernel.wrapper.cache_clear()
    made = Made(tmp_path / "7b")
    made.do_harm("one", LESSON, "kills its parent")
    assert reviewed(made, tmp_path).made.mistakes(tmp_path / "review.csv") == []
    kernel.wrapper.cache_clear()
    assert sorted(table(tmp_path).values()) == [RIGHT, RIGHT, RIGHT, STOPPED]
    text = (tmp_path / "review.txt").read_text("utf-8")
    assert "Nothing shuts it in here" in text


def test_without_a_model_it_is_said_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path / "none"))
    made = Made(tmp_path / "7b")
    made.answer_rightly("one", "01_graph")
    reviewed(made, tmp_path)
    assert table(tmp_path)["input_shapes"] == UNTRIED
    assert "models fetch" in (tmp_path / "review.txt").read_text("utf-8")


# --- which files ----------------------------------------------------------------------


def test_a_learner_is_a_folder_or_what_a_file_is_called(tmp_path: Path) -> None:
    names = [
        f"anna/my_course/{LESSON}.ipynb",
        f"anna/my_course/solutions/{LESSON}.ipynb",
        f"anna/my_course/.ipynb_checkpoints/{LESSON}-checkpoint.ipynb",
        f"anna/{LESSON} (1).ipynb",
        f"ben_{LESSON}.ipynb",
        f"{LESSON}.ipynb",
        "dan/homework.ipynb",
    ]
    for age, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, age))
    found = handed_in(tmp_path, LESSONS)
    assert [*found] == ["(no name)", "anna", "ben", "dan"]
    assert found["anna"] == {LESSON: tmp_path / names[3]}
    assert found["dan"] == {}


def test_a_folder_without_notebooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no notebooks"):
        handed_in(tmp_path, LESSONS)


def test_one_notebook_can_be_reviewed_alone(tmp_path: Path) -> None:
    made = Made(tmp_path / "7b")
    made.answer_rightly("one", LESSON)
    made.answer_rightly("one", "05_sampling")
    for number, word in enumerate(["05_sampling", "05", "05_sampling.ipynb"]):
        to = tmp_path / str(number)
        words = [str(made.folder), "--to", str(to), "--minutes", "0.01"]
        review.main([*words, "--only", word])
        rows = [*csv.DictReader((to / "review.csv").open(encoding="utf-8-sig"))]
        assert {row["notebook"] for row in rows} == {"05_sampling"}
    text = (to / "review.txt").read_text("utf-8")
    assert "1 learner, 1 notebook, " in text


def test_an_unknown_notebook_is_refused_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(tmp_path / "7b")
    made.answer_rightly("one", LESSON)
    assert review.main([str(made.folder), "--only", "05_samplign"]) == 2
    said = capsys.readouterr().err
    assert "'05_samplign'" in said
    assert "05_sampling" in said


# --- which cells ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "makes", "uses"),
    [
        ("import numpy as np, os.path", {"np", "os"}, set()),
        ("def f(x):\n    y = x + shift\n    return np.sin(y)", {"f"}, {"shift", "np"}),
        ("row = 3\nrow += 1", {"row"}, set()),
        ("total = total + 1", {"total"}, {"total"}),
        ("[x for x in xs]", set(), {"xs"}),
        ("def f():\n    global seen\n    seen = 1", {"f", "seen"}, set()),
        ("%%time\nx = y", {"time", "x", "y"}, {"time", "x", "y"}),
        ("def f(:", {"def", "f"}, {"def", "f"}),
    ],
)
def test_a_cell_makes_and_uses(cell: str, makes: set[str], uses: set[str]) -> None:
    assert (*map(set, names_in(cell)),) == (makes, uses)


def test_only_the_cells_that_an_answer_needs_run() -> None:
    cells = ["a = 1", "b = slow()", "def helper(x):\n    return x + a", "c = a"]
    cells += ["def answer(x):\n    return helper(x)", "answer(b)"]
    places, wanted = needed(cells, ["answer"])
    assert places == [0, 2, 4]
    assert {"answer", "helper", "a"} <= wanted


def test_of_imports_those_that_nobody_wants_are_left_out() -> None:
    cell = (
        "try:\n    import json\n    import numpy as np\nexcept ImportError:\n    raise"
    )
    assert lighter(cell, {"np"}) == "import numpy as np"
    assert lighter("import json\nx = 1", {"x"}) == "import json\nx = 1"


# --- what comes out of a learner's process --------------------------------------------


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_an_answer_runs_no_code_where_it_is_read() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"exec is no plain value"):
        learner.read_plain(b64encode(pickle.dumps([Evil()])))


def test_plain_values_arrive_as_they_are() -> None:
    array = np.array([[1.5, 2]], np.float32)
    value = {"a": [1, None, "text", (2.5, ...)], "b": array, "c": np.float32(3)}
    found = learner.read_plain(learner.written(value))
    assert found.pop("b").dtype == np.float32
    assert found == {"a": value["a"], "c": np.float32(3)}


class Side(IntEnum):
    LEFT = 1


class Mood(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "never " + self


class Row(np.ndarray[tuple[int], np.dtype[np.float32]]):
    pass


class Pair(NamedTuple):
    one: object
    two: object


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[True]), {"a": [True]}),
        (Pair([Mood("so")], {Side.LEFT}), (["so"], {1})),
        (Mood("calm"), "calm"),
        (
            Counter(dict.fromkeys([np.int64(3)], np.float32(0.5))),
            {np.int64(3): np.float32(0.5)},
        ),
        ([np.array(2.5), Side.LEFT], [np.array(2.5), 1]),
        (np.zeros(2, np.float32).view(Row), np.zeros(2, np.float32)),
        (np.bool_(1), np.bool_(1)),
    ],
)
def test_values_of_a_class_of_their_own_arrive_as_what_they_are_equal_to(
    value: object, plain: object
) -> None:
    found = learner.read_plain(learner.written(learner.plain(value)))
    assert repr(found) == repr(plain)


def test_what_is_no_value_arrives_as_it_looks() -> None:
    circle = OrderedDict[str, object]()
    circle["self"] = circle
    for value in (learner, circle, OrderedDict(a=Evil())):
        assert learner.plain(value) == repr(value)[:300]


@pytest.mark.model
def test_graphs_tokenizers_ports_and_caches_reach_an_answer(tmp_path: Path) -> None:
    made = Made(tmp_path / "7b")
    for lesson in ("01_graph", "02_tokenizer"):
        made.answer_rightly("one", lesson)
    made.want("one", "10_mend_it", {UNANSWERED})
    answers = solved(COURSE, "10_mend_it")
    parts = ("my_past", "my_carry")
    for part in parts:
        made.want("one", "10_mend_it", {RIGHT}, part)
    made.hand_in("one", "10_mend_it", {part: answers[part] for part in parts})
    review.main([str(made.folder), "--to", str(tmp_path)])
    assert made.mistakes(tmp_path / "review.csv") == []
