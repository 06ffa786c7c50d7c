"""A real JupyterLab in a real Chromium, and what tests do in it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, urlsplit

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LOOPBACK = "127.0.0.1"
SECONDS_TO_START = 60
PATIENCE = 30_000  # milliseconds; only a page that fails waits so long


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs.

    Attributes:
        process: of its server.
        root: the folder that it shows.
        log: what it has written.
        address: with its token, as it is written for the user.
    """

    process: psutil.Process
    root: Path
    log: Path
    address: str

    def url(self, notebook: str) -> str:
        """The address of a notebook, in a workspace where no other one is open."""
        path = f"/lab/workspaces/{Path(notebook).stem}/tree/{notebook}"
        return urlsplit(self.address)._replace(path=path).geturl()

    def write(self, name: str, *sources: str) -> None:
        """Make a notebook of these cells."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        cells = [new_code_cell(source) for source in sources]
        book = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(book, self.root / name)


@contextmanager
def started_lab(home: Path, root: Path) -> Iterator[Lab]:
    """Run the real command, with copies of the notebooks and nobody's settings."""
    shutil.copytree(NOTEBOOKS, root / "notebooks")
    words = ["lab", "--no-browser", "--allow-root", f"--port={free_port()}"]
    command = [sys.executable, "-m", "llm_walkthrough.cli", *words]
    command.append(f"--ServerApp.root_dir={root}")
    log = home / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=own_environment(home), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        address = address_in(log, process)
        yield Lab(psutil.Process(process.pid), root, log, address)
    finally:
        process.terminate()
        process.wait(SECONDS_TO_START)


@contextmanager
def quiet_page(chromium: Browser, lab: Lab) -> Iterator[Page]:
    """Open a page that is expected to be quiet until it is closed."""
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    asked: list[SplitResult] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(urlsplit(request.url)))
    yield page
    expect(page.locator(".Toastify__toast")).to_have_count(0)
    page.close()
    assert errors == []
    # None: pictures inside the page
    assert {address.hostname for address in asked} - {None} == {LOOPBACK}
    # for these two the server would ask elsewhere
    assert {"/lab/api/news", "/lab/api/update"}.isdisjoint(a.path for a in asked)
    assert "Traceback" not in lab.log.read_text("utf-8")


def own_environment(home: Path) -> dict[str, str]:
    """The variables of this process, with every folder of Jupyter inside `home`."""
    foreign = ("JUPYTER", "JPY_", "IPYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    jupyter = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    jupyterlab = ("SETTINGS_DIR", "WORKSPACES_DIR")
    own = [f"JUPYTER_{name}" for name in jupyter]
    own += [*(f"JUPYTERLAB_{name}" for name in jupyterlab), "IPYTHONDIR"]
    themes = home / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension"
    themes.mkdir(parents=True)
    follow_the_browser = '{"adaptive-theme": true}'
    (themes / "themes.jupyterlab-settings").write_text(follow_the_browser, "utf-8")
    return kept | {name: str(home / name) for name in own}


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until the server says where it is."""
    pattern = re.compile(rf"http://{re.escape(LOOPBACK)}:\d+/lab\S+token=\w+")
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        found = pattern.search(log.read_text("utf-8"))
        if found is not None:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"the lab does not start:\n{log.read_text('utf-8')}")


def run_all_cells(page: Page) -> None:
    # before the kernel is there, the menu does nothing
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def both_themes(page: Page) -> Iterator[str]:
    schemes: tuple[Literal["light", "dark"], ...] = ("dark", "light")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        is_light = str(scheme == "light").lower()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)
        is_dark = re.compile("lw-dark")
        root = expect(page.locator(".lw-root"))
        (root.not_to_have_class if scheme == "light" else root.to_have_class)(is_dark)
        yield scheme
