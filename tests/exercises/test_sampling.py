"""Solutions pass, and typical mistakes are told from each other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llm_walkthrough.exercises.sampling import (
    PROCESSORS,
    check_order,
    check_penalty,
    check_pick,
    check_top_p,
    may_swap,
)
from llm_walkthrough.sampling import softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
    from llm_walkthrough.exercises.verdict import Verdict

CHECKS = (check_pick, check_top_p, check_penalty)


def assert_hints(verdict: Verdict, word: str) -> None:
    assert verdict.is_right is False
    assert word in verdict.message


@pytest.mark.parametrize("check", [*CHECKS, check_order])
def test_an_exercise_as_handed_out_is_not_answered_yet(
    check: Callable[[object], Verdict],
) -> None:
    assert check(lambda *_: ...).is_right is None or check is check_order
    assert check(...).is_right is None


@pytest.mark.parametrize("check", CHECKS)
def test_what_a_learners_function_raises_becomes_the_verdict(
    check: Callable[[object], Verdict],
) -> None:
    def broken(*_: object) -> object:
        raise IndexError("no such place")

    assert_hints(check(broken), "IndexError: no such place")


@pytest.mark.parametrize("check", [*CHECKS, check_order])
@pytest.mark.parametrize("answer", [3, "all", [1], {"a": 1}, lambda *_: "text"])
def test_no_answer_makes_a_check_raise(
    check: Callable[[object], Verdict], answer: object
) -> None:
    assert check(answer).is_right is False


# --- pick -------------------------------------------------------------------------
def ranked_pick(probabilities: Probabilities, u: float) -> int:
    ranked = np.argsort(-probabilities, kind="stable")
    ends = np.cumsum(probabilities[ranked])
    return int(ranked[np.searchsorted(ends, u, side="right")])


def greedy_pick(probabilities: Probabilities, _u: float) -> int:
    return int(probabilities.argmax())


def pick_by_id(probabilities: Probabilities, u: float) -> int:
    return int(np.searchsorted(np.cumsum(probabilities), u, side="right"))


def pick_a_place(probabilities: Probabilities, u: float) -> int:
    ends = np.cumsum(np.sort(probabilities)[::-1])
    return int(np.searchsorted(ends, u, side="right"))


def pick_to_the_left(probabilities: Probabilities, u: float) -> int:
    ranked = np.argsort(-probabilities, kind="stable")
    return int(ranked[np.searchsorted(np.cumsum(probabilities[ranked]), u)])


def pick_reversed(probabilities: Probabilities, u: float) -> int:
    ranked = np.argsort(probabilities, kind="stable")[::-1]
    ends = np.cumsum(probabilities[ranked])
    return int(ranked[np.searchsorted(ends, u, side="right")])


def test_a_right_pick_passes() -> None:
    assert check_pick(ranked_pick).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (greedy_pick, "whatever u is"),
        (pick_by_id, "order of their ids"),
        (pick_a_place, "the place on the bar"),
        (pick_to_the_left, "exactly where one token ends"),
        (pick_reversed, "equally likely"),
    ],
)
def test_a_wrong_pick_is_told_its_mistake(
    answer: Callable[[Probabilities, float], int], word: str
) -> None:
    assert_hints(check_pick(answer), word)


# --- top-p ------------------------------------------------------------------------
def ranked_top_p(logits: Logits, p: float, *, crossing: int = 1) -> Logits:
    ranked = np.argsort(-logits, kind="stable")
    ends = np.cumsum(softmax(logits)[ranked])
    kept = ranked[: np.searchsorted(ends, p) + crossing]
    survivors = np.full_like(logits, -np.inf)
    survivors[kept] = logits[kept]
    return survivors


def top_p_without_the_last(logits: Logits, p: float) -> Logits:
    return ranked_top_p(logits, p, crossing=0)


def top_p_with_one_more(logits: Logits, p: float) -> Logits:
    return ranked_top_p(logits, p, crossing=2)


def top_p_by_id(logits: Logits, p: float) -> Logits:
    count = np.searchsorted(np.cumsum(softmax(logits)), p) + 1
    return np.where(np.arange(len(logits)) < count, logits, np.float32(-np.inf))


def top_p_zero(logits: Logits, p: float) -> Logits:
    kept = ranked_top_p(logits, p)
    return np.where(np.isfinite(kept), kept, np.float32(0))


def top_p_probabilities(logits: Logits, p: float) -> Probabilities:
    return softmax(ranked_top_p(logits, p))


def top_p_unscaled_probabilities(logits: Logits, p: float) -> Probabilities:
    probabilities: Probabilities = softmax(logits)
    return np.where(np.isfinite(ranked_top_p(logits, p)), probabilities, 0)


def top_p_survivors_only(logits: Logits, p: float) -> Logits:
    kept = ranked_top_p(logits, p)
    survivors: Logits = kept[np.isfinite(kept)]
    return survivors


def top_p_in_place(logits: Logits, p: float) -> Logits:
    logits[:] = ranked_top_p(logits, p)
    return logits


def top_p_shifted(logits: Logits, p: float) -> Logits:
    shifted: Logits = ranked_top_p(logits, p) - logits.max()
    return shifted


def test_a_right_top_p_passes() -> None:
    assert check_top_p(ranked_top_p).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (top_p_without_the_last, "too few"),
        (top_p_with_one_more, "too many"),
        (top_p_by_id, "likeliest down"),
        (top_p_zero, "-np.inf"),
        (top_p_probabilities, "returns probabilities"),
        (top_p_unscaled_probabilities, "returns probabilities"),
        (top_p_survivors_only, "keeps its place"),
        (top_p_in_place, "work on a copy"),
        (top_p_shifted, "logits have changed"),
    ],
)
def test_a_wrong_top_p_is_told_its_mistake(
    answer: Callable[[Logits, float], Logits], word: str
) -> None:
    assert_hints(check_top_p(answer), word)


# --- repetition penalty -------------------------------------------------------------
def signed_penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    penalised = logits.copy()
    said = logits[context]
    penalised[context] = np.where(said > 0, said / penalty, said * penalty)
    return penalised


def dividing_penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    penalised = logits.copy()
    penalised[context] /= np.float32(penalty)
    return penalised


def counting_penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    penalised = logits.copy()
    for token in context:
        factor = 1 / penalty if penalised[token] > 0 else penalty
        penalised[token] *= np.float32(factor)
    return penalised


def penalty_for_all(logits: Logits, _context: TokenIds, penalty: float) -> Logits:
    return signed_penalty(logits, np.arange(len(logits)), penalty)


def penalty_in_place(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    logits[:] = signed_penalty(logits, context, penalty)
    return logits


def subtracting_penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    penalised = logits.copy()
    penalised[context] -= np.float32(penalty)
    return penalised


def test_a_right_penalty_passes() -> None:
    assert check_penalty(signed_penalty).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (dividing_penalty, "dividing a negative number"),
        (counting_penalty, "penalised twice"),
        (penalty_for_all, "not in the context"),
        (penalty_in_place, "begin with a copy"),
        (subtracting_penalty, "divide what is positive"),
    ],
)
def test_a_wrong_penalty_is_told_its_mistake(
    answer: Callable[[Logits, TokenIds, float], Logits], word: str
) -> None:
    assert_hints(check_penalty(answer), word)


# --- order ------------------------------------------------------------------------
SWAPS = {
    "penalty, temperature": True,  # both multiply, and neither changes a sign
    "temperature, top-k": True,  # ranks stay
    "temperature, top-p": False,
    "top-k, top-p": False,  # top-p adds up what top-k has left
    "top-k, min-p": True,  # ratios to the likeliest stay
}


def test_which_pairs_may_swap_is_found_by_trial() -> None:
    assert {pair: may_swap(pair) for pair in SWAPS} == SWAPS
    for pair in itertools.combinations(PROCESSORS, 2):
        assert may_swap(", ".join(pair)) == may_swap(", ".join(pair[::-1]))


def test_the_right_order_passes() -> None:
    assert check_order(SWAPS).is_right


@pytest.mark.parametrize("pair", SWAPS)
def test_a_wrong_order_is_told_which_pair(pair: str) -> None:
    verdict = check_order({**SWAPS, pair: not SWAPS[pair]})
    assert_hints(verdict, f"4 of 5 are right. Look at “{pair}” again")


def test_an_order_with_an_open_question_is_not_answered_yet() -> None:
    assert check_order({**SWAPS, "top-k, top-p": ...}).is_right is None
