"""Exercises of notebook 08: what may come next, a mask, what retrying gives.

Pure functions of short texts and small arrays. Knows nothing of models or grammars.
"""

from __future__ import annotations

import numpy as np

from llm_walkthrough.exercises.exercise import (
    CHANGES_ITS_ARGUMENT,
    HAS_WRONG_SHAPE,
    OTHERWISE,
    Exercise,
    When,
)

END = "<end>"
_WANTED = ["cat", "cat cow", "child", "cobra"]
_TEXTS = ("", "c", "ca", "cat", "cat ", "cat cow", "child")
_TOKENS = ("c", "ca", "cat", "cow", "t", " ", " cow", "h", "child", "at", "dog", END)


def _may_come(text: str, token: str, wanted: list[str]) -> bool:
    if token == END:
        return text in wanted
    return any(whole.startswith(text + token) for whole in wanted)


check_may_come = Exercise(
    task='a function (text, token, wanted) -> may it come? "<end>" ends the text',
    right=_may_come,
    cases=[(text, token, _WANTED) for text in _TEXTS for token in _TOKENS],
    case="With {wanted}, after {text!r}, for {token!r}: ",
    also=lambda t: {"grown": t.text + t.token},
    hints={
        "the text may end only where it is whole.": When(
            lambda t: t.token == END and t.given
        ),
        "the text is whole, and may end here even if it could go on.": When(
            lambda t: t.token == END
        ),
        "it stands in a wanted text, but none begins with {grown!r}.": When(
            lambda t: t.given and any(t.token in whole for whole in t.wanted)
        ),
        "no wanted text begins with {grown!r}.": When(lambda t: t.given),
        "{grown!r} is not whole, but it is how a wanted text begins.": OTHERWISE,
    },
    praise="A token may come if the text can still become one that is wanted.",
)

check_masked = Exercise(
    task="a function (logits, allowed) -> logits, -inf where a token is not allowed",
    right=lambda logits, allowed: np.where(allowed, logits, -np.inf),
    cases=[
        (np.array([2.0, -3.0, 0.0, 5.0], np.float32), np.array(allowed))
        for allowed in ([True, True, False, False], [False, True, False, False])
    ],
    case="logits {logits}, allowed {allowed}: ",
    hints={
        "the logits that were handed in have changed; "
        "make new ones.": CHANGES_ITS_ARGUMENT,
        "the shape is {shape}, wanted is one logit for each token.": HAS_WRONG_SHAPE,
        "a logit of 0 is not out: e to the power of 0 is 1.": When(
            lambda t: not np.any(t.given[~t.allowed])
        ),
        "it is the other way round: the allowed ones are out.": (
            lambda logits, allowed: np.where(allowed, -np.inf, logits)
        ),
        "a token that is not allowed still has a chance; only -inf leaves none.": When(
            lambda t: np.isfinite(t.given[~t.allowed]).any()
        ),
        "the logits of allowed tokens must stay as they are.": OTHERWISE,
    },
    praise="What is not allowed is at -inf, and the other logits are as they were.",
)


def _joint(first: list[float], good: list[float]) -> np.ndarray:
    return np.multiply(first, good)


check_retried = Exercise(
    task="a function (first, good) -> the shares of first tokens among accepted tries",
    right=lambda first, good: _joint(first, good) / _joint(first, good).sum(),
    cases=[
        # the model's probability of each first token, how often it ends well
        ([0.6, 0.4], [1.0, 0.5]),
        ([0.8, 0.2], [0.1, 0.9]),
        ([0.7, 0.2, 0.1], [0.0, 0.5, 1.0]),
    ],
    case="first {first}, good {good}: ",
    also=lambda t: {"sum": np.sum(t.given)},
    hints={
        "return one share for each first token.": HAS_WRONG_SHAPE,
        "these are shares of all tries; wanted are those of accepted ones.": _joint,
        "that is what a mask gives; retrying throws tries away.": lambda first, _: (
            first
        ),
        "how often the model begins with each token counts as well.": (
            lambda _, good: np.asarray(good) / sum(good)
        ),
        "the shares sum to {sum:.3g}; together they must be 1.": When(
            lambda t: not np.isclose(t.sum, 1)
        ),
        "a beginning is kept as often as it comes, "
        "times its chance of a good end.": OTHERWISE,
    },
    praise="Retrying weighs each beginning with its chance of a good end.",
)
