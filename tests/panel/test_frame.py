from __future__ import annotations

import pytest
from markupsafe import Markup
from walking import HOSTILE, Reader

from llm_walkthrough.panel.acting import Moment, Notice
from llm_walkthrough.panel.frame import SCRIPT, STYLE, export, part, picture, tint
from llm_walkthrough.views import Chips, Passage


def test_the_head_has_all_buttons_with_their_keys_and_says_where_one_is() -> None:
    head = {
        "where": Markup("step <b>3</b>"),
        "buttons": Markup(part("back", "b") + part("step", "s")),  # noqa: S704 - ours
        "more": Markup(part("reset", "r", is_on=False)),  # noqa: S704 - likewise
    }
    panel = part("framed", Moment(), title="p", **head)
    shown = Reader(panel)
    named = [a for tag, a in shown.tags if tag == "button"]
    assert [a["data-action"] for a in named] == ["back", "step", "reset"]
    assert [a.get("data-key") for a in named] == ["ArrowLeft", "ArrowRight", None]
    # what is off can still be reached
    assert [a.get("aria-disabled") for a in named] == [None, None, "true"]
    assert not any("disabled" in a for a in named)
    assert named[2]["title"] == "r"
    assert shown.text == "◀ Back←Step ▶→More ▾Resetstep 3"
    assert "details" not in part("framed", Moment(), title="p", where="w")


def test_a_field_and_its_button_send_the_same_action_and_say_what_it_is_for() -> None:
    shown = Reader(part("text_field", "ask", "Ask", "begin anew", 'say "it"', "or"))
    field, sends = shown.actions("ask")
    assert field["placeholder"] == field["aria-label"] == 'say "it"'
    assert (sends["title"], shown.text) == ("begin anew", "orAsk↵")
    panel = part("framed", Moment(), title="p", where="w", above="box", hint="h")
    assert Reader(panel).text == "wboxh"


def test_run_becomes_stop_and_stop_is_never_off() -> None:
    (run,) = Reader(part("run_or_stop", Moment(), "r", is_on=False)).actions("run")
    now = Moment(running=True)
    (stop,) = Reader(part("run_or_stop", now, "r", is_on=False)).actions("stop")
    assert (run.get("aria-disabled"), stop.get("aria-disabled")) == ("true", None)


def test_of_several_tabs_one_is_open_and_only_that_is_shown() -> None:
    shown = Reader(part("tabs", "side", {"a": "A 2", "b": "<b>"}, "b", "inside"))
    buttons = shown.actions("side")
    assert [(a["role"], a["aria-selected"]) for a in buttons] == [
        ("tab", "false"),
        ("tab", "true"),
    ]
    assert [a["data-value"] for a in buttons] == ['"a"', '"b"']
    (panel,) = [a for _, a in shown.tags if a.get("role") == "tabpanel"]
    assert (panel["aria-label"], shown.text) == ("b", "A 2<b>inside")


def test_the_likelier_a_token_the_darker_its_tint() -> None:
    shares = (0, 0.049, 0.05, 0.19, 0.2, 0.49, 0.5, 0.79, 0.8, 1)
    assert [tint(share)[-1] for share in shares] == [*"0011223344"]


@pytest.mark.parametrize("tick", [0, 250])
def test_a_frame_names_its_panel_and_asks_for_steps_of_a_run(tick: int) -> None:
    for is_running, asked in ((True, str(tick)), (False, None)):
        panel = part("framed", Moment(running=is_running), title="a “panel”", tick=tick)
        _, named = Reader(panel).tags[0]
        assert named["aria-label"] == "a “panel”"
        assert named.get("data-tick") == asked


def test_a_notice_is_text_and_a_hint_stands_in_its_place_where_there_is_none() -> None:
    moments = (Moment(), Moment(notice=Notice("<b>", "problem")))
    shown = [Reader(part("framed", now, title="p", hint="Step <i>")) for now in moments]
    assert [one.text for one in shown] == ["Step <i>", "✗ <b>"]
    assert len(shown[0].styled("lw-hint")) == len(shown[1].styled("lw-problem")) == 1
    assert len(Reader(part("framed", Moment(), title="p")).styled("lw-notice")) == 1


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
    assert "run its cell in Jupyter" in shown
    assert words == "first\none\n\ntwo"


def test_a_slider_tells_its_name_and_its_value_in_words() -> None:
    (named,) = Reader(part("slider", "k", "top-k", 0, (0, 9, 1), "off")).actions("knob")
    assert (named["aria-label"], named["aria-valuetext"]) == ("top-k", "off")
    assert (named["min"], named["max"], named["value"]) == ("0", "9", "0")


def test_everything_from_outside_is_shown_as_text() -> None:
    for words in HOSTILE:
        for page in (
            part("button", "step", words, words),
            part("slider", "k", words, 0, (0, 9, 1), words),
            part("chip", words),
            part("select", "limit", words, (words, "b"), words),
        ):
            assert {tag for tag, _ in Reader(page).tags} <= {
                *("button", "input", "bdi", "select", "option")
            }


def test_the_chosen_option_is_marked() -> None:
    page = Reader(part("select", "speed", "how fast", ("a", "b"), "b"))
    options = ["selected" in named for tag, named in page.tags if tag == "option"]
    assert options == [False, True]
