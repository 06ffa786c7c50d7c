"""A lab of its own touches no settings, and a missing browser is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.lab import find_chromium, own_environment, started_lab
from llm_walkthrough.errors import InputError


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


def test_a_lab_that_does_not_start_shows_what_it_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def broken(_command: object, **settings: object) -> subprocess.Popen[bytes]:
        return real([sys.executable, "-c", "print('no port')"], **settings)

    monkeypatch.setattr(subprocess, "Popen", broken)
    with (
        pytest.raises(InputError, match="does not start; it said: no port"),
        started_lab(tmp_path, tmp_path),
    ):
        pass
