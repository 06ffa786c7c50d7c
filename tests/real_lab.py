"""A real JupyterLab in a real Chromium, and what tests do in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from benchmarks.lab import LOOPBACK, Lab, started_lab

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATIENCE = 90_000  # milliseconds; only a page that fails waits so long
expect.set_options(timeout=PATIENCE)

# how JupyterLab's server says that a page went while it opened a kernel's channel
CLOSED_EARLY = re.compile(
    r"^\s*(?:tornado\.iostream\.StreamClosedError: Stream is closed"
    r"|tornado\.websocket\.WebSocketClosedError"
    r"|AttributeError: 'NoneType' object has no attribute 'kernel_ws_protocol')$",
    re.MULTILINE,
)


@contextmanager
def lab_with_notebooks(home: Path, root: Path) -> Iterator[Lab]:
    """Run the real command on copies of the notebooks."""
    shutil.copytree(NOTEBOOKS, root / "notebooks")
    with started_lab(home, root) as lab:
        yield lab


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
    log = lab.log.read_text("utf-8")
    assert log.count("Traceback") == len(CLOSED_EARLY.findall(log)), log


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
