from __future__ import annotations

import pytest
from walking import Reader

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import (
    SCRIPT,
    STYLE,
    back,
    export,
    framed,
    head,
    notice,
    picture,
    reset,
    run_or_stop,
    step,
)
from llm_walkthrough.views import Chips, Passage


def test_the_head_has_all_buttons_with_their_keys_and_says_where_one_is() -> None:
    buttons = (back("b", can_go=True), step("s", can_go=True))
    shown = Reader(head(buttons, "step <b>3</b>", [reset("r", can_go=False)]))
    named = [a for tag, a in shown.tags if tag == "button"]
    assert [a["data-action"] for a in named] == ["back", "step", "reset"]
    assert [a.get("data-key") for a in named] == ["ArrowLeft", "ArrowRight", None]
    assert [a.get("aria-disabled") for a in named] == [None, None, "true"]
    assert named[2]["title"] == "r"
    assert shown.text.endswith("step 3")


def test_run_becomes_stop_and_stop_is_never_off() -> None:
    (run,) = Reader(run_or_stop("r", is_running=False, can_go=False)).actions("run")
    (stop,) = Reader(run_or_stop("r", is_running=True, can_go=False)).actions("stop")
    assert (run.get("aria-disabled"), stop.get("aria-disabled")) == ("true", None)


@pytest.mark.parametrize("tick", [0, 250])
def test_a_frame_names_its_panel(tick: int) -> None:
    ((_, named),) = Reader(framed("", title="a “panel”", tick=tick)).tags
    assert named["aria-label"] == "a “panel”"
    assert named["data-tick"] == str(tick)


def test_a_notice_is_text_and_keeps_its_place_when_there_is_none() -> None:
    assert Reader(notice(Notice("<b>", "problem"))).text == "✗ <b>"
    assert len(Reader(notice(Notice())).styled("lw-notice")) == 1


def test_an_exported_page_is_a_whole_file_with_its_own_look() -> None:
    file = export("<p>the page</p>", "<a title>")
    assert file.startswith("<!doctype html>")
    assert STYLE in file
    assert "<title>&lt;a title&gt;</title>" in file
    assert "<p>the page</p>" in file


def test_script_and_style_ask_nothing_of_the_network() -> None:
    for text in (SCRIPT, STYLE):
        assert "http" not in text
        assert "import " not in text.replace("!important ", "")


def test_a_picture_joins_views_and_says_how_to_get_the_live_panel() -> None:
    shown, words = picture(Passage("one", "first"), Chips(["two"]))
    assert Reader(shown).text.startswith("firstonetwo")
    assert "Run this notebook in a kernel" in shown
    assert words == "first\none\n\ntwo"
