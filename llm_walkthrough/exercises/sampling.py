"""Exercises of notebook 05: a pick, top-p, a penalty, what may change places.

The distributions have a few tokens, on which each typical mistake gives another result.
Knows nothing of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
from llm_walkthrough.exercises.exercise import (
    CHANGES_ITS_ARGUMENT,
    HAS_WRONG_SHAPE,
    OTHERWISE,
    Attempt,
    Exercise,
    When,
)
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


def _pick_from(probabilities: Probabilities, order: TokenIds, u: float) -> int:
    """Return the token on which `u` falls, on a bar of this order."""
    ends = np.cumsum(probabilities[order])
    return int(order[np.searchsorted(ends, u, side="right")])


check_pick = Exercise(
    task="a function of probabilities [vocab] and u that returns a token id",
    right=pick,
    cases=[(PROBABILITIES, n / 40) for n in range(40)],  # every border among them
    hints={
        "It gives token {given} whatever u is; u decides which one.": When(
            lambda t: len({int(one.given) for one in t.all}) == 1
        ),
        "It gives the place on the bar, not the token that lies there: translate the "
        "rank back into an id.": lambda probabilities, u: int(
            np.flatnonzero(likeliest_first(probabilities) == pick(probabilities, u))[0]
        ),
        "The tokens lie on your bar in the order of their ids; the likeliest one must "
        "come first.": lambda p, u: _pick_from(p, np.arange(len(p)), u),
        "Tokens 0 and 4 are equally likely, and yours stand the other way round: of "
        "equals the lower id comes first (look at `kind` of argsort).": (
            lambda p, u: _pick_from(p, np.argsort(p, kind="stable")[::-1], u)
        ),
        "u = {u} is exactly where one token ends and the next begins: it belongs to "
        "the one that begins there (look at `side`).": When(lambda t: t.u in _ENDS),
        "For u = {u} token {right} is expected, and it gives {given}.": OTHERWISE,
    },
    praise="Every u falls on the token it should.",
)


def _top_p_details(t: Attempt) -> dict[str, Any]:
    given = np.asarray(t.given, float)
    kept, right = np.flatnonzero(given > -np.inf), np.flatnonzero(t.right > -np.inf)
    return {
        "kept": kept.tolist(),
        "num_kept": len(kept),
        "num_right": len(right),
        "likeliest": sorted(likeliest_first(t.logits)[: len(kept)].tolist()),
        "sum": given.sum(),
        "nucleus": softmax(t.logits)[right].sum(),
    }


check_top_p = Exercise(
    task="a function of logits [vocab] and p that returns logits [vocab]",
    right=lambda logits, p: TopP(p)(logits, CONTEXT),
    cases=[(LOGITS, p) for p in (0.75, 0.2, 0.5, 0.9, 0.99)],
    also=_top_p_details,
    hints={
        "It changes the logits that it was given; "
        "work on a copy.": CHANGES_ITS_ARGUMENT,
        "It returns {given.size} numbers for {logits.size} tokens; every token keeps "
        "its place, also one that is out.": HAS_WRONG_SHAPE,
        "It returns probabilities; the next processor wants logits, so give back the "
        "logits themselves.": When(
            lambda t: np.isclose(t.sum, 1) or np.isclose(t.sum, t.nucleus)
        ),
        "A token that is out still has a finite logit; softmax gives 0 only for "
        "-np.inf, and a logit of 0 is a good one.": When(
            lambda t: np.isfinite(t.given).all() and any(t.given != t.logits)
        ),
        "For p = {p} it keeps tokens {kept}, which are not the {num_kept} likeliest: "
        "add up from the likeliest down, and translate the places back into ids.": When(
            lambda t: t.kept != t.likeliest
        ),
        "For p = {p} it keeps too few tokens: the one that crosses p belongs to the "
        "nucleus, or the sum would stay below p.": When(
            lambda t: t.num_kept < t.num_right
        ),
        "For p = {p} it keeps too many tokens; stop once p is reached.": When(
            lambda t: t.num_kept > t.num_right
        ),
        "The right tokens are kept, but their logits have changed.": OTHERWISE,
    },
    praise="The nucleus is kept, and nothing else.",
)


def _penalty(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    return RepetitionPenalty(penalty)(logits, context)


def _penalty_for_each_time(logits: Logits, context: TokenIds, penalty: float) -> Logits:
    for i in range(len(context)):
        logits = _penalty(logits, context[i : i + 1], penalty)
    return logits


check_penalty = Exercise(
    task="a function of logits [vocab], context [sequence] and the penalty",
    right=_penalty,
    cases=[(LOGITS, CONTEXT, 1.5)],
    also=lambda t: {
        "token": (token := int(np.argmax(~np.isclose(t.given, t.right)))),
        "before": t.logits[token],
        "after": t.given[token],
    },
    hints={
        "It changes the logits that it was given; "
        "begin with a copy.": CHANGES_ITS_ARGUMENT,
        "A token with the logit -1 has become likelier: dividing a negative number "
        "moves it up, towards 0. What moves it down?": When(
            lambda t: any(t.given[t.logits < 0] > t.logits[t.logits < 0])
        ),
        "A token that stands twice in the context was penalised twice; this penalty "
        "asks whether a token was said, not how often.": _penalty_for_each_time,
        "Tokens that are not in the context have other logits than before.": When(
            lambda t: any(np.delete(t.given != t.logits, t.context))
        ),
        "Token {token} had the logit {before:g} and now has {after:.3g}; divide what "
        "is positive, multiply what is negative.": OTHERWISE,
    },
    praise="Whatever the sign, a token that was said sinks, and once.",
)

check_order = Exercise(
    task="a dictionary from a pair of processors to True or False",
    right={
        "penalty, temperature": True,  # both multiply, and neither changes a sign
        "temperature, top-k": True,  # ranks stay
        "temperature, top-p": False,
        "top-k, top-p": False,  # top-p adds up what top-k has left
        "top-k, min-p": True,  # ratios to the likeliest stay
    },
    cases=[()],
    ask=lambda answers: answers,
    same=lambda given, right: given == right,
    also=lambda t: {
        "wrong": (wrong := [x for x in t.right if t.given.get(x) is not t.right[x]]),
        "num_right": len(t.right) - len(wrong),
    },
    hints={
        "{num_right} of 5 are right. Look at “{wrong[0]}” again: what does the "
        "second one look at, a rank, a ratio or a sum, and does the first one change "
        "that?": OTHERWISE,
    },
    praise="Those pairs, and no others, may change places.",
)
