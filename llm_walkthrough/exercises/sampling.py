"""Is the learner's sampling right, and if not, which typical mistake is it?

The answers are compared with `sampling`, on distributions of a few tokens in which each
typical mistake gives another result. Knows nothing of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.exercises.verdict import (
    UnansweredError,
    Verdict,
    called,
    first_failing,
    is_unanswered,
)
from llm_walkthrough.sampling import (
    MinP,
    Processor,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    likeliest_first,
    pick,
    process,
    softmax,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_walkthrough.arrays import Logits, Probabilities, TokenIds

    Pick = Callable[[Probabilities, float], int]
    Filter = Callable[[Logits, float], Logits]
    Penalise = Callable[[Logits, TokenIds, float], Logits]

PROBABILITIES = np.array([0.125, 0.5, 0.0, 0.25, 0.125])  # exact in binary
LOGITS = np.array([0.5, 2.5, -1.0, 2.0, -3.0, 1.5], dtype=np.float32)
CONTEXT = np.array([2, 1, 3, 1], dtype=np.int64)  # token 1 twice, token 2 negative
PENALTY = 1.5

PROCESSORS: Mapping[str, Processor] = {
    "penalty": RepetitionPenalty(PENALTY),
    "temperature": Temperature(2.0),
    "top-k": TopK(3),
    "top-p": TopP(0.75),
    "min-p": MinP(0.35),
}


# --- pick -------------------------------------------------------------------------
def check_pick(my_pick: Pick) -> Verdict:
    """Judge a function of probabilities [vocab] and u that returns a token id."""
    tests = (
        _pick_heeds_u,
        _pick_gives_an_id,
        _pick_starts_with_likeliest,
        _pick_keeps_ties_in_order,
        _pick_all,
    )
    return first_failing(my_pick, tests, "Every u falls on the token it should.")


def _pick_heeds_u(my_pick: Pick) -> str | None:
    tokens = {int(called(my_pick, PROBABILITIES.copy(), u)) for u in (0.1, 0.6, 0.9)}
    if len(tokens) == 1:
        return f"It gives token {tokens.pop()} whatever u is; u decides which one."
    return None


def _pick_gives_an_id(my_pick: Pick) -> str | None:
    points = np.arange(0.05, 1, 0.1)
    ranked = likeliest_first(PROBABILITIES)
    places = [int(np.flatnonzero(ranked == pick(PROBABILITIES, u))[0]) for u in points]
    if [int(my_pick(PROBABILITIES.copy(), u)) for u in points] == places:
        return (
            "It gives the place on the bar, not the token that lies there: translate "
            "the rank back into an id."
        )
    return None


def _pick_starts_with_likeliest(my_pick: Pick) -> str | None:
    points = np.arange(0.05, 1, 0.1)
    ends = np.cumsum(PROBABILITIES)
    by_id = [int(np.searchsorted(ends, u, side="right")) for u in points]
    if [int(my_pick(PROBABILITIES.copy(), u)) for u in points] == by_id:
        return (
            "The tokens lie on your bar in the order of their ids; the likeliest one "
            "must come first."
        )
    return None


def _pick_keeps_ties_in_order(my_pick: Pick) -> str | None:
    lower, higher = np.flatnonzero(PROBABILITIES == 1 / 8)
    if [int(my_pick(PROBABILITIES.copy(), u)) for u in (0.8, 0.9)] == [higher, lower]:
        return (
            f"Tokens {lower} and {higher} are equally likely, and yours stand the "
            "other way round: of equals the lower id comes first (look at `kind` of "
            "argsort)."
        )
    return None


def _pick_all(my_pick: Pick) -> str | None:
    for u in (0.0, 0.25, 0.5, 0.6, 0.75, 0.8, 0.875, 0.99):
        wanted, given = pick(PROBABILITIES, u), int(my_pick(PROBABILITIES.copy(), u))
        if given == wanted:
            continue
        if u in np.cumsum(np.sort(PROBABILITIES)[::-1]):
            return (
                f"u = {u} is exactly where one token ends and the next begins: it "
                "belongs to the one that begins there (look at `side`)."
            )
        return f"For u = {u} token {wanted} is expected, and it gives {given}."
    return None


# --- top-p ------------------------------------------------------------------------
def check_top_p(my_top_p: Filter) -> Verdict:
    """Judge a function of logits [vocab] and p that returns logits [vocab]."""
    tests = (
        _top_p_leaves_its_argument,
        _top_p_gives_logits,
        _top_p_uses_minus_infinity,
        _top_p_keeps_the_right_tokens,
        _top_p_keeps_their_logits,
    )
    return first_failing(my_top_p, tests, "The nucleus is kept, and nothing else.")


def _top_p_leaves_its_argument(my_top_p: Filter) -> str | None:
    logits = LOGITS.copy()
    called(my_top_p, logits, 0.75)
    if not np.array_equal(logits, LOGITS):
        return "It changes the logits that it was given; work on a copy."
    return None


def _top_p_gives_logits(my_top_p: Filter) -> str | None:
    given = np.asarray(my_top_p(LOGITS.copy(), 0.75), dtype=float)
    if given.shape != LOGITS.shape:
        return (
            f"It returns {given.shape[0] if given.ndim else 'one'} numbers for "
            f"{len(LOGITS)} tokens; every token keeps its place, also one that is out."
        )
    if np.isclose(given.sum(), 1) or np.isclose(given.sum(), _nucleus_mass(0.75)):
        return (
            "It returns probabilities; the next processor wants logits, so give back "
            "the logits themselves."
        )
    return None


def _top_p_uses_minus_infinity(my_top_p: Filter) -> str | None:
    given = np.asarray(my_top_p(LOGITS.copy(), 0.75), dtype=float)
    if np.isfinite(given).all() and not np.array_equal(given, LOGITS):
        return (
            "A token that is out still has a finite logit; softmax gives 0 only for "
            "-np.inf, and a logit of 0 is a good one."
        )
    return None


def _top_p_keeps_the_right_tokens(my_top_p: Filter) -> str | None:
    for p in (0.75, 0.2, 0.5, 0.9, 0.99):
        given = np.asarray(my_top_p(LOGITS.copy(), p), dtype=float) > -np.inf
        wanted = TopP(p)(LOGITS, CONTEXT) > -np.inf
        likeliest = likeliest_first(softmax(LOGITS))[: given.sum()]
        if not given[likeliest].all():
            return (
                f"For p = {p} it keeps tokens {_ids(given)}, which are not the "
                f"{given.sum()} likeliest: add up from the likeliest down, and "
                "translate the places back into ids."
            )
        if given.sum() < wanted.sum():
            return (
                f"For p = {p} it keeps too few tokens: the one that crosses p belongs "
                "to the nucleus, or the sum would stay below p."
            )
        if given.sum() > wanted.sum():
            return f"For p = {p} it keeps too many tokens; stop once p is reached."
    return None


def _top_p_keeps_their_logits(my_top_p: Filter) -> str | None:
    given = np.asarray(my_top_p(LOGITS.copy(), 0.75), dtype=float)
    if not np.allclose(given, TopP(0.75)(LOGITS, CONTEXT)):
        return "The right tokens are kept, but their logits have changed."
    return None


def _nucleus_mass(p: float) -> float:
    kept = TopP(p)(LOGITS, CONTEXT) > -np.inf
    return float(softmax(LOGITS)[kept].sum())


def _ids(is_kept: np.ndarray) -> list[int]:
    ids: list[int] = np.flatnonzero(is_kept).tolist()
    return ids


# --- repetition penalty -------------------------------------------------------------
def check_penalty(my_penalty: Penalise) -> Verdict:
    """Judge a function of logits [vocab], context [sequence] and the penalty."""
    tests = (
        _penalty_leaves_its_argument,
        _penalty_knows_the_sign,
        _penalty_counts_a_token_once,
        _penalty_touches_only_the_context,
        _penalty_all,
    )
    return first_failing(
        my_penalty, tests, "Whatever the sign, a token that was said sinks, and once."
    )


def _penalised(my_penalty: Penalise) -> np.ndarray:
    given = called(my_penalty, LOGITS.copy(), CONTEXT.copy(), PENALTY)
    return np.asarray(given, dtype=float)


def _penalty_leaves_its_argument(my_penalty: Penalise) -> str | None:
    logits = LOGITS.copy()
    called(my_penalty, logits, CONTEXT.copy(), PENALTY)
    if not np.array_equal(logits, LOGITS):
        return "It changes the logits that it was given; begin with a copy."
    return None


def _penalty_knows_the_sign(my_penalty: Penalise) -> str | None:
    said_and_negative = 2
    if _penalised(my_penalty)[said_and_negative] > LOGITS[said_and_negative]:
        return (
            "A token with the logit -1 has become likelier: dividing a negative number "
            "moves it up, towards 0. What moves it down?"
        )
    return None


def _penalty_counts_a_token_once(my_penalty: Penalise) -> str | None:
    said_twice = 1
    if np.isclose(_penalised(my_penalty)[said_twice], LOGITS[said_twice] / PENALTY**2):
        return (
            "A token that stands twice in the context was penalised twice; this "
            "penalty asks whether a token was said, not how often."
        )
    return None


def _penalty_touches_only_the_context(my_penalty: Penalise) -> str | None:
    unsaid = np.setdiff1d(np.arange(len(LOGITS)), CONTEXT)
    if not np.allclose(_penalised(my_penalty)[unsaid], LOGITS[unsaid]):
        return "Tokens that are not in the context have other logits than before."
    return None


def _penalty_all(my_penalty: Penalise) -> str | None:
    given = _penalised(my_penalty)
    wanted = RepetitionPenalty(PENALTY)(LOGITS, CONTEXT)
    off = np.flatnonzero(~np.isclose(given, wanted))
    if len(off):
        return (
            f"Token {off[0]} had the logit {LOGITS[off[0]]:g} and now has "
            f"{given[off[0]]:.3g}; divide what is positive, multiply what is negative."
        )
    return None


# --- order ------------------------------------------------------------------------
def check_order(answers: Mapping[str, object]) -> Verdict:
    """Judge which pairs of processors may change places, such as "top-k, top-p"."""
    praise = "Those pairs, and no others, may change places."
    return first_failing(answers, (_order_is_whole, _order_is_right), praise)


def _order_is_whole(answers: Mapping[str, object]) -> str | None:
    if any(is_unanswered(answer) for answer in answers.values()):
        raise UnansweredError
    return None


def _order_is_right(answers: Mapping[str, object]) -> str | None:
    wrong = [pair for pair, answer in answers.items() if answer is not may_swap(pair)]
    if not wrong:
        return None
    return (
        f"{len(answers) - len(wrong)} of {len(answers)} are right. Look at "
        f"“{wrong[0]}” again: what does the second one look at, a rank, a ratio or a "
        "sum, and does the first one change that?"
    )


def may_swap(pair: str) -> bool:
    """Tell by trial whether two processors, "a, b", give the same in both orders."""
    first, second = (PROCESSORS[name] for name in pair.split(", "))
    rng = np.random.default_rng(0)
    for _ in range(200):
        logits = rng.normal(scale=3, size=12).astype(np.float32)
        context = rng.integers(12, size=4)
        one_way = process(logits, context, (first, second))
        other_way = process(logits, context, (second, first))
        if not np.allclose(one_way, other_way, rtol=1e-4):
            return False
    return True
