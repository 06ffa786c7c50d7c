from __future__ import annotations

import re
from typing import TYPE_CHECKING

from walking import PROMPT, Reader, made, steps, take, tokenizer, walk

from llm_walkthrough.panel.page_tokens import bytes_written
from llm_walkthrough.panel.step import page_tokens as module
from llm_walkthrough.panel.step.page_tokens import streamed, tokens_section
from llm_walkthrough.sampling import uniform

if TYPE_CHECKING:
    import pytest

    from llm_walkthrough.panel.step.walk import Walk

EMOJI = [int(token) for token in tokenizer().encode("🙂")]


def drawn(one: Walk) -> Reader:
    return Reader(tokens_section(one.snapshot(), tokenizer()))


def force(one: Walk, *tokens: int) -> None:
    for token in tokens:
        one.act("take", {"token": token, "position": one.stepper.position})


def test_there_is_one_chip_for_each_token_and_one_for_the_next() -> None:
    one = walk()
    steps(one, 4)
    page = drawn(one)
    assert len(page.styled("lw-prompt")) == 4
    assert len(page.styled("lw-special")) == 1
    assert len(page.styled("lw-made")) == 4
    assert len(page.styled("lw-next")) == 1


def test_a_chip_tells_id_probability_rank_and_who_chose_it() -> None:
    one = walk()
    token = take(one, 2)
    steps(one, 1)
    chosen, by_luck = drawn(one).styled("lw-made")
    assert re.search(
        rf"position 5 · id {token} · [\d.]+ % · rank 3 · your choice",
        str(chosen["aria-label"]),
    )
    u = uniform(0, len(PROMPT) + 1)
    assert f"drawn, u = {u:.3f}" in str(by_luck["aria-label"])
    assert by_luck["data-tip"] == ""  # the tip shows the name


def test_tokens_of_the_prompt_are_scored_too_but_for_the_first() -> None:
    page = drawn(walk())
    first, *_, last = [a for a in page.styled("lw-chip") if "data-tip" in a]
    assert str(first["aria-label"]).endswith(", prompt, position 0 · id 40")
    assert re.search(r"id 44 · [<\d.]+ % · rank \d+", str(last["aria-label"]))


def test_a_click_on_a_chip_goes_back_to_before_it() -> None:
    one = walk()
    steps(one, 3)
    before = made(one)
    values = [a["data-value"] for a in drawn(one).actions("back_to")]
    assert values == ["0", "1", "2"]
    one.act("back_to", int(str(values[1])))
    assert made(one) == before[:1]


def test_tokens_that_were_taken_back_stay_in_sight() -> None:
    one = walk()
    steps(one, 5)
    one.act("back", 2)
    assert len(drawn(one).styled("lw-future")) == 2


def test_bytes_that_are_not_yet_a_character_are_held_back_until_they_are() -> None:
    one = walk()
    text = drawn(one).text
    for count in range(1, len(EMOJI)):
        force(one, EMOJI[count - 1])
        page = drawn(one)
        assert (
            len([a for a in page.styled("lw-made") if a in page.styled("lw-held")])
            == count
        )
        assert "held back: not yet a character" in page.text
        assert "🙂" not in page.text
    force(one, EMOJI[-1])
    page = drawn(one)
    assert page.styled("lw-held") == []
    assert "🙂" in page.text
    assert "🙂" not in text


def test_the_stream_says_how_many_tokens_carry_what_is_held() -> None:
    assert len(EMOJI) == 3
    text = streamed(tokenizer(), [*EMOJI, *EMOJI[:2]])
    assert (text.certain, text.num_held) == ("🙂", 2)
    assert bytes_written(text.held) == "&lt;0xF0&gt;&lt;0x9F&gt;&lt;0x99&gt;"


def test_of_a_long_text_the_end_is_drawn_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SHOWN_OF_PROMPT", 2)
    monkeypatch.setattr(module, "SHOWN_OF_MADE", 3)
    one = walk()
    steps(one, 10)
    page = drawn(one)
    assert len(page.styled("lw-made")) == 3
    assert "… 3 earlier" in page.text
    assert "… 7 earlier" in page.text
    assert [a["data-value"] for a in page.actions("back_to")] == ["7", "8", "9"]
