"""Exercises of notebook 04: bytes, shared heads, the feed, the cut.

Every answer is tried on sizes that differ from those of the course's model. Knows
nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, TokenIds
from llm_walkthrough.exercises.exercise import (
    IS_NO_ARRAY,
    OTHERWISE,
    Attempt,
    Exercise,
    When,
    alike,
    first_difference,
    identical,
)

Arrays = dict[str, np.ndarray]


check_cache_bytes = Exercise(
    task="a function (num_layers, kv_heads, head_dim, length, number_bytes) -> bytes",
    right=lambda num_layers, kv_heads, head_dim, length, number_bytes: (
        2 * num_layers * kv_heads * head_dim * length * number_bytes
    ),
    cases=[(5, 3, 16, 11, 4), (7, 2, 32, 13, 2)],
    hints={
        "That is half of it: what does a layer keep besides the keys?": (
            lambda n, k, d, t, b: n * k * d * t * b
        ),
        "That counts numbers, not bytes.": lambda n, k, d, t, _: 2 * n * k * d * t,
        "That is one token; the cache holds `length` of them.": (
            lambda n, k, d, _, b: 2 * n * k * d * b
        ),
        "That is one layer; each layer has its own rows.": (
            lambda _, k, d, t, b: 2 * k * d * t * b
        ),
        "That is one head; each kv head has its own rows.": (
            lambda n, _, d, t, b: 2 * n * d * t * b
        ),
        "A key is not one number but a row of `head_dim`.": (
            lambda n, k, _, t, b: 2 * n * k * t * b
        ),
        "Twice too much: is something counted two times?": (
            lambda n, k, d, t, b: 4 * n * k * d * t * b
        ),
        "It gives {given:,} bytes for a cache of {right:,}. Multiply the lengths of "
        "one array's axes first, then ask how many such arrays there are.": OTHERWISE,
    },
    praise="Layers, key and value, heads, numbers, tokens: nothing is forgotten.",
)


def _are_whole(heads: list[object]) -> bool:
    return all(isinstance(head, int | np.integer) for head in heads)


check_kv_head_of = Exercise(
    task="a function (head, num_heads, kv_heads) -> the kv head that it reads",
    right=lambda head, num_heads, kv_heads: head // (num_heads // kv_heads),
    cases=[(9, 3), (32, 8), (6, 6), (4, 1)],
    ask=lambda kv_head_of, num_heads, kv_heads: [
        kv_head_of(head, num_heads, kv_heads) for head in range(num_heads)
    ],
    same=lambda given, right: alike(given, right) and _are_whole(given),
    case="With {num_heads} heads and {kv_heads} kv heads: ",
    also=lambda t: {
        "largest": max(t.given),
        "last": t.kv_heads - 1,
        "head": (place := int(np.argmax(np.array(t.given) != t.right))),
        "its_kv_head": t.given[place],
    },
    hints={
        "a head has a whole number; which division rounds down?": When(
            lambda t: not _are_whole(t.given)
        ),
        "the kv heads take turns, but neighbours share one.": (
            lambda head, _, kv_heads: head % kv_heads
        ),
        "a group is as large as the number of query heads for each kv head, not as the "
        "number of kv heads.": lambda head, _, kv_heads: head // kv_heads,
        "there is no kv head {largest}; they count from 0 to {last}.": When(
            lambda t: t.largest > t.last
        ),
        "query head {head} does not read kv head {its_kv_head}.": OTHERWISE,
    },
    praise="Neighbouring query heads share a kv head, whatever the group's size.",
)


def _small_feed(tokens: TokenIds, length: int) -> Arrays:
    return {
        "input_ids": tokens[np.newaxis, length:],
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }


def _with_ids(choose: Callable[[TokenIds, int], TokenIds]) -> Callable[..., Arrays]:
    """Return a feed that is right but for its ids."""
    return lambda tokens, length: {
        **_small_feed(tokens, length),
        "input_ids": choose(tokens, length)[np.newaxis],
    }


def _with_mask(width: Callable[[int, int], int]) -> Callable[..., Arrays]:
    """Return a feed that is right but for the width of its mask."""
    return lambda tokens, length: {
        **_small_feed(tokens, length),
        "attention_mask": np.ones((1, width(len(tokens), length)), np.int64),
    }


def _off_by(t: Attempt) -> dict[str, Any]:
    names = first_difference(t)
    width = np.shape(names["mine"])[-1] if names["name"] else 0
    by = "too long" if width > len(t.tokens) else "too short"
    off = abs(width - len(t.tokens))
    return names | {"off": off, "by": by}


check_small_feed = Exercise(
    task="a function (tokens, length) -> dictionary of the ids and the mask",
    right=_small_feed,
    cases=[(np.array([7, 3, 11, 5, 2, 13], np.int64), n) for n in (0, 5, 4)],
    same=identical,
    case="{tokens.size} tokens, {length} in the cache: ",
    also=_off_by,
    hints={
        "it must return a dictionary with 'input_ids' and 'attention_mask'.": When(
            lambda t: t.missing or t.extra
        ),
        "{name} must be an array, and is a {its_kind}.": IS_NO_ARRAY,
        "{name} has one axis; the first one of two is the batch.": When(
            lambda t: t.mine.ndim == 1
        ),
        "{name} is {mine.dtype}; the graph wants int64.": When(
            lambda t: t.mine.dtype != np.int64
        ),
        "input_ids holds tokens that the cache has seen; feed only the others.": (
            _with_ids(lambda tokens, _: tokens)
        ),
        "input_ids holds the last token only, but more of them are unseen.": [
            _with_ids(lambda tokens, _: tokens[-1:]),
            _with_ids(lambda tokens, length: tokens[-1 if length else 0 :]),
        ],
        "input_ids holds what the cache has seen; feed what comes after it.": (
            _with_ids(lambda tokens, length: tokens[:length])
        ),
        "input_ids is {mine}: which tokens has the cache not seen?": When(
            lambda t: t.name == "input_ids"
        ),
        "attention_mask has shape {mine.shape}; the batch is 1.": When(
            lambda t: len(t.mine) != 1
        ),
        "a 0 in the mask hides a token; hide none here.": When(lambda t: t.off == 0),
        "the mask covers the past only. The new tokens look at themselves, too, so it "
        "must be longer.": _with_mask(lambda _, length: length),
        "the mask covers the new tokens only, so the whole past is hidden.": (
            _with_mask(lambda total, length: total - length)
        ),
        "the mask is {off} {by}; count the past and the new tokens, each "
        "once.": OTHERWISE,
    },
    praise="Prefill and decode are one line, and the mask covers past and new.",
)


def _slices(cut: Callable[[KeyOrValue, int], KeyOrValue]) -> Callable[..., Arrays]:
    return lambda arrays, length: {n: cut(array, length) for n, array in arrays.items()}


def _cut_axes(t: Attempt) -> dict[str, Any]:
    names = first_difference(t)
    mine, whole = np.shape(names["mine"]), np.shape(t.arrays.get(names["name"]))
    axis = next((i for i in range(len(mine)) if mine[i] != whole[i]), 2)
    return names | {"axis": axis, "num_left": (*mine, 0, 0, 0)[2]}


_RANDOM = np.random.default_rng(4)
_ARRAYS = {  # [batch, kv_heads, past, head_dim], no two lengths alike
    f"past_key_values.{i}.{part}": _RANDOM.normal(size=(1, 6, 5, 7)).astype(np.float32)
    for i in (0, 1)
    for part in ("key", "value")
}

check_cut_back = Exercise(
    task="a function (arrays, length) -> the arrays of the first `length` tokens",
    right=_slices(lambda array, length: array[:, :, :length]),
    cases=[(_ARRAYS, 4), (_ARRAYS, 0), (_ARRAYS, 5)],
    case="Cut from 5 tokens to {length}: ",
    also=_cut_axes,
    hints={
        "it must return a dictionary with the same names, all of them.": When(
            lambda t: t.missing or t.extra
        ),
        "nothing was cut.": _slices(lambda array, _: array),
        "an axis was lost; a slice `a:b` keeps it, a number alone does not.": When(
            lambda t: t.mine.ndim != t.wanted.ndim
        ),
        "wrong axis: axis {axis} changed, but tokens are on another one.": When(
            lambda t: t.axis != 2  # noqa: PLR2004 - the third one is the past
        ),
        "those are the last tokens; an earlier cache has the first ones.": (
            _slices(lambda array, length: array[:, :, array.shape[2] - length :])
        ),
        "{num_left} tokens are left; with length {length} it should be {length}.": When(
            lambda t: t.num_left != t.length
        ),
        "the shape is right, but these are rows of other tokens.": OTHERWISE,
    },
    praise="Only the third axis became shorter, in every array.",
)
