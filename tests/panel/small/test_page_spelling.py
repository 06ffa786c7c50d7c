from __future__ import annotations

import pytest
from walking import Reader, tokenizer

from llm_walkthrough.panel.small.page_spelling import page, twin
from llm_walkthrough.panel.small.spelling import Spelling


def spelling(text: str, steps: int = 0) -> Spelling:
    one = Spelling(tokenizer(), text)
    for _ in range(steps):
        one.do("step")
    return one


def drawn(text: str, steps: int = 0) -> Reader:
    return Reader(page(spelling(text, steps).snapshot(), tokenizer()))


def test_tokens_that_were_fed_the_next_one_and_those_to_come_are_told_apart() -> None:
    shown = drawn("a🙏!", 2)
    assert len(shown.styled("lw-made")) == 2
    assert len(shown.styled("lw-held")) == 1 + 1  # the chip, and the text's end
    assert len(shown.styled("lw-next")) == 1
    assert len(shown.styled("lw-future")) == 2


def test_the_bytes_that_wait_stand_behind_the_certain_text() -> None:
    text = drawn("a🙏", 2).text
    assert "The stream showsa <0xF0><0x9F> held back: not yet a character" in text
    assert "Each token decoded alonea\ufffd" in text


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (0, "Step feeds the first token"),
        (1, "a\u2069 ends where a character ends: it is shown at once."),
        (2, "<0xF0><0x9F>\u2069 ends inside a character: its bytes wait"),
        (4, "<0x8F>\u2069 ends a character: its bytes and those that waited make it."),
        (5, "<|im_end|>\u2069 is a sign to the model, and no part of the text."),
    ],
)
def test_it_says_what_the_last_token_did(steps: int, said: str) -> None:
    assert said in drawn("a🙏<|im_end|>", steps).text


def test_the_table_lists_the_newest_tokens_and_keeps_its_height() -> None:
    for steps in (0, 2, 9):
        shown = drawn("abcdefghijk", steps)
        assert len([tag for tag, _ in shown.tags if tag == "tr"]) == 1 + 7
    assert "66" in shown.text
    assert len(shown.styled("lw-newest")) == 1


def test_a_click_on_a_chip_goes_back_to_before_it() -> None:
    places = [a["data-value"] for a in drawn("abc", 3).actions("back_to")]
    assert places == ["0", "1", "2"]


def test_buttons_that_do_nothing_are_off() -> None:
    def off(shown: Reader) -> set[str]:
        names = ("back", "step", "run", "reset")
        return {n for n in names if shown.actions(n)[0].get("aria-disabled")}

    assert off(drawn("ab", 0)) == {"back", "reset"}
    assert off(drawn("ab", 2)) == {"step", "run"}


def test_a_long_text_is_shown_in_part_and_counted() -> None:
    shown = drawn("a" * 400, 200)
    assert "… 40 earlier" in shown.text
    assert "… 176 more" in shown.text


def test_hostile_text_is_shown_as_text() -> None:
    one = spelling("<script>\u200f</style>", 10)
    shown = Reader(page(one.snapshot(), tokenizer()))
    assert {"script", "style"}.isdisjoint(tag for tag, _ in shown.tags)
    assert "<script>" in shown.text
    assert "<script>" not in twin(one.snapshot(), tokenizer())[0]


def test_only_a_running_text_asks_for_the_next_step() -> None:
    one = spelling("ab")
    assert "data-tick" not in page(one.snapshot(), tokenizer())
    one.act("run")
    assert "data-tick" in page(one.snapshot(), tokenizer())


def test_the_picture_lists_what_was_fed_also_in_words_and_is_small() -> None:
    shown, words = twin(spelling("a🙏", 3).snapshot(), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "3 of 4 tokens were fed" in stored
        assert "f0 9f 99" in stored
    assert "class=" not in shown
    many = spelling("🙏" * 40, 120)
    assert len(twin(many.snapshot(), tokenizer())[0]) < 60_000
