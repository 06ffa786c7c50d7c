"""The panel that runs in a page: its first visit, its steps, its memory, its tokens.

A real browser opens the folder that `tools.build_site` writes. The server that handed
it out is ended before anything else is done. Tokens are compared with those that the
package itself makes on the same weights. Knows nothing of how browsers are driven.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from benchmarks.browsers import Browser, memory_of, opened
from benchmarks.lab import LOOPBACK
from benchmarks.report import Bar, Report, Row
from llm_walkthrough.answer import load
from llm_walkthrough.classroom import REQUEST, Lesson
from llm_walkthrough.panel.step.saved_run import written
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.sampling import Sampling
from tools.build_site import panel as site

MODEL = site.PARTS["model"]["name"]
HERE = Path(__file__).parent
SEED = 17  # as notebook 06 begins
BARE = f"""\
<!doctype html><html lang="en"><meta charset="utf-8"><title>A panel</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="panel/page.css">
<style>body {{ background: #fff }} @media (prefers-color-scheme: dark) {{
  body {{ background: #0c0f12; color: #eee }} }}</style>
<main id="panel" data-request="{REQUEST}" data-seed="{SEED}"></main>
<script type="module" src="panel/page.js"></script></html>
"""
PRESSES = 40  # in a round
WARM_UP = 5  # presses that do not count
PAUSE = 0.1  # seconds from a painted step to the next press

Action = tuple[str | int | float, ...]
WAY: tuple[Action, ...] = (  # to 40 tokens, with two branches that are left
    ("step", 20),
    ("back", 6),
    ("take", 2),
    ("step", 15),
    ("back", 2),
    ("take", 1),
    ("step", 11),
)
NUM_MADE = 40
WARM: tuple[Action, ...] = (("knob", "temperature", 0.9), ("knob", "top_p", 0.95))
SETTINGS: tuple[tuple[Action, ...], ...] = (
    (("knob", "temperature", 0),),
    *((*WARM, ("knob", "seed", seed)) for seed in (1, 2, 3)),
)
OWN: tuple[Action, ...] = (("reset",), ("ask", "Name a planet."), ("step", 5))

NEVER = Bar("at most", 0)


class Folder:
    """A folder that is served on this machine, from time to time.

    Attributes:
        num_sent: bytes of all files that were handed out.
    """

    def __init__(self, folder: Path) -> None:
        self.num_sent, self._port = 0, 0
        self._answers = partial(_Counted, self, directory=str(folder))

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve it until the block ends; yields its address, always the same."""
        with ThreadingHTTPServer((LOOPBACK, self._port), self._answers) as server:
            self._port = server.server_port
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://{LOOPBACK}:{self._port}/"
            finally:
                server.shutdown()


class _Counted(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012 - as http.server has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, folder: Folder, *given: Any, **named: Any) -> None:  # noqa: ANN401 - as above
        self._folder = folder
        super().__init__(*given, **named)

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        while block := source.read(2**16):
            outputfile.write(block)
            self._folder.num_sent += len(block)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Memory:
    """The most memory that a browser takes, looked at while it is wanted."""

    def __init__(self, browser: Browser) -> None:
        self.most = 0
        self._process = browser.process

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again until the block ends."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.3):
                self.most = max(self.most, memory_of(self._process))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def measure(
    path: Path,
    show: Callable[[str, float], None],
    rounds: int = 1,
    browser: str = "chromium",
) -> Report:
    """Measure the page; takes about two minutes.

    Args:
        path: the folder of the model that the page has, for comparison.
        show: told what is being done, and the share of it that is done.
        rounds: how often Step is pressed, in units of 40 times.
        browser: "chromium" or "firefox".

    Raises:
        InputError: there is no such browser, the site cannot be built, or the page
            does not do what it is asked for.
    """
    show("building the page", 0)
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        site.write_parts(root)
        site.write_panel(root / "panel")
        (root / "index.html").write_text(BARE, "utf-8")
        folder = Folder(root)
        with opened(browser, (HERE / "page.js").read_text("utf-8")) as page:
            rows = [*_measured(page, folder, path, rounds * PRESSES, show)]
    return Report(f"the page in {browser.title()}", tuple(rows))


def _measured(
    page: Browser,
    folder: Folder,
    path: Path,
    count: int,
    show: Callable[[str, float], None],
) -> Iterator[Row]:
    memory, later = Memory(page), Memory(page)
    show("opening the page", 0.1)
    with folder.served() as address, memory.watched():
        page.go(address)
        start = page.ask("page.start()")
    num_sent = folder.num_sent
    # from here on there is no server, and so no network
    painted = []
    for done, milliseconds in enumerate(presses(page, WARM_UP + count)):
        show("stepping", 0.2 + 0.2 * done / (WARM_UP + count))
        painted.append(milliseconds)
    painted = painted[WARM_UP:]
    with memory.watched():
        saved = []
        for done, settings in enumerate(SETTINGS):
            show("walking", 0.4 + 0.1 * done)
            saved.append(walked(page, (("reset",), *settings, *WAY)))
        page.ask(f"page.act({json.dumps(OWN)})")
    show("opening a saved run", 0.8)
    with later.watched():  # the browser may not have let go of the first visit yet
        with folder.served() as address:
            page.go(address)
            again = page.ask("page.start()")
        replay = page.ask(f"page.load({json.dumps(saved[-1])}, {NUM_MADE})")
    reopened = page.ask("page.save()")
    show("walking without a browser", 0.9)
    equal = sum(
        same(native(path, (*settings, *WAY)), one)
        for settings, one in zip(SETTINGS, saved, strict=True)
    )
    outside = [one for one in page.asked if not is_inside(one)]
    most = quantiles(painted, n=20, method="inclusive")[-1]
    still = max(start["still"], again["still"])
    common, all_runs = kept(saved[-1], reopened), len(SETTINGS)
    yield Row("start to first picture", "s", start["seconds"])
    yield Row("the same on a second visit", "s", again["seconds"])
    yield Row("bytes of a first visit", "MB", num_sent / 1e6, Bar("at most", 135))
    yield Row("longest standstill while loading", "ms", still, Bar("at most", 500))
    yield Row("press to painted, median", "ms", median(painted), Bar("at most", 150))
    yield Row("press to painted, 95 %", "ms", most, Bar("at most", 300))
    yield Row("most memory", "GB PSS", memory.most / 1e9, Bar("at most", 1.6))
    yield Row("the same on a second visit", "GB PSS", later.most / 1e9)
    yield Row("opening a run of 40 steps", "s", replay, Bar("at most", 10))
    yield Row("steps of it as they were", "", common, Bar("at least", NUM_MADE))
    yield Row("runs of 40 steps as native", "", equal, Bar("at least", all_runs))
    yield Row("messages on the console", "", len(page.said), NEVER)
    yield Row("requests outside", "", len(outside), NEVER)
    for line in page.said:
        show(line, 1)


def presses(page: Browser, count: int) -> Iterator[float]:
    """Press Step so often; yields the milliseconds from each click to painted."""
    button = page.ask("page.box('.lw-panel [data-action=step]')")
    page.ask(f"void (window.watch = {(HERE / 'panel.js').read_text('utf-8')})")
    for _ in range(count):
        page.ask("watch.expectNext()")
        page.press(*button)
        yield page.ask("watch.painted()")
        time.sleep(PAUSE)


def walked(page: Browser, actions: Sequence[Action]) -> str:
    """Do things on the panel; returns the run as it is saved."""
    page.ask(f"page.act({json.dumps(actions)})")
    return str(page.ask("page.save()"))


def native(path: Path, actions: Sequence[Action]) -> str:
    """Do the same with the package on this machine."""
    lesson = Lesson(*load(path))
    desk, end = Desk(sampling=Sampling(), seed=SEED), lesson.model.graph.end_tokens
    prompt = lesson.prompt()
    walk = Walk(lesson.model, lesson.tokenizer, prompt, desk, end_tokens=end)
    for name, *given in actions:
        if name == "take":
            token = walk.distribution(walk.now).rows[int(given[0])].token
            walk.do("take", {"token": token, "position": walk.stepper.position})
        elif name == "knob":
            walk.do("knob", {"name": given[0], "value": given[1]})
        else:
            for _ in range(int(given[0])):
                walk.do(str(name), 1)
    return written(walk.saved())


def same(one: str, other: str) -> bool:
    """Tell whether two saved runs are the same, whatever their models are called."""
    ours, theirs = (json.loads(text) | {"model": ""} for text in (one, other))
    return bool(ours == theirs)


def kept(saved: str, reopened: str) -> int:
    """Count the tokens at the beginning that two saved runs have in common."""
    pairs = zip(
        *(json.loads(text)["steps"] for text in (saved, reopened)), strict=False
    )
    return sum(one[0] == other[0] for one, other in pairs)


def is_inside(address: str) -> bool:
    """Tell whether an address leads to the page's own folder, or nowhere."""
    parts = urlsplit(address)
    return parts.scheme in {"blob", "data", "about"} or parts.hostname == LOOPBACK
