"""Exercises of notebook 04: bytes, shared heads, the feed, the cut.

Answers are tried on other sizes than the model's. Knows nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, TokenIds
from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import Attempt, When

Arrays = dict[str, np.ndarray]


check_cache_bytes = Exercise(
    texts_of("kv_cache.cache_bytes"),
    right=lambda num_layers, kv_heads, head_dim, length, number_bytes: (
        2 * num_layers * kv_heads * head_dim * length * number_bytes
    ),
    cases=[(5, 3, 16, 11, 4), (7, 2, 32, 13, 2)],
    hints={
        "is_half": lambda n, k, d, t, b: n * k * d * t * b,
        "counts_numbers": lambda n, k, d, t, _: 2 * n * k * d * t,
        "is_one_token": lambda n, k, d, _, b: 2 * n * k * d * b,
        "is_one_layer": lambda _, k, d, t, b: 2 * k * d * t * b,
        "is_one_head": lambda n, _, d, t, b: 2 * n * d * t * b,
        "misses_head_dim": lambda n, k, _, t, b: 2 * n * k * t * b,
        "is_float32_only": lambda n, k, d, t, _: 2 * n * k * d * t * 4,
        "is_twice_too_much": lambda n, k, d, t, b: 4 * n * k * d * t * b,
    },
)


def _is_whole(head: object) -> bool:
    return isinstance(head, int | np.integer)


check_kv_head_of = Exercise(
    texts_of("kv_cache.kv_head_of"),
    right=lambda head, num_heads, kv_heads: head // (num_heads // kv_heads),
    cases=[(h, n, k) for n, k in ((9, 3), (32, 8), (6, 6), (4, 1)) for h in range(n)],
    same=lambda given, right: _is_whole(given) and given == right,
    also=lambda t: {
        "largest": max(one.given for one in t.all if one.kv_heads == t.kv_heads),
        "last": t.kv_heads - 1,
    },
    hints={
        "is_not_whole": When(lambda t: not _is_whole(t.given)),
        "takes_turns": lambda head, _, kv_heads: head % kv_heads,
        "has_another_group_size": lambda head, _, kv_heads: head // kv_heads,
        "is_too_large": When(lambda t: t.largest > t.last),
    },
)


def _small_feed(tokens: TokenIds, length: int) -> Arrays:
    return {
        "input_ids": tokens[np.newaxis, length:],
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }


def _but(**wrong: Callable[[TokenIds, int], TokenIds]) -> Callable[..., Arrays]:
    """Return a feed that is right but for one array, which is without its batch."""
    return lambda tokens, length: (
        _small_feed(tokens, length)
        | {name: array(tokens, length)[np.newaxis] for name, array in wrong.items()}
    )


check_small_feed = Exercise(
    texts_of("kv_cache.small_feed"),
    right=_small_feed,
    cases=[(np.array([7, 3, 11, 5, 2, 13], np.int64), n) for n in (0, 5, 4)],
    also=lambda t: {
        "too_long": (excess := np.shape(t.mine)[-1] - len(t.tokens)),
        "too_short": -excess,
    },
    hints={
        "has_other_names": when.HAS_OTHER_NAMES,
        "is_no_array": when.IS_NO_ARRAY,
        "misses_an_axis": When(lambda t: t.mine.ndim == 1),
        "changes_dtype": When(lambda t: t.mine.dtype != np.int64),
        "feeds_seen_ones_too": _but(input_ids=lambda tokens, _: tokens),
        "feeds_the_last_only": [
            _but(input_ids=lambda tokens, _: tokens[-1:]),
            _but(input_ids=lambda tokens, length: tokens[-1 if length else 0 :]),
        ],
        "feeds_the_seen_only": _but(input_ids=lambda tokens, length: tokens[:length]),
        "has_a_large_batch": When(lambda t: len(t.mine) != 1),
        "feeds_others": When(lambda t: t.name == "input_ids"),
        "hides_a_token": When(lambda t: t.too_long == 0),
        "covers_past_only": _but(attention_mask=lambda x, n: np.ones_like(x[:n])),
        "covers_new_only": _but(attention_mask=lambda x, n: np.ones_like(x[n:])),
        "mask_is_too_long": When(lambda t: t.too_long > 0),
    },
)


def _slices(cut: Callable[[KeyOrValue, int], KeyOrValue]) -> Callable[..., Arrays]:
    return lambda arrays, length: {n: cut(array, length) for n, array in arrays.items()}


def _cut_axes(t: Attempt) -> dict[str, Any]:
    mine, whole = np.shape(t.mine), np.shape(t.arrays.get(t.name))
    axis = next((i for i in range(len(mine)) if mine[i] != whole[i]), 2)
    return {"axis": axis, "num_left": (*mine, 0, 0, 0)[2]}


_RANDOM = np.random.default_rng(4)
_ARRAYS = {  # [batch, kv_heads, past, head_dim], no two lengths alike
    f"past_key_values.{i}.{part}": _RANDOM.normal(size=(1, 6, 5, 7)).astype(np.float32)
    for i in (0, 1)
    for part in ("key", "value")
}

check_cut_back = Exercise(
    texts_of("kv_cache.cut_back"),
    right=_slices(lambda array, length: array[:, :, :length]),
    cases=[(_ARRAYS, 4), (_ARRAYS, 0), (_ARRAYS, 5)],
    also=_cut_axes,
    hints={
        "has_other_names": when.HAS_OTHER_NAMES,
        "cuts_nothing": _slices(lambda array, _: array),
        "loses_an_axis": When(lambda t: t.mine.ndim != t.wanted.ndim),
        "cuts_elsewhere": When(lambda t: t.axis != 2),  # noqa: PLR2004 - the past
        "keeps_the_last": _slices(lambda a, length: a[:, :, a.shape[2] - length :]),
        "has_another_length": When(lambda t: t.num_left != t.length),
    },
)
