"""Everybody can read the panel and work it: contrast, names, a visible focus, no mouse.

Text is checked by axe-core; bars, frames and the focus, which it does not look at, are
computed from the colours of both palettes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from bare_page import HOSTILE, Bare
from playwright.sync_api import Browser
from real_lab import PATIENCE
from wcag import READABLE, contrast, numbers

pytestmark = pytest.mark.browser

RULES = {
    "runOnly": [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
    ],
    # those are about whole pages, and a panel is a part of one
    "rules": {
        name: {"enabled": False}
        for name in ("region", "page-has-heading-one", "heading-order")
    },
    "resultTypes": ["violations"],
}
STEP = 1.07  # of contrast to the paper, from one tint to the next
DISTINCT = 3.0  # the least contrast of what is not text by WCAG 2.2, criterion 1.4.11

# What is seen before what: marks that carry a meaning, frames of what can be pressed.
MARKS = {
    "a bar": ("accent", "bg"),
    "the bar of the drawn token": ("new", "new-pale"),
    "the outline of the model's own probability": ("edge", "bg"),
    "that outline in the row of the drawn token": ("edge", "new-pale"),
    "the prompt in the cache": ("old", "bg"),
    "made tokens in the cache": ("accent", "bg"),
    "the newest slot of the cache": ("new", "bg"),
    "the mark of u": ("new", "bg"),
    "the frame of a made chip": ("edge", "bg"),
    "the frame of a button in the head": ("edge", "soft"),
    "the frame of a stage": ("edge", "bg"),
    "the frame of the stage that is looked at": ("accent", "bg"),
    "the track of a slider": ("edge", "bg"),
    "the thumb of a slider": ("accent", "bg"),
    "the focus": ("accent", "bg"),
    "the focus in head and foot": ("accent", "soft"),
    "the focus in the row of the drawn token": ("accent", "new-pale"),
    "a branch": ("edge", "bg"),
}
TINTS = [f"t{number}" for number in range(5)]
PALETTE = """\
(panel) => {
  const style = getComputedStyle(panel);
  const names = ["bg", "soft", "edge", "accent", "new", "new-pale", "old",
    "fg", "t0", "t1", "t2", "t3", "t4"];
  return Object.fromEntries(
    names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
"""
FOCUS_RING = """\
() => {
  const node = document.activeElement;
  const shown = node.type === "file" ? node.parentElement : node;
  const style = getComputedStyle(shown);
  const name = node.getAttribute("aria-label") ?? node.textContent;
  return [name, style.outlineStyle, parseFloat(style.outlineWidth), shown.outerHTML];
}
"""


@pytest.fixture(scope="module")
def stage(chromium: Browser) -> Bare:
    page = chromium.new_page(viewport={"width": 1300, "height": 1100})
    page.set_default_timeout(PATIENCE)
    return Bare(page)


@pytest.fixture(params=["light", "dark"])
def bare(stage: Bare, request: pytest.FixtureRequest) -> Iterator[Bare]:
    with stage.quiet():
        stage.open(is_dark=request.param == "dark")
        stage.page.wait_for_function(
            "(dark) => document.querySelector('.lw-root').classList.contains('lw-dark')"
            " === dark",
            arg=request.param == "dark",
        )
        yield stage
    stage.page.set_viewport_size({"width": 1300, "height": 1100})


def steps_and_branches(bare: Bare) -> None:
    for action, value in (("step", None),) * 6 + (("back", 3),):
        bare.act(action, value)
    (token,) = bare.kernel.walk.tokenizer.encode(HOSTILE[0]).tolist()
    bare.act("take", {"token": token, "position": bare.kernel.stepper.position})
    bare.act("step")
    bare.act("back", 1)  # leaves a token of the future
    bare.act("knob", {"name": "top_k", "value": 4})  # crosses some candidates out


def test_axe_finds_nothing_in_any_state_at_any_width(bare: Bare) -> None:
    assert violations(bare) == {}, "at the prompt"
    steps_and_branches(bare)
    bare.act("stage", -1)
    bare.act("u", 0.99)
    bare.act("speed", "as fast as possible")
    assert violations(bare) == {}, "another stage, own u, a problem"
    for summary in bare.panel.locator("summary").all():
        summary.click()
    for tab in ("Feed", "Branches", "Text", "Inside"):
        bare.act("side", tab)
        assert violations(bare) == {}, f"menu and prompt open, {tab}"
    bare.act("speed", "slow")
    bare.act("run")
    bare.act("large")
    bare.page.set_viewport_size({"width": 900, "height": 1100})
    assert violations(bare) == {}, "a run, in large type, at 900 pixels"
    bare.act("stop")
    bare.act("large")
    bare.act("guessing")
    bare.page.set_viewport_size({"width": 600, "height": 1100})
    bare.die()
    bare.action("step").click()
    bare.root.locator(".lw-waiting").get_by_text("No answer").wait_for()
    bare.panel.locator(".lw-made").first.hover()
    assert violations(bare) == {}, "guessing, a tip and a silent kernel, at 600 pixels"


def violations(bare: Bare) -> dict[str, list[str]]:
    found: dict[str, Any] = Axe().run(bare.page, options=RULES).response
    return {
        rule["id"]: [
            f"{node['target']}: {node['failureSummary']}" for node in rule["nodes"]
        ]
        for rule in found["violations"]
    }


@pytest.mark.parametrize("mark", MARKS)
def test_what_carries_a_meaning_stands_out(bare: Bare, mark: str) -> None:
    palette = bare.panel.evaluate(PALETTE)
    ink, paper = (numbers(palette[name]) for name in MARKS[mark])
    assert contrast(ink, paper) >= DISTINCT


def test_text_is_readable_on_every_tint_and_each_tint_differs(bare: Bare) -> None:
    palette = bare.panel.evaluate(PALETTE)
    ink, paper, *tints = (numbers(palette[name]) for name in ("fg", "bg", *TINTS))
    assert min(contrast(ink, tint) for tint in tints) >= READABLE
    from_paper = [contrast(tint, paper) for tint in tints]
    # lightness alone tells the steps apart, so that no hue must be seen
    for weaker, stronger in itertools.pairwise(from_paper):
        assert stronger / weaker > STEP


def test_every_control_can_be_reached_without_a_mouse_and_shows_it(bare: Bare) -> None:
    steps_and_branches(bare)
    bare.act("side", "Branches")
    for summary in bare.panel.locator("summary").all():
        summary.evaluate("(node) => { node.parentElement.open = true }")
    bare.page.mouse.click(1, 1)
    reached = []
    while True:
        bare.page.keyboard.press("Tab")
        if not bare.page.evaluate("() => !!document.activeElement.closest('.lw-root')"):
            break
        name, style, width, shown = bare.page.evaluate(FOCUS_RING)
        assert name.strip(), shown
        assert style != "none", shown
        assert width >= 2, shown
        reached.append(shown)
    assert len(reached) >= 30


def test_every_picture_has_words(bare: Bare) -> None:
    pictures = bare.panel.locator("[role=img], svg:not([aria-hidden=true]), img")
    assert pictures.count() == 2
    for picture in pictures.all():
        assert len(picture.get_attribute("aria-label") or "") > 20
