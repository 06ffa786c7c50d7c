"""What each run of the graph took in and read, and how large the cache is.

`Watched` is a model in front of another one. It passes every run on as it is, and notes
what is gone afterwards: which arrays were fed, and how likely each token that was read
had been. Knows nothing of what is drawn from the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Protocol

import numpy as np

from llm_walkthrough.arrays import Logits, LogitsRows, TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.model_files.ports import folded, without_layer
from llm_walkthrough.sampling import log_sum_exp
from llm_walkthrough.stepper import LanguageModel

SCORED = 256  # tokens of a run that are scored, the last ones: a row takes 0.5 ms


class FedModel(LanguageModel, Protocol):
    """A model that tells what it feeds to its graph, as `model.Model` does."""

    def feed(self, unseen: TokenIds, cache: KVCache) -> dict[str, np.ndarray]:
        """Return the dictionary that a run of these tokens gives to the graph."""
        ...


@dataclass(frozen=True)
class Score:
    """How likely the model found a token, before any processor."""

    log_probability: float  # natural logarithm of the softmax, at most 0
    rank: int  # 1 for the likeliest token; equals share the better rank

    @property
    def probability(self) -> float:
        """From 0 to 1."""
        return float(np.exp(self.log_probability))


@dataclass(frozen=True)
class FedArray:
    """One array of a feed; those of all layers, keys and values, stand together."""

    name: str  # of the graph's input, "*" for the number of the layer
    dtype: str  # of its numbers
    shape: tuple[int, ...]  # of each array
    count: int  # how many arrays there are
    nbytes: int  # of all of them


@dataclass(frozen=True)
class CacheFacts:
    """How large the cache is; shapes as the arrays have them."""

    length: int  # tokens that it holds
    capacity: int  # tokens that it can hold
    layers: int  # pairs of a key and a value array
    kv_heads: int  # heads that own a key and a value
    head_dim: int  # numbers in one key
    number_bytes: int  # bytes of one number

    @property
    def row_bytes(self) -> int:
        """Bytes that one token takes."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.number_bytes


@dataclass(frozen=True)
class Feed:
    """What one run gave to the graph."""

    tokens: tuple[int, ...]  # the ids that were fed
    arrays: tuple[FedArray, ...]  # in the order of the dictionary


class Watched:
    """A model whose runs are noted."""

    def __init__(self, model: FedModel) -> None:
        self._model = model
        self.num_runs = 0
        # by the length of the cache and of the sequence, what a run was fed
        self.feeds: dict[tuple[int, int], tuple[FedArray, ...]] = {}
        self.scores: dict[int, Score] = {}  # by position, for tokens read in one run
        self._last_row: tuple[int, Logits | None] = (0, None)

    @property
    def vocab(self) -> int:
        """How many tokens the logits score."""
        return self._model.vocab

    def new_cache(self) -> KVCache:
        """Return an empty cache."""
        return self._model.new_cache()

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        """Run as the model does, with the same errors."""
        feed = summary(self._model.feed(unseen, cache))
        rows, longer = self._model.run(unseen, cache)
        self.num_runs += 1
        self.feeds[cache.length, len(unseen)] = feed
        if len(unseen) > 1:
            self._score(unseen, rows, cache.length)
        self._last_row = (longer.length, rows[-1])
        return rows, longer

    def feed_of(self, run: Run) -> Feed:
        """Return what a run was fed that was made through this model."""
        return Feed(tuple(run.tokens.tolist()), self.feeds[run.start, len(run.tokens)])

    def _score(self, unseen: TokenIds, rows: LogitsRows, start: int) -> None:
        """Note how likely the tokens of a run were, each by the row before it."""
        length, row_before = self._last_row
        before = {start + i: row for i, row in enumerate(rows[:-1], start=1)}
        if length == start:  # else the last run was on another branch
            before[start] = row_before
        for place in range(max(0, len(unseen) - SCORED), len(unseen)):
            if (row := before.get(start + place)) is not None:
                (self.scores[start + place],) = scores(row, [int(unseen[place])])


def scores(logits: Logits, tokens: Sequence[int]) -> list[Score]:
    """Return how likely each token is by logits [vocab] float32."""
    log_total = log_sum_exp(logits)
    ranks = (1 + int(np.count_nonzero(logits > logits[t])) for t in tokens)
    ranked = zip(tokens, ranks, strict=True)
    return [Score(float(logits[token]) - log_total, rank) for token, rank in ranked]


def summary(arrays: Mapping[str, np.ndarray]) -> tuple[FedArray, ...]:
    """Return names, types, shapes and sizes of a feed, without its numbers."""
    kinds = ((_shared_name(name), (a.dtype, a.shape)) for name, a in arrays.items())
    return tuple(
        FedArray(name, dtype.name, shape, count, count * dtype.itemsize * prod(shape))
        for (name, (dtype, shape)), count in folded(kinds).items()
    )


@lru_cache(maxsize=1024)  # asked for every name in every run
def _shared_name(name: str) -> str:
    """Return a name without the layer, and without saying key or value."""
    parts = without_layer(name).replace("{layer}", "*").split(".")
    return ".".join(part for part in parts if part not in {"key", "value"})


def cache_facts(cache: KVCache) -> CacheFacts:
    """Read the facts off the arrays of a cache."""
    arrays = cache.arrays()
    one = next(iter(arrays.values()))
    _, kv_heads, length, head_dim = one.shape
    return CacheFacts(
        length, cache.capacity, len(arrays) // 2, kv_heads, head_dim, one.itemsize
    )
