"""Time from a press to the painted step panel, in a real browser.

The panel stands in a notebook in a real JupyterLab, and is pressed as people press. A
time goes from the click to the frame after the one that first shows all of the next
step, minus what the model itself took. Knows nothing of how JupyterLab is opened
(`lab`), or how the panel is made.
"""

from __future__ import annotations

import ast
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from jupyter_client.blocking.client import BlockingKernelClient
from playwright.sync_api import Page, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as NotThere

from benchmarks.lab import FLAGS, find_chromium, run_all_cells, started_lab
from benchmarks.report import Bar, Report, Row, Show
from llm_walkthrough.errors import InputError

SCRIPT = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")
NAME = "panel.ipynb"
CELL = """\
from pathlib import Path
from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.widgets import StepPanel
model, tokenizer = load(Path({path!r}), {threads})
prompt = tokenizer.encode(chat_prompt(tokenizer, "Name a yoga pose."))
panel = StepPanel(model, tokenizer, prompt)
panel"""
SIZE: ViewportSize = {"width": 1300, "height": 1000}  # of the page, as on a laptop
PRESSES = 40  # in a round
WARM_UP = 10  # presses that do not count
PRESS = 0.09  # seconds between down and up, as people press
PAUSE = 0.1  # seconds from a painted step to the next press

AT_ONCE = Bar("at most", 100)
"""Milliseconds that feel like no delay: Miller 1968, Response time in conversation."""

NEVER = Bar("at most", 0)


def measure(
    path: Path, show: Show, rounds: int = 5, threads: int | None = None
) -> Report:
    """Measure the panel; takes about a minute, and needs a browser and JupyterLab.

    Step is pressed 40 times in each of the `rounds`.
    """
    browser, count = find_chromium(), rounds * PRESSES
    show("opening JupyterLab", 0)
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as root,
        started_lab(Path(home), Path(root)) as lab,
        sync_playwright() as playwright,
    ):
        lab.write(NAME, CELL.format(path=str(path.absolute()), threads=threads))
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page = chromium.new_page(viewport=SIZE)
        page.goto(lab.url(NAME))
        try:
            run_all_cells(page)
            page.locator(".lw-panel [data-action=step]").wait_for()
        except NotThere as error:
            raise InputError(
                "the panel does not appear in JupyterLab within 30 seconds; see "
                "whether notebook 06 shows it, and leave the machine to the measurement"
            ) from error
        show("opening JupyterLab", 1)
        painted = []
        for done, milliseconds in enumerate(presses(page, WARM_UP + count), start=1):
            show("stepping", done / (WARM_UP + count))
            painted.append(milliseconds)
        frames = page.evaluate("watch.frames")
        with lab.joined(NAME) as kernel:
            runs = _ask(kernel, "[run.seconds for run in panel.stepper.runs]")
        chromium.close()
    rows = summed_up(painted[WARM_UP:], runs[-count:], frames)
    return Report(f"{path.name}, presses of Step: {count}", rows)


def presses(page: Page, count: int) -> Iterator[float]:
    """Press Step so often; yields the milliseconds from each click to painted."""
    button = page.locator(".lw-panel [data-action=step]").first
    button.scroll_into_view_if_needed()
    button.hover()
    page.evaluate(f"window.watch = {SCRIPT}")
    for _ in range(count):
        page.evaluate("watch.expectNext()")
        page.mouse.down()
        time.sleep(PRESS)
        page.mouse.up()
        took = page.evaluate("watch.painted()")
        if took is None:
            raise InputError(
                "a press on the panel was not followed by a step within 10 seconds; "
                "leave the machine to the measurement and try again"
            )
        yield took
        time.sleep(PAUSE)


def summed_up(
    painted: Sequence[float], model: Sequence[float], frames: Mapping[str, int]
) -> tuple[Row, ...]:
    """Sum up what the presses took.

    Args:
        painted: milliseconds from click to painted, of each press.
        model: seconds of the model in the same steps.
        frames: how many showed a change, and how many of them were wrong.
    """
    own = [all_in - 1000 * run for all_in, run in zip(painted, model, strict=True)]
    most = quantiles(own, n=20, method="inclusive")[-1]
    return (
        Row("press to painted without the model, median", "ms", median(own)),
        Row("press to painted without the model, 95 %", "ms", most, AT_ONCE),
        Row("the model itself, median", "ms", 1000 * median(model)),
        Row("frames with a change", "", frames["all"]),
        Row("of them without candidates", "", frames["empty"], NEVER),
        Row("of them with parts of two steps", "", frames["torn"], NEVER),
        Row("of them of another height", "", frames["jumped"], NEVER),
    )


def _ask(kernel: BlockingKernelClient, question: str) -> list[float]:
    """Have the kernel say what an expression is."""
    reply = kernel.execute(
        "",
        user_expressions={"it": question},
        reply=True,
        store_history=False,
        timeout=60,
    )
    answer = reply["content"]["user_expressions"]["it"]["data"]["text/plain"]
    numbers: list[float] = ast.literal_eval(answer)
    return numbers
