"""What a learner wrote is never lost, and what is new always reaches them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_notebook, new_output

from llm_walkthrough.errors import InputError
from tools import my_course
from tools.my_course import START, bring_up_to_date, start_page

ROOT = Path(__file__).resolve().parents[2]
LESSON, NEWER, NEWEST = "00_a.ipynb", "00_a (new).ipynb", "00_a (new 2).ipynb"


@pytest.fixture(autouse=True)
def _own_signatures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """The course as it was published: a lesson, its solution, a glossary."""
    folder = tmp_path / "clone" / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    write(folder / LESSON, "1 + 1")
    write(folder / "solutions" / LESSON, "2")
    (folder / "glossary.md").write_text("# Words")
    return folder


@pytest.fixture
def course(notebooks: Path) -> Path:
    """The learner's copy of that."""
    folder = notebooks.with_name("my_course")
    assert bring_up_to_date(folder, notebooks) == {}
    return folder


def write(file: Path, *sources: str, shown: str = "") -> None:
    """Write a notebook, or change one; `shown` is what its last cell printed."""
    cells = [new_code_cell(source) for source in sources]
    if shown:
        cells[-1].outputs = [new_output("stream", text=shown)]
    nbformat.write(new_notebook(cells=cells), file)


def read(file: Path) -> NotebookNode:
    book: NotebookNode = nbformat.read(file, as_version=4)
    return book


def sources(file: Path) -> list[str]:
    return [cell.source for cell in read(file).cells]


def seen(course: Path) -> set[str]:
    return {
        file.relative_to(course).as_posix()
        for file in course.rglob("[!.]*")
        if file.is_file()
    }


# --- what is copied -----------------------------------------------------------------


def test_all_that_is_in_sight_is_copied(notebooks: Path) -> None:
    hidden = notebooks / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "old.ipynb").touch()
    course = notebooks.with_name("my_course")
    bring_up_to_date(course, notebooks)
    assert seen(course) == {LESSON, f"solutions/{LESSON}", "glossary.md"}
    assert not (course / hidden.name).exists()


def test_links_lead_from_a_copy_to_what_they_lead_to_from_the_original(
    tmp_path: Path,
) -> None:
    course = tmp_path / "my_course"
    bring_up_to_date(course, ROOT / "notebooks")
    for beside in ("llm_walkthrough", "benchmarks"):
        (tmp_path / beside).symlink_to(ROOT / beside)
    found = 0
    for file in course.rglob("*.ipynb"):
        text = "\n".join(c.source for c in read(file).cells if c.cell_type != "code")
        for link in my_links(text):
            assert (file.parent / link).exists(), f"{file.name}: {link}"
            found += 1
    assert found > 60


def my_links(text: str) -> set[str]:
    """The files that a text links to."""
    pieces = (piece.partition(")")[0] for piece in text.split("](")[1:])
    return {p.partition("#")[0] for p in pieces if "://" not in p} - {""}


def test_a_copy_is_trusted_and_holds_what_jupyterlab_would_write(course: Path) -> None:
    copy, notary = read(course / LESSON), NotebookNotary()
    assert notary.check_signature(copy)
    assert copy.metadata.kernelspec.display_name == "Python 3 (ipykernel)"
    assert copy.metadata.language_info.version == sys.version.split()[0]
    copy.cells[0].source = "from elsewhere import something"
    assert not notary.check_signature(copy)


def test_a_second_start_writes_nothing(course: Path, notebooks: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in course.rglob("*")}
    assert bring_up_to_date(course, notebooks) == {}
    after = {file: file.stat().st_mtime_ns for file in course.rglob("*")}
    del before[course / ".copied.json"], after[course / ".copied.json"]
    assert before == after


# --- a newer version ----------------------------------------------------------------


def test_a_copy_that_was_only_run_is_replaced(course: Path, notebooks: Path) -> None:
    write(course / LESSON, "1 + 1", "", shown="2")  # JupyterLab adds an empty cell
    write(notebooks / LESSON, "1 + 2")
    assert bring_up_to_date(course, notebooks) == {}
    assert sources(course / LESSON) == ["1 + 2"]
    assert NEWER not in seen(course)


def test_new_outputs_alone_are_a_newer_version(course: Path, notebooks: Path) -> None:
    write(notebooks / "solutions" / LESSON, "2", shown="two")
    bring_up_to_date(course, notebooks)
    assert read(course / "solutions" / LESSON).cells[0].outputs[0].text == "two"


def test_a_lesson_does_not_tell_what_the_reader_is_to_guess(
    course: Path, notebooks: Path
) -> None:
    for name in (LESSON, START):
        write(notebooks / name, "1 + 1", "2 + 2", shown="four")
    bring_up_to_date(course, notebooks)
    outputs = {
        name: [cell.outputs for cell in read(course / name).cells]
        for name in (LESSON, START)
    }
    assert outputs[LESSON] == [[], []]
    assert outputs[START][1][0].text == "four"


def test_what_a_learner_has_run_stays_until_there_is_a_newer_version(
    course: Path, notebooks: Path
) -> None:
    write(course / LESSON, "1 + 1", shown="my own")
    bring_up_to_date(course, notebooks)
    assert read(course / LESSON).cells[0].outputs[0].text == "my own"


def test_a_changed_copy_stays_and_the_newer_version_is_put_beside_it(
    course: Path, notebooks: Path
) -> None:
    write(course / LESSON, "1 + 1", "my own")
    mine = (course / LESSON).read_bytes()
    write(notebooks / LESSON, "1 + 2")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}
    assert (course / LESSON).read_bytes() == mine
    assert sources(course / NEWER) == ["1 + 2"]
    assert bring_up_to_date(course, notebooks) == {}  # told once


def test_another_python_is_no_newer_version_of_a_changed_copy(
    course: Path, notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(course / LESSON, "my own")
    monkeypatch.setattr(sys, "version", "3.99")
    assert bring_up_to_date(course, notebooks) == {}
    assert NEWER not in seen(course)
    write(notebooks / LESSON, "1 + 2")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}


def test_the_version_beside_is_replaced_too_unless_it_was_changed(
    course: Path, notebooks: Path
) -> None:
    write(course / LESSON, "my own")
    for version in ("1 + 2", "1 + 3"):
        write(notebooks / LESSON, version)
        assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}
        assert sources(course / NEWER) == [version]
    write(course / NEWER, "my own, too")
    write(notebooks / LESSON, "1 + 4")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWEST}
    kept = [sources(course / name) for name in (LESSON, NEWER, NEWEST)]
    assert kept == [["my own"], ["my own, too"], ["1 + 4"]]


def test_a_changed_glossary_counts_as_changed(course: Path, notebooks: Path) -> None:
    (course / "glossary.md").write_text("# Words\nmine")
    (notebooks / "glossary.md").write_text("# More words")
    bring_up_to_date(course, notebooks)
    assert (course / "glossary.md").read_text() == "# Words\nmine"
    assert (course / "glossary (new).md").read_text() == "# More words"


def test_a_picture_that_was_pasted_into_a_text_is_a_change(
    course: Path, notebooks: Path
) -> None:
    book = read(course / LESSON)
    book.cells[0].attachments = {"drawing.png": {"image/png": "AAAA"}}
    nbformat.write(book, course / LESSON)
    write(notebooks / LESSON, "1 + 2")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}


def test_a_deleted_copy_comes_back_and_a_lesson_that_was_withdrawn_stays(
    course: Path, notebooks: Path
) -> None:
    (course / LESSON).unlink()
    (notebooks / "solutions" / LESSON).unlink()
    (course / "own.py").write_text("x = 1")
    bring_up_to_date(course, notebooks)
    assert seen(course) == {LESSON, f"solutions/{LESSON}", "glossary.md", "own.py"}


@pytest.mark.parametrize(
    "damage", [None, b"", b"[]", b'{"00_a.ipynb": 1}', b"[" * 9999]
)
def test_without_a_record_what_differs_is_the_learners(
    course: Path, notebooks: Path, damage: bytes | None
) -> None:
    (course / my_course.RECORD).unlink()
    if damage is not None:
        (course / my_course.RECORD).write_bytes(damage)
    write(course / LESSON, "my own")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}
    assert sources(course / LESSON) == ["my own"]
    assert seen(course) == {LESSON, NEWER, f"solutions/{LESSON}", "glossary.md"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"cells": [{}]}', b"[" * 9999])
def test_a_copy_that_is_no_notebook_any_more_is_the_learners(
    course: Path, notebooks: Path, content: bytes
) -> None:
    (course / LESSON).write_bytes(content)
    write(notebooks / LESSON, "1 + 2")
    assert bring_up_to_date(course, notebooks) == {LESSON: NEWER}
    assert (course / LESSON).read_bytes() == content


def test_a_folder_or_a_dead_link_in_the_place_of_a_copy_is_left_alone(
    course: Path, notebooks: Path
) -> None:
    (course / LESSON).unlink()
    (course / LESSON).mkdir()
    (course / "glossary.md").unlink()
    (course / "glossary.md").symlink_to("/gone")
    write(notebooks / LESSON, "1 + 2")
    (notebooks / "glossary.md").write_text("# More words")
    newer = {LESSON: NEWER, "glossary.md": "glossary (new).md"}
    assert bring_up_to_date(course, notebooks) == newer
    assert (course / "glossary.md").is_symlink()


def test_an_original_that_is_no_notebook_is_copied_as_it_is(
    course: Path, notebooks: Path
) -> None:
    (notebooks / LESSON).write_text("<<<<<<< HEAD")
    bring_up_to_date(course, notebooks)
    assert (course / LESSON).read_text() == "<<<<<<< HEAD"


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["publish", "write", "run", "delete", "forget"]),
        st.sampled_from([LESSON, NEWER, NEWEST]),
        st.integers(0, 3),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES)
def test_whatever_happens_in_between_no_line_of_a_learner_is_lost(
    moves: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        notebooks, course = Path(folder, "notebooks"), Path(folder, "my_course")
        notebooks.mkdir()
        write(notebooks / LESSON, "0")
        bring_up_to_date(course, notebooks)
        for move, name, number in moves:
            file = course / name
            if move == "publish":
                write(notebooks / LESSON, str(number))
            elif move == "forget":
                (course / my_course.RECORD).unlink()
            elif move == "delete":
                file.unlink(missing_ok=True)
            elif file.exists():
                mine = [f"mine {number}"] if move == "write" else sources(file)
                write(file, *mine, shown=f"{number}")
            own = {
                file: file.read_bytes()
                for file in course.glob("*.ipynb")
                if "mine" in "".join(sources(file))
            }
            bring_up_to_date(course, notebooks)
            assert own == {file: file.read_bytes() for file in own}
            offered = [sources(file) for file in course.glob("*.ipynb")]
            assert sources(notebooks / LESSON) in offered or move != "publish"


# --- what befalls it ----------------------------------------------------------------


@pytest.mark.parametrize("moment", range(5))
def test_cut_off_at_any_moment_all_files_are_whole_and_the_next_start_goes_on(
    course: Path, notebooks: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    write(course / LESSON, "my own")
    for name in (LESSON, f"solutions/{LESSON}", "01_b.ipynb"):
        write(notebooks / name, "newer")
    moments, replace = iter(range(9)), Path.replace

    def cut_off(self: Path, target: Path) -> Path:
        if next(moments) == moment:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut_off)
        try:
            bring_up_to_date(course, notebooks)
        except KeyboardInterrupt:
            assert moment < 4  # three notebooks and the record
    for file in course.rglob("[!.]*.ipynb"):
        read(file)
    bring_up_to_date(course, notebooks)
    assert sources(course / LESSON) == ["my own"]
    names = [NEWER, f"solutions/{LESSON}", "01_b.ipynb"]
    assert [sources(course / name) for name in names] == [["newer"]] * 3
    assert NEWEST not in seen(course)
    assert not list(course.rglob("*.partial"))


def test_of_two_starts_at_once_each_finds_the_course_whole(
    course: Path, notebooks: Path
) -> None:
    shutil.rmtree(course)
    code = (
        "import sys; from pathlib import Path; "
        "from tools.my_course import bring_up_to_date; "
        "print(bring_up_to_date(*map(Path, sys.argv[1:])))"
    )
    words = [sys.executable, "-c", code, str(course), str(notebooks)]
    starts = [
        subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)
    ]
    assert [start.communicate(timeout=60)[0] for start in starts] == [b"{}\n"] * 2
    assert seen(course) == {LESSON, f"solutions/{LESSON}", "glossary.md"}


def test_the_page_that_opens_is_the_start_page_or_else_the_first_lesson(
    notebooks: Path,
) -> None:
    told: list[str] = []
    course = notebooks.with_name("my_course")
    assert start_page(notebooks, told.append) == course / LESSON
    write(notebooks / "start.ipynb", "Step")
    write(course / LESSON, "my own")
    write(notebooks / LESSON, "1 + 2")
    assert start_page(notebooks, told.append) == course / "start.ipynb"
    told_once = f"my_course/{LESSON} stays as you changed it; the new one is {NEWER}"
    assert told == [told_once]


def test_where_nothing_can_be_written_the_originals_open_and_it_is_said(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    told: list[str] = []
    assert start_page(notebooks, told.append) == notebooks / LESSON
    (sentence,) = told
    assert "Read-only file system" in sentence
    assert "a folder of your own" in sentence


def test_a_copy_that_is_only_read_opens_as_it_is(course: Path, notebooks: Path) -> None:
    (course / ".lock").unlink()
    (course / ".lock").mkdir()  # root may write anywhere, but not there
    told: list[str] = []
    assert start_page(notebooks, told.append) == course / LESSON
    assert len(told) == 1


@pytest.mark.parametrize("kind", ["file", "dead link"])
def test_something_else_of_that_name_is_one_sentence(
    notebooks: Path, kind: str
) -> None:
    taken = notebooks.with_name("my_course")
    if kind == "file":
        taken.write_text("a shopping list")
    else:
        taken.symlink_to("/gone")
    with pytest.raises(InputError, match=r"is not a folder, .* rename it"):
        start_page(notebooks, print)


def test_the_record_can_be_read_by_people(course: Path) -> None:
    record = json.loads((course / my_course.RECORD).read_text("utf-8"))
    assert set(record) == {LESSON, f"solutions/{LESSON}", "glossary.md"}
