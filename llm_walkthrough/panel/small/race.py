"""How much work does the cache save?

The state behind the cache panel: each step makes one greedy token twice, with the cache
and without it, and measures both. Knows ids only, and nothing of HTML.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Moment, Notice, Stepping
from llm_walkthrough.panel.watched import cache_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.kv_cache import KVCache
    from llm_walkthrough.panel.watched import CacheFacts
    from llm_walkthrough.stepper import LanguageModel


@dataclass(frozen=True)
class Lap:
    """One run of the graph.

    Attributes:
        fed: how many tokens went through it.
        seconds: how long it took.
        chosen: the likeliest token after the last of them.
    """

    fed: int
    seconds: float
    chosen: int


@dataclass(frozen=True)
class Round:
    """One token, made in both ways.

    Attributes:
        cached: with the cache, which was fed the unseen tokens only.
        plain: without one, which was fed all tokens.
    """

    cached: Lap
    plain: Lap

    @property
    def is_same(self) -> bool:
        """Whether both ways chose the same token."""
        return self.cached.chosen == self.plain.chosen


@dataclass(frozen=True, kw_only=True)
class Racing(Moment):
    """How far the race is.

    Attributes:
        cache: holds all tokens but the one that was chosen last.
        rounds: what was measured, in order.
    """

    cache: KVCache
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Raced:
    """Everything that a picture of the race needs.

    Attributes:
        now: how far it is.
        prompt_length: how many tokens it began with.
        cache: the size of the cache.
    """

    now: Racing
    prompt_length: int
    cache: CacheFacts


class Race(Stepping[Racing]):
    """Greedy decoding with and without a cache, side by side.

    Both ways go on with the token that the cached one chose, so that they always see
    the same text.

    Args:
        model: runs tokens against a cache.
        prompt: token ids [sequence] int64 to begin with, at least one.
        end_tokens: a run ends after one of these.

    Raises:
        InputError: the prompt is empty.
    """

    def __init__(
        self, model: LanguageModel, prompt: TokenIds, *, end_tokens: Sequence[int] = ()
    ) -> None:
        if len(prompt) == 0:
            raise InputError("the prompt is empty; give at least one token")
        self._model = model
        self._prompt = np.array(prompt, np.int64)
        self._end_tokens = tuple(end_tokens)
        self._empty = model.new_cache()
        super().__init__(Racing(cache=model.new_cache()))

    @property
    def tokens(self) -> TokenIds:
        """The prompt and all tokens that were made [sequence] int64."""
        return self._tokens(self.now)

    def snapshot(self) -> Raced:
        """Return everything that is to be shown."""
        with self._lock:
            facts = cache_facts(self.now.cache)
            return Raced(self.now, len(self._prompt), facts)

    def stepped(self, now: Racing) -> Racing:
        """Return the race after one more token.

        Raises:
            InputError: the context is full.
        """
        tokens = self._tokens(now)
        if len(tokens) > now.cache.capacity:
            raise InputError(
                f"the context is full: the model reads {now.cache.capacity:,} tokens "
                "and no more; press Reset to begin anew"
            )
        cached, longer = self._lap(tokens[now.cache.length :], now.cache)
        plain, _ = self._lap(tokens, self._empty)
        further = replace(now, cache=longer, rounds=(*now.rounds, Round(cached, plain)))
        if now.running and cached.chosen in self._end_tokens:
            words = "The model has ended its answer with the end token."
            return replace(further, running=False, notice=Notice(words))
        return further

    def _lap(self, unseen: TokenIds, cache: KVCache) -> tuple[Lap, KVCache]:
        began = time.perf_counter()
        rows, longer = self._model.run(unseen, cache)
        seconds = time.perf_counter() - began
        return Lap(len(unseen), seconds, int(rows[-1].argmax())), longer

    def _tokens(self, now: Racing) -> TokenIds:
        made = np.array([one.cached.chosen for one in now.rounds], np.int64)
        tokens: TokenIds = np.concatenate([self._prompt, made])
        return tokens
