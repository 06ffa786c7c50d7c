"""Are the answers of notebook 08 right: what may come, a mask, what retrying gives?

Pure functions of short texts and small arrays. Knows nothing of models or grammars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_walkthrough.arrays import Logits, TokenMask

    MayCome = Callable[[str, str, list[str]], bool]
    Masked = Callable[[Logits, TokenMask], Logits]
    Retried = Callable[[list[float], list[float]], Sequence[float]]

END = "<end>"


# --- what may come next -------------------------------------------------------------
def check_may_come(answer: MayCome) -> Verdict:
    """Judge (text, token, wanted) -> may the token come, if a wanted text must result.

    The token "<end>" ends the text.
    """

    def hint(function: MayCome) -> str | None:
        wanted = ["cat", "cat cow", "child", "cobra"]
        tokens = ["c", "ca", "cat", "cow", "t", " ", " cow", "h", "child", "at", END]
        for text in ("", "c", "ca", "cat", "cat ", "cat cow", "child"):
            for token in tokens:
                given = called(function, text, token, list(wanted))
                found = _may_come_hint(bool(given), text, token, wanted)
                if found:
                    return f"With {wanted}, after {text!r}, for {token!r}: {found}"
        return None

    praise = "A token may come if the text can still become one that is wanted."
    return first_failing(answer, [hint], praise)


def _may_come(text: str, token: str, wanted: Sequence[str]) -> bool:
    if token == END:
        return text in wanted
    return any(whole.startswith(text + token) for whole in wanted)


def _may_come_hint(
    given: bool,  # noqa: FBT001 - the learner's answer
    text: str,
    token: str,
    wanted: Sequence[str],
) -> str | None:
    if given == _may_come(text, token, wanted):
        return None
    if token == END:
        if given:
            return "the text may end only where it is whole."
        return "the text is whole, and may end here even if it could go on."
    grown = text + token
    if given and any(token in whole for whole in wanted):
        return f"it stands in a wanted text, but none begins with {grown!r}."
    if given:
        return f"no wanted text begins with {grown!r}."
    return f"{grown!r} is not whole, but it is how a wanted text begins."


# --- a mask -------------------------------------------------------------------------
def check_masked(answer: Masked) -> Verdict:
    """Judge (logits, allowed) -> logits, -inf for each token that is not allowed."""

    def hint(function: Masked) -> str | None:
        logits = np.array([2.0, -3.0, 0.0, 5.0], np.float32)
        for allowed in ([True, True, False, False], [False, True, False, False]):
            handed, mask = logits.copy(), np.array(allowed)
            given = called(function, handed, mask.copy())
            found = _masked_hint(np.asarray(given), logits, mask)
            if found:
                return f"logits {logits.tolist()}, allowed {allowed}: {found}"
            if not np.array_equal(handed, logits):
                return "the logits that were handed in have changed; make new ones."
        return None

    praise = "What is not allowed is at -inf, and the other logits are as they were."
    return first_failing(answer, [hint], praise)


def _masked_hint(given: np.ndarray, logits: Logits, mask: TokenMask) -> str | None:
    if given.shape != logits.shape:
        return f"the shape is {list(given.shape)}, wanted is one logit for each token."
    out, kept = given[~mask], given[mask]
    if np.array_equal(kept, logits[mask]) and (out == -np.inf).all():
        return None
    if not out.any():
        return "a logit of 0 is not out: e to the power of 0 is 1."
    if np.array_equal(given, np.where(mask, -np.inf, logits)):
        return "it is the other way round: the allowed ones are out."
    if np.isfinite(out).any():
        return "a token that is not allowed still has a chance; only -inf leaves none."
    return "the logits of allowed tokens must stay as they are."


# --- what retrying gives ------------------------------------------------------------
def check_retried(answer: Retried) -> Verdict:
    """Judge (first, good) -> the shares of the first tokens among accepted tries.

    `first` holds the model's probability of each first token, `good` how often what
    follows that token is accepted.
    """

    def hint(function: Retried) -> str | None:
        cases = (
            ([0.6, 0.4], [1.0, 0.5]),
            ([0.8, 0.2], [0.1, 0.9]),
            ([0.7, 0.2, 0.1], [0.0, 0.5, 1.0]),
        )
        for first, good in cases:
            given = called(function, list(first), list(good))
            found = _retried_hint(np.array(given, float), first, good)
            if found:
                return f"first {first}, good {good}: {found}"
        return None

    praise = "Retrying weighs each beginning with its chance of a good end."
    return first_failing(answer, [hint], praise)


def _retried_hint(
    given: np.ndarray, first: Sequence[float], good: Sequence[float]
) -> str | None:
    joint = np.array(first) * np.array(good)
    if given.shape != joint.shape:
        return "return one share for each first token."
    mistakes = (
        (joint / joint.sum(), None),
        (joint, "these are shares of all tries; wanted are those of accepted ones."),
        (np.array(first), "that is what a mask gives; retrying throws tries away."),
        (
            np.array(good) / sum(good),
            "how often the model begins with each token counts as well.",
        ),
    )
    for shares, hint in mistakes:
        if np.allclose(given, shares):
            return hint
    if not np.isclose(given.sum(), 1):
        return f"the shares sum to {given.sum():.3g}; together they must be 1."
    return "a beginning is kept as often as it comes, times its chance of a good end."
