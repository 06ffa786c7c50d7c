"""The step panel of notebook 06 in a real JupyterLab: what is shown is what is held.

The tests go on in one page, as a learner does, each from the prompt. What the stepper
holds is asked of the notebook's own kernel.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from real_lab import both_themes, quiet_page

from benchmarks.lab import run_all_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_client.blocking.client import BlockingKernelClient
    from playwright.sync_api import Browser, Locator, Page

    from benchmarks.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.model]

NOTEBOOK = "notebooks/06_decode_loop.ipynb"
PRESS = 90  # milliseconds between down and up, as people press
SECONDS_TO_SETTLE = 10
KNOBS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")

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
        "ways": [[way.name, way.is_active] for way in shot.branches],
        "is_running": desk.running,
        "frame": panel.frame,
    })
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
    ways: all(".lw-branch").map((way) =>
      [way.querySelector("b").textContent, way.ariaPressed === "true"]),
    is_running: all("[data-action=stop]").length > 0,
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
            "", user_expressions=ask, reply=True, store_history=False, timeout=30
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

    def slider(self, name: str) -> Locator:
        return self.panel.locator(f"input[data-name={name}]")

    def drag(self, name: str, share: float) -> None:
        """Drag a slider to a share of its width, as with a mouse."""
        slider, mouse = self.slider(name), self.page.mouse
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        low, high, now = (
            float(slider.evaluate(f"(one) => one.{what}"))
            for what in ("min", "max", "value")
        )
        inner = box["width"] - box["height"]
        begin = (now - low) / (high - low)
        across = [box["x"] + box["height"] / 2 + inner * at for at in (begin, share)]
        height = box["y"] + box["height"] / 2
        mouse.move(across[0], height)
        mouse.down()
        mouse.move(across[1], height, steps=8)
        self.page.wait_for_timeout(PRESS)
        mouse.up()


@pytest.fixture(scope="module")
def opened(chromium: Browser, lab: Lab) -> Iterator[Opened]:
    with quiet_page(chromium, lab) as page:
        page.set_viewport_size({"width": 1300, "height": 1400})
        page.goto(lab.url(NOTEBOOK))
        run_all_cells(page)
        panel = page.locator(".lw-panel")
        panel.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        with lab.joined(NOTEBOOK) as client:
            client.execute(TELL, reply=True, store_history=False, timeout=30)
            yield Opened(page, panel, client)


@pytest.fixture
def at_prompt(opened: Opened) -> Opened:
    """The panel as it was opened."""
    opened.page.keyboard.press("Escape")
    code = "panel.walk.act('reset'); panel.walk.act('unroll'); panel.redraw()"
    opened.kernel.execute(code, reply=True, store_history=False, timeout=30)
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


def test_going_back_and_choosing_differently_keeps_both_ways_and_a_click_switches(
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
    ways = at_prompt.panel.locator("[data-action=switch]")
    expect(ways).to_have_count(2)
    for way, tokens in ((0, first), (1, second), (0, first)):
        ways.nth(way).click(delay=PRESS)
        assert at_prompt.agree()["tokens"] == tokens


def test_every_slider_moves_by_key_and_by_mouse(at_prompt: Opened) -> None:
    before = at_prompt.agree(frames=0)["knobs"]
    for name in KNOBS:
        at_prompt.slider(name).focus()
        for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight", "ArrowRight"):
            at_prompt.page.keyboard.press(key)
        at_prompt.agree()
    by_key = at_prompt.agree(frames=0)["knobs"]
    assert all(new != old for new, old in zip(by_key, before, strict=True))
    for name, share in zip(KNOBS, (0.7, 0.3, 0.6, 0.4, 0.5, 0.2), strict=True):
        at_prompt.drag(name, share)
        at_prompt.agree()
    by_mouse = at_prompt.agree(frames=0)["knobs"]
    assert by_mouse == pytest.approx([1.4, 30, 0.62, 0.2, 1.5, 20], rel=0.1)


def test_u_is_dragged_rolled_and_given_back(at_prompt: Opened) -> None:
    of_seed = at_prompt.agree(frames=0)["u"]
    at_prompt.drag("u", 0.97)
    dragged = at_prompt.agree()["u"]
    assert float(dragged.removeprefix("u = ")) == pytest.approx(0.97, abs=0.02)
    at_prompt.press("roll")
    assert at_prompt.agree()["u"] not in {dragged, of_seed}
    at_prompt.press("unroll")
    assert at_prompt.agree()["u"] == of_seed


def test_a_run_goes_on_while_a_cell_runs_and_stop_ends_it_after_the_token_in_flight(
    at_prompt: Opened,
) -> None:
    panel, page = at_prompt.panel, at_prompt.page
    panel.get_by_role("combobox", name="how fast a run goes").select_option("fast")
    at_prompt.press("run")
    panel.locator(".lw-made").nth(2).wait_for()
    seconds, made = "__import__('time').sleep(1.5)", "len(panel.stepper.new_tokens)"
    code = f"before = {made}; {seconds}; print({made} - before)"
    at_prompt.kernel.execute(code, store_history=False)
    before = panel.locator(".lw-made").count()
    page.wait_for_timeout(1000)
    assert panel.locator(".lw-made").count() > before + 3
    at_prompt.press("stop")
    expect(panel.locator("[data-action=run]")).to_be_visible()
    at_prompt.kernel.get_shell_msg(timeout=10)
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


def test_in_guess_mode_the_numbers_are_hidden_until_a_guess_is_made(
    at_prompt: Opened,
) -> None:
    panel = at_prompt.panel
    at_prompt.press("guessing")
    expect(panel.locator(".lw-guess")).to_be_visible()
    expect(panel.locator(".lw-u")).to_have_count(0)
    panel.locator("[data-action=take]").nth(4).click(delay=PRESS)
    expect(panel.locator(".lw-guess")).to_contain_text("So far you guessed")
    expect(panel.locator(".lw-made")).to_have_count(1)
    at_prompt.press("guessing")
    expect(panel.locator(".lw-u")).to_have_count(1)
    assert len(at_prompt.agree(frames=3)["tokens"]) == 1


def test_reset_goes_back_to_the_prompt_and_forgets_the_ways(at_prompt: Opened) -> None:
    at_prompt.press("step", times=3)
    at_prompt.press("back")
    at_prompt.agree(frames=4)  # else the candidate may change under the press
    others = at_prompt.panel.locator("tr:not(.lw-drawn) [data-action=take]")
    others.first.click(delay=PRESS)
    assert len(at_prompt.agree()["ways"]) == 2
    at_prompt.press("reset")
    held = at_prompt.agree()
    assert (held["tokens"], len(held["ways"])) == ([], 1)


def test_the_panel_follows_the_theme(at_prompt: Opened) -> None:
    grounds = {
        at_prompt.panel.evaluate("(one) => getComputedStyle(one).backgroundColor")
        for _ in both_themes(at_prompt.page)
    }
    assert grounds == {"rgb(255, 255, 255)", "rgb(21, 24, 28)"}


def test_after_a_restart_of_the_kernel_the_panel_says_what_to_do(
    chromium: Browser, lab: Lab
) -> None:
    cell = (
        "from llm_walkthrough.classroom import open_lesson\n"
        "from llm_walkthrough.widgets import StepPanel\n"
        "lesson = open_lesson()\n"
        "panel = StepPanel(lesson.model, lesson.tokenizer, lesson.prompt())\npanel"
    )
    lab.write("restart.ipynb", cell)
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
