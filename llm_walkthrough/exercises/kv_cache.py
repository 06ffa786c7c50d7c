"""Are the answers of notebook 04 right: bytes, shared heads, the feed, the cut?

Every answer is tried on sizes that differ from those of the course's model. Knows
nothing of sessions: references are computed here or taken from `kv_cache`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing
from llm_walkthrough.kv_cache import GrownCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import KeyOrValue, TokenIds

    Bytes = Callable[[int, int, int, int, int], int]
    KVHead = Callable[[int, int, int], int]
    SmallFeed = Callable[[TokenIds, int], Mapping[str, np.ndarray]]
    Cut = Callable[[dict[str, KeyOrValue], int], Mapping[str, KeyOrValue]]

_TOKENS = np.array([7, 3, 11, 5, 2, 13], np.int64)
_PAST_AXIS = 2


# --- bytes --------------------------------------------------------------------------
def check_cache_bytes(answer: Bytes) -> Verdict:
    """Judge (num_layers, kv_heads, head_dim, length, number_bytes) -> bytes."""

    def hint(function: Bytes) -> str | None:
        for sizes in ((5, 3, 16, 11, 4), (7, 2, 32, 13, 2)):
            found = _bytes_hint(int(called(function, *sizes)), *sizes)
            if found:
                return found
        return None

    praise = "Layers, key and value, heads, numbers, tokens: nothing is forgotten."
    return first_failing(answer, [hint], praise)


def _bytes_hint(given: int, *sizes: int) -> str | None:
    num_layers, kv_heads, head_dim, length, number_bytes = sizes
    wanted = 2 * num_layers * kv_heads * head_dim * length * number_bytes
    mistakes = {
        wanted // 2: "That is half of it: what does a layer keep besides the keys?",
        wanted // number_bytes: "That counts numbers, not bytes.",
        wanted // length: "That is one token; the cache holds `length` of them.",
        wanted // num_layers: "That is one layer; each layer has its own rows.",
        wanted // kv_heads: "That is one head; each kv head has its own rows.",
        wanted // head_dim: "A key is not one number but a row of `head_dim`.",
        2 * wanted: "Twice too much: is something counted two times?",
    }
    if given == wanted:
        return None
    return mistakes.get(given) or (
        f"It gives {given:,} bytes for a cache of {wanted:,}. Multiply the lengths of "
        "one array's axes first, then ask how many such arrays there are."
    )


# --- grouped heads ------------------------------------------------------------------
def check_kv_head_of(answer: KVHead) -> Verdict:
    """Judge (head, num_heads, kv_heads) -> the kv head that this query head reads."""

    def hint(function: KVHead) -> str | None:
        for num_heads, kv_heads in ((9, 3), (32, 8), (6, 6), (4, 1)):
            heads = range(num_heads)
            given = [called(function, head, num_heads, kv_heads) for head in heads]
            found = _heads_hint(given, num_heads, kv_heads)
            if found:
                return f"With {num_heads} heads and {kv_heads} kv heads: {found}"
        return None

    praise = "Neighbouring query heads share a kv head, whatever the group's size."
    return first_failing(answer, [hint], praise)


def _heads_hint(given: list[int], num_heads: int, kv_heads: int) -> str | None:
    group = num_heads // kv_heads
    heads = range(num_heads)
    wanted = [head // group for head in heads]
    if given == wanted and all(isinstance(head, int | np.integer) for head in given):
        return None
    if given == wanted or given == [head / group for head in heads]:
        return "a head has a whole number; which division rounds down?"
    if given == [head % kv_heads for head in heads]:
        return "the kv heads take turns, but neighbours share one."
    if given == [head // kv_heads for head in heads]:
        return (
            "a group is as large as the number of query heads for each kv head, not "
            "as the number of kv heads."
        )
    if max(given) >= kv_heads:
        return f"there is no kv head {max(given)}; they count from 0 to {kv_heads - 1}."
    place = next(i for i in heads if given[i] != wanted[i])
    return f"query head {place} does not read kv head {given[place]}."


# --- the feed -----------------------------------------------------------------------
def check_small_feed(answer: SmallFeed) -> Verdict:
    """Judge (tokens, length) -> dictionary of `input_ids` and `attention_mask`."""

    def hint(function: SmallFeed) -> str | None:
        for length in (0, 5, 4):  # prefill, decode, two unseen tokens
            given = called(function, _TOKENS.copy(), length)
            found = _feed_hint(given, length)
            if found:
                return f"{len(_TOKENS)} tokens, {length} in the cache: {found}"
        return None

    praise = "Prefill and decode are one line, and the mask covers past and new."
    return first_failing(answer, [hint], praise)


def _feed_hint(given: object, length: int) -> str | None:
    names = ("input_ids", "attention_mask")
    if not isinstance(given, Mapping) or set(given) != set(names):
        return f"it must return a dictionary with {names[0]!r} and {names[1]!r}."
    for name in names:
        array = given[name]
        if not isinstance(array, np.ndarray):
            return f"{name} must be an array, and is a {type(array).__name__}."
        if array.ndim == 1:
            return f"{name} has one axis; the first one of two is the batch."
        if array.dtype != np.int64:
            return f"{name} is {array.dtype}; the graph wants int64."
    return _ids_hint(given["input_ids"], length) or _mask_hint(
        given["attention_mask"], length
    )


def _ids_hint(given: np.ndarray, length: int) -> str | None:
    if np.array_equal(given, _TOKENS[np.newaxis, length:]):
        return None
    if np.array_equal(given, _TOKENS[np.newaxis]):
        return "input_ids holds tokens that the cache has seen; feed only the others."
    if np.array_equal(given, _TOKENS[np.newaxis, -1:]):
        return "input_ids holds the last token only, but more of them are unseen."
    if np.array_equal(given, _TOKENS[np.newaxis, :length]):
        return "input_ids holds what the cache has seen; feed what comes after it."
    return f"input_ids is {given.tolist()}: which tokens has the cache not seen?"


def _mask_hint(given: np.ndarray, length: int) -> str | None:
    total = len(_TOKENS)
    if given.shape[0] != 1:
        return f"attention_mask has shape {list(given.shape)}; the batch is 1."
    width = given.shape[1]
    if width == total:
        return None if given.all() else "a 0 in the mask hides a token; hide none here."
    if width == length:
        return (
            "the mask covers the past only. The new tokens look at themselves, too, so "
            "it must be longer."
        )
    if width == total - length:
        return "the mask covers the new tokens only, so the whole past is hidden."
    by = "too short" if width < total else "too long"
    return (
        f"the mask is {abs(width - total)} {by}; count the past and the new tokens, "
        "each once."
    )


# --- the cut ------------------------------------------------------------------------
def check_cut_back(answer: Cut) -> Verdict:
    """Judge (arrays, length) -> the arrays of the first `length` tokens."""

    def hint(function: Cut) -> str | None:
        for length in (4, 0, 5):
            arrays = _random_arrays()
            wanted = GrownCache(_random_arrays(), 9).truncated(length).arrays()
            found = _cut_hint(called(function, arrays, length), wanted, length)
            if found:
                return f"Cut from 5 tokens to {length}: {found}"
        return None

    praise = "Only the third axis became shorter, in every array."
    return first_failing(answer, [hint], praise)


def _random_arrays() -> dict[str, KeyOrValue]:
    random = np.random.default_rng(4)
    names = [f"past_key_values.{i}.{part}" for i in (0, 1) for part in ("key", "value")]
    shape = (1, 6, 5, 7)
    return {name: random.normal(size=shape).astype(np.float32) for name in names}


def _cut_hint(
    given: object, wanted: Mapping[str, KeyOrValue], length: int
) -> str | None:
    if not isinstance(given, Mapping) or set(given) != set(wanted):
        return "it must return a dictionary with the same names, all of them."
    whole = _random_arrays()
    for name, array in wanted.items():
        mine = np.asarray(given[name])
        if np.array_equal(mine, array):
            continue
        return _array_hint(mine, whole[name], length)
    return None


def _array_hint(given: np.ndarray, whole: np.ndarray, length: int) -> str:
    if given.shape == whole.shape:
        return "nothing was cut."
    if given.ndim != whole.ndim:
        return "an axis was lost; a slice `a:b` keeps it, a number alone does not."
    axes = [i for i in range(whole.ndim) if given.shape[i] != whole.shape[i]]
    if axes != [_PAST_AXIS]:
        return f"wrong axis: axis {axes[0]} changed, but tokens are on another one."
    if np.array_equal(given, whole[:, :, whole.shape[2] - length :]):
        return "those are the last tokens; an earlier cache has the first ones."
    rows = given.shape[_PAST_AXIS]
    if rows != length:
        return f"{rows} tokens are left; with length {length} it should be {length}."
    return "the shape is right, but these are rows of other tokens."
