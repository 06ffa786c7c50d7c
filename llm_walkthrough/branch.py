"""What is remembered of one way through the tokens, so that it can be gone back?

Tokens, the steps that appended them, the runs that filled the cache, the newest logits.
A branch never changes: each method returns the next one, so a call that is interrupted
leaves the old branch or the new one, never half of each. Knows nothing of models:
`stepper` decides when something is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.kv_cache import KVCache, Rows

Shaped = TypeVar("Shaped", bound=np.ndarray[Any, Any])

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


@dataclass(frozen=True)
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
    kept: tuple[Rows, ...] = ()
    runs: tuple[Run, ...] = ()
    steps: tuple[Step, ...] = ()
    last_rows: Mapping[int, Logits] = field(default_factory=dict)
    chosen_u: Mapping[int, float] = field(default_factory=dict)

    def extended(self, tokens: TokenIds) -> Branch:
        """Return the branch with more tokens, which its cache has not seen."""
        longer = np.concatenate([self.tokens, tokens])
        return replace(self, tokens=read_only_copy(longer))

    def stepped(self, step: Step) -> Branch:
        """Return the branch with one more step and its token."""
        longer = self.extended(np.array([step.token]))
        return replace(longer, steps=(*self.steps, step))

    def ran(self, run: Run, cache: KVCache, last_row: Logits) -> Branch:
        """Return the branch after a run, which gave a longer cache and these logits.

        Only the newest logits are kept, and those that the first step was drawn from.
        """
        rows = {**self.last_rows, run.stop: read_only_copy(last_row)}
        first = self.steps[0].position if self.steps else run.stop
        for length in list(rows)[:-KEPT_LOGITS]:
            if length != first:
                del rows[length]
        return replace(self, runs=(*self.runs, run), cache=cache, last_rows=rows)

    def cut(self, length: int) -> Branch:
        """Return the branch of the first `length` tokens; numbers set by hand stay."""
        return replace(
            self,
            tokens=self.tokens[:length],
            cache=self.cache.truncated(min(length, self.cache.length)),
            runs=tuple(run for run in self.runs if run.start < length),
            steps=tuple(step for step in self.steps if step.position < length),
            last_rows={p: row for p, row in self.last_rows.items() if p <= length},
        )

    def before_last_run(self) -> Branch:
        """Return the branch whose cache has not seen the tokens of its last run."""
        *earlier, last = self.runs
        return replace(
            self, runs=tuple(earlier), cache=self.cache.truncated(last.start)
        )

    def with_u(self, u: float | None) -> Branch:
        """Return the branch that draws its next token with `u`, None: the seed's."""
        others = {p: own for p, own in self.chosen_u.items() if p != len(self.tokens)}
        own = {} if u is None else {len(self.tokens): u}
        return replace(self, chosen_u={**others, **own})

    def without_rows(self, start: int) -> Branch:
        """Return the branch that keeps its rows from `start` on out of the buffer."""
        if start >= self.cache.length:
            return self
        kept = (self.cache.rows(start), *self.kept)
        return replace(self, kept=kept, cache=self.cache.truncated(start))

    def with_rows(self) -> Branch:
        """Return the branch with the first of its kept rows back in the buffer."""
        first, *others = self.kept
        return replace(self, kept=tuple(others), cache=self.cache.with_rows(first))


def read_only_copy(array: Shaped) -> Shaped:
    """Return a copy that nobody can write to, and that keeps no larger array alive."""
    copied = array.copy()
    copied.flags.writeable = False
    return copied
