"""Are the answers of notebook 03 right: the dictionary, the softmax, the surprises?

References come from the model that is handed in, and from `sampling`. Knows nothing of
text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing
from llm_walkthrough.sampling import log_probability, softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.graph import Graph
    from llm_walkthrough.model import Model

    Arrays = dict[str, np.ndarray]
    Feed = Callable[[TokenIds, Graph], Arrays]
    Softmax = Callable[[LogitsRows], np.ndarray]
    Surprises = Callable[[LogitsRows, TokenIds], np.ndarray | list[float]]

_PROMPT = np.array([1, 2, 3, 2, 1], np.int64)
_CLOSE = 1e-4  # float32 against float64


def check_feed(answer: Feed, model: Model) -> Verdict:
    """Judge a function (tokens, graph) -> the dictionary that the first run takes."""

    def hint(feed: Feed) -> str | None:
        for tokens in (_PROMPT, _PROMPT[:1]):
            wanted = model.feed(tokens, model.new_grown_cache())
            given = called(feed, tokens.copy(), model.graph)
            found = _names_hint(given, wanted) or _arrays_hint(given, wanted)
            if found:
                return found
        return None

    praise = "The graph takes it, and it says: these tokens, all of them new."
    return first_failing(answer, [hint], praise)


def check_softmax_rows(answer: Softmax) -> Verdict:
    """Judge a function from logits [sequence, vocab] to probabilities of that shape."""
    small = np.random.default_rng(0).normal(0, 2, (4, 7)).astype(np.float32)
    large = small + np.float32(1000)
    tests = [
        lambda function: _softmax_hint(called(function, small.copy()), small),
        lambda function: _overflow_hint(called(function, large.copy()), large),
    ]
    praise = "Each row sums to 1, and large logits do no harm."
    return first_failing(answer, tests, praise)


def check_surprises(answer: Surprises) -> Verdict:
    """Judge a function (logits rows, tokens) -> the surprise of every token but one."""
    random = np.random.default_rng(1)
    rows = random.normal(0, 3, (6, 9)).astype(np.float32)
    tokens = random.permutation(9)[:6].astype(np.int64)

    def hint(function: Surprises) -> str | None:
        given = np.asarray(called(function, rows.copy(), tokens.copy()), np.float64)
        return _surprises_hint(given, rows, tokens)

    praise = "Each row was asked about the token that came next, in nats."
    return first_failing(answer, [hint], praise)


# --- the dictionary -----------------------------------------------------------------
def _names_hint(given: Arrays, wanted: Arrays) -> str | None:
    if not isinstance(given, dict):
        return f"It must return a dictionary, and returned a {type(given).__name__}."
    missing = [name for name in wanted if name not in given]
    if missing:
        return (
            f"{len(missing)} of {len(wanted)} inputs are missing, among them "
            f"{missing[0]!r}: every layer wants a key and a value, even an empty one."
        )
    unknown = [name for name in given if name not in wanted]
    return f"The graph has no input {unknown[0]!r}." if unknown else None


def _arrays_hint(given: Arrays, wanted: Arrays) -> str | None:
    for name, array in wanted.items():
        mine = given[name]
        if not isinstance(mine, np.ndarray):
            return f"{name} must be an array, and is a {type(mine).__name__}."
        hint = _shape_hint(mine.shape, array.shape)
        if hint:
            return f"{name} has shape {list(mine.shape)}. {hint}"
        if mine.dtype != array.dtype:
            return f"{name} is {mine.dtype}; the graph wants {array.dtype}."
        if not np.array_equal(mine, array):
            return f"{name} has the right shape and type, but other numbers."
    return None


def _shape_hint(given: tuple[int, ...], wanted: tuple[int, ...]) -> str | None:
    if given == wanted:
        return None
    is_past = len(wanted) == len(("batch", "kv_heads", "past", "head_dim"))
    if len(given) == len(wanted) - 1:
        return "One axis is missing: which one comes first in every array?"
    if sorted(given) == sorted(wanted):
        return "The axes are all there, but in another order than the graph's."
    if is_past and len(given) == len(wanted) and given[:2] == wanted[:2]:
        return (
            "How many tokens has the cache seen before the first run? So many rows has "
            "the past, and rows of zeros are rows too."
        )
    if not is_past and len(given) == len(wanted):
        return f"The last axis must have a place for each of {wanted[-1]} tokens."
    return "Compare it with the port's shape in the graph."


# --- softmax ------------------------------------------------------------------------
def _softmax_hint(given: np.ndarray, rows: np.ndarray) -> str | None:
    """Tell how probabilities differ from the reference, the likely mistakes first."""
    given = np.asarray(given)
    wanted = np.stack([softmax(row) for row in rows])
    if given.shape != wanted.shape:
        return (
            f"The shape must stay {list(wanted.shape)}, and became "
            f"{list(given.shape)}: `keepdims=True` keeps the axis that is summed over."
        )
    if np.allclose(given, wanted, atol=_CLOSE):
        return None
    if np.allclose(given.sum(axis=0), 1, atol=_CLOSE):
        return "Wrong axis: each column sums to 1, but a row is one distribution."
    if np.isclose(given.sum(), 1, atol=_CLOSE):
        return "The whole array sums to 1, but every row is a distribution of its own."
    if not np.allclose(given.sum(axis=1), 1, atol=_CLOSE):
        return "Not normalised: the numbers of a row must sum to 1."
    return "Each row sums to 1, but not in the right shares; which base has the power?"


def _overflow_hint(given: np.ndarray, rows: np.ndarray) -> str | None:
    if not np.isfinite(np.asarray(given)).all():
        return (
            "Logits near 1000 give inf or nan, since exp overflows. Only differences "
            "count: shift the logits of a row first."
        )
    hint = _softmax_hint(given, rows)
    return hint and f"Small logits come out right, logits near 1000 do not. {hint}"


# --- surprise -----------------------------------------------------------------------
def _surprise(rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return what each row thinks of the token beside it, in nats."""
    pairs = zip(rows, tokens, strict=True)
    return np.array([-log_probability(row, int(token)) for row, token in pairs])


def _surprises_hint(
    given: np.ndarray, rows: np.ndarray, tokens: np.ndarray
) -> str | None:
    """Tell how surprises differ from the reference, the likely mistakes first."""
    wanted = _surprise(rows[:-1], tokens[1:])
    own = _surprise(rows, tokens)
    itself = "Row i was asked about token i itself; it predicts the token after it."
    mistakes = [
        (own, itself),
        (own[:-1], itself),
        (own[1:], itself),
        (-wanted, "The sign is turned round: no surprise is below 0."),
        (wanted / np.log(2), "Those are bits; for nats take the natural logarithm."),
        (np.exp(-wanted), "Those are probabilities; surprise is minus their log."),
        (
            -rows[np.arange(len(rows) - 1), tokens[1:]],
            "Logits are not yet logarithms of probabilities: softmax comes first.",
        ),
    ]
    if given.shape == wanted.shape and np.allclose(given, wanted, atol=_CLOSE):
        return None
    for mistake, hint in mistakes:
        if given.shape == mistake.shape and np.allclose(given, mistake, atol=_CLOSE):
            return hint
    if given.shape != wanted.shape:
        return (
            f"{len(tokens)} tokens gave a result of shape {list(given.shape)}: the "
            "first token was not predicted, and the last row has no token to judge."
        )
    return "The shape is right, the numbers are not: softmax, then row i and token i+1."
