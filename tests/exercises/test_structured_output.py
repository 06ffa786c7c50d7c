"""Tests of the checks of notebook 08: solutions pass, typical mistakes get a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llm_walkthrough.exercises.structured_output import (
    check_masked,
    check_may_come,
    check_retried,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import Logits, TokenMask
    from llm_walkthrough.exercises.verdict import Verdict


def stub(*_arguments: object) -> Any:  # noqa: ANN401 - stands for every answer
    ...


@pytest.mark.parametrize("check", [check_may_come, check_masked, check_retried])
def test_an_exercise_as_handed_out_is_not_answered(
    check: Callable[[object], Verdict],
) -> None:
    assert check(stub).is_right is None


# --- what may come next -----------------------------------------------------------


def may_come(text: str, piece: str, wanted: list[str]) -> bool:
    if piece == "<end>":
        return text in wanted
    return any(whole.startswith(text + piece) for whole in wanted)


def never_ending_early(text: str, piece: str, wanted: list[str]) -> bool:
    longer = any(whole.startswith(text) and whole != text for whole in wanted)
    return may_come(text, piece, wanted) and not (piece == "<end>" and longer)


def ending_anywhere(text: str, piece: str, wanted: list[str]) -> bool:
    return piece == "<end>" or may_come(text, piece, wanted)


def test_a_token_may_come_if_a_wanted_text_begins_so() -> None:
    assert check_may_come(may_come).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (ending_anywhere, "only where it is whole"),
        (never_ending_early, "even if it could go on"),
        (lambda t, k, w: t + k in w or may_come(t, k, w) * (k == "<end>"), "begins"),
        (lambda _t, k, w: any(k in whole for whole in w), "none begins with"),
        (lambda t, k, w: may_come(t, k, w) or k == "t", "none begins with 't'"),
    ],
)
def test_a_wrong_answer_to_what_may_come_gets_its_hint(
    answer: Callable[[str, str, list[str]], bool], word: str
) -> None:
    verdict = check_may_come(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- a mask -----------------------------------------------------------------------


def changing_its_argument(logits: Logits, allowed: TokenMask) -> Logits:
    logits[~allowed] = -np.inf
    return logits


def test_minus_infinity_for_what_is_not_allowed_is_right() -> None:
    assert check_masked(lambda x, ok: np.where(ok, x, -np.inf)).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda x, ok: x * ok, "e to the power of 0 is 1"),
        (lambda x, ok: np.where(ok, -np.inf, x), "the other way round"),
        (lambda x, ok: np.where(ok, x, -100), "only -inf leaves none"),
        (lambda x, ok: np.where(ok, x - x, -np.inf), "must stay as they are"),
        (lambda x, ok: x[ok], "one logit for each token"),
        (changing_its_argument, "have changed"),
    ],
)
def test_a_wrong_mask_gets_its_hint(
    answer: Callable[[Logits, TokenMask], Logits], word: str
) -> None:
    verdict = check_masked(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- what retrying gives ----------------------------------------------------------


def joint(first: list[float], good: list[float]) -> np.ndarray:
    shares: np.ndarray = np.array(first) * np.array(good)
    return shares


def test_the_shares_of_accepted_tries_are_right() -> None:
    assert check_retried(lambda f, g: joint(f, g) / joint(f, g).sum()).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (joint, "shares of all tries"),
        (lambda f, _g: f, "what a mask gives"),
        (lambda _f, g: np.array(g) / sum(g), "how often the model begins"),
        (lambda f, g: np.array(f) + np.array(g), "together they must be 1"),
        (lambda f, _g: np.full(len(f), 1 / len(f)), "times its chance of a good end"),
        (lambda f, _g: f[:1], "one share for each"),
    ],
)
def test_wrong_shares_get_their_hint(
    answer: Callable[[list[float], list[float]], Any], word: str
) -> None:
    verdict = check_retried(answer)
    assert verdict.is_right is False
    assert word in verdict.message
