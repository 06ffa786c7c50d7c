"""The tab "Inside" in a real browser: keys, widths, themes and the page without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_page import PRESS, Bare
from fake_inside import LAYERS, FakeInside
from playwright.sync_api import Browser, expect
from real_lab import PATIENCE

pytestmark = pytest.mark.browser

LOOKS = ".lw-inside [data-item=looks]"
SIZES = [(1270, 700), (848, 679), (592, 700)]
LAID_OUT = """\
(panel) => {
  const box = (node) => node.getBoundingClientRect();
  const side = box(panel.querySelector(".lw-side"));
  const shown = box(panel.querySelector(".lw-tab-panel"));
  const lens = box(panel.querySelector(".lw-lens"));
  const isIn = (node, outer) => {
    const { top, bottom, left, right } = box(node);
    return top >= outer.top - 1 && bottom <= outer.bottom + 1
      && left >= outer.left && right <= outer.right;
  };
  const all = (what) => [...panel.querySelectorAll(what)];
  all(".lw-tab")[2].textContent = "Branches 12";
  const rows = all(".lw-lens tr");
  const list = panel.querySelector(".lw-inside .lw-chips");
  return {
    tabs: all(".lw-tab").map((tab) => isIn(tab, side)),
    parts: all(".lw-inside > :not(ol, .lw-lens)").map((part) => isIn(part, shown)),
    lastLayer: isIn(rows.at(-1), lens),
    layersInSight: rows.filter((row) => isIn(row, lens)).length,
    numbers: all(".lw-lens th, .lw-lens .lw-num").every(
      (cell) => cell.scrollWidth <= cell.clientWidth + 1),
    strongest: isIn(panel.querySelector(".lw-most"), box(list)),
    wide: [list, panel.querySelector(".lw-lens"), panel.querySelector(".lw-tab-panel")]
      .map((node) => node.scrollWidth - node.clientWidth),
  };
}
"""


@pytest.fixture(scope="module")
def stage(chromium: Browser) -> Bare:
    page = chromium.new_page(viewport={"width": 1300, "height": 1100})
    page.set_default_timeout(PATIENCE)
    return Bare(page)


@pytest.fixture
def bare(stage: Bare) -> Iterator[Bare]:
    with stage.quiet():
        stage.open()
        for _ in range(30):
            stage.kernel.walk.act("step")
        stage.act("side", "Inside")
        yield stage


@pytest.mark.parametrize("is_large", [False, True], ids=["normal", "large"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_parts_fit_at_every_width(
    bare: Bare, *, width: int, height: int, is_large: bool
) -> None:
    bare.page.set_viewport_size({"width": width, "height": height})
    if is_large:
        bare.act("large")
    for layer, head in (("all layers", "all heads"), ("layer 7", "head 2")):
        bare.act("layer", layer)
        bare.act("head", head)
        bare.settle()
        found = bare.panel.evaluate(LAID_OUT)
        assert all(found["tabs"]), found
        assert all(found["parts"]), found
        assert found["lastLayer"], found
        assert found["layersInSight"] >= 2, found
        assert found["numbers"], found
        assert found["strongest"], found
        assert max(found["wide"]) <= 0, found
    bare.page.set_viewport_size({"width": 1300, "height": 1100})


def test_layer_and_head_are_chosen_by_key_and_stay_over_steps(bare: Bare) -> None:
    layer = bare.panel.get_by_role("combobox", name="layer", exact=True)
    head = bare.panel.get_by_role("combobox", name="head", exact=True)
    before = bare.panel.locator(".lw-inside .lw-scale").inner_text()
    layer.focus()
    bare.page.keyboard.press("ArrowDown")
    bare.settle()
    bare.page.keyboard.press("Tab")
    expect(head).to_be_focused()
    bare.page.keyboard.press("End")
    bare.settle()
    shown = bare.panel.locator(".lw-inside .lw-scale").inner_text()
    assert shown != before
    assert bare.steps() == 30
    bare.press("step")
    expect(layer).to_have_value("layer 0")
    expect(head).to_have_value("head 8")
    assert bare.panel.locator(".lw-inside .lw-scale").inner_text() != shown


def test_the_arrows_walk_among_the_tokens_and_tell_each_share(bare: Bare) -> None:
    looks = bare.panel.locator(LOOKS)
    count = looks.count()
    assert count == 33
    looks.last.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        bare.page.keyboard.press(key)
    expect(looks.nth(count - 3)).to_be_focused()
    bare.settle()
    tip = bare.root.locator(".lw-tip")
    expect(tip).to_contain_text(f"position {count - 3} · ")
    assert bare.steps() == 30
    # a Tab goes on to the lens, and the list is one stop
    bare.page.keyboard.press("Tab")
    expect(bare.panel.locator(".lw-lens")).to_be_focused()
    bare.panel.locator(".lw-lens").press("Home")
    bare.page.wait_for_timeout(300)
    first = bare.panel.locator(".lw-lens tr").first
    assert first.evaluate("(row) => row.getBoundingClientRect().height") > 0
    reached = "(box) => box.scrollTop < 0"  # it begins at its end, which is 0
    assert bare.panel.locator(".lw-lens").evaluate(reached)


def test_a_run_with_the_tab_open_looks_after_each_step_and_stops(bare: Bare) -> None:
    bare.act("speed", "fast")
    before = len(FakeInside.looked)
    bare.press_run()
    bare.page.wait_for_function("() => bare.answers > 12")
    bare.action("stop").click(delay=PRESS)
    bare.settle()
    assert len(FakeInside.looked) - before == bare.steps() - 30 >= 10
    expect(bare.panel.locator(LOOKS)).to_have_count(bare.steps() + 3)


def test_quick_steps_are_all_taken_and_only_the_newest_is_looked_at(bare: Bare) -> None:
    before = len(FakeInside.looked)
    bare.slow(200)
    for _ in range(6):
        bare.action("step").click(delay=10)
    bare.settle()
    assert bare.steps() == bare.shown_step() == 36
    assert len(FakeInside.looked) - before == 2  # the first, when none was waiting
    assert bare.kernel.frame >= 6  # each step is seen nevertheless
    expect(bare.panel.locator(LOOKS)).to_have_count(39)


def test_on_each_branch_the_look_is_that_of_its_own_newest_token(bare: Bare) -> None:
    def is_shown(steps: int) -> bool:
        looks = bare.panel.locator(LOOKS)
        expect(looks).to_have_count(3 + steps)
        newest = bare.kernel.stepper.tokens[-1:].tolist()
        piece = bare.kernel.walk.tokenizer.piece(newest[0])
        tip = looks.last.get_attribute("data-tip") or ""
        return FakeInside.looked[-1] == (2 + steps, newest) and tip.startswith(piece)

    assert is_shown(30)
    bare.press("back", 3)
    assert is_shown(27)
    candidates = bare.action("take")
    candidates.nth(2).click(delay=PRESS)  # parts here from what was taken back
    bare.settle()
    assert is_shown(28)
    bare.press("step", 4)
    assert is_shown(32)
    for steps in (30, 32, 30):
        bare.panel.get_by_role("tab", name="Branches 2").click(delay=PRESS)
        bare.panel.locator('.lw-branch[aria-pressed="false"]').click(delay=PRESS)
        bare.panel.get_by_role("tab", name="Inside").click(delay=PRESS)
        bare.settle()
        assert is_shown(steps)
    expect(bare.panel.locator(".lw-problem")).to_have_count(0)


def test_the_numbers_stand_on_the_saved_page_without_a_script(
    bare: Bare, chromium: Browser, tmp_path: Path
) -> None:
    with bare.page.expect_download() as download:
        bare.more("export")
    file = tmp_path / "step.html"
    download.value.save_as(file)
    page = chromium.new_page(viewport={"width": 864, "height": 700})
    page.goto(file.as_uri())
    looks = page.locator(LOOKS)
    shown = "(chip) => getComputedStyle(chip, '::after').content"
    assert "position 0 · " in looks.first.evaluate(shown)
    assert looks.first.evaluate(shown).rstrip('"').endswith(" %")
    rows = page.locator(".lw-lens tr")
    assert rows.count() == LAYERS + 1
    found = page.locator(".lw-panel").evaluate(LAID_OUT)
    assert found["lastLayer"]
    page.close()
