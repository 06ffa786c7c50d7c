"""Exercises of notebook 08: what may come next, a mask, what retrying gives.

Pure functions of short texts and small arrays. Knows nothing of models or grammars.
"""

from __future__ import annotations

import numpy as np

from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import When

END = "<end>"
_WANTED = ["cat", "cat cow", "child", "cobra"]
_BEGUN = ("", "c", "ca", "cat", "cat ", "cat cow", "child")
_TOKENS = ("c", "ca", "cat", "cow", "t", " ", " cow", "h", "child", "at", "dog", END)


def _may_come(text: str, token: str, wanted: list[str]) -> bool:
    if token == END:
        return text in wanted
    return any(whole.startswith(text + token) for whole in wanted)


check_may_come = Exercise(
    texts_of("structured_output.may_come"),
    right=_may_come,
    cases=[(text, token, _WANTED) for text in _BEGUN for token in _TOKENS],
    also=lambda t: {"grown": t.text + t.token},
    hints={
        "ends_too_early": When(lambda t: t.token == END and t.given),
        "does_not_end": When(lambda t: t.token == END),
        "looks_inside": When(lambda t: t.given and t.token in "\n".join(t.wanted)),
        "lets_others_come": When(lambda t: t.given),
    },
)

check_masked = Exercise(
    texts_of("structured_output.masked"),
    right=lambda logits, allowed: np.where(allowed, logits, -np.inf),
    cases=[
        (np.array([2.0, -3.0, 0.0, 5.0], np.float32), np.array(allowed))
        for allowed in ([True, True, False, False], [False, True, False, False])
    ],
    hints={
        "changes_its_argument": when.CHANGES_ITS_ARGUMENT,
        "has_another_length": when.HAS_WRONG_SHAPE,
        "gives_0": When(lambda t: not np.any(t.given[~t.allowed])),
        "is_turned_round": lambda logits, allowed: np.where(allowed, -np.inf, logits),
        "leaves_a_chance": When(lambda t: any(t.given[~t.allowed] != -np.inf)),
    },
)


check_retried = Exercise(
    texts_of("structured_output.retried"),
    right=lambda first, good: np.multiply(first, good) / np.dot(first, good),
    cases=[
        # the model's probability of each first token, how often it ends well
        ([0.6, 0.4], [1.0, 0.5]),
        ([0.8, 0.2], [0.1, 0.9]),
        ([0.7, 0.2, 0.1], [0.0, 0.5, 1.0]),
    ],
    also=lambda t: {"sum": np.sum(t.given)},
    hints={
        "has_another_length": when.HAS_WRONG_SHAPE,
        "shares_all_tries": np.multiply,
        "is_what_a_mask_gives": lambda first, _: first,
        "ignores_first": lambda _, good: np.asarray(good) / sum(good),
        "is_not_normalised": When(lambda t: not np.isclose(t.sum, 1)),
    },
)
