"""A language model of a few lines of numpy that notices every mistake with a cache.

What it writes into the cache for a token depends on the token, its position, all rows
before it and, a little, on how many tokens ran together. Its logits are a hash of all
the rows that it reads through the cache, so one wrong, missing or displaced row gives
another next token, and another split of the same tokens gives other last bits, as int4
weights do. All numbers are exact in float32 and float64: no result depends on the order
of a sum. Arrays are named and shaped as in a graph of two layers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, Logits, LogitsRows, TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.kv_cache import (
    GrownCache,
    KVCache,
    SharedBuffer,
    SharedCache,
)

HEADS, HEAD_DIM = 2, 2
NAMES = [f"past_key_values.{i}.{part}" for i in (0, 1) for part in ("key", "value")]
SPLIT_MARK = 1 / 1024  # added to each number of a row, times the tokens of its run


class ToyModel:
    """What both kinds of cache share.

    Attributes:
        vocab: how many tokens there are.
        capacity: how long a context may get.
        num_runs: how many runs were begun.
    """

    def __init__(self, vocab: int = 23, capacity: int = 400) -> None:
        self.vocab = vocab
        self.capacity = capacity
        self.num_runs = 0

    def new_cache(self) -> KVCache:
        raise NotImplementedError

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        self.num_runs += 1
        past = cache.arrays()
        new = new_rows(unseen, past)
        longer = self.write(new, cache)
        held = longer.arrays()
        assert held[NAMES[0]].shape == (1, HEADS, cache.length + len(unseen), HEAD_DIM)
        logits = logits_after(held, self.vocab)[-len(unseen) :]
        return logits, longer

    def feed(self, unseen: TokenIds, cache: KVCache) -> dict[str, KeyOrValue]:
        total = cache.length + len(unseen)
        mask = np.ones((1, total), np.int64)
        small = {"input_ids": unseen[np.newaxis], "attention_mask": mask}
        return {**small, **cache.arrays()}

    def write(self, new: Mapping[str, KeyOrValue], cache: KVCache) -> KVCache:
        raise NotImplementedError


class GrownToy(ToyModel):
    """Returns longer arrays from every run."""

    def new_cache(self) -> GrownCache:
        return GrownCache(no_rows(), self.capacity)

    def write(self, new: Mapping[str, KeyOrValue], cache: KVCache) -> KVCache:
        return cache.with_rows(new)


class SharedToy(ToyModel):
    """Writes into one buffer, array by array, so that a write can be half done."""

    def new_cache(self) -> SharedCache:
        shape = (1, HEADS, self.capacity, HEAD_DIM)
        unwritten = {name: np.full(shape, 999, np.float32) for name in NAMES}
        return SharedCache(SharedBuffer(unwritten))

    def write(self, new: Mapping[str, KeyOrValue], cache: KVCache) -> KVCache:
        assert isinstance(cache, SharedCache)
        longer = cache.extended(new[NAMES[0]].shape[2])
        for name, array in new.items():
            cache.buffer.whole[name][:, :, cache.length : longer.length] = array
        return longer


TOYS = (GrownToy, SharedToy)


def no_rows() -> dict[str, KeyOrValue]:
    return {name: np.zeros((1, HEADS, 0, HEAD_DIM), np.float32) for name in NAMES}


def joined(
    past: Mapping[str, KeyOrValue], new: Mapping[str, KeyOrValue]
) -> dict[str, KeyOrValue]:
    return {name: np.concatenate([past[name], new[name]], axis=2) for name in new}


def new_rows(unseen: TokenIds, past: Mapping[str, KeyOrValue]) -> dict[str, KeyOrValue]:
    """Make the keys and values of both layers for tokens behind `past`."""
    start = past[NAMES[0]].shape[2]
    positions = np.arange(start, start + len(unseen))
    words = unseen * 7919 + positions * 104_729
    first = {name: _row(words, i, len(unseen)) for i, name in enumerate(NAMES[:2])}
    looked_back = _digest(joined({name: past[name] for name in first}, first))
    words = words + looked_back[start:] * 31
    second = {name: _row(words, i, len(unseen)) for i, name in enumerate(NAMES[2:], 2)}
    return {**first, **second}


def logits_after(held: Mapping[str, KeyOrValue], vocab: int) -> LogitsRows:
    """Score the next token after each row, from all rows up to it."""
    digest = _digest(held)[:, np.newaxis]
    hashed = (digest + 17) * (np.arange(vocab) * 48_271 + 7) % 7001
    marks = np.stack([array[0] % 1 for array in held.values()]).sum(axis=(0, 1, 3))
    scores = hashed / 1024 + np.cumsum(marks, dtype=np.float64)[:, np.newaxis] / 2**15
    rows: LogitsRows = (scores - 4).astype(np.float32)
    return rows


def rebuilt(runs: Sequence[Run], vocab: int) -> Logits:
    """Give the last logits by what each run was fed and kept; no cut cache."""
    held: Mapping[str, KeyOrValue] = no_rows()
    for run in runs:
        longer = joined(held, new_rows(run.tokens, held))
        held = {name: array[:, :, : run.stop] for name, array in longer.items()}
    last: Logits = logits_after(held, vocab)[-1]
    return last


@functools.cache
def replayed(tokens: tuple[int, ...], stops: tuple[int, ...], vocab: int) -> Logits:
    """Give the last logits after runs that end at `stops`; no cache, no stepper."""
    last: Logits = logits_after(_held(tokens, stops), vocab)[-1]
    return last


@functools.cache
def _held(tokens: tuple[int, ...], stops: tuple[int, ...]) -> Mapping[str, KeyOrValue]:
    if not stops:
        return no_rows()
    start = (0, *stops)[-2]
    past = _held(tokens[:start], stops[:-1])
    return joined(past, new_rows(np.array(tokens[start : stops[-1]]), past))


def _row(words: TokenIds, array: int, run_length: int) -> KeyOrValue:
    numbers = np.arange(HEADS * HEAD_DIM).reshape(1, HEADS, 1, HEAD_DIM) + 10 * array
    whole = (words[:, np.newaxis] * (numbers + 3) + numbers) % 997
    row: KeyOrValue = (whole + run_length * SPLIT_MARK).astype(np.float32)
    return row


def _digest(held: Mapping[str, KeyOrValue]) -> TokenIds:
    """Make one whole number of all rows up to and with each."""
    total: TokenIds = np.zeros(1, np.int64)
    for i, array in enumerate(held.values()):
        length = array.shape[2]
        places = (np.arange(length) * 613 + i * 89) % 1009 + 1
        numbers = np.arange(1, HEADS * HEAD_DIM + 1).reshape(HEADS, 1, HEAD_DIM)
        whole = np.floor(array[0]).astype(np.int64) * numbers
        total = total + np.cumsum(whole.sum(axis=(0, 2)) * places)
    return total
