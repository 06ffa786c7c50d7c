"""Exercises of notebook 03: the dictionary, the softmax, the surprises.

References come from the given model and from `sampling`. Knows nothing of text.
"""

from __future__ import annotations

import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, ExerciseOn, texts_of
from llm_walkthrough.exercises.when import When
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import log_probability, softmax

_NUM_CACHE_AXES = 4  # batch, kv_heads, past, head_dim
_PROMPT = np.array([1, 2, 3, 2, 1], np.int64)


@ExerciseOn
def check_feed(model: Model) -> Exercise:
    """Judge a function (tokens, graph) -> the dictionary that the first run takes."""
    return Exercise(
        texts_of("prefill.feed"),
        right=lambda tokens, graph: model.feed(tokens, model.new_grown_cache()),  # noqa: ARG005
        cases=[(_PROMPT, model.graph), (_PROMPT[:1], model.graph)],
        also=lambda t: {"is_in_shape": np.shape(t.mine) == np.shape(t.wanted)},
        hints={
            "is_no_dictionary": when.IS_NO_DICTIONARY,
            "misses_a_name": when.MISSES_A_NAME,
            "has_a_foreign_name": when.HAS_A_FOREIGN_NAME,
            "is_no_array": when.IS_NO_ARRAY,
            "changes_dtype": When(
                lambda t: t.is_in_shape and t.mine.dtype != t.wanted.dtype
            ),
            "has_other_numbers": When(lambda t: t.is_in_shape),
            "misses_an_axis": When(lambda t: t.mine.ndim == t.wanted.ndim - 1),
            "swaps_axes": When(
                lambda t: sorted(t.mine.shape) == sorted(t.wanted.shape)
            ),
            "has_a_past": When(
                lambda t: t.mine.ndim == _NUM_CACHE_AXES and t.mine.shape[2]
            ),
            "has_another_length": When(
                lambda t: t.mine.ndim == t.wanted.ndim < _NUM_CACHE_AXES
            ),
        },
    )


_SMALL = np.random.default_rng(0).normal(0, 2, (4, 7)).astype(np.float32)
_LARGE = 1000  # exp() of it is infinite

check_softmax_rows = Exercise(
    texts_of("prefill.softmax_rows"),
    right=lambda rows: np.stack([softmax(row) for row in rows]),
    cases=[(_SMALL,), (_SMALL + np.float32(_LARGE),)],
    hints={
        "overflows": When(lambda t: not np.isfinite(t.given).all()),
        "loses_an_axis": when.HAS_WRONG_SHAPE,
        "sums_columns": When(lambda t: np.allclose(np.sum(t.given, axis=0), 1)),
        "sums_everything": When(lambda t: np.isclose(np.sum(t.given), 1)),
        "is_not_normalised": When(
            lambda t: not np.allclose(np.sum(t.given, axis=1), 1, atol=1e-4)
        ),
    },
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
    texts_of("prefill.surprises"),
    right=_surprises,
    cases=[(_ROWS, _RANDOM.permutation(9)[:6].astype(np.int64))],
    hints={
        "asks_about_itself": [
            _surprises_of_itself,
            lambda rows, tokens: _surprises_of_itself(rows[:-1], tokens[:-1]),
            lambda rows, tokens: _surprises_of_itself(rows[1:], tokens[1:]),
        ],
        "is_below_0": lambda rows, tokens: -_surprises(rows, tokens),
        "is_in_bits": lambda rows, tokens: _surprises(rows, tokens) / np.log(2),
        "is_a_probability": lambda rows, tokens: np.exp(-_surprises(rows, tokens)),
        "has_no_softmax": lambda rows, tokens: -rows[range(len(rows) - 1), tokens[1:]],
        "has_another_length": when.HAS_WRONG_SHAPE,
    },
)
