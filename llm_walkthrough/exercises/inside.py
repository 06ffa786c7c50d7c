"""Exercises of notebook 09: weights of one head, induction, the logit lens.

Pure functions of small arrays. Knows nothing of models or graphs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import When

Array = np.ndarray[Any, np.dtype[np.float64]]
_RANDOM = np.random.default_rng(9)
_PAIR = tuple(_RANDOM.normal(0, 2, (2, 4, 3)))  # [tokens, head_dim], and not square


def _softmax(scores: Array) -> Array:
    parts = np.exp(scores)
    return np.asarray(parts / parts.sum(-1, keepdims=True))


def _scores(queries: Array, keys: Array) -> Array:
    return np.asarray(queries @ keys.T / np.sqrt(queries.shape[-1]))


def _masked(scores: Array) -> Array:
    return np.where(np.tri(len(scores), dtype=bool), scores, -np.inf)


check_head_weights = Exercise(
    texts_of("inside.head_weights"),
    right=lambda queries, keys: _softmax(_masked(_scores(queries, keys))),
    cases=[_PAIR],
    hints={
        "has_another_shape": when.HAS_WRONG_SHAPE,
        "forgets_scale": lambda q, k: _softmax(_masked(q @ k.T)),
        "sees_the_future": lambda q, k: _softmax(_scores(q, k)),
        "masks_with_zeros": lambda q, k: _softmax(np.tril(_scores(q, k))),
        "masks_afterwards": lambda q, k: np.tril(_softmax(_scores(q, k))),
        "sees_only_the_future": lambda q, k: _softmax(_masked(_scores(q, k)).T).T,
        "swaps_roles": lambda q, k: _softmax(_masked(_scores(k, q))),
        "is_not_one": When(lambda t: not np.allclose(np.sum(t.given, axis=-1), 1)),
    },
)


def _induction(weights: Array, tokens: TokenIds, *, offset: int = 1) -> float:
    ids = [int(token) for token in tokens]
    found = [
        (i, max(j for j in range(i) if ids[j] == ids[i]))
        for i in range(len(ids))
        if ids[i] in ids[:i]
    ]
    return float(np.mean([weights[i, j + offset] for i, j in found]))


_IDS = np.array([7, 3, 5, 7, 2, 3, 7], np.int64)
_SHARES = _softmax(_masked(_RANDOM.normal(0, 1.5, (len(_IDS), len(_IDS)))))

check_induction = Exercise(
    texts_of("inside.induction"),
    right=_induction,
    cases=[(_SHARES, _IDS), (_SHARES[:6, :6], _IDS[:6])],
    hints={
        "looks_at_the_same": lambda w, x: _induction(w, x, offset=0),
        "looks_before_it": lambda w, x: _induction(w, x, offset=-1),
        "counts_every_row": lambda w, x: (
            _induction(w, x) * (len(x) - len({*x.tolist()})) / len(x)
        ),
        "adds_up": lambda w, x: _induction(w, x) * (len(x) - len({*x.tolist()})),
        "takes_columns": lambda w, x: _induction(w.T, x),
        "is_no_number": When(lambda t: np.ndim(t.given)),
    },
)


def _normed(rows: Array, axis: int | None = -1) -> Array:
    return np.asarray(rows / np.sqrt((rows**2).mean(axis, keepdims=True) + 1e-5))


check_my_lens = Exercise(
    texts_of("inside.my_lens"),
    right=lambda rows, gain, matrix: _normed(rows) * gain @ matrix.T,
    cases=[(*_PAIR[:1], np.array([0.5, 1.0, 2.0]), _RANDOM.normal(size=(5, 3)))],
    hints={
        "has_another_shape": when.HAS_WRONG_SHAPE,
        "forgets_the_norm": [lambda r, _, h: r @ h.T, lambda r, g, h: r * g @ h.T],
        "forgets_the_gain": lambda r, _, h: _normed(r) @ h.T,
        "norms_all_at_once": lambda r, g, h: _normed(r, None) * g @ h.T,
        "takes_the_mean_away": lambda r, g, h: (
            _normed(r - r.mean(-1, keepdims=True)) * g @ h.T
        ),
        "norms_the_sum": lambda r, g, h: (
            r / np.sqrt((r**2).sum(-1, keepdims=True) + 1e-5) * g @ h.T
        ),
    },
)
