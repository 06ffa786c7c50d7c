"""A JupyterLab in a browser that touches nothing of the user's.

On this machine alone, with settings, workspaces and notebooks in folders of its own.
Knows nothing of what is done there: `panel` measures in it, and so do the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nbformat
import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from nbformat.v4 import new_code_cell, new_notebook

from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOPBACK = "127.0.0.1"
SECONDS_TO_START = 60


def find_chromium() -> str:
    """Return the path of a browser.

    Raises:
        InputError: there is none.
    """
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        raise InputError(
            f"no browser: none of {', '.join(CHROMIUMS)} is on the PATH; install "
            "Chromium or Chrome, and put it there"
        )
    return found


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs."""

    process: psutil.Process  # of its server
    root: Path  # the folder that it shows
    log: Path  # what it has written
    address: str  # with its token, as it is written for the user
    runtime: Path  # the folder in which kernels say how they are reached

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
    def joined(self, notebook: str) -> Iterator[BlockingKernelClient]:
        """Connect to the kernel that runs a notebook, beside its page."""
        url = urlsplit(self.address)._replace(path="/api/sessions").geturl()
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
            sessions = json.load(answer)
        (kernel,) = [one["kernel"]["id"] for one in sessions if one["path"] == notebook]
        file = str(self.runtime / f"kernel-{kernel}.json")
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        # no one here reads what the kernel publishes: it would be kept for us
        client.start_channels(iopub=False, stdin=False, hb=False)
        try:
            client.kernel_info(reply=True, timeout=SECONDS_TO_START)
            yield client
        finally:
            client.stop_channels()
            # else whoever clears it away later may wait for a kernel that is gone
            client.context.destroy(linger=0)


@contextmanager
def started_lab(home: Path, root: Path) -> Iterator[Lab]:
    """Run JupyterLab as the command `lab` does, until the block ends.

    Args:
        home: an empty folder for settings and the log.
        root: the folder that is shown.

    Raises:
        InputError: it does not start.
    """
    with _started(home, root, Path.cwd(), f"--ServerApp.root_dir={root}") as lab:
        yield lab


@contextmanager
def started_course(home: Path, clone: Path) -> Iterator[Lab]:
    """The same in a clone of the repository, on the learner's copy of its notebooks."""
    with _started(home, clone, clone) as lab:
        yield lab


@contextmanager
def _started(home: Path, root: Path, clone: Path, *further: str) -> Iterator[Lab]:
    words = ["lab", "--no-browser", "--allow-root", f"--port={free_port()}", *further]
    command = [sys.executable, "-m", "llm_walkthrough.command_line.cli", *words]
    log, environment = home / "log", own_environment(home)
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=clone, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        address = _address_in(log, process)
        runtime = Path(environment["JUPYTER_RUNTIME_DIR"])
        yield Lab(psutil.Process(process.pid), root, log, address, runtime)
    finally:
        process.terminate()
        process.wait(SECONDS_TO_START)


def own_environment(home: Path) -> Mapping[str, str]:
    """Return this process's variables, with every folder of Jupyter inside `home`."""
    foreign = ("JUPYTER", "JPY_", "IPYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    own = [f"JUPYTER_{name}_DIR" for name in ("CONFIG", "DATA", "RUNTIME")]
    own += ["JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"]
    themes = home / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension"
    themes.mkdir(parents=True)
    settings = themes / "themes.jupyterlab-settings"
    settings.write_text('{"adaptive-theme": true}')  # light or dark as the browser is
    return kept | {name: str(home / name) for name in own}


def run_all_cells(page: Page) -> None:
    """Run the notebook that a page shows, by its menu."""
    # before the kernel is there, the menu does nothing
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def _address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until the server has said where it is, and listens there."""
    pattern = re.compile(rf"http://{re.escape(LOOPBACK)}:\d+/lab\S+token=\w+")
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        found = pattern.search(log.read_text("utf-8"))
        if found is not None and _listens(urlsplit(found[0]).port or 0):
            return found[0]
        time.sleep(0.1)
    raise InputError(f"JupyterLab does not start; it said:\n{log.read_text('utf-8')}")


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port)).close()
        return True
    return False
