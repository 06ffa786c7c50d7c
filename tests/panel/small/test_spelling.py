from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_tokenizer import sentencepiece, write_folder
from walking import Reader, tokenizer

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.spelling import Spelled, Spelling, page, twin
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

TEXTS = ("a the 🙏!", "腰 e\u0301 कमर", "🙏🙏", "<|im_start|>a", "\u200fא<script>")


@cache
def mistral_style() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        return open_tokenizer(write_folder(Path(folder), sentencepiece()))


def spelling(text: str, steps: int = 0) -> Spelled:
    one = Spelling(tokenizer(), text)
    for _ in range(steps):
        one.do("step")
    return one.now


def drawn(text: str, steps: int = 0) -> Reader:
    return Reader(page(spelling(text, steps), tokenizer()))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("style", [tokenizer, mistral_style])
def test_the_stream_ends_with_the_whole_text_and_never_takes_back_what_it_showed(
    style: Callable[[], Tokenizer], text: str
) -> None:
    one, shown = Spelling(style(), text), ""
    tokens = style().encode(text)
    for _ in one.now.fed:
        one.do("step")
        assert one.now.certain.startswith(shown)
        assert "\ufffd" not in one.now.certain
        shown = one.now.certain
    assert shown == style().decode(tokens)
    assert one.now.held == ()
    assert one.now.tokens == tokens.tolist()


def test_bytes_wait_until_they_are_a_character() -> None:
    moments = [spelling("🙏", steps) for steps in (1, 2, 3)]
    assert [(len(n.held), n.done[-1].pending, n.certain) for n in moments] == [
        (1, b"\xf0\x9f", ""),
        (2, b"\xf0\x9f\x99", ""),
        (0, b"", "🙏"),
    ]
    assert b"".join(one.spelled for one in moments[-1].done) == "🙏".encode()
    assert moments[-1].alone == "\ufffd" * 3


def test_a_stream_that_still_waits_at_the_end_gives_what_it_held() -> None:
    one = Spelling(mistral_style(), "the the🙏")
    for _ in one.now.tokens:
        one.do("step")
    assert one.now.certain == "the the"
    assert one.now.alone.startswith("thethe")  # alone, a token loses its space
    one.do("step")
    assert one.now.certain == "the the🙏"
    assert one.now.done[-1].token is None


def test_back_and_a_click_on_a_chip_take_tokens_back_and_end_a_run() -> None:
    one = Spelling(tokenizer(), "a the the")
    for action in ("run", "tick", "tick", "back"):
        one.do(action)
    assert (one.now.num_fed, one.now.running) == (1, False)
    one.act("run")
    while one.now.running:
        one.act("tick")
    places = Reader(page(one.now, tokenizer())).actions("back_to")
    assert [a["data-value"] for a in places] == [*map(str, range(len(one.now.tokens)))]
    one.do("back_to", 1)
    assert one.now.num_fed == 1
    for action in ("back_to", "back", "back"):  # to where it has not been
        one.act(action, 5)
    assert one.now.num_fed == 0
    assert one.now.notice.text.startswith("only 0 steps were made")


def test_another_text_begins_anew_and_reset_goes_back_to_its_first_token() -> None:
    one = Spelling(tokenizer(), "a the the")
    for action in ("step", "run", "tick"):
        one.do(action)
    one.act("spell", "🙏!")
    assert (one.now.num_fed, one.now.running, one.now.notice.text) == (0, False, "")
    for action in ("step", "step", "step", "step", "reset", "step"):
        one.do(action)
    assert one.now.tokens == tokenizer().encode("🙏!").tolist()
    assert one.now.held[0].pending == b"\xf0\x9f"
    one.act("spell", "")
    assert one.now.notice.text.startswith("the text '' has no tokens")
    assert one.now.num_fed == 1


def test_a_step_behind_the_last_token_is_refused_and_its_button_off() -> None:
    with pytest.raises(InputError, match="all tokens have been fed; press Back or"):
        spelling("ab", 3)
    for action in ("step", "run"):
        assert "aria-disabled" not in drawn("ab").actions(action)[0]
        assert drawn("ab", 2).actions(action)[0]["aria-disabled"] == "true"


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_a_text_without_tokens_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"has no tokens|half a character"):
        Spelling(tokenizer(), text)


def test_tokens_that_were_fed_the_next_one_and_those_to_come_are_told_apart() -> None:
    shown = drawn("a🙏!", 2)
    assert len(shown.styled("lw-made")) == 2
    assert len(shown.styled("lw-held")) == 1 + 1  # the chip, and the text's end
    assert len(shown.styled("lw-next")) == 1
    assert len(shown.styled("lw-future")) == 2
    assert "The stream showsa <0xF0><0x9F> held back: not yet a character" in shown.text
    assert "Each token decoded alonea\ufffd" in shown.text


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (0, "Step feeds the first token"),
        (1, "a\u2069 ends where a character ends: it is shown at once."),
        (2, "<0xF0><0x9F>\u2069 ends inside a character: its bytes wait"),
        (4, "<0x8F>\u2069 completes a character: its bytes join those that waited."),
        (5, "<|im_end|>\u2069 is a signal to the model, not part of the text."),
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


def test_a_long_text_is_shown_in_part_and_counted() -> None:
    shown = drawn("a" * 400, 200)
    assert "… 40 earlier" in shown.text
    assert "… 176 more" in shown.text


def test_the_picture_lists_what_was_fed_also_in_words() -> None:
    shown, words = twin(spelling("a🙏", 3), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "3 of 4 tokens were fed" in stored
        assert "f0 9f 99" in stored
