from __future__ import annotations

import pytest
from walking import tokenizer

from llm_walkthrough.panel.watched import Score
from llm_walkthrough.panel.wording import (
    LONGEST,
    cut,
    percent,
    quoted,
    replayed,
    verdict,
)

LIKELY, RARE = Score(-0.5, 1), Score(-9.0, 1234)


def test_a_right_guess_is_told_with_what_the_model_gave_it() -> None:
    said = verdict((65, LIKELY), (65, LIKELY), tokenizer())
    assert said.startswith("Right: ")
    assert "60.7 % (rank 1)" in said


def test_a_wrong_guess_is_told_with_both_chances() -> None:
    said = verdict((65, LIKELY), (66, RARE), tokenizer())
    assert said.index("60.7 % (rank 1)") < said.index("0.01 % (rank 1,234)")
    assert said.index(tokenizer().piece(66)) < said.index(tokenizer().piece(65))


def test_a_replay_without_a_difference_is_told_as_such() -> None:
    assert replayed([], 7, tokenizer()) == "Replayed 7 steps: the same tokens."


def test_the_first_difference_is_named_and_all_are_counted() -> None:
    said = replayed([(3, 65, 66), (5, 1, 2)], 7, tokenizer())
    assert "At step 3 this machine draws" in said
    assert "(2 such steps): another machine or variant rounds the logits" in said
    assert "another grammar leaves other tokens" in said
    assert "The panel took the saved tokens." in said


def test_a_long_token_is_cut_where_it_is_shown() -> None:
    assert cut("x" * 300) == "x" * (LONGEST - 1) + "…"
    assert cut("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0, "0"), (1, "100.0"), (0.4026, "40.3"), (0.00456, "0.46"), (1e-7, "<0.01")],
)
def test_percents_have_as_many_figures_as_can_be_read(
    probability: float, text: str
) -> None:
    assert percent(probability) == text


def test_a_token_in_a_sentence_keeps_its_direction_to_itself_and_is_cut() -> None:
    assert quoted("\u05d0") == "“\u2068\u05d0\u2069”"
    assert len(quoted("x" * 300)) == LONGEST + 4
