"""The site is built when it must be, and served so that browsers run and keep it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tools import serve_site
from tools.serve_site import Files, is_fresh, main

NAMES = ("index.html", "page.js", "part.mjs", "part.wasm", "below/weights.gguf")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


@contextmanager
def client(site: Path) -> Iterator[httpx2.Client]:
    handler = partial(Files, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with httpx2.Client(base_url=address, trust_env=False) as client:
            yield client
        server.shutdown()


def test_each_file_has_the_type_that_a_browser_runs_it_as(site: Path) -> None:
    with client(site) as browser:
        types = [browser.get(name).headers["Content-Type"] for name in NAMES]
    assert types == [
        "text/html",
        "text/javascript",
        "text/javascript",
        "application/wasm",
        "application/octet-stream",
    ]


def test_what_a_browser_has_kept_is_not_sent_again(site: Path) -> None:
    with client(site) as browser:
        first = browser.get(NAMES[-1])
        since = {"If-Modified-Since": first.headers["Last-Modified"]}
        again = browser.get(NAMES[-1], headers=since)
    assert first.headers["Cache-Control"] == "no-cache"  # keep it, but ask
    assert (first.content, again.status_code, again.content) == (b"content", 304, b"")


def test_nothing_but_the_files_of_the_site_can_be_read(site: Path) -> None:
    (site.parent / "secret.txt").write_text("secret")
    with client(site) as browser:
        asked = ("below/", "../secret.txt", "%2e%2e/secret.txt", "nowhere.html")
        assert [browser.get(name).status_code for name in asked] == [404] * 4


PAGES = {  # by their sources
    "README.md": "README.html",
    "LICENSE": "LICENSE.html",
    "benchmarks/README.md": "benchmarks/README.html",
    "benchmarks/picture.png": "benchmarks/picture.png",
    "course/start.ipynb": "course/start.html",
}


@pytest.mark.parametrize("changed", ["web/deep/page.js", "tools/pages.py", *PAGES])
def test_a_site_is_old_when_any_of_its_sources_is_newer(
    changed: str, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    assert not is_fresh(site, tmp_path)
    made = [*PAGES, "web/deep/page.js", "tools/pages.py", "tools/pages.pyc", "run.py"]
    pages = [f"site/{page}" for page in (*PAGES.values(), "index.html")]
    for name in (*made, *pages):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    built = (site / "index.html").stat().st_mtime
    for name in made:
        os.utime(tmp_path / name, (built - 1, built - 1))
    for name in ("run.py", "tools/pages.pyc"):  # of which nothing is made
        os.utime(tmp_path / name, (built + 1, built + 1))
    assert is_fresh(site, tmp_path)
    os.utime(tmp_path / changed, (built + 1, built + 1))
    assert not is_fresh(site, tmp_path)


@pytest.fixture
def ready(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that is fresh, and a server that is stopped as soon as it serves."""

    def stop(_server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serve_site, "SITE", site)
    monkeypatch.setattr(serve_site, "is_fresh", lambda _site: True)
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", stop)


@pytest.mark.usefixtures("ready")
def test_the_site_is_served_on_this_machine_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--port", "0"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


@pytest.mark.usefixtures("ready")
def test_a_class_is_told_the_address_and_what_it_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_site, "own_address", lambda: "192.0.2.7")
    assert main(["--port", "0", "--for-class"]) == 0
    said = capsys.readouterr().out
    assert "http://192.0.2.7:" in said
    for part in ("Everybody in this network", "board", "No internet", "not encrypted"):
        assert part in said


@pytest.mark.usefixtures("ready")
def test_a_port_that_is_taken_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "llm-walkthrough site: port" in capsys.readouterr().err
