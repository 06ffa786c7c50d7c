"""What is remembered of one way through the tokens, so that it can be gone back?

Tokens, the steps that appended them, the runs that filled the cache, the newest logits.
Knows nothing of models: `stepper` decides when something is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.kv_cache import KVCache, Rows

KEPT_LOGITS = 64
"""Rows of logits kept for undo; older ones come back by repeating their run."""


@dataclass(frozen=True)
class Step:
    """One token that was appended.

    Attributes:
        position: its place among all tokens, counted from 0.
        token: its id.
        u: the number in [0, 1) that drew it; None if it was forced.
        log_probability: what the model itself gave it, in nats, before processors.
    """

    position: int
    token: int
    u: float | None
    log_probability: float


@dataclass(frozen=True)
class Run:
    """One run of the graph.

    Attributes:
        start: how many tokens the cache held before it.
        tokens: the ids that were fed, [sequence] int64.
        seconds: how long it took.
    """

    start: int
    tokens: TokenIds
    seconds: float

    @property
    def stop(self) -> int:
        """How many tokens the cache holds after it."""
        return self.start + len(self.tokens)


@dataclass
class Branch:
    """One way to go on.

    The active branch has all its rows in its cache. A resting one shares the first rows
    of the buffer with the active one, and owns a copy of the others.

    Attributes:
        tokens: all token ids, the prompt first, [sequence] int64.
        cache: what the model has seen of them; at rest, what is still in the buffer.
        kept: at rest, the rows that follow those in `cache`.
        runs: the runs that filled the cache.
        steps: the steps that appended tokens.
        last_rows: cache length to the logits [vocab] float32 for the next token.
        chosen_u: position to a number that was set by hand.
    """

    tokens: TokenIds
    cache: KVCache
    kept: list[Rows] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    last_rows: dict[int, Logits] = field(default_factory=dict)
    chosen_u: dict[int, float] = field(default_factory=dict)

    def fork(self) -> Branch:
        """Return an active branch that goes on from here by itself."""
        return replace(
            self,
            kept=[],
            runs=[*self.runs],
            steps=[*self.steps],
            last_rows={**self.last_rows},
            chosen_u={**self.chosen_u},
        )

    def cut(self, length: int) -> None:
        """Forget everything after the first `length` tokens, but for numbers set."""
        self.tokens = self.tokens[:length]
        self.cache = self.cache.truncated(min(length, self.cache.length))
        self.runs = [run for run in self.runs if run.start < length]
        self.steps = [step for step in self.steps if step.position < length]
        self.last_rows = {p: row for p, row in self.last_rows.items() if p <= length}

    def keep_row(self, length: int, row: Logits, *, for_good: int) -> None:
        """Keep the logits after `length` tokens; drop old ones but that `for_good`."""
        kept = row.copy()  # a view would hold the logits of the whole run
        kept.flags.writeable = False
        self.last_rows[length] = kept
        old = [place for place in self.last_rows if place != for_good]
        for place in old[:-KEPT_LOGITS]:
            del self.last_rows[place]

    def run_that_reached(self, length: int) -> Run:
        """Return the run whose logits follow the first `length` tokens."""
        return next(run for run in reversed(self.runs) if run.start < length)

    def give_up_rows(self, start: int) -> None:
        """Copy out the rows from `start` on, as another branch is about to write."""
        if start < self.cache.length:
            self.kept = [self.cache.rows(start), *self.kept]
            self.cache = self.cache.truncated(start)
