"""Cache panel: greedy decoding with the cache and without it, side by side.

The state makes each token twice, and measures both runs; it knows nothing of HTML.
"""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.acting import Moment, Notice, Stepping
from llm_walkthrough.panel.page_engine import cache_section
from llm_walkthrough.panel.watched import cache_facts
from llm_walkthrough.panel.wording import cut, quoted
from llm_walkthrough.stepper import LanguageModel
from llm_walkthrough.views import Chips, Table, Vocabulary

_LAST = 60  # tokens in the picture without a kernel


@dataclass(frozen=True)
class Lap:
    """One run of the graph."""

    fed: int  # how many tokens went through it
    seconds: float  # how long it took
    chosen: int  # the likeliest token after the last of them


@dataclass(frozen=True)
class Round:
    """One token, made in both ways."""

    cached: Lap  # with the cache, which was fed the unseen tokens only
    plain: Lap  # without one, which was fed all tokens

    @property
    def is_same(self) -> bool:
        """Whether both ways chose the same token."""
        return self.cached.chosen == self.plain.chosen


class Work(NamedTuple):
    """What several laps took together."""

    part: str  # which laps
    way: str  # with the cache, or without
    fed: int  # how many tokens went through
    seconds: float  # how long that took


@dataclass(frozen=True, kw_only=True)
class Raced(Moment):
    """How far the race is."""

    prompt: tuple[int, ...]  # the token ids that it began with
    cache: KVCache  # holds all tokens but the one that was chosen last
    rounds: tuple[Round, ...] = ()  # what was measured, in order

    @property
    def tokens(self) -> TokenIds:
        """The prompt and all tokens that were made [sequence] int64."""
        made = [one.cached.chosen for one in self.rounds]
        return np.array([*self.prompt, *made], np.int64)


class Race(Stepping[Raced]):
    """Greedy decoding with and without a cache, step by step.

    Both ways go on with the token that the cached one chose, so that they always see
    the same text. A run ends after an end token. InputError if the prompt is empty.
    """

    def __init__(
        self, model: LanguageModel, prompt: TokenIds, *, end_tokens: Sequence[int] = ()
    ) -> None:
        if len(prompt) == 0:
            raise InputError("the prompt is empty; give at least one token")
        self._model = model
        self._end_tokens = tuple(end_tokens)
        self._empty = model.new_cache()  # other arrays: its runs do not touch `cache`
        tokens = tuple(map(int, prompt))
        super().__init__(Raced(prompt=tokens, cache=model.new_cache()))

    def stepped(self, now: Raced) -> Raced:
        """Return the race after one more token; InputError if the context is full."""
        tokens = now.tokens
        if len(tokens) > now.cache.capacity:
            what = f"the model reads {now.cache.capacity:,} tokens and no more"
            raise InputError(f"the context is full: {what}; press Reset to start again")
        cached, longer = self._timed_run(tokens[now.cache.length :], now.cache)
        plain, _ = self._timed_run(tokens, self._empty)
        further = replace(now, cache=longer, rounds=(*now.rounds, Round(cached, plain)))
        if now.running and cached.chosen in self._end_tokens:
            words = "The model has ended its answer with the end token."
            return replace(further, running=False, notice=Notice(words))
        return further

    def _timed_run(self, unseen: TokenIds, cache: KVCache) -> tuple[Lap, KVCache]:
        began = time.perf_counter()
        rows, longer = self._model.run(unseen, cache)
        seconds = time.perf_counter() - began
        return Lap(len(unseen), seconds, int(rows[-1].argmax())), longer


# --- the page ----------------------------------------------------------------------
def page(now: Raced, vocabulary: Vocabulary) -> str:
    """Draw the work of both ways as bars, the tokens, and a map of the cache."""
    rounds, last = now.rounds, now.rounds[-1] if now.rounds else None
    first = max(0, len(rounds) - frame.SHOWN_OF_MADE)
    chips = (
        *frame.earlier(first),
        *(_chip(one, n, vocabulary) for n, one in enumerate(rounds[first:], first + 1)),
        frame.NEXT_CHIP,
    )
    news = None if not last or last.is_same else _difference(last, vocabulary)
    same, fed = sum(one.is_same for one in rounds), last.cached.fed if last else 0
    shown = {"now": now, "chips": chips, "rounds": rounds, "vocabulary": vocabulary}
    cache = cache_section(cache_facts(now.cache), len(now.prompt), fed)
    shown |= {"news": news, "works": _works(rounds), "same": same, "cache": cache}
    return filled("panel/small/race.html", **shown)


def _difference(last: Round, vocabulary: Vocabulary) -> Notice:
    laps = last.cached, last.plain
    cached, plain = (quoted(vocabulary.piece(lap.chosen)) for lap in laps)
    what = f"With the cache {cached} was the likeliest, without it {plain}"
    why = "rounding decided between the two. Both ways go on with the first."
    return Notice(f"{what}: {why}")


def _works(rounds: Sequence[Round]) -> list[Work]:
    """Return the work of this step, then that in all; with the cache, then without."""
    return [
        Work(part, way, sum(lap.fed for lap in laps), sum(lap.seconds for lap in laps))
        for part, some in (("this step", rounds[-1:]), ("in all", rounds))
        for way, laps in (
            ("with the cache", [one.cached for one in some]),
            ("without", [one.plain for one in some]),
        )
    ]


def _chip(one: Round, number: int, vocabulary: Vocabulary) -> str:
    piece = vocabulary.piece(one.cached.chosen)
    words, sign, style = f"step {number}: both ways chose it", "", "lw-prompt"
    if not one.is_same:
        other = quoted(vocabulary.piece(one.plain.chosen))
        words = f"step {number}: without the cache {other}"
        sign, style = " ≠", "lw-held"
    behind = f'{sign}<span class="lw-sr"> {html.escape(words)}</span>'
    return frame.still_chip(piece, style, behind, data_tip=words)


# --- the picture without a kernel --------------------------------------------------
def twin(now: Raced, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return the work and the newest tokens as HTML and in words."""
    rounds = now.rounds
    rows = [
        (work.part, work.way, f"{work.fed:,}", f"{1000 * work.seconds:,.1f} ms")
        for work in _works(rounds)
    ]
    pieces = [cut(vocabulary.piece(one.cached.chosen)) for one in rounds[-_LAST:]]
    same = sum(one.is_same for one in rounds)
    title = f"{len(rounds)} steps; both ways chose the same token in {same} of them"
    table = Table(("", "way", "tokens fed", "time"), rows, "The race")
    return frame.picture(table, Chips(pieces, title))
