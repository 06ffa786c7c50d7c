"""How soon after a press is the step panel painted, against one made of ipywidgets?

Both stand in one notebook, on the same model and prompt, in a real JupyterLab in a
real browser. They are pressed in turn, as long as people press, a few steps each. A
time goes from the click to the frame after the one that first shows all of the next
step, minus what the model itself took. Knows nothing of how the other panel is made
(`bench_buttons`), or how JupyterLab is opened (`bench_lab`).
"""

from __future__ import annotations

import ast
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from playwright.sync_api import sync_playwright

from benchmarks.lab import FLAGS, find_chromium, run_all_cells, started_lab
from benchmarks.panel_report import Frames, Memory, PanelReport, times
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient
    from playwright.sync_api import Locator, Page, ViewportSize

    from benchmarks.lab import Lab
    from benchmarks.panel_report import Plan, Times

    Show = Callable[[str, float], None]

SCRIPT = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")
NAME = "panels.ipynb"
PRESS = 0.09
"""Seconds between down and up, as people press."""

PAUSE = 0.1
"""Seconds from a painted step to the next press."""

SIZE: ViewportSize = {"width": 1300, "height": 1000}
"""Of the page, in pixels, as on a laptop."""

Side = Literal["panel", "buttons"]
SIDES: tuple[Side, ...] = ("panel", "buttons")


def measure(path: Path, plan: Plan, show: Show) -> PanelReport:
    """Measure both panels; takes a minute or two.

    Args:
        path: a model folder.
        plan: what is measured.
        show: told what is being done, and the share of it that is done.

    Raises:
        InputError: there is no browser, or JupyterLab does not start.
    """
    browser = find_chromium()
    show("opening JupyterLab", 0)
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as root,
        started_lab(Path(home), Path(root)) as lab,
    ):
        lab.write(NAME, *_cells(path))
        with _opened(lab, browser) as page, lab.joined(NAME) as kernel:
            show("opening JupyterLab", 1)
            bench = _Bench(page, kernel)
            panel, buttons = bench.times(plan, show)
            before, after = bench.memory(plan, show)
    return PanelReport(path.name, plan, panel, buttons, before, after)


class _Bench:
    """The page with both panels, and a line to the kernel behind it."""

    def __init__(self, page: Page, kernel: BlockingKernelClient) -> None:
        self._page = page
        self._kernel = kernel
        self._watch = page.evaluate_handle(SCRIPT)

    def times(self, plan: Plan, show: Show) -> tuple[Times, Times]:
        """Press both panels in turn."""
        painted: dict[Side, list[float]] = {side: [] for side in SIDES}
        frames: dict[Side, list[Frames]] = {side: [] for side in SIDES}
        kept = dict.fromkeys(SIDES, 0)
        for side in SIDES:
            self._block(side, plan.warm_up)
        for done in range(0, plan.steps, plan.block):
            show("stepping", done / plan.steps)
            for side in SIDES:
                took, seen, focus = self._block(side, plan.block)
                painted[side] += took
                frames[side].append(seen)
                kept[side] += focus
        show("stepping", 1)
        model = self._ask(f"[{', '.join(f'{side}_model.seconds' for side in SIDES)}]")
        ours, theirs = (
            times(painted[side], own[-plan.steps :], frames[side], kept[side])
            for side, own in zip(SIDES, model, strict=True)
        )
        return ours, theirs

    def memory(self, plan: Plan, show: Show) -> tuple[Memory, Memory]:
        """Compare the memory before and after redraws that change no token."""
        roll = self._page.locator(".lw-panel [data-action=roll]")
        self._redraw(roll, plan.redraws // 10)
        before = self._memory()
        show("redrawing", 0)
        self._redraw(roll, plan.redraws)
        show("redrawing", 1)
        return before, self._memory()

    def _block(self, side: Side, steps: int) -> tuple[list[float], Frames, int]:
        """Press Step some times; returns times, frames, and how often focus stayed."""
        page, watch, mouse = self._page, self._watch, self._page.mouse
        button = _step_button(page, side)
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        if box is None:
            raise InputError(f"the {side} cannot be seen; make the window larger")
        mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        watch.evaluate("(watch, side) => watch.start(side)", side)
        took, kept = [], 0
        for _ in range(steps):
            watch.evaluate("(watch) => watch.expectNext()")
            mouse.down()
            time.sleep(PRESS)
            mouse.up()
            took.append(self._painted(side))
            kept += bool(watch.evaluate("(watch) => watch.hasFocus()"))
            time.sleep(PAUSE)
        return took, Frames(**watch.evaluate("(watch) => watch.stop()")), kept

    def _painted(self, side: Side) -> float:
        """Wait until all of the step is painted."""
        took = self._watch.evaluate("(watch) => watch.painted()")
        if took is None:
            raise InputError(
                f"a press on the {side} was not followed by a step within "
                "10 seconds; leave the machine to the measurement and try again"
            )
        return float(took)

    def _redraw(self, roll: Locator, times: int) -> None:
        frame = self._ask("panel.frame")
        for _ in range(times):
            roll.click()
        while self._ask("panel.frame") < frame + times:
            time.sleep(PAUSE)

    def _memory(self) -> Memory:
        session = self._page.context.new_cdp_session(self._page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Performance.getMetrics")["metrics"]
        session.detach()
        metrics = {metric["name"]: metric["value"] for metric in found}
        heap, nodes = metrics["JSHeapUsedSize"] / 1e6, int(metrics["Nodes"])
        return Memory(heap, nodes, self._ask("memory()"))

    def _ask(self, question: str) -> Any:  # noqa: ANN401 - whatever is asked for
        """Have the kernel say what an expression is."""
        reply = self._kernel.execute(
            "",
            user_expressions={"it": question},
            reply=True,
            store_history=False,
            timeout=60,
        )
        return ast.literal_eval(
            reply["content"]["user_expressions"]["it"]["data"]["text/plain"]
        )


@contextmanager
def _opened(lab: Lab, browser: str) -> Iterator[Page]:
    """Open the notebook, and run it until both panels show."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page = chromium.new_page(viewport=SIZE)
        page.goto(lab.url(NAME))
        run_all_cells(page)
        for side in SIDES:
            _step_button(page, side).wait_for()
        yield page
        chromium.close()


def _cells(path: Path) -> tuple[str, ...]:
    names = ", ".join(SIDES) + ", " + ", ".join(f"{side}_model" for side in SIDES)
    begin = (
        # else Linux fills the caches with huge pages bit by bit, also while nothing
        # is done, and that would look as if redraws took memory
        "import os\n"
        'os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"\n'
        "from pathlib import Path\n"
        "from benchmarks.buttons import memory, open_both\n"
        f"{names} = open_both(Path({str(path)!r}))"
    )
    return begin, *SIDES


def _step_button(page: Page, side: Side) -> Locator:
    name = {"panel": ".lw-panel [data-action=step]", "buttons": ".bench-buttons button"}
    return page.locator(name[side]).first
