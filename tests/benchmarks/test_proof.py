"""Texts are compared up to the first token that differs, and one is too many."""

from __future__ import annotations

import numpy as np
from toy_model import SharedToy

from benchmarks.proof import PROMPTS, alike, both, compared
from benchmarks.report import Report
from llm_walkthrough.sampling import TopK, TopP
from llm_walkthrough.stepper import Stepper


def made(*tokens: int) -> Stepper:
    stepper = Stepper(SharedToy(), np.array([1, 2]))
    for token in tokens:
        stepper.step(token)
    return stepper


def test_tokens_are_the_same_up_to_the_first_that_differs() -> None:
    assert alike(np.array([1, 2, 3, 4]), np.array([1, 2, 9, 4])) == 2
    assert alike(np.array([1, 2]), np.array([1, 2, 3])) == 2
    assert alike(np.array([5]), np.array([6])) == 0


def test_a_token_that_differs_misses_the_bar_where_none_may() -> None:
    same, other = (made(5, 6, 7), made(5, 6, 7)), (made(5, 6, 7), made(5, 8, 7))
    assert Report("", tuple(compared("greedy", [same], is_exact=True))).missed == []
    rows = compared("greedy", [same, other], is_exact=True)
    assert [(row.what, row.ours) for row in rows] == [
        ("greedy: of 6 tokens differ", 2),
        ("greedy: 6 runs, 0 of 0 guesses kept", 6),
        ("greedy: texts part after", 1.0),
    ]
    assert len(Report("", tuple(rows)).missed) == 1
    assert Report("", tuple(compared("", [other], is_exact=False))).missed == []


def test_both_texts_are_made_of_twenty_prompts_one_of_them_with_guesses() -> None:
    class Toy(SharedToy):
        graph = type("Graph", (), {"end_tokens": (0,)})

        def new_cache(self, capacity: int | None = None) -> object:  # type: ignore[override]
            assert capacity == 2 + 30 + 1
            return super().new_cache()

    assert len({*PROMPTS}) == 20
    for processors in ((TopK(1),), (TopP(0.9),)):
        without, guessing = both(Toy(), np.array([1, 2]), processors, 0, 30)  # type: ignore[arg-type]
        assert (without.guesser, guessing.guesser is None) == (None, False)
        assert without.steps == guessing.steps
