"""Feed panel: the dictionary of the first run, and of each run of one token after it.

The state decodes greedily and keeps what each run was fed; it knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.acting import Moment, Stepping
from llm_walkthrough.panel.page_engine import feed_table
from llm_walkthrough.panel.watched import FedModel, Feed, summary
from llm_walkthrough.panel.wording import cut
from llm_walkthrough.views import Code, Passage, Table, Vocabulary


@dataclass(frozen=True)
class FedRun:
    """One run of the graph."""

    start: int  # how many tokens the cache held before it
    feed: Feed  # what it was fed
    chosen: int  # the likeliest token after the last one that was fed

    @property
    def num_new(self) -> int:
        """How many tokens it was fed."""
        return len(self.feed.tokens)

    @property
    def stop(self) -> int:
        """How many tokens the cache holds after it."""
        return self.start + self.num_new

    @property
    def mask_width(self) -> int | None:
        """How wide the attention mask was, None for a graph that wants none."""
        masks = [array for array in self.feed.arrays if "mask" in array.name]
        return masks[0].shape[-1] if masks else None


@dataclass(frozen=True, kw_only=True)
class FedRuns(Moment):
    """Which run is looked at."""

    cache: KVCache  # holds all tokens that were fed
    vocab: int  # how many tokens the logits score
    runs: tuple[FedRun, ...] = ()  # those that were made, in order
    num_shown: int = 1  # the run that is looked at is the last of so many, at least 1

    @property
    def shown(self) -> tuple[FedRun, ...]:
        """The runs up to the one that is looked at."""
        return self.runs[: self.num_shown]

    @property
    def kind(self) -> str:
        """What the run that is looked at is called."""
        return "prefill" if self.num_shown == 1 else "decode"


class Feeding(Stepping[FedRuns]):
    """Prefill, run at once, and greedy decoding; InputError if it cannot be run."""

    def __init__(self, model: FedModel, prompt: TokenIds) -> None:
        if len(prompt) == 0:
            raise InputError("the prompt is empty; give at least one token")
        self._model = model
        empty = FedRuns(cache=model.new_cache(), vocab=model.vocab)
        super().__init__(self._after_run(np.array(prompt, np.int64), empty))

    def feed(self) -> dict[str, np.ndarray]:
        """Return the dictionary of the run that is looked at, by the graph's names."""
        with self.lock:
            run = self.now.shown[-1]
            tokens = np.array(run.feed.tokens, np.int64)
            return self._model.feed(tokens, self.now.cache.truncated(run.start))

    def actions(self) -> Mapping[str, Callable[[FedRuns, Any], FedRuns]]:
        """Return what can be done."""
        return {**super().actions(), "back": _back}

    def stepped(self, now: FedRuns) -> FedRuns:
        """Show the next run, made if need be; InputError if the context is full."""
        if now.num_shown == len(now.runs):
            now = self._after_run(np.array([now.runs[-1].chosen], np.int64), now)
        return replace(now, num_shown=now.num_shown + 1)

    def _after_run(self, tokens: TokenIds, now: FedRuns) -> FedRuns:
        cache = now.cache
        if cache.length + len(tokens) > cache.capacity:
            what = f"the model reads {cache.capacity:,} tokens and no more"
            way_out = "press Back to see the earlier runs"
            raise InputError(f"the context is full: {what}; {way_out}")
        arrays = summary(self._model.feed(tokens, cache))
        rows, longer = self._model.run(tokens, cache)
        chosen = int(rows[-1].argmax())  # a row for each token; the last one counts
        run = FedRun(cache.length, Feed(tuple(tokens.tolist()), arrays), chosen)
        return replace(now, cache=longer, runs=(*now.runs, run))


def _back(now: FedRuns, _value: object) -> FedRuns:
    if now.num_shown == 1:
        raise InputError("there is no run before this one: it is the first")
    return replace(now, num_shown=now.num_shown - 1, running=False)


# --- the page ----------------------------------------------------------------------
def page(now: FedRuns, vocabulary: Vocabulary) -> str:
    """Draw the run that is looked at."""
    run, *earlier = reversed(now.shown)
    before = earlier[0].feed if earlier else None
    shown = {"now": now, "run": run, "equation": _equation(run)}
    shown |= {"table": feed_table(run.feed, before, vocabulary)}
    return filled("panel/small/feeding.html", vocabulary=vocabulary, **shown)


def _equation(run: FedRun) -> str:
    if run.mask_width is None:
        return f"{run.start} past + {run.num_new} new = {run.stop}; no mask is needed"
    return f"mask width {run.mask_width} = {run.start} past + {run.num_new} new"


# --- the picture without a kernel --------------------------------------------------
def twin(now: FedRuns, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return the dictionary and the lengths as HTML and in words."""
    run = now.shown[-1]
    rows = [
        (Code(a.name), Code(a.dtype), Code(list(a.shape)), a.count, f"{a.nbytes:,}")
        for a in run.feed.arrays
    ]
    title = f"Run {now.num_shown}, {now.kind}: the dictionary"
    table = Table(("name", "dtype", "shape", "arrays", "bytes"), rows, title)
    words = f"{_equation(run)}\ncache length {run.start} → {run.stop}\n"
    words += f"likeliest next: {cut(vocabulary.piece(run.chosen))}"
    return frame.picture(table, Passage(words, "How the lengths fit"))
