"""A learner's notebooks are run on a server, and compared as nbval compares them."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest

from benchmarks import hub
from benchmarks.hub import do_lessons, megabytes, watched
from benchmarks.hub_kernel import HubKernel
from benchmarks.hub_site import Learner, processes_of, python_for_all, wait_for
from benchmarks.lab import started_lab
from llm_walkthrough.errors import InputError

STORED = [("6 * 7", "42"), ("import os; os.path.basename(os.getcwd())", "'my_course'")]


def write_lesson(path: Path, outputs: list[tuple[str, str]]) -> Path:
    book = nbformat.v4.new_notebook()
    for source, text in outputs:
        output = nbformat.v4.new_output(
            "execute_result", {"text/plain": text}, execution_count=1
        )
        cell = nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)
        book.cells.append(cell)
    nbformat.write(book, path)
    return path


def test_cells_run_on_the_server_and_a_wrong_output_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir()
    (root / "my_course").mkdir(parents=True)
    right = write_lesson(tmp_path / "right.ipynb", STORED)
    wrong = write_lesson(tmp_path / "wrong.ipynb", [("6 * 7", "41"), ("1 / 0", "")])
    with started_lab(home, root) as lab:
        url = urlsplit(lab.address)
        token = parse_qs(url.query)["token"][0]
        address = url._replace(path="/", query="").geturl()
        learner = Learner("ann", token, (address, address), lab.process)
        monkeypatch.setattr(hub, "LESSONS", [right])
        assert do_lessons(learner) == (2, 0)
        monkeypatch.setattr(hub, "LESSONS", [right, wrong])
        assert do_lessons(learner) == (4, 2)
        kernel = HubKernel(address, token)
        assert kernel.printed("print(1); print(2)") == "1\n2\n"
        kernel.stop()
        assert not kernel.is_alive()


def test_what_is_missing_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(InputError, match=r"as root, on Linux, with useradd.* npm on"):
        python_for_all()


def test_the_memory_of_an_account_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SECONDS_BETWEEN", 0.01)
    me = [getpass.getuser()]
    assert processes_of(me)
    assert processes_of(["nobody of this name"]) == []
    every, *_ = megabytes(me)
    assert every > 1
    with watched(me) as rows:
        wait_for(lambda: True, "nothing")
    assert [row.unit for row in rows] == ["GB PSS", "MB PSS", "MB PSS"]
    assert rows[0].ours > 0


def test_what_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.hub_site.PATIENCE", 0)
    with pytest.raises(InputError, match="the hub does not start"):
        wait_for(lambda: False, "the hub")
