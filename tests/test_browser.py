"""What a learner sees: a real JupyterLab in a real Chromium.

Whatever a page does, it may not ask another machine for anything, write an error to its
console, leave a traceback in the server's log, or cover itself with a message.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult, urlsplit

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

pytestmark = pytest.mark.browser

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
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
PATIENCE = 30_000  # milliseconds; only a page that fails waits so long
READABLE = 4.5  # the least contrast of text by WCAG 2.2, success criterion 1.4.3

OPEN_PANEL = """\
from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.widgets import SamplingPanel

lesson = open_lesson()
prompt = lesson.prompt()
rows, _ = lesson.model.run(prompt, lesson.model.new_cache())
SamplingPanel(lesson.tokenizer, rows[-1], prompt)
"""
LOAD_GRAPH = """\
from llm_walkthrough.catalogue import find
from llm_walkthrough.netron_view import open_netron, part_of
from llm_walkthrough.onnx_file import load_structure

int4 = load_structure(find("smollm2-135m-instruct-int4") / "model.onnx")
"""
COLOURS = """\
(element) => {
  const isClear = (colour) => colour === "rgba(0, 0, 0, 0)";
  let behind = element;
  while (isClear(getComputedStyle(behind).backgroundColor)) {
    behind = behind.parentElement;
  }
  const styles = [getComputedStyle(element), getComputedStyle(behind)];
  return [styles[0].color, styles[1].backgroundColor];
}
"""


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUMS)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run the real command, with copies of the notebooks and nobody's settings."""
    assert chromium.is_connected()  # without a browser there is no need for a lab
    home = tmp_path_factory.mktemp("home")
    root = tmp_path_factory.mktemp("root")
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


@pytest.fixture
def page(chromium: Browser, lab: Lab) -> Iterator[Page]:
    """A page that is expected to be quiet."""
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


def contrast(text: Locator) -> float:
    """How far the text stands out, 1 to 21, by WCAG 2.2."""
    ink, paper = (
        [float(value) for value in re.findall(r"[\d.]+", colour)]
        for colour in text.evaluate(COLOURS)
    )
    opacity = ink[3] if len(ink) > 3 else 1.0
    seen = [opacity * i + (1 - opacity) * p for i, p in zip(ink, paper, strict=False)]
    lighter, darker = sorted((luminance(*seen[:3]), luminance(*paper[:3])))[::-1]
    return (lighter + 0.05) / (darker + 0.05)


def luminance(red: float, green: float, blue: float) -> float:
    """Of sRGB values of 0 to 255, by WCAG 2.2."""
    shares = (value / 255 for value in (red, green, blue))
    linear = [
        s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_lab_listens_on_this_machine_alone_and_shows_the_notebooks(
    lab: Lab, page: Page
) -> None:
    page.goto(lab.address)
    listed = page.locator(".jp-DirListing-item")
    expect(listed.filter(has_text="00_environment.ipynb")).to_be_visible()
    sockets = lab.process.net_connections("tcp")
    heard = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
    assert heard == {LOOPBACK}


@pytest.mark.model
def test_sampling_panel_follows_the_keys_and_is_readable_in_light_and_dark(
    lab: Lab, page: Page
) -> None:
    lab.write("panel.ipynb", OPEN_PANEL)
    page.goto(lab.url("panel.ipynb"))
    run_all_cells(page)
    panel = page.locator(".jp-OutputArea-output .widget-hbox").first
    picture = panel.get_by_role("img").first
    before = picture.get_attribute("alt")
    assert before is not None
    temperature = panel.get_by_role("slider").first
    temperature.focus()
    temperature.press("ArrowRight")
    expect(picture).not_to_have_attribute("alt", before)
    expect(temperature).to_be_focused()
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        is_light = str(scheme == "light").lower()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)
        sliders = panel.locator(".widget-slider")
        texts = sliders.locator(".widget-label, .widget-readout").all()
        assert len(texts) == 12
        for text in texts:
            text.click(trial=True)  # nothing lies over it
        assert min(map(contrast, texts)) >= READABLE


@pytest.mark.model
def test_netron_draws_the_graph_beside_the_cell_that_opens_it(
    lab: Lab, page: Page
) -> None:
    lab.write("netron.ipynb", LOAD_GRAPH, cell_that_opens_netron())
    page.goto(lab.url("netron.ipynb"))
    run_all_cells(page)
    drawn = page.frame_locator("iframe[title=netron]")
    drawn.locator(".node").first.wait_for()


def cell_that_opens_netron() -> str:
    book: Any = nbformat.read(NOTEBOOKS / "01_graph.ipynb", as_version=4)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    (source,) = (source for source in sources if source.startswith("open_netron("))
    return str(source)
