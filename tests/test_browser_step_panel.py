"""The step panel of notebook 06 in a real JupyterLab: what is shown is what is held.

The tests go on in one page, as a learner does, each from the prompt. What the stepper
holds is asked of the notebook's own kernel.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from playwright.sync_api import Browser, Locator, Page, expect
from real_lab import NOTEBOOKS, both_themes, quiet_page

from benchmarks.lab import Lab, run_all_cells

pytestmark = [pytest.mark.browser, pytest.mark.model]

LESSON = NOTEBOOKS / "06_decode_loop.ipynb"
NOTEBOOK = "06_to_the_panel.ipynb"
PRESS = 90  # milliseconds between down and up, as people press
SECONDS_TO_SETTLE = 60

OPEN_PANEL = """\
from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.widgets import StepPanel

lesson = open_lesson()
panel = StepPanel(lesson.model, lesson.tokenizer, lesson.prompt())
panel
"""
# Told to the kernel once: what the stepper of the panel holds.
TELL = """\
def tell_what_is_held():
    import dataclasses, json
    stepper, shot, desk = panel.stepper, panel.walk.snapshot(), panel.walk.now
    return json.dumps({
        "tokens": stepper.new_tokens.tolist(),
        "position": stepper.position,
        "u": f"u = {stepper.u:.3f}",
        "drawn": shot.distribution.draw.token,
        "knobs": [*dataclasses.astuple(desk.sampling), stepper.seed],
        "branches": [[one.name, one.is_active] for one in shot.branches],
        "is_running": desk.running,
        "frame": panel.frame,
    })
"""
# A cell that runs until the test has seen enough.
BUSY = """\
import pathlib, time
pathlib.Path({begun!r}).touch()
while not pathlib.Path({seen!r}).exists():
    time.sleep(0.05)
"""
SHOWN = """\
(panel) => {
  const all = (what) => [...panel.querySelectorAll(what)];
  const value = (what) => JSON.parse(panel.querySelector(what).dataset.value);
  return {
    tokens: all(".lw-made").map((chip) =>
      Number(/position \\d+ · id (\\d+)/.exec(chip.ariaLabel)[1])),
    position: value(".lw-take").position,
    u: panel.querySelector(".lw-u").textContent,
    drawn: value(".lw-drawn .lw-take").token,
    knobs: all("input[data-action=knob]").map((knob) => Number(knob.value)),
    branches: all(".lw-branch").map((branch) =>
      [branch.querySelector("b").textContent, branch.ariaPressed === "true"]),
    is_running: all("[data-action=stop]").length > 0,
  };
}
"""


# How many of a kind are inside the notebook's view, with nothing over them.
IN_VIEW = """\
(panel) => {
  let view = panel.parentElement;
  const scrolls = (node) => /auto|scroll/.test(getComputedStyle(node).overflowY);
  while (!scrolls(view)) view = view.parentElement;
  const outer = view.getBoundingClientRect();
  const isSeen = (node) => {
    const { top, bottom, left, right } = node.getBoundingClientRect();
    const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return top >= outer.top && bottom <= outer.bottom && left >= outer.left
      && right <= outer.right && node.contains(there);
  };
  const count = (what) => [...panel.querySelectorAll(what)].filter(isSeen).length;
  return {
    Step: count("[data-action=step]"),
    candidates: count(".lw-take"),
    u: count(".lw-line"),
    knobs: count("input[data-action=knob]"),
    "knobs in all": panel.querySelectorAll("input[data-action=knob]").length,
    view: [outer.width, outer.height],
    panel: [panel.offsetWidth, panel.offsetHeight],
  };
}
"""


@dataclass
class Opened:
    """The notebook in its page, and a line to its kernel.

    Attributes:
        page: the whole of JupyterLab.
        panel: the panel in it.
        kernel: behind the notebook.
        frame: the newest one that was looked at.
    """

    page: Page
    panel: Locator
    kernel: BlockingKernelClient
    frame: int = 0

    def held(self) -> dict[str, Any]:
        """What the stepper and the settings are in the kernel."""
        ask = {"held": "tell_what_is_held()"}
        reply = self.kernel.execute(
            "", user_expressions=ask, reply=True, store_history=False, timeout=60
        )
        answer = reply["content"]["user_expressions"]["held"]
        assert answer["status"] == "ok", answer
        # the text is how Python writes a string of JSON
        told: dict[str, Any] = json.loads(answer["data"]["text/plain"][1:-1])
        return told

    def agree(self, frames: int = 1) -> dict[str, Any]:
        """Wait until the page shows what the stepper holds; returns that.

        Args:
            frames: at least so many must have been drawn since the last look.
        """
        end = time.monotonic() + SECONDS_TO_SETTLE
        while True:
            held = self.held()
            frame = held.pop("frame")
            shown = self.panel.evaluate(SHOWN)
            is_new = frame >= self.frame + frames
            if (is_new and shown == held) or time.monotonic() > end:
                assert shown == held
                assert is_new, "nothing was drawn"
                self.frame = frame
                return held
            self.page.wait_for_timeout(20)

    def press(self, action: str, times: int = 1) -> None:
        button = self.panel.locator(f"[data-action={action}]").first
        for _ in range(times):
            button.click(delay=PRESS)


@pytest.fixture(scope="module")
def opened(chromium: Browser, lab: Lab) -> Iterator[Opened]:
    book = nbformat.read(LESSON, as_version=4)
    last = [cell.id for cell in book.cells].index("panel-itself")
    book.cells[last + 1 :] = []  # figures that take long
    nbformat.write(book, lab.root / NOTEBOOK)
    with quiet_page(chromium, lab) as page:
        page.set_viewport_size({"width": 1300, "height": 1400})
        page.goto(lab.url(NOTEBOOK))
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        panel.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        with lab.joined(NOTEBOOK) as client:
            client.execute(TELL, reply=True, store_history=False, timeout=60)
            yield Opened(page, panel, client)


@pytest.fixture
def at_prompt(opened: Opened) -> Opened:
    """The panel as it was opened."""
    opened.page.keyboard.press("Escape")
    acts = "('reset',), ('unroll',), ('side', 'Branches')"
    code = f"for act in {acts}: panel.walk.act(*act)\npanel.redraw()"
    opened.kernel.execute(code, reply=True, store_history=False, timeout=60)
    assert opened.agree()["tokens"] == []
    return opened


def test_twenty_steps_with_the_mouse_are_twenty_tokens(at_prompt: Opened) -> None:
    for step in range(1, 21):
        at_prompt.press("step")
        assert len(at_prompt.agree()["tokens"]) == step
    expect(at_prompt.panel.locator("[data-action=step]")).to_be_focused()


def test_twenty_steps_with_the_keyboard_are_twenty_tokens(at_prompt: Opened) -> None:
    at_prompt.panel.locator("[data-action=step]").focus()
    cells = at_prompt.page.locator(".jp-Cell").count()
    at_prompt.page.keyboard.press("b")  # to JupyterLab: a new cell
    for step in range(1, 21):
        at_prompt.page.keyboard.press("ArrowRight", delay=PRESS)
        assert len(at_prompt.agree()["tokens"]) == step
    expect(at_prompt.panel.locator("[data-action=step]")).to_be_focused()
    assert at_prompt.page.locator(".jp-Cell").count() == cells


def test_presses_faster_than_the_model_are_all_steps(at_prompt: Opened) -> None:
    at_prompt.press("step", times=10)
    assert len(at_prompt.agree(frames=10)["tokens"]) == 10


def test_a_candidate_is_taken_by_a_click_and_by_arrows_and_enter(
    at_prompt: Opened,
) -> None:
    takes = at_prompt.panel.locator("[data-action=take]")
    value = "(node) => JSON.parse(node.dataset.value).token"
    wanted = [takes.nth(3).evaluate(value)]
    takes.nth(3).click(delay=PRESS)
    assert at_prompt.agree()["tokens"] == wanted
    at_prompt.panel.locator("[data-action=step]").focus()
    for _ in range(3):
        at_prompt.page.keyboard.press("ArrowDown")
    wanted.append(takes.nth(2).evaluate(value))
    at_prompt.page.keyboard.press("Enter")
    assert at_prompt.agree()["tokens"] == wanted
    expect(takes.nth(2)).to_be_focused()


def test_going_back_and_choosing_differently_keeps_both_branches_and_a_click_switches(
    at_prompt: Opened,
) -> None:
    at_prompt.press("step", times=8)
    first = at_prompt.agree(frames=8)["tokens"]
    for left in range(7, 2, -1):
        at_prompt.press("back")
        assert at_prompt.agree()["tokens"] == first[:left]
    drawn = at_prompt.agree(frames=0)["drawn"]
    others = at_prompt.panel.locator("tr:not(.lw-drawn) [data-action=take]")
    others.first.click(delay=PRESS)
    second = at_prompt.agree()["tokens"]
    assert second[:-1] == first[:3]
    assert second[-1] != drawn
    at_prompt.press("step")
    second = at_prompt.agree()["tokens"]
    branches = at_prompt.panel.locator("[data-action=switch]")
    expect(branches).to_have_count(2)
    for number, tokens in ((0, first), (1, second), (0, first)):
        branches.nth(number).click(delay=PRESS)
        assert at_prompt.agree()["tokens"] == tokens


def test_every_slider_moves_by_key(at_prompt: Opened) -> None:
    before = at_prompt.agree(frames=0)["knobs"]
    sliders = at_prompt.panel.locator("input[data-action=knob]")
    for slider in sliders.all():
        slider.focus()
        is_at_the_end = slider.evaluate("(one) => one.value === one.max")
        for _ in range(3):
            key = "ArrowLeft" if is_at_the_end else "ArrowRight"
            at_prompt.page.keyboard.press(key)
        at_prompt.agree()
    by_key = at_prompt.agree(frames=0)["knobs"]
    assert all(new != old for new, old in zip(by_key, before, strict=True))


def test_a_run_goes_on_while_a_cell_runs_and_stop_ends_it_after_the_token_in_flight(
    at_prompt: Opened, tmp_path: Path
) -> None:
    panel, page = at_prompt.panel, at_prompt.page
    panel.locator(".lw-more summary").click(delay=PRESS)
    panel.get_by_role("combobox", name="how fast a run goes").select_option("fast")
    at_prompt.press("run")
    made = panel.locator(".lw-made")
    made.nth(2).wait_for()
    begun, seen = tmp_path / "begun", tmp_path / "seen"
    code = BUSY.format(begun=str(begun), seen=str(seen))
    at_prompt.kernel.execute(code, store_history=False)
    while not begun.exists():
        page.wait_for_timeout(20)
    try:
        made.nth(made.count() + 3).wait_for()
    finally:
        seen.touch()
    at_prompt.press("stop")
    expect(panel.locator("[data-action=run]")).to_be_visible()
    at_prompt.kernel.get_shell_msg(timeout=60)
    stopped = len(at_prompt.agree()["tokens"])
    page.wait_for_timeout(500)
    assert len(at_prompt.agree(frames=0)["tokens"]) == stopped


def test_interrupting_the_kernel_during_a_run_leaves_the_panel_usable(
    at_prompt: Opened,
) -> None:
    panel, page = at_prompt.panel, at_prompt.page
    at_prompt.press("run")
    panel.locator(".lw-made").nth(2).wait_for()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Interrupt Kernel").click()
    page.wait_for_timeout(300)
    stop = panel.locator("[data-action=stop]")
    if stop.count():
        stop.click(delay=PRESS)
    expect(panel.locator("[data-action=run]")).to_be_visible()
    made = len(at_prompt.agree()["tokens"])
    at_prompt.press("step")
    assert len(at_prompt.agree()["tokens"]) == made + 1


def test_the_panel_follows_the_theme(at_prompt: Opened) -> None:
    grounds = {
        at_prompt.panel.evaluate("(one) => getComputedStyle(one).backgroundColor")
        for _ in both_themes(at_prompt.page)
    }
    assert grounds == {"rgb(255, 255, 255)", "rgb(21, 24, 28)"}


def test_a_question_that_is_typed_goes_to_the_panel_and_to_nobody_else(
    chromium: Browser, lab: Lab
) -> None:
    lab.write("ask.ipynb", OPEN_PANEL)
    with quiet_page(chromium, lab) as page:
        page.goto(lab.url("ask.ipynb"))
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        field, cells = panel.locator("textarea"), page.locator(".jp-Cell").count()
        field.click()
        page.keyboard.type("add bad, c v x z 00?")  # to JupyterLab, commands
        page.keyboard.press("Shift+Enter")  # which elsewhere runs the cell
        page.keyboard.type("Name a colour.")
        page.keyboard.press("Enter")
        expect(panel.locator("[data-action=step]")).to_be_focused()
        page.keyboard.press("ArrowRight", delay=PRESS)
        expect(panel.locator(".lw-made")).to_have_count(1)
        expect(field).to_have_value("add bad, c v x z 00?\nName a colour.")
        assert page.locator(".jp-Cell").count() == cells


def test_after_a_reload_of_the_page_the_panel_goes_on_and_follows_the_theme(
    chromium: Browser, lab: Lab
) -> None:
    above = ["print('far above the panel\\n' * 9)"] * 20  # it is drawn out of sight
    lab.write("reload.ipynb", *above, OPEN_PANEL)
    with quiet_page(chromium, lab) as page:
        page.emulate_media(color_scheme="dark")
        page.goto(lab.url("reload.ipynb"))
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        panel.locator("[data-action=step]").click(delay=PRESS)
        expect(panel.locator(".lw-made")).to_have_count(1)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        page.reload()
        expect(panel.locator(".lw-made")).to_have_count(1)
        panel.scroll_into_view_if_needed()
        expect(page.locator(".lw-root")).to_have_class("lw-root lw-dark")
        panel.locator("[data-action=step]").click(delay=PRESS)
        expect(panel.locator(".lw-made")).to_have_count(2)


@pytest.mark.parametrize(
    ("width", "height", "candidates"), [(1280, 800, 8), (1024, 700, 6)]
)
def test_what_a_step_needs_stands_in_one_view_also_after_a_reload(
    chromium: Browser, lab: Lab, width: int, height: int, candidates: int
) -> None:
    above = ["print('far above the panel\\n' * 9)"] * 3
    lab.write("view.ipynb", *above, OPEN_PANEL)
    with quiet_page(chromium, lab) as page:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(lab.url("view.ipynb"))
        page.locator(".jp-DirListing-item").first.wait_for()  # the file browser is open
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        for step in range(1, 13):
            panel.locator("[data-action=step]").click(delay=PRESS)
            expect(panel.locator(".lw-made")).to_have_count(step)
        panel.get_by_role("tab", name="Branches").click(delay=PRESS)
        for is_reloaded in (False, True):
            if is_reloaded:
                page.keyboard.press("Control+s")
                page.wait_for_timeout(1000)
                page.reload()
                expect(panel.locator(".lw-made")).to_have_count(12)
            expect(panel.get_by_role("tab", selected=True)).to_have_text("Branches 1")
            for theme in both_themes(page):
                panel.evaluate("(one) => one.scrollIntoView()")
                page.wait_for_timeout(200)
                seen = panel.evaluate(IN_VIEW)
                wanted = {"Step": 1, "candidates": candidates, "u": 1}
                if width == 1280:
                    wanted["knobs"] = seen["knobs in all"]
                few = {name: seen[name] for name in wanted if seen[name] < wanted[name]}
                assert few == {}, (theme, is_reloaded, seen)
            # the head stays while the rest is scrolled
            box = panel.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 200, box["y"] + 300)
            page.mouse.wheel(0, 250)
            page.wait_for_timeout(300)
            assert panel.evaluate(IN_VIEW)["Step"] == 1


def test_after_a_restart_of_the_kernel_the_panel_says_what_to_do(
    chromium: Browser, lab: Lab
) -> None:
    lab.write("restart.ipynb", OPEN_PANEL)
    with quiet_page(chromium, lab) as page:
        page.goto(lab.url("restart.ipynb"))
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        panel.locator("[data-action=step]").click(delay=PRESS)
        expect(panel.locator(".lw-made")).to_have_count(1)
        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_role("menuitem", name="Restart Kernel…").click()
        page.get_by_role("button", name="Confirm Kernel Restart").click()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.wait_for_timeout(500)
        panel.locator("[data-action=step]").click(delay=PRESS)
        expect(page.locator(".lw-waiting")).to_contain_text(
            "run the panel's cell again"
        )
