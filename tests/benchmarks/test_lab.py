"""A lab of its own touches no settings, and a missing browser is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest

from benchmarks.lab import Lab, find_chromium, own_environment, started_lab
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_browser_under_any_of_its_names_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def which(name: str) -> str | None:
        return f"/bin/{name}" if name == "google-chrome" else None

    monkeypatch.setattr(shutil, "which", which)
    assert find_chromium() == "/bin/google-chrome"


def test_a_missing_browser_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(InputError, match=r"no browser: none of chromium.*install"):
        find_chromium()


def test_nothing_of_the_users_jupyter_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", "/theirs")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/theirs")
    monkeypatch.setenv("OTHER", "kept")
    seen = own_environment(tmp_path)
    assert "/theirs" not in seen.values()
    assert seen["JUPYTER_CONFIG_DIR"] == str(tmp_path / "JUPYTER_CONFIG_DIR")
    assert seen["OTHER"] == "kept"


def test_a_notebook_is_written_and_has_an_address_of_its_own(tmp_path: Path) -> None:
    address = "http://127.0.0.1:8888/lab/tree/notebooks?token=abc"
    lab = Lab(psutil.Process(), tmp_path, tmp_path / "log", address, tmp_path)
    lab.write("two.ipynb", "1 + 1", "2 + 2")
    book = nbformat.read(tmp_path / "two.ipynb", as_version=4)
    assert [cell.source for cell in book.cells] == ["1 + 1", "2 + 2"]
    url = "http://127.0.0.1:8888/lab/workspaces/two/tree/two.ipynb?token=abc"
    assert lab.url("two.ipynb") == url


def test_a_lab_that_does_not_start_shows_what_it_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def broken(_command: object, **settings: object) -> subprocess.Popen[bytes]:
        return real([sys.executable, "-c", "print('no port')"], **settings)

    monkeypatch.setattr(subprocess, "Popen", broken)
    with (
        pytest.raises(InputError, match="does not start; it said:\nno port"),
        started_lab(tmp_path, tmp_path),
    ):
        pass
