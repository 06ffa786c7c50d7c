"""Exercises of notebook 03: the dictionary, the softmax, the surprises.

References come from the model that is handed in, and from `sampling`. Knows nothing of
text.
"""

from __future__ import annotations

import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.exercises.exercise import (
    HAS_WRONG_SHAPE,
    IS_NO_ARRAY,
    IS_NO_DICTIONARY,
    OTHERWISE,
    Exercise,
    ExerciseOn,
    When,
    first_difference,
    identical,
)
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import log_probability, softmax

_NUM_CACHE_AXES = 4  # batch, kv_heads, past, head_dim
_PROMPT = np.array([1, 2, 3, 2, 1], np.int64)


@ExerciseOn
def check_feed(model: Model) -> Exercise:
    """Judge a function (tokens, graph) -> the dictionary that the first run takes."""
    return Exercise(
        task="a function (tokens, graph) -> the dictionary that the first run takes",
        right=lambda tokens, graph: model.feed(tokens, model.new_grown_cache()),  # noqa: ARG005
        cases=[(_PROMPT, model.graph), (_PROMPT[:1], model.graph)],
        same=identical,
        also=lambda t: {
            **(names := first_difference(t)),
            "has_right_shape": np.shape(names["mine"]) == np.shape(names["wanted"]),
        },
        hints={
            "It must return a dictionary, and returned a {kind}.": IS_NO_DICTIONARY,
            "{num_missing} of {num_right} inputs are missing, among them "
            "{missing[0]!r}: every layer wants a key and a value, "
            "even an empty one.": When(lambda t: t.missing),
            "The graph has no input {extra[0]!r}.": When(lambda t: t.extra),
            "{name} must be an array, and is a {its_kind}.": IS_NO_ARRAY,
            "{name} is {mine.dtype}; the graph wants {wanted.dtype}.": When(
                lambda t: t.has_right_shape and t.mine.dtype != t.wanted.dtype
            ),
            "{name} has the right shape and type, but other numbers.": When(
                lambda t: t.has_right_shape
            ),
            "{name} has shape {mine.shape}. One axis is missing: which one comes first "
            "in every array?": When(lambda t: t.mine.ndim == t.wanted.ndim - 1),
            "{name} has shape {mine.shape}. The axes are all there, but in another "
            "order than the graph's.": When(
                lambda t: sorted(t.mine.shape) == sorted(t.wanted.shape)
            ),
            "{name} has shape {mine.shape}. How many tokens has the cache seen before "
            "the first run? So many rows has the past, and rows of zeros are rows "
            "too.": When(lambda t: t.mine.ndim == _NUM_CACHE_AXES and t.mine.shape[2]),
            "{name} has shape {mine.shape}. The last axis must have a place for each "
            "of {wanted.shape[1]} tokens.": When(
                lambda t: t.mine.ndim == t.wanted.ndim < _NUM_CACHE_AXES
            ),
            "{name} has shape {mine.shape}. Compare it with the port's shape in the "
            "graph.": OTHERWISE,
        },
        praise="The graph takes it, and it says: these tokens, all of them new.",
    )


def _softmax_rows(rows: LogitsRows) -> np.ndarray:
    return np.stack([softmax(row) for row in rows])


_SMALL = np.random.default_rng(0).normal(0, 2, (4, 7)).astype(np.float32)
_LARGE = 1000  # exp() of it is infinite

check_softmax_rows = Exercise(
    task="a function from logits [sequence, vocab] to probabilities of that shape",
    right=_softmax_rows,
    cases=[(_SMALL,), (_SMALL + np.float32(_LARGE),)],
    case="{begin}",
    also=lambda t: {
        "begin": "Small logits come out right, logits near 1000 do not. "
        * bool(np.isfinite(t.given).all() and t.rows.max() > _LARGE)
    },
    hints={
        "Logits near 1000 give inf or nan, since exp overflows. Only differences "
        "count: shift the logits of a row first.": When(
            lambda t: not np.isfinite(t.given).all()
        ),
        "The shape must stay {right.shape}, and became {shape}: `keepdims=True` keeps "
        "the axis that is summed over.": HAS_WRONG_SHAPE,
        "Wrong axis: each column sums to 1, but a row is one distribution.": When(
            lambda t: np.allclose(np.sum(t.given, axis=0), 1)
        ),
        "The whole array sums to 1, but every row is a distribution of its own.": When(
            lambda t: np.isclose(np.sum(t.given), 1)
        ),
        "Not normalised: the numbers of a row must sum to 1.": When(
            lambda t: not np.allclose(np.sum(t.given, axis=1), 1, atol=1e-4)
        ),
        "Each row sums to 1, but not in the right shares; "
        "which base has the power?": OTHERWISE,
    },
    praise="Each row sums to 1, and large logits do no harm.",
)


def _surprises(rows: LogitsRows, tokens: TokenIds) -> np.ndarray:
    return _surprises_of_itself(rows[:-1], tokens[1:])


def _surprises_of_itself(rows: LogitsRows, tokens: TokenIds) -> np.ndarray:
    """Return what each row thinks of the token beside it, in nats."""
    pairs = zip(rows, tokens, strict=True)
    return np.array([-log_probability(row, int(token)) for row, token in pairs])


_RANDOM = np.random.default_rng(1)
_ROWS = _RANDOM.normal(0, 3, (6, 9)).astype(np.float32)

check_surprises = Exercise(
    task="a function (logits rows, tokens) -> the surprise of every token but one",
    right=_surprises,
    cases=[(_ROWS, _RANDOM.permutation(9)[:6].astype(np.int64))],
    hints={
        "Row i was asked about token i itself; it predicts the token after it.": [
            _surprises_of_itself,
            lambda rows, tokens: _surprises_of_itself(rows[:-1], tokens[:-1]),
            lambda rows, tokens: _surprises_of_itself(rows[1:], tokens[1:]),
        ],
        "The sign is turned round: no surprise is below 0.": (
            lambda rows, tokens: -_surprises(rows, tokens)
        ),
        "Those are bits; for nats take the natural logarithm.": (
            lambda rows, tokens: _surprises(rows, tokens) / np.log(2)
        ),
        "Those are probabilities; surprise is minus their log.": (
            lambda rows, tokens: np.exp(-_surprises(rows, tokens))
        ),
        "Logits are not yet logarithms of probabilities: softmax comes first.": (
            lambda rows, tokens: -rows[np.arange(len(rows) - 1), tokens[1:]]
        ),
        "{tokens.size} tokens gave a result of shape {shape}: the first token was not "
        "predicted, and the last row has no token to judge.": HAS_WRONG_SHAPE,
        "The shape is right, the numbers are not: "
        "softmax, then row i and token i+1.": OTHERWISE,
    },
    praise="Each row was asked about the token that came next, in nats.",
)
