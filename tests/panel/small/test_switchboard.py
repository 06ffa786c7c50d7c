from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bare_page import BEGIN, EMPTY, PRESS
from panel.test_accessibility import RULES
from playwright.sync_api import Browser, Page
from walking import HOSTILE, Reader

from llm_walkthrough.errors import InputError
from llm_walkthrough.mending import RIGHT, WRONG, Decoded
from llm_walkthrough.panel.frame import SCRIPT, STYLE
from llm_walkthrough.panel.small.switchboard import Switching, page, twin
from llm_walkthrough.widgets import Switchboard

PIECES = ["Hey", "␣there", "!", "␣How", "<|im_end|>"]


def loop(part: SimpleNamespace) -> Decoded:
    """Pretend to decode: each wrong part spoils one more token, from the last on."""
    wrong = sum(getattr(part, name) is WRONG[name] for name in WRONG)
    right = [*range(len(PIECES) - wrong)]
    tokens = [*right, *(50 + n for n in range(len(right), len(PIECES)))]
    pieces = [PIECES[t] if t < 50 else HOSTILE[t - 50] for t in tokens]
    logits = [np.array([1, 2 + (t >= 50) * t / 10], np.float32) for t in tokens]
    return Decoded(tokens, pieces, logits, "".join(pieces), float(len(tokens)))


def switched(*faults: str) -> Switching:
    return Switching(loop, faults)


def test_a_fault_is_switched_on_and_off_again_and_all_are_off_after_reset() -> None:
    board = switched()
    assert board.now.mine is board.now.right
    board.do("switch", "mask")
    board.do("switch", "cut")
    assert board.now.faults == {"mask", "cut"}
    assert board.now.mine.num_right(board.now.right) == 3
    board.do("switch", "mask")
    assert board.now.faults == {"cut"}
    assert board.now.mine.num_right(board.now.right) == 4
    board.do("reset")
    assert board.now == switched().now


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'masks'; there are .*'mask'"):
        switched("masks")
    board = switched("mask")
    board.act("switch", "masks")
    assert board.now.faults == {"mask"}
    assert board.now.notice.kind == "problem"


def test_each_fault_has_a_switch_that_says_in_words_and_by_a_sign_where_it_stands() -> (
    None
):
    shown = Reader(page(switched("mask").now, None))
    switches = shown.actions("switch")
    pressed = [s for s in switches if s["aria-pressed"] == "true"]
    assert len(switches) == len(WRONG) == len(RIGHT) == 11
    assert [s["data-value"] for s in pressed] == ['"mask"']
    assert len(shown.styled("lw-switch")) == len(switches)
    assert "1 of 11 faults are on" in shown.text


def test_the_tokens_from_the_first_difference_on_are_marked_in_both_runs() -> None:
    shown = Reader(page(switched("mask", "cut").now, None))
    assert len(shown.styled("lw-held")) == 2 * 2
    assert len(shown.styled("lw-prompt")) == 2 * 3
    assert "new token 4 is the first to differ: “left” instead" not in shown.text
    assert "new token 4 is the first to differ" in shown.text


def test_the_strip_tells_its_numbers_and_pales_where_the_contexts_differ() -> None:
    shown = Reader(page(switched("mask", "cut").now, None))
    (strip,) = [a for tag, a in shown.tags if a.get("role") == "img"]
    assert strip["aria-label"] == "For each token: 0.0, 0.0, 0.0, 5.3, 5.4"
    assert [len(shown.styled(style)) for style in ("lw-bar", "lw-later")] == [4, 1]


def test_the_picture_tells_both_runs_also_in_words() -> None:
    shown, words = twin(switched("mask").now, None)
    for stored in (Reader(shown).text, words):
        assert "mask one short" in stored
        assert "new token 5 is the first to differ" in stored
        assert "5.4" in stored
    assert "Faults: none" in twin(switched().now, None)[1]


def test_a_click_on_the_widget_runs_the_loop_with_the_fault() -> None:
    panel = Switchboard(loop, "cut")
    panel._handle_custom_msg({"action": "switch", "value": "mask"}, [])  # noqa: SLF001 - as the library does
    assert "2 of 11 faults are on" in Reader(panel.page).text
    assert "<script>" not in panel.page


# --- in a browser -----------------------------------------------------------------
class Kernel(Switchboard):
    """A switchboard that is told of events by the test."""

    def hear(self, event: dict[str, object]) -> dict[str, object]:
        self._handle_custom_msg(event, [])
        return {**self.board.state(), "files": []}


WAYS = [(1300, False), (848, True), (380, False)]


@pytest.fixture(params=WAYS, ids=str)
def shown(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, is_dark = request.param
    kernel = Kernel(loop, "mask")
    tab = chromium.new_page(viewport={"width": width, "height": 900})
    tab.expose_function("toKernel", kernel.hear)
    tab.set_content(EMPTY)
    tab.evaluate(BEGIN, [SCRIPT, STYLE, kernel.board.state(), is_dark, False])
    tab.wait_for_function(
        "(dark) => document.querySelector('.lw-root').classList.contains('lw-dark')"
        " === dark",
        arg=is_dark,
    )
    yield tab
    tab.close()


@pytest.mark.browser
def test_switches_answer_to_mouse_and_keyboard_and_axe_finds_nothing(
    shown: Page,
) -> None:
    where = shown.locator(".lw-where")
    shown.get_by_role("button", name="text cut by its length").click(delay=PRESS)
    where.get_by_text("2 of 11").wait_for()
    shown.keyboard.press("Tab")
    assert "speed from the limit" in shown.evaluate(
        "() => document.activeElement.textContent"
    )
    shown.keyboard.press("Space")
    where.get_by_text("3 of 11").wait_for()
    assert shown.locator(".lw-switch[aria-pressed=true]").count() == 3
    found: dict[str, Any] = Axe().run(shown, options=RULES).response
    assert [rule["id"] for rule in found["violations"]] == []
    panel = shown.locator(".lw-panel")
    assert panel.evaluate("(node) => node.scrollWidth <= node.clientWidth")
    shown.get_by_role("button", name="Reset").click(delay=PRESS)
    where.get_by_text("0 of 11").wait_for()
