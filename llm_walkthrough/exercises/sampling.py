"""Exercises of notebook 05: a pick, top-p, a penalty, what may change places.

A few tokens show each typical mistake. Knows nothing of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import Attempt, When
from llm_walkthrough.sampling import (
    RepetitionPenalty,
    TopP,
    likeliest_first,
    pick,
    softmax,
)

PROBABILITIES = np.array([0.125, 0.5, 0.0, 0.25, 0.125])  # exact in binary
LOGITS = np.array([0.5, 2.5, -1.0, 2.0, -3.0, 1.5], dtype=np.float32)
CONTEXT = np.array([2, 1, 3, 1], dtype=np.int64)  # token 1 twice, token 2 negative
_ENDS = np.cumsum(np.sort(PROBABILITIES)[::-1])


def _pick_from(p: Probabilities, order: TokenIds, u: float) -> int:
    """Return the token on which `u` falls, on a bar of this order."""
    return int(order[np.searchsorted(np.cumsum(p[order]), u, side="right")])


check_pick = Exercise(
    texts_of("sampling.pick"),
    right=pick,
    cases=[(PROBABILITIES, n / 40) for n in range(40)],  # every border among them
    hints={
        "ignores_u": when.IS_CONSTANT,
        "gives_the_place": lambda p, u: [*likeliest_first(p)].index(pick(p, u)),
        "goes_by_id": lambda p, u: _pick_from(p, np.arange(len(p)), u),
        "turns_equals_round": lambda p, u: _pick_from(
            p, np.argsort(p, kind="stable")[::-1], u
        ),
        "is_wrong_at_a_border": When(lambda t: t.u in _ENDS[:2]),
    },
)


def _top_p_details(t: Attempt) -> dict[str, Any]:
    given = np.asarray(t.given, float)
    kept, right = np.flatnonzero(given > -np.inf), np.flatnonzero(t.right > -np.inf)
    return {
        "kept": kept.tolist(),
        "wanted": right,
        "likeliest": sorted(likeliest_first(t.logits)[: len(kept)].tolist()),
        "sum": given.sum(),
        "nucleus": softmax(t.logits)[right].sum(),
    }


check_top_p = Exercise(
    texts_of("sampling.top_p"),
    right=lambda logits, p: TopP(p)(logits, CONTEXT),
    cases=[(LOGITS, p) for p in (0.75, 0.2, 0.5, 0.9, 0.99)],
    also=_top_p_details,
    hints={
        "changes_its_argument": when.CHANGES_ITS_ARGUMENT,
        "has_another_length": when.HAS_WRONG_SHAPE,
        "gives_probabilities": When(lambda t: any(np.isclose(t.sum, [1, t.nucleus]))),
        "leaves_finite": When(
            lambda t: np.isfinite(t.given).all() and any(t.given != t.logits)
        ),
        "keeps_others": When(lambda t: t.kept != t.likeliest),
        "keeps_less": When(lambda t: t.num_kept < t.num_wanted),
        "keeps_more": When(lambda t: t.num_kept > t.num_wanted),
    },
)


def _penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    return RepetitionPenalty(penalty)(logits, context)


def penalty_each_time(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    """Return logits penalised once for each time that a token occurs."""
    for token in context:
        logits = _penalty(logits, np.array([token]), penalty)
    return logits


check_penalty = Exercise(
    texts_of("sampling.penalty"),
    right=_penalty,
    cases=[(LOGITS, CONTEXT, 1.5)],
    also=lambda t: {
        "token": (token := int(np.argmax(~np.isclose(t.given, t.right)))),
        "before": t.logits[token],
        "after": t.given[token],
    },
    hints={
        "changes_its_argument": when.CHANGES_ITS_ARGUMENT,
        "has_another_length": when.HAS_WRONG_SHAPE,
        "lifts_a_negative": When(
            lambda t: any(t.given[t.logits < 0] > t.logits[t.logits < 0])
        ),
        "counts_how_often": penalty_each_time,
        "hits_others": When(lambda t: any(np.delete(t.given != t.logits, t.context))),
    },
)

check_order = Exercise(
    texts_of("sampling.order"),
    right={
        "penalty, temperature": True,  # both multiply, and neither changes a sign
        "temperature, top-k": True,  # ranks stay
        "temperature, top-p": False,
        "top-k, top-p": False,  # top-p adds up what top-k has left
        "top-k, min-p": True,  # ratios to the likeliest stay
    },
    also=lambda t: {
        "well": [x for x in t.right if t.given.get(x) is t.right[x]],
        "wrong": [x for x in t.right if t.given.get(x) is not t.right[x]],
    },
)
