"""The panel's script keeps what a learner does, whatever the kernel does meanwhile.

A real browser, without JupyterLab: the page has a stand-in for the widget's model, and
behind it is a real panel on the toy model.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_page import HOSTILE, PRESS, Bare
from playwright.sync_api import (
    Browser,
    CDPSession,
    Page,
    ViewportSize,
    expect,
)
from real_lab import PATIENCE

from llm_walkthrough.panel import frame
from llm_walkthrough.panel.candidates import SHOWN
from llm_walkthrough.sampling import KNOBS

pytestmark = pytest.mark.browser

SILENT = "No answer for a second"
WIDE: ViewportSize = {"width": 1300, "height": 1100}
SELECTED = "() => getSelection().toString()"
FOCUSED = (
    "() => document.activeElement.dataset.action ?? document.activeElement.tagName"
)
IN_SIGHT = """\
(chip) => {
  const inner = chip.getBoundingClientRect();
  const outer = chip.closest("ol").getBoundingClientRect();
  return inner.top >= outer.top && inner.bottom <= outer.bottom;
}
"""
THROW = """\
() => {
  const fail = (where) => { throw new Error(where) };
  setTimeout(() => fail("timer"));
  requestAnimationFrame(() => fail("frame"));
  const observer = new MutationObserver(() => fail("observer"));
  observer.observe(document.body, { attributes: true });
  document.body.setAttribute("data-changed", "");
  Promise.resolve().then(() => fail("promise"));
}
"""
HALF_A_PIXEL = 0.5
HEIGHT = "(panel) => panel.getBoundingClientRect().height"


@pytest.fixture(scope="module")
def stage(chromium: Browser) -> Bare:
    page = chromium.new_page(viewport=WIDE)
    page.set_default_timeout(PATIENCE)
    return Bare(page)


@pytest.fixture
def bare(stage: Bare) -> Iterator[Bare]:
    """A panel in a page that is expected to be quiet."""
    with stage.quiet():
        stage.open()
        yield stage


def test_an_exception_is_heard_wherever_it_is_thrown(bare: Bare) -> None:
    bare.page.evaluate(THROW)
    bare.page.wait_for_timeout(200)
    for place in ("timer", "frame", "observer", "promise"):
        assert any(place in said for said in bare.heard), place
    bare.heard.clear()


# --- the theme ------------------------------------------------------------------------


def test_a_panel_is_dark_in_a_dark_page_whenever_it_is_put_there(bare: Bare) -> None:
    for is_late, is_dark in itertools.product((True, False), (True, False)):
        bare.open(is_late=is_late, is_dark=is_dark)
        style = "lw-root lw-dark" if is_dark else "lw-root"
        expect(bare.root).to_have_class(style)


def test_a_panel_outside_of_the_page_stays_quiet(bare: Bare) -> None:
    for _ in range(2):  # removed from sight only, then for good
        bare.page.evaluate("() => bare.main.remove()")
        bare.page.evaluate("() => { document.body.style.color = 'red' }")  # a new theme
        bare.redraw()
        bare.act("step")
        bare.page.wait_for_timeout(200)
        bare.page.evaluate("() => bare.remove()")
    assert bare.sent() == []


# --- presses --------------------------------------------------------------------------


def test_a_press_arrives_once_when_the_page_is_redrawn_under_it(bare: Bare) -> None:
    for _ in range(5):
        bare.action("step").hover()
        bare.page.mouse.down()
        for _ in range(3):
            bare.redraw()
            bare.page.wait_for_timeout(PRESS / 3)
        bare.page.mouse.up()
    bare.settle()
    assert bare.steps() == bare.shown_step() == 5


def test_a_press_on_a_candidate_arrives_when_the_page_is_redrawn_under_it(
    bare: Bare,
) -> None:
    third = bare.kernel.walk.snapshot().distribution
    assert third is not None
    bare.action("take").nth(2).hover()
    bare.page.mouse.down()
    bare.act("roll")
    bare.page.mouse.up()
    bare.settle()
    assert bare.kernel.stepper.new_tokens.tolist() == [third.rows[2].token]


def test_clicks_while_a_step_is_under_way_are_one_step_each(bare: Bare) -> None:
    bare.slow(150)
    for _ in range(4):
        bare.action("step").click(delay=10)
    assert bare.steps() < 4
    bare.settle()
    assert bare.steps() == bare.shown_step() == 4


def test_a_second_click_on_a_candidate_that_is_gone_takes_nothing(bare: Bare) -> None:
    bare.slow(100)
    bare.action("take").first.dblclick()
    bare.settle()
    assert bare.steps() == 1
    expect(bare.panel.locator(".lw-problem")).to_contain_text("nothing was taken")


def test_a_button_that_is_off_sends_nothing(bare: Bare) -> None:
    bare.action("back").click(force=True)
    bare.action("step").focus()
    bare.page.keyboard.press("ArrowLeft")
    assert bare.sent() == []


# --- what stays over a redraw ---------------------------------------------------------


def test_focus_hover_selection_and_nodes_survive_redraws(bare: Bare) -> None:
    bare.press("step")
    words = bare.panel.locator(".lw-says")
    words.select_text()
    selected = bare.page.evaluate(SELECTED)
    bare.action("roll").focus()
    bare.action("run").hover()
    nodes = "() => [...document.querySelectorAll('[data-action]')]"
    kept = bare.page.evaluate_handle(nodes)
    for action in ("step", "roll", "step"):
        bare.act(action)
    assert selected
    assert bare.page.evaluate(SELECTED) == selected
    expect(bare.action("roll")).to_be_focused()
    assert bare.action("run").evaluate("(node) => node.matches(':hover')")
    assert kept.evaluate("(nodes) => nodes.every((node) => node.isConnected)")


def test_a_token_keeps_its_chip_when_the_first_ones_are_left_out(
    bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "SHOWN_OF_MADE", 4)
    bare.press("step", 6)
    chip = bare.panel.locator(".lw-made").nth(2)
    chip.focus()
    name = chip.get_attribute("aria-label")
    bare.act("step")
    assert bare.page.evaluate("() => document.activeElement.ariaLabel") == name


def test_the_newest_token_stays_in_sight_of_a_long_list(bare: Bare) -> None:
    for _ in range(150):
        bare.kernel.walk.act("step")
    for _ in range(30):
        bare.act("step")
        assert bare.panel.locator(".lw-next").evaluate(IN_SIGHT)


def test_focus_stays_in_the_panel_when_what_had_it_is_gone(bare: Bare) -> None:
    bare.press("step", 2)
    bare.panel.locator(".lw-made").last.focus()
    bare.act("reset")
    expect(bare.panel).to_be_focused()
    bare.page.keyboard.press("ArrowRight")
    bare.settle()
    assert bare.steps() == 1


def test_redraws_leave_neither_nodes_nor_listeners_behind(bare: Bare) -> None:
    def steady() -> tuple[float, float]:
        bare.act("reset")
        return counted(session)

    session = bare.page.context.new_cdp_session(bare.page)
    for _ in range(3):
        bare.act("step")
    before = steady()
    states = [bare.kernel.state()]
    bare.kernel.walk.act("step")
    bare.kernel.redraw()
    states.append(bare.kernel.state())
    bare.page.evaluate(
        """async (states) => {
          for (let i = 0; i < 500; i += 1) {
            bare.set({ ...states[i % 2], frame: 1000 + i });
            if (i % 50 === 0) await new Promise(requestAnimationFrame);
          }
        }""",
        states,
    )
    after = steady()
    assert after[0] <= before[0] + 20
    assert after[1] == before[1]


def test_a_view_that_is_removed_leaves_nothing_running(bare: Bare) -> None:
    session = bare.page.context.new_cdp_session(bare.page)
    bare.press("run")
    bare.page.evaluate("() => { bare.remove(); bare.remove = null }")
    bare.page.evaluate("() => document.querySelector('main').replaceChildren()")
    bare.settle()
    sent = len(bare.sent())
    bare.redraw()
    bare.page.wait_for_timeout(400)
    assert len(bare.sent()) == sent
    assert counted(session)[0] < 50  # a view that is still held has hundreds of nodes


def counted(session: CDPSession) -> tuple[float, float]:
    """Nodes and listeners of the page, after what is not used any more is gone."""
    session.send("Performance.enable")
    for _ in range(3):  # what a node holds goes one collection after the node
        session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    values = {metric["name"]: metric["value"] for metric in metrics}
    return values["Nodes"], values["JSEventListeners"]


# --- keys -----------------------------------------------------------------------------


def test_right_steps_left_goes_back_and_enter_takes_the_candidate_with_the_focus(
    bare: Bare,
) -> None:
    bare.action("step").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        bare.page.keyboard.press(key)
        bare.settle()
    assert bare.steps() == 1
    found = bare.kernel.walk.snapshot().distribution
    assert found is not None
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        bare.page.keyboard.press(key)
    bare.settle()
    assert bare.kernel.stepper.new_tokens.tolist()[1:] == [found.rows[1].token]
    expect(bare.action("take").nth(1)).to_be_focused()


def test_the_arrows_do_not_leave_the_list_of_candidates(bare: Bare) -> None:
    bare.action("take").first.focus()
    bare.page.keyboard.press("ArrowUp")
    expect(bare.action("take").first).to_be_focused()
    for _ in range(20):
        bare.page.keyboard.press("ArrowDown")
    expect(bare.action("take").last).to_be_focused()


def test_among_the_chips_the_arrows_walk_and_enter_goes_back_to_there(
    bare: Bare,
) -> None:
    bare.press("step", 4)
    bare.panel.locator(".lw-made").last.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowUp"):
        bare.page.keyboard.press(key)
    expect(bare.panel.locator(".lw-made").nth(1)).to_be_focused()
    assert bare.steps() == 4
    bare.page.keyboard.press("Enter")
    bare.settle()
    assert bare.steps() == 1


def test_tab_reaches_every_control_once_and_each_list_as_one(bare: Bare) -> None:
    bare.press("step", 3)
    assert walked_with_tab(bare.page) == [
        *("back", "step", "run", "reset", "SUMMARY"),  # which has more
        *("ask", "ask_as", "ask"),  # the field, what it holds, the button
        "SUMMARY",  # of the prompt
        "back_to",  # the newest chip
        *("stage",) * 5,
        *("take", "roll", "unroll", "u"),
        *("knob",) * (len(KNOBS) + 1),
        *("side", "DIV"),  # the open tab, and what it shows
    ]
    bare.act("side", "Branches")
    for summary in bare.panel.locator("summary").all():
        summary.evaluate("(node) => { node.parentElement.open = true }")
    seen = walked_with_tab(bare.page)
    assert seen[4:8] == ["SUMMARY", "limit", "speed", "tour"]
    assert seen[8:14] == ["guessing", "speculate", "large", "save", "load", "export"]
    assert seen[17:20] == ["SUMMARY", "OL", "back_to"]  # chips of the prompt
    assert seen[-4:] == ["side", "DIV", "DIV", "switch"]


def walked_with_tab(page: Page) -> list[str]:
    """Press Tab from the top of the page until the focus leaves the panel."""
    page.evaluate("() => document.activeElement.blur()")
    page.mouse.click(2, 2)
    seen: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        if not page.evaluate("() => !!document.activeElement.closest('.lw-root')"):
            break
        seen.append(page.evaluate(FOCUSED))
    return seen


def test_repeats_of_a_held_key_are_dropped_while_an_answer_is_outstanding(
    bare: Bare,
) -> None:
    bare.slow(300)
    bare.action("step").focus()
    bare.page.keyboard.down("ArrowRight")
    for _ in range(10):
        bare.page.keyboard.down("ArrowRight")  # the browser says: a repeat
    bare.page.keyboard.up("ArrowRight")
    bare.settle()
    assert bare.steps() == 1
    bare.slow(0)
    bare.page.keyboard.down("ArrowRight")
    for _ in range(3):
        bare.settle()
        bare.page.keyboard.down("ArrowRight")
    bare.page.keyboard.up("ArrowRight")
    bare.settle()
    assert bare.steps() == 5


def test_unmodified_keys_stay_in_the_panel_and_those_that_lead_out_do_not(
    bare: Bare,
) -> None:
    bare.action("step").focus()
    for key in ("b", "a", "d", "x", "Enter", " ", "ArrowDown", "j", "Shift+M", "0"):
        bare.page.keyboard.press(key)
    bare.settle()
    assert bare.page.evaluate("() => bare.keys") == []
    for key in ("Escape", "Tab", "Shift+Enter", "Control+s"):
        bare.page.keyboard.press(key)
    left = ["Escape", "Tab", "Enter", "Control", "s"]
    assert bare.page.evaluate("() => bare.keys") == left


# --- a text of one's own --------------------------------------------------------------


def test_what_is_typed_stays_in_its_field_over_redraws_and_goes_nowhere_else(
    bare: Bare,
) -> None:
    field = bare.panel.locator("textarea")
    field.click()
    for place, key in enumerate("ab 0Mj"):
        bare.page.keyboard.press(key)
        bare.act("step" if place % 2 else "roll")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight", "Shift+Enter", "x"):
        bare.page.keyboard.press(key)
    bare.act("back")
    expect(field).to_be_focused()
    assert field.input_value() == "a\nxb 0Mj"
    assert bare.page.evaluate("() => bare.keys") == []
    assert bare.sent() == []
    bare.panel.evaluate("(panel) => panel.querySelector('.lw-ask').remove()")
    bare.redraw()  # in a field that is made anew, too
    assert field.input_value() == "a\nxb 0Mj"


@pytest.mark.parametrize("way", ["Enter", "Control+Enter", "button"])
def test_a_text_is_sent_once_and_the_keys_are_then_the_panels(
    bare: Bare, way: str
) -> None:
    bare.press("step", 2)
    bare.act("speed", "fast")
    bare.press_run()
    field = bare.panel.locator("textarea")
    field.fill("the a")
    if way == "button":
        bare.panel.locator("button[data-action=ask]").click(delay=PRESS)
    else:
        field.focus()
        for key in (*way.split("+"), "Enter"):  # held: the second one is a repeat
            bare.page.keyboard.down(key)
        for key in ("Enter", "Control"):
            bare.page.keyboard.up(key)
    bare.settle()
    expect(bare.action("run")).to_be_visible()
    asked = [event for event in bare.sent() if event["action"] == "ask"]
    assert [event["value"] for event in asked] == ["the a"]
    assert bare.steps() == 0
    prompt = bare.kernel.walk.tokenizer.decode(bare.kernel.stepper.tokens)
    assert "the a" in prompt
    if way != "button":
        expect(bare.action("step")).to_be_focused()
        bare.page.keyboard.press("ArrowRight")
        bare.settle()
        assert bare.steps() == 1


def test_a_text_that_is_refused_stays_to_be_mended(bare: Bare) -> None:
    field = bare.panel.locator("textarea")
    bare.action("ask_as").select_option("a text to continue")
    field.fill("a" * 500)
    field.press("Enter")
    bare.settle()
    expect(bare.panel.locator(".lw-problem")).to_contain_text(
        "0 of 400 places in the context"
    )
    expect(field).to_be_focused()
    bare.page.keyboard.type("the")  # what was sent is selected
    assert field.input_value() == "the"
    field.press("Enter")
    bare.settle()
    expect(bare.panel.locator(".lw-problem")).to_have_count(0)
    assert bare.kernel.walk.tokenizer.decode(bare.kernel.stepper.tokens) == "the"


def test_a_long_text_makes_way_for_the_panel_when_it_is_left(bare: Bare) -> None:
    field = bare.panel.locator("textarea")
    line = field.bounding_box()
    field.fill("the a " * 20 * 10)
    field.focus()
    grown = field.bounding_box()
    assert line is not None
    assert grown is not None
    assert grown["height"] > 3 * line["height"]
    bare.panel.locator("[data-action=take]").nth(1).click(delay=PRESS)
    bare.settle()
    assert bare.steps() == 1  # nothing has moved from under the pointer
    bare.page.wait_for_timeout(600)
    assert field.bounding_box() == line


def test_an_enter_that_ends_a_composition_sends_nothing(bare: Bare) -> None:
    field = bare.panel.locator("textarea")
    field.fill("の")
    for init in ("{isComposing: true}", "{keyCode: 229}"):
        field.evaluate(
            "(node) => node.dispatchEvent(new KeyboardEvent('keydown',"
            f" {{key: 'Enter', bubbles: true, cancelable: true, ...{init}}}))"
        )
    assert bare.sent() == []
    field.press("Enter")
    bare.settle()
    assert len(bare.sent()) == 1


# --- sliders --------------------------------------------------------------------------


def test_a_slider_that_is_dragged_is_not_set_back_and_its_last_value_wins(
    bare: Bare,
) -> None:
    bare.slow(60)
    slider = bare.slider("temperature")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    across = [box["x"] + box["width"] * share for share in (0.4, 0.5, 0.6, 0.7, 0.9)]
    height = box["y"] + box["height"] / 2
    bare.page.mouse.move(across[0], height)
    bare.page.mouse.down()
    held = []
    for x in across[1:]:
        bare.page.mouse.move(x, height, steps=4)
        dragged_to = slider.input_value()
        bare.redraw()  # with an older value
        held.append((dragged_to, slider.input_value()))
    bare.page.mouse.up()
    bare.settle()
    bare.settle()
    assert all(before == after for before, after in held)
    temperature = bare.kernel.walk.now.sampling.temperature
    assert temperature == float(slider.input_value()) > 1.5
    moves = [event for event in bare.sent() if event["action"] == "knob"]
    assert len(moves) < 16  # those that came while one was under way were one


def test_keys_on_a_slider_all_count_however_slow_the_kernel_is(bare: Bare) -> None:
    bare.slow(120)
    slider = bare.slider("top_k")
    slider.focus()
    for _ in range(6):
        bare.page.keyboard.press("ArrowRight")
        bare.page.wait_for_timeout(35)
    bare.settle()
    bare.settle()
    assert bare.kernel.walk.now.sampling.top_k == 46
    assert slider.input_value() == "46"
    expect(slider).to_be_focused()


def test_every_slider_moves_by_key_and_says_its_value(bare: Bare) -> None:
    begun = bare.kernel.walk.now
    for name in (*vars(begun.sampling), "seed"):
        slider = bare.slider(name)
        before = slider.get_attribute("aria-valuetext")
        slider.focus()
        is_at_the_end = slider.evaluate("(one) => one.value === one.max")
        bare.page.keyboard.press("ArrowLeft" if is_at_the_end else "ArrowRight")
        bare.settle()
        assert slider.get_attribute("aria-valuetext") != before
    moved = bare.kernel.walk.now
    assert moved.sampling.temperature == pytest.approx(
        begun.sampling.temperature + 0.05
    )
    assert moved.sampling.top_k == 41
    was, now = vars(begun.sampling), vars(moved.sampling)
    assert all(now[name] != was[name] for name in was)
    assert moved.seed == begun.seed + 1


def test_u_is_dragged_and_given_back_without_a_run_of_the_model(bare: Bare) -> None:
    runs = bare.kernel.toy.num_runs
    drawn = bare.kernel.stepper.u
    slider = bare.slider("u")
    box = slider.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] * drawn
    height = box["y"] + box["height"] / 2
    bare.page.mouse.move(x, height)
    bare.page.mouse.down()
    bare.page.mouse.move(box["x"] + box["width"] * 0.8, height, steps=5)
    bare.page.mouse.up()
    bare.settle()
    bare.settle()
    assert bare.kernel.stepper.u == pytest.approx(0.8, abs=0.02)
    expect(bare.panel.locator(".lw-u")).to_have_text(f"u = {bare.kernel.stepper.u:.3f}")
    bare.press("unroll")
    assert bare.kernel.stepper.u == drawn
    assert bare.kernel.toy.num_runs == runs


# --- run and stop ---------------------------------------------------------------------


def test_a_run_is_pulled_step_by_step_and_stop_ends_it_after_the_step_in_flight(
    bare: Bare,
) -> None:
    bare.act("speed", "fast")
    bare.slow(40)
    bare.press_run()
    bare.page.wait_for_function("() => bare.answers >= 5")
    before = bare.steps()
    bare.action("stop").click(delay=PRESS)
    bare.settle()
    stopped = bare.steps()
    bare.page.wait_for_timeout(200)
    bare.settle()
    assert bare.steps() == stopped
    assert before >= 3
    # one tick may have been under way when Stop was sent
    stop = [event["action"] for event in bare.sent()].index("stop")
    assert all(event["action"] != "tick" for event in bare.sent()[stop + 2 :])
    expect(bare.action("run")).to_be_visible()


def test_a_tick_of_an_older_frame_makes_no_step_and_is_no_silence(bare: Bare) -> None:
    bare.act("speed", "slow")
    bare.act("run")
    event = {"action": "tick", "frame": bare.kernel.frame - 1, "view": "", "number": 1}
    bare.kernel.hear(event)
    assert bare.steps() == 0
    bare.act("stop")
    bare.act("speed", "fast")
    bare.slow(80)
    bare.press_run()
    for _ in range(6):  # each click makes the tick that is under way too old
        bare.action("roll").click(delay=20)
    bare.action("stop").click(delay=20)
    bare.settle()
    bare.page.wait_for_timeout(1100)
    expect(bare.root.locator(".lw-waiting")).to_be_empty()
    bare.slider("seed").focus()
    bare.page.keyboard.press("ArrowRight")
    bare.settle()
    assert bare.kernel.walk.now.seed == 1


def test_knobs_can_be_turned_during_a_run(bare: Bare) -> None:
    bare.act("speed", "fast")
    bare.slow(20)
    bare.press_run()
    bare.slider("top_k").focus()
    for _ in range(5):
        bare.page.keyboard.press("ArrowRight")
        bare.page.wait_for_timeout(50)
    bare.action("stop").click(delay=PRESS)
    bare.settle()
    assert bare.kernel.walk.now.sampling.top_k == 45
    assert bare.steps() > 3


# --- a kernel that does not answer ----------------------------------------------------


def test_after_a_second_of_silence_it_is_said_and_gone_with_the_answer(
    bare: Bare,
) -> None:
    bare.slow(1500)
    said = bare.root.locator(".lw-waiting")
    bare.action("step").click()
    bare.page.wait_for_timeout(600)
    expect(said).to_be_empty()
    expect(said).to_contain_text(SILENT)
    expect(said).to_have_attribute("role", "status")
    bare.settle()
    expect(said).to_be_empty()
    assert bare.steps() == 1


def test_a_tab_may_take_longer_than_a_step(bare: Bare) -> None:
    bare.slow(1500)
    bare.panel.get_by_role("tab", name="Text").click(delay=PRESS)
    bare.page.wait_for_timeout(1200)
    expect(bare.root.locator(".lw-waiting")).to_be_empty()
    bare.settle()


def test_clicks_behind_an_answer_that_was_lost_are_still_heard(bare: Bare) -> None:
    bare.die()
    for _ in range(3):
        bare.action("step").click(delay=10)
    bare.page.evaluate("() => { bare.isDead = false }")
    assert len(bare.sent()) == 1
    bare.page.wait_for_function("() => bare.answers === 2")
    assert bare.steps() == bare.shown_step() == 2
    bare.action("step").click(delay=10)
    bare.page.wait_for_function("() => bare.answers === 3")
    assert bare.shown_step() == 3
    expect(bare.root.locator(".lw-waiting")).to_be_empty()


def test_a_kernel_that_is_gone_is_said_and_the_sentence_stays(bare: Bare) -> None:
    bare.die()
    bare.action("step").click()
    expect(bare.root.locator(".lw-waiting")).to_contain_text(SILENT)
    bare.redraw()  # such as by another view of the same panel
    expect(bare.root.locator(".lw-waiting")).to_contain_text(SILENT)


# --- text that would break a page -----------------------------------------------------


@pytest.mark.parametrize(
    "text", HOSTILE, ids=["script", "style", "quote", "img", "rtl", "long"]
)
def test_hostile_tokens_are_shown_as_text(bare: Bare, text: str) -> None:
    tokenizer = bare.kernel.walk.tokenizer
    (token,) = tokenizer.encode(text).tolist()
    position = bare.kernel.stepper.position
    before = bare.panel.evaluate(HEIGHT)
    bare.act("take", {"token": token, "position": position})
    chip = bare.panel.locator(".lw-made")
    piece = tokenizer.piece(token)
    name = chip.get_attribute("aria-label")
    assert name is not None
    assert name.startswith(f"{piece} · ")
    shown = piece if len(piece) <= 40 else f"{piece[:39]}…"
    assert chip.inner_text() == shown
    chip.hover()
    expect(bare.root.locator(".lw-tip")).to_contain_text("position 3")
    assert bare.page.evaluate("() => window.broken") is None
    assert bare.page.locator("main script, main style, main img").count() == 0
    assert bare.panel.evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")
    assert bare.panel.evaluate(HEIGHT) == before


# --- files ----------------------------------------------------------------------------


def test_a_run_is_saved_as_a_file_and_opened_again(bare: Bare, tmp_path: Path) -> None:
    bare.press("step", 3)
    with bare.page.expect_download() as download:
        bare.more("save")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    tokens = bare.kernel.stepper.new_tokens.tolist()
    assert [step[0] for step in json.loads(file.read_text("utf-8"))["steps"]] == tokens
    bare.press("reset")
    bare.action("load").set_input_files(file)
    expect(bare.panel.locator(".lw-notice")).to_contain_text("Replayed 3 steps")
    assert bare.kernel.stepper.new_tokens.tolist() == tokens
    bare.press("reset")
    bare.action("load").set_input_files(file)  # the same file once more
    expect(bare.panel.locator(".lw-notice")).to_contain_text("Replayed 3 steps")


def test_the_page_of_a_step_is_a_file_that_needs_nothing_else(
    bare: Bare, chromium: Browser, tmp_path: Path
) -> None:
    bare.press("step", 2)
    with bare.page.expect_download() as download:
        bare.more("export")
    file = tmp_path / "step.html"
    download.value.save_as(file)
    assert download.value.suggested_filename == "step.html"
    other = chromium.new_page()
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    other.goto(file.as_uri())
    expect(other.locator(".lw-made")).to_have_count(2)
    for dead in ("step", "ask", "roll"):
        expect(other.locator(f"button[data-action={dead}]")).to_be_hidden()
    assert asked == [file.as_uri()]
    other.close()


# --- the menu and the tabs ------------------------------------------------------------


def test_the_menu_opens_by_key_stays_over_redraws_and_is_closed_by_escape(
    bare: Bare,
) -> None:
    menu, first = bare.panel.locator(".lw-more"), bare.action("limit")
    expect(first).to_be_hidden()
    bare.action("reset").focus()
    for key in ("Tab", "Enter", "Tab"):
        bare.page.keyboard.press(key)
    expect(first).to_be_focused()
    first.select_option("5 tokens")
    bare.settle()
    bare.act("roll")
    expect(first).to_be_visible()
    bare.page.evaluate("() => { bare.keys = [] }")
    bare.page.keyboard.press("Escape")
    expect(first).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()
    assert bare.page.evaluate("() => bare.keys") == []  # the notebook does not hear it
    assert bare.kernel.walk.now.limit == "5 tokens"


def test_the_menu_is_closed_by_its_buttons_and_by_whatever_is_beside_it(
    bare: Bare,
) -> None:
    bare.more("guessing")
    bare.settle()
    assert bare.kernel.walk.now.is_guessing
    expect(bare.action("guessing")).to_be_hidden()
    summary = bare.panel.locator(".lw-more summary")
    expect(summary).to_be_focused()
    for way_out in ("click", "Tab"):
        summary.click(delay=PRESS)
        expect(bare.action("large")).to_be_visible()
        if way_out == "click":
            bare.panel.locator(".lw-where").click()
        else:
            bare.action("export").focus()
            bare.page.keyboard.press("Tab")
        expect(bare.action("large")).to_be_hidden()


def test_an_opened_prompt_stays_open_over_steps(bare: Bare) -> None:
    chips = bare.panel.locator(".lw-fold .lw-prompt")
    expect(chips.first).to_be_hidden()
    bare.panel.locator(".lw-fold summary").focus()
    bare.page.keyboard.press("Enter")
    bare.press("step", 2)
    expect(chips.first).to_be_visible()
    bare.panel.locator(".lw-fold summary").click(delay=PRESS)
    expect(chips.first).to_be_hidden()


def test_the_arrows_go_round_the_tabs_and_open_them_and_the_open_one_is_remembered(
    bare: Bare,
) -> None:
    tabs = bare.panel.get_by_role("tab")
    chosen = bare.panel.get_by_role("tab", selected=True)
    shown = bare.panel.get_by_role("tabpanel")
    expect(chosen).to_have_text("Cache")
    chosen.focus()
    for key, name in (
        *(("ArrowRight", name) for name in ("Feed", "Branches 1", "Text")),
        *(("ArrowRight", name) for name in ("Inside", "Cache")),
        *(("ArrowLeft", name) for name in ("Inside", "Text", "Branches 1")),
    ):
        bare.page.keyboard.press(key)
        bare.settle()
        expect(chosen).to_have_text(name)
        expect(chosen).to_be_focused()
        expect(shown).to_have_attribute("aria-label", name.split()[0])
        assert tabs.evaluate_all("(all) => all.filter((o) => !o.tabIndex).length") == 1
    assert bare.steps() == 0
    bare.press("step", 2)
    bare.press("back")
    bare.act("ask", "the a")
    expect(chosen).to_have_text("Branches 1")
    tabs.nth(1).click(delay=PRESS)
    expect(chosen).to_have_text("Feed")
    bare.redraw()
    expect(shown.locator(".lw-feed")).to_be_visible()


# --- what is in sight -----------------------------------------------------------------


BOXES = """\
(panel) => {
  const all = (what) => [...panel.querySelectorAll(what)].map((node) => {
    const { top, bottom, left, right } = node.getBoundingClientRect();
    const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return { top, bottom, left, right, isSeen: node.contains(seen) };
  });
  return {
    buttons: all(".lw-head > div > .lw-button, .lw-head summary"),
    candidates: all(".lw-take"),
    u: all(".lw-line"),
    knobs: all("input[data-action=knob]"),
  };
}
"""


TREE = """\
(panel) => {
  const tree = panel.querySelector(".lw-tree").getBoundingClientRect();
  const middle = (node) => {
    const { top, bottom } = node.getBoundingClientRect();
    return (top + bottom) / 2;
  };
  const all = (what) => [...panel.querySelectorAll(what)].map(middle);
  const active = middle(panel.querySelector(".lw-branch[aria-pressed=true]"));
  return {
    rows: all(".lw-branch"), ends: all("circle:not(.lw-here)"),
    isActiveSeen: tree.top < active && active < tree.bottom,
  };
}
"""


@pytest.mark.parametrize("width", [1270, 848, 592])
def test_each_branch_ends_at_its_row_and_the_active_one_is_in_sight(
    bare: Bare, width: int
) -> None:
    bare.page.set_viewport_size({"width": width, "height": 700})
    bare.act("side", "Branches")
    for number in range(12):
        bare.kernel.walk.act("step")
        bare.kernel.walk.act("back")
        found = bare.kernel.walk.snapshot().distribution
        assert found is not None
        token, position = found.rows[number % 8].token, bare.kernel.stepper.position
        bare.kernel.walk.act("take", {"token": token, "position": position})
    bare.act("step")
    seen = bare.panel.evaluate(TREE)
    bare.page.set_viewport_size(WIDE)
    assert len(seen["rows"]) > 8
    assert seen["ends"] == pytest.approx(seen["rows"], abs=1)
    assert seen["isActiveSeen"]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height", "wanted"), [(848, 679, 8), (592, 579, 6)], ids=["848", "592"]
)
def test_step_candidates_u_and_knobs_are_seen_together(
    bare: Bare, *, width: int, height: int, wanted: int, is_dark: bool
) -> None:
    bare.page.set_viewport_size({"width": width, "height": height})
    bare.open(is_dark=is_dark)
    bare.page.evaluate("() => { document.body.style.margin = '0' }")
    for _ in range(30):
        bare.kernel.walk.act("step")
    bare.act("step")
    found = bare.panel.evaluate(BOXES)
    assert len(found["buttons"]) == 5
    inside = {
        name: [
            box["isSeen"]
            and box["top"] >= 0
            and box["bottom"] <= height
            and box["left"] >= 0
            and box["right"] <= width
            for box in boxes
        ]
        for name, boxes in found.items()
    }
    bare.page.set_viewport_size(WIDE)
    assert all(inside["buttons"])
    assert inside["candidates"][:wanted] == [True] * wanted
    assert inside["u"] == [True]
    assert all(inside["knobs"]) or width < 848


def test_the_head_stays_in_sight_while_the_rest_is_scrolled(bare: Bare) -> None:
    bare.page.set_viewport_size({"width": 592, "height": 400})
    bare.page.evaluate("() => scrollTo(0, 350)")
    bare.settle()
    for button in bare.panel.evaluate(BOXES)["buttons"]:
        assert button["isSeen"]
        assert button["top"] >= 0
    bare.action("step").click(delay=PRESS)
    bare.settle()
    # nor does it cover what takes the focus
    bare.panel.get_by_role("tab", selected=True).focus()
    bare.action("take").first.focus()
    assert bare.panel.evaluate(BOXES)["candidates"][0]["isSeen"]
    bare.page.set_viewport_size(WIDE)
    assert bare.steps() == 1


# --- height ---------------------------------------------------------------------------


COLUMNS = """\
() => {
  const main = document.querySelector(".lw-root");
  const heads = [...document.querySelectorAll(".lw-table th")];
  const found = [];
  for (let width = 420; width <= 1300; width += 20) {
    main.style.width = `${width}px`;
    const shown = heads.filter((head) => head.offsetWidth);
    const row = document.querySelector(".lw-table tbody tr");
    const text = document.createRange();
    text.selectNodeContents(row.querySelector(".lw-rank"));
    found.push({
      width,
      names: shown.map((head) => head.innerText.replace(/^[▭▬] /, "")),
      bars: document.querySelector(".lw-table .lw-bars").offsetWidth,
      over: text.getBoundingClientRect().right
        - row.querySelector(".lw-chip").getBoundingClientRect().left,
    });
  }
  return found;
}
"""


@pytest.mark.parametrize("width", [330, 360, 390])
def test_on_a_phone_each_row_of_buttons_is_one_row_and_the_box_has_its_own(
    bare: Bare, width: int
) -> None:
    bare.page.set_viewport_size({"width": width, "height": 800})
    bare.press("step", 3)
    tops = "(all) => new Set(all.map((node) => node.getBoundingClientRect().top)).size"
    right = "(node) => node.getBoundingClientRect().right"
    ends = bare.panel.evaluate(right)
    for row in (
        ".lw-head > div > :is(button, details)",
        ".lw-tab:not([aria-selected=true])",
    ):
        buttons = bare.panel.locator(row)
        assert buttons.evaluate_all(tops) == 1, row
        assert buttons.last.evaluate(right) < ends, row
    box = bare.panel.locator("textarea").bounding_box()
    assert box is not None
    assert box["width"] > 0.85 * width
    bare.page.set_viewport_size(WIDE)


def test_a_wider_panel_shows_every_column_that_a_narrower_one_shows(bare: Bare) -> None:
    bare.act("side", "Branches")
    found = bare.page.evaluate(COLUMNS)
    for narrow, wide in itertools.pairwise(found):
        assert {*narrow["names"]} <= {*wide["names"]}, wide["width"]
    assert {"penalty", "÷ T"} <= {*found[-1]["names"]}
    assert [one["width"] for one in found if one["bars"] < 36] == []


@pytest.mark.parametrize("rank", ["49,152", "151,936"])
def test_a_rank_of_many_digits_ends_before_the_chip(bare: Bare, rank: str) -> None:
    bare.panel.locator("tbody .lw-rank").first.evaluate(
        "(cell, rank) => { cell.textContent = rank }", rank
    )
    over = [one for one in bare.page.evaluate(COLUMNS) if one["over"] > 0]
    assert over == []


COVERED = """\
() => {
  const box = (node) => node.getBoundingClientRect();
  const tip = box(document.querySelector(".lw-tip"));
  const root = box(document.querySelector(".lw-root"));
  const lies = (other) => tip.left < other.right && other.left < tip.right
    && tip.top < other.bottom && other.top < tip.bottom;
  // beside the candidates there may be branches, which are not compared with them
  const branches = document.querySelector(".lw-branch:hover") ? ", .lw-branch" : "";
  const all = `.lw-table tbody tr, .lw-guess li${branches}`;
  const rows = [...document.querySelectorAll(all)];
  return {
    covered: rows.filter((row) => lies(box(row))).length,
    isInside: tip.width > 0 && tip.left >= root.left && tip.right <= root.right
      && tip.top >= root.top && tip.bottom <= root.bottom,
  };
}
"""


@pytest.mark.parametrize("width", [600, 848, 1140, 1300])
def test_the_tip_of_a_row_covers_no_row(bare: Bare, width: int) -> None:
    bare.page.set_viewport_size({**WIDE, "width": width})
    bare.act("step")
    bare.act("step")
    bare.act("back", 1)
    bare.act("take", {"token": 5, "position": bare.kernel.stepper.position})
    bare.act("knob", {"name": "top_k", "value": 4})  # the others get a reason
    bare.act("side", "Branches")
    seen = []
    for is_guessing in (False, True):
        bare.action("step").focus()
        for _ in range(SHOWN):
            bare.page.keyboard.press("ArrowDown")
            bare.settle()
            seen.append(bare.page.evaluate(COVERED))
        hovered = bare.panel.locator(".lw-flag[data-tip], .lw-branch")
        for node in hovered.all():
            node.hover()
            bare.settle()
            seen.append(bare.page.evaluate(COVERED))
        if not is_guessing:
            bare.act("guessing")
    bare.page.set_viewport_size(WIDE)
    assert len(seen) > 2 * SHOWN + 4
    assert [one for one in seen if one != {"covered": 0, "isInside": True}] == []


HEIGHTS = """\
() => {
  const main = document.querySelector(".lw-root");
  const panel = document.querySelector(".lw-panel");
  const found = {};
  for (const width of [1250, 860, 700, 600]) {
    for (const size of ["normal", "large"]) {
      main.style.width = `${width}px`;
      panel.classList.toggle("lw-large", size === "large");
      found[`${width}, ${size}`] = panel.getBoundingClientRect().height;
    }
  }
  panel.classList.remove("lw-large");
  return found;
}
"""


def test_the_height_of_the_panel_never_changes_at_any_width(bare: Bare) -> None:
    start = bare.page.evaluate(HEIGHTS)
    moved: dict[str, dict[str, float]] = {}

    def act(name: str, action: str, value: object = None) -> None:
        bare.act(action, value)
        now = bare.page.evaluate(HEIGHTS)
        jumps = {look: now[look] - start[look] for look in start}
        moved[name] = {k: by for k, by in jumps.items() if abs(by) > HALF_A_PIXEL}

    def take(name: str, token: int) -> None:
        position = bare.kernel.stepper.position
        act(name, "take", {"token": token, "position": position})

    def candidate(number: int) -> int:
        found = bare.kernel.walk.snapshot().distribution
        assert found is not None
        return found.rows[number].token

    for step in range(12):
        act(f"step {step}", "step")
    for text in HOSTILE:
        (token,) = bare.kernel.walk.tokenizer.encode(text).tolist()
        take(text, token)
    ends = [(knob.name, end) for knob in KNOBS for end in knob.slider[:2]]
    for name, value in (*ends, ("top_k", 1), ("seed", 99)):
        act(f"{name} {value}", "knob", {"name": name, "value": value})
    act("u", "u", 0.999)
    act("stage", "stage", -1)
    act("a problem", "take", {"token": 1, "position": 0})
    act("a long problem", "speed", "as fast as " + "possible " * 60)
    act("run", "run")
    act("stop", "stop")
    for number in range(6):
        act(f"back for {number}", "back", 5)
        take(f"branch {number}", candidate(number))
    for tab in ("Feed", "Branches", "Text", "Inside", "Cache"):
        act(tab, "side", tab)
        act(f"step at {tab}", "step")
    act("guessing", "guessing")
    for guess in range(3):
        take(f"guess {guess}", candidate(0))
    act("no guessing", "guessing")
    act("reset", "reset")
    assert {name: jumps for name, jumps in moved.items() if jumps} == {}


def test_a_full_context_changes_no_height_and_says_why_nothing_comes(
    bare: Bare,
) -> None:
    start = bare.page.evaluate(HEIGHTS)
    bare.kernel.toy.capacity = 5
    bare.act("reset")
    for _ in range(4):
        bare.act("step")
    now = bare.page.evaluate(HEIGHTS)
    assert {k: h for k, h in now.items() if abs(h - start[k]) > HALF_A_PIXEL} == {}


def test_the_place_of_a_notice_is_kept_and_a_long_one_can_be_read(bare: Bare) -> None:
    bare.act("speed", "as fast as " + "possible " * 100)
    notice = bare.panel.locator(".lw-notice")
    assert notice.evaluate("(node) => node.scrollHeight > node.clientHeight")
    assert "possible" in notice.inner_text()


@pytest.mark.parametrize("width", [848, 1010, 1270])
def test_a_notice_of_two_lines_is_seen_as_a_whole(bare: Bare, width: int) -> None:
    bare.page.set_viewport_size({"width": width, "height": 800})
    bare.act("load", "{nonsense")
    notice = bare.panel.locator(".lw-notice")
    expect(notice).to_contain_text("is not JSON")
    hidden = notice.evaluate("(node) => node.scrollHeight - node.clientHeight")
    bare.page.set_viewport_size(WIDE)
    assert hidden <= 0


HEADINGS = """\
(panel) => {
  const row = panel.querySelector(".lw-table tbody tr");
  const text = document.createRange();
  text.selectNodeContents(row.querySelector(".lw-opt"));
  const bar = row.querySelector(".lw-ghost").getBoundingClientRect();
  const heading = panel.querySelector("th.lw-bars");
  return {
    between: bar.left - text.getBoundingClientRect().right,
    cut: heading.scrollWidth - heading.clientWidth,
  };
}
"""


@pytest.mark.parametrize("width", [848, 1010, 1270])
def test_no_number_runs_into_the_bars_and_their_heading_is_whole(
    bare: Bare, width: int
) -> None:
    bare.page.set_viewport_size({"width": width, "height": 800})
    seen = [bare.panel.evaluate(HEADINGS)]
    for logit in ("151.93", "1519.3"):
        cell = bare.panel.locator("tbody .lw-opt").first
        cell.evaluate("(cell, logit) => { cell.textContent = logit }", logit)
        seen.append(bare.panel.evaluate(HEADINGS))
    bare.page.set_viewport_size(WIDE)
    assert [one for one in seen if one["between"] <= 0 or one["cut"] > 0] == []
