"""Answers are made side by side as they are one by one, and judged by what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_folder import write_tiny_folder

from benchmarks import answers, batch
from benchmarks.answers import Answered, Plan, Row, measure, setting
from benchmarks.questions import (
    QUESTIONS,
    Question,
    has_fact,
    has_repetition,
    is_in_language,
)
from llm_walkthrough import answer
from llm_walkthrough.stepper import EndTokens, Stepper

SUM = Question("What is 2 + 2?", "4|four")
ASKED = Question("¿Qué es?", None, "Spanish")


def test_answers_side_by_side_are_those_that_are_made_alone(tmp_path: Path) -> None:
    model, tokenizer = answer.load(write_tiny_folder(tmp_path))
    prompt, limit = tokenizer.encode("Hello there"), 30
    wild = setting(2, 1.3, top_k=0, top_p=1).processors(len(prompt))
    ways = [batch.Way(wild, seed) for seed in range(12)]
    made = batch.answer_side_by_side(model, prompt, ways, limit)
    alone = []
    for processors, seed in ways:
        stepper = Stepper(model, prompt, processors=processors, seed=seed)
        rules = {"end": EndTokens(model.graph.end_tokens)}
        alone.append([step.token for step in stepper.run(limit, rules)])
    assert made == alone
    assert len({*map(len, made)}) > 3  # some end early, and the others go on


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("2 + 2 = 4", True),
        ("That makes Four!", True),
        ("It is 24.", False),
        ("a " * 29 + "4", True),
        ("a " * 30 + "4", False),
        ("", False),
    ],
)
def test_a_fact_counts_as_a_whole_word_that_comes_soon(
    text: str,
    is_right: object,
) -> None:
    assert has_fact(SUM, text) is is_right
    assert has_fact(ASKED, text) is None


def test_four_words_twice_are_a_repetition_and_three_are_not() -> None:
    assert has_repetition("We go to the sea. So we GO TO THE SEA!")
    assert has_repetition("ha ha ha ha ha")
    assert not has_repetition("We go to the sea, they go to the woods.")


def test_the_language_is_told_by_common_words_and_a_name_is_in_every_one() -> None:
    assert is_in_language(ASKED, "Es la capital de España.")
    assert not is_in_language(ASKED, "It is the capital of Spain.")
    assert is_in_language(ASKED, "Madrid")


def test_a_row_has_shares_of_what_was_counted() -> None:
    given = [
        Answered(SUM, "Four.", 2, has_ended=True),
        Answered(SUM, "five five five five five", 10, has_ended=False),
        Answered(ASKED, "It is the sea.", 6, has_ended=True),
    ]
    row = Row.of(setting(0.3, 1.1), given)
    found = (row.facts, row.repeats, row.ends, row.language, row.tokens)
    assert found == pytest.approx((1 / 2, 1 / 3, 2 / 3, 2 / 3, 6))
    assert row.cells()[:4] == ("0.3", "1.1", "new tokens", "k 40, p 0.9")
    everything = setting(0, 1.1, counts_prompt=True)
    assert everything.cells() == ("greedy", "1.1", "all tokens", "")


def test_enough_is_asked_and_everything_is_counted(tmp_path: Path) -> None:
    facts = [one for one in QUESTIONS if one.fact]
    assert len({one.text for one in QUESTIONS}) == len(QUESTIONS) >= 40
    assert len(facts) >= 30
    assert len({one.language for one in QUESTIONS}) >= 4
    plan = Plan((setting(0), setting(1)), (SUM, ASKED), limit=8)
    report = measure(write_tiny_folder(tmp_path), lambda *_: None, 3, 1, plan)
    assert len(json.loads(json.dumps(report.record()))["rows"]) == 2
    assert str(report).splitlines()[1].split() == [*answers.HEADINGS]
    assert report.missed == ()
