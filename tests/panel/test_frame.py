from __future__ import annotations

from walking import Reader

from llm_walkthrough.panel.frame import back, head, picture, reset, run_or_stop, step
from llm_walkthrough.views import Chips, Passage


def test_the_head_has_all_buttons_and_says_where_one_is() -> None:
    buttons = (back("b", can_go=True), step("s", can_go=True), reset("r", can_go=True))
    shown = Reader(head(buttons, "step <b>3</b>"))
    assert [a["data-action"] for tag, a in shown.tags if tag == "button"] == [
        "back",
        "step",
        "reset",
    ]
    assert shown.text.endswith("step 3")


def test_step_and_back_have_the_keys_of_the_step_panel() -> None:
    buttons = head((back("b", can_go=True), step("s", can_go=True)), "")
    keys = [a["data-key"] for _, a in Reader(buttons).tags if "data-key" in a]
    assert keys == ["ArrowLeft", "ArrowRight"]


def test_a_button_that_does_nothing_now_is_off_and_still_named() -> None:
    for made in (back("why", can_go=False), reset("why", can_go=False)):
        (button,) = [a for tag, a in Reader(str(made)).tags if tag == "button"]
        assert button["aria-disabled"] == "true"
        assert button["title"] == "why"


def test_run_becomes_stop_and_stop_is_never_off() -> None:
    assert run_or_stop("why", is_running=False, can_go=True).action == "run"
    stop = run_or_stop("why", is_running=True, can_go=False)
    assert (stop.action, stop.is_off) == ("stop", False)


def test_a_picture_joins_views_and_says_how_to_get_the_live_panel() -> None:
    shown, words = picture(Passage("one", "first"), Chips(["two"]))
    assert Reader(shown).text.startswith("firstonetwo")
    assert "Run this notebook in a kernel" in shown
    assert words == "first\none\n\ntwo"
