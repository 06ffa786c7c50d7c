from __future__ import annotations

from walking import tokenizer

from llm_walkthrough.panel.watched import Score
from llm_walkthrough.panel.wording import replayed, verdict

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
    assert "The saved tokens were taken." in said
