from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from walking import PROMPT, Reader, made, steps, take, tokenizer, toy, walk

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import SCRIPT, STYLE, export, framed, notice
from llm_walkthrough.panel.step.page import page, with_rest
from llm_walkthrough.panel.wording import quoted

if TYPE_CHECKING:
    from llm_walkthrough.panel.step.walk import Walk


def drawn(one: Walk) -> str:
    return page(one.snapshot(), tokenizer())


def test_the_same_moment_gives_the_same_page() -> None:
    one = walk()
    steps(one, 3)
    assert drawn(one) == drawn(one)


def test_it_holds_no_script_no_style_sheet_and_nothing_of_the_network() -> None:
    one = walk()
    steps(one, 3)
    tags = Reader(drawn(one)).tags
    assert not {"script", "style", "link", "iframe", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, named in tags for name in named)
    for text in (drawn(one), SCRIPT, STYLE):
        assert "http" not in text
        assert "import " not in text.replace("!important ", "")


def test_step_and_back_are_pressed_by_the_arrow_keys() -> None:
    one = walk()
    steps(one, 1)
    keys = {
        named["data-key"]: named["data-action"]
        for _, named in Reader(drawn(one)).tags
        if "data-key" in named
    }
    assert keys == {"ArrowRight": "step", "ArrowLeft": "back"}


def test_where_the_context_is_full_no_step_is_promised() -> None:
    one = walk(toy(capacity=len(PROMPT) + 2))
    steps(one, 1)
    assert "Step appends it" in drawn(one)
    steps(one, 1)
    assert "Step appends it" not in drawn(one)
    assert "The context is full" in drawn(one)


def test_a_running_panel_asks_for_the_next_step_and_offers_to_stop() -> None:
    one = walk()
    assert "data-tick" not in drawn(one)
    one.act("speed", "slow")
    one.act("run")
    panel = Reader(drawn(one))
    assert panel.tags[0][1]["data-tick"] == "1000"
    assert len(panel.actions("stop")) == 1
    assert panel.actions("run") == []


def test_there_is_nothing_to_go_back_to_at_the_prompt() -> None:
    one = walk()
    (back,) = [a for a in Reader(drawn(one)).actions("back") if "data-key" in a]
    assert back["aria-disabled"] == "true"
    steps(one, 1)
    (back,) = [a for a in Reader(drawn(one)).actions("back") if "data-key" in a]
    assert "aria-disabled" not in back


def test_it_says_what_the_next_step_does_and_then_does_it() -> None:
    one = walk()
    text = Reader(drawn(one)).text
    steps(one, 1)
    (token,) = made(one)
    assert f"picks {quoted(tokenizer().piece(token))} (" in text


def test_the_last_words_are_those_of_the_last_action() -> None:
    one = walk()
    one.act("back")
    assert "✗ there is no step to take back" in Reader(drawn(one)).text


def test_where_nothing_can_come_next_the_reason_stands_in_its_place() -> None:
    def never(logits, _context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return logits - float("inf") if one.stepper.steps else logits

    one = walk()
    one._first = (never,)  # noqa: SLF001
    steps(one, 1)
    text = Reader(drawn(one)).text
    assert "Nothing: no token is left to choose from" in text


def test_guesses_are_counted_beside_the_question() -> None:
    one = walk()
    one.act("guessing")
    take(one, 2)
    assert "of 1, the model’s favourite" in Reader(drawn(one)).text


def test_large_type_is_a_class_of_the_whole_panel() -> None:
    one = walk()
    one.act("large")
    assert "lw-large" in str(Reader(drawn(one)).tags[0][1]["class"])


def test_a_notice_is_text_and_keeps_its_place_when_there_is_none() -> None:
    assert Reader(notice(Notice("<b>", "problem"))).text == "✗ <b>"
    assert len(Reader(notice(Notice())).styled("lw-notice")) == 1


def test_the_time_of_everything_else_is_written_into_the_page() -> None:
    one = walk()
    steps(one, 1)
    text = Reader(with_rest(drawn(one), 0.0123)).text
    assert "everything else 12.3 ms" in text
    assert "{" not in text.replace("{", "", text.count("{{"))


def test_an_exported_page_is_a_whole_file_with_its_own_look() -> None:
    one = walk()
    file = export(drawn(one), "<a title>")
    assert file.startswith("<!doctype html>")
    assert STYLE in file
    assert "<title>&lt;a title&gt;</title>" in file
    assert drawn(one) in file


@pytest.mark.parametrize("tick", [0, 250])
def test_a_frame_names_its_panel(tick: int) -> None:
    ((_, named),) = Reader(framed("", title="a “panel”", tick=tick)).tags
    assert named["aria-label"] == "a “panel”"
    assert named["data-tick"] == str(tick)
