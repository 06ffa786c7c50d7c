"""What is fed to the graph in the first run, and in each one after it?

The state behind the feed panel: greedy decoding, and a look at each run. Knows ids
only, and nothing of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Moment, Stepping
from llm_walkthrough.panel.watched import Feed, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.kv_cache import KVCache
    from llm_walkthrough.panel.watched import FedModel


@dataclass(frozen=True)
class FedRun:
    """One run of the graph.

    Attributes:
        start: how many tokens the cache held before it.
        feed: what it was fed.
        chosen: the likeliest token after the last one that was fed.
    """

    start: int
    feed: Feed
    chosen: int

    @property
    def stop(self) -> int:
        """How many tokens the cache holds after it."""
        return self.start + len(self.feed.tokens)

    @property
    def mask_width(self) -> int | None:
        """How wide the attention mask was, None for a graph that wants none."""
        masks = [array for array in self.feed.arrays if "mask" in array.name]
        return masks[0].shape[-1] if masks else None


@dataclass(frozen=True, kw_only=True)
class Looking(Moment):
    """Which run is looked at.

    Attributes:
        cache: holds all tokens that were fed.
        runs: those that were made, in order.
        num_shown: the run that is looked at is the last of so many, at least 1.
    """

    cache: KVCache
    runs: tuple[FedRun, ...] = ()
    num_shown: int = 1


@dataclass(frozen=True)
class FedRuns:
    """Everything that a picture of a run needs.

    Attributes:
        now: which run is looked at.
        vocab: how many tokens the logits score.
    """

    now: Looking
    vocab: int

    @property
    def shown(self) -> tuple[FedRun, ...]:
        """The runs up to the one that is looked at."""
        return self.now.runs[: self.now.num_shown]


class Feeding(Stepping[Looking]):
    """Prefill, which is run at once, and greedy decoding, one run after the other.

    Args:
        model: runs tokens against a cache, and tells what it feeds.
        prompt: token ids [sequence] int64 to begin with, at least one.

    Raises:
        InputError: the prompt is empty, or the model cannot run it.
    """

    def __init__(self, model: FedModel, prompt: TokenIds) -> None:
        if len(prompt) == 0:
            raise InputError("the prompt is empty; give at least one token")
        self._model = model
        tokens = np.array(prompt, np.int64)
        super().__init__(self._ran(tokens, Looking(cache=model.new_cache())))

    def snapshot(self) -> FedRuns:
        """Return everything that is to be shown."""
        return FedRuns(self.now, self._model.vocab)

    def feed(self) -> dict[str, np.ndarray]:
        """Return the dictionary of the run that is looked at, by the graph's names."""
        with self._lock:
            run = self.snapshot().shown[-1]
            tokens = np.array(run.feed.tokens, np.int64)
            return self._model.feed(tokens, self.now.cache.truncated(run.start))

    def actions(self) -> Mapping[str, Callable[[Looking, Any], Looking]]:
        """Return what can be done."""
        return {**super().actions(), "back": self._back}

    def stepped(self, now: Looking) -> Looking:
        """Return the moment after the next run; one that was made is not made again.

        Raises:
            InputError: the context is full.
        """
        if now.num_shown == len(now.runs):
            now = self._ran(np.array([now.runs[-1].chosen], np.int64), now)
        return replace(now, num_shown=now.num_shown + 1)

    def _ran(self, tokens: TokenIds, now: Looking) -> Looking:
        cache = now.cache
        if cache.length + len(tokens) > cache.capacity:
            raise InputError(
                f"the context is full: the model reads {cache.capacity:,} tokens and "
                "no more; press Back to see the earlier runs"
            )
        arrays = summary(self._model.feed(tokens, cache))
        rows, longer = self._model.run(tokens, cache)
        feed = Feed(tuple(tokens.tolist()), arrays)
        run = FedRun(cache.length, feed, int(rows[-1].argmax()))
        return replace(now, cache=longer, runs=(*now.runs, run))

    def _back(self, now: Looking, _steps: object) -> Looking:
        if now.num_shown == 1:
            raise InputError("there is no run before this one: it is the first")
        return replace(now, num_shown=now.num_shown - 1, running=False)
