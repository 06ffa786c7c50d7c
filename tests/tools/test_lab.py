"""The command `lab` opens the course for this machine alone, as its user wants it."""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from benchmarks.lab import Lab, started_lab
from llm_walkthrough.errors import InputError
from tools import lab


@pytest.fixture
def lab_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What JupyterLab is started with, once it is, in a clone in `tmp_path`."""
    heard: list[str] = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", heard.extend)
    monkeypatch.setattr(lab, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "start.ipynb").touch()
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")  # the command changes it
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    return heard


def test_lab_opens_the_learners_start_page_on_loopback_and_passes_options_on(
    lab_arguments: list[str], tmp_path: Path
) -> None:
    assert lab.main(["--no-browser", "--port=9999"]) == 0
    assert lab_arguments == [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.default_url=/lab/tree/my_course/start.ipynb",
        "--no-browser",
        "--port=9999",
    ]
    assert (tmp_path / "my_course" / "start.ipynb").exists()


def test_lab_opens_for_root_without_a_further_option(
    lab_arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert lab.main([]) == 0
    assert "--ServerApp.allow_root=True" in lab_arguments


@pytest.mark.parametrize("word", ["--ip=::1", "--ServerApp.ip=::1"])
def test_lab_leaves_address_and_folder_to_the_user(
    lab_arguments: list[str], tmp_path: Path, word: str
) -> None:
    assert lab.main([word, "--notebook-dir", "elsewhere"]) == 0
    assert lab_arguments == [word, "--notebook-dir", "elsewhere"]
    assert not (tmp_path / "my_course").exists()


def test_lab_answers_nobody_without_its_token(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir()
    root.mkdir()
    with started_lab(home, root) as server:
        heard = server.process.net_connections("tcp")
        listening = [one.laddr for one in heard if one.status == psutil.CONN_LISTEN]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        token = urlsplit(server.address).query
        assert status_of(server, "api/contents", token) == HTTPStatus.OK
        for path in ("api/contents", "api/kernels", "api/terminals"):
            for query in ("", "token=", token[:-1]):
                assert status_of(server, path, query) == HTTPStatus.FORBIDDEN


def status_of(server: Lab, path: str, query: str) -> int:
    """What the server answers; a page would lead to a login, which is not followed."""
    connection = HTTPConnection(urlsplit(server.address).netloc, timeout=20)
    connection.request("GET", f"/{path}?{query}")
    return connection.getresponse().status


@pytest.mark.parametrize("before", [[], ["one"], ["one", "two"]])
@pytest.mark.usefixtures("lab_arguments")
def test_lab_adds_its_defaults_behind_those_that_are_set(
    monkeypatch: pytest.MonkeyPatch, before: list[str]
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", os.pathsep.join(before))
    assert lab.main([]) == 0
    *others, ours = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert others == before
    assert Path(ours, "labconfig", "default_setting_overrides.json").is_file()


def test_lab_without_jupyterlab_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    with pytest.raises(InputError, match=r"run `python3 run\.py`"):
        lab.main([])
