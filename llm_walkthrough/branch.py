"""A branch: its tokens, the steps that appended them, the runs that filled its cache.

With the newest logits, which are kept apart, that is all that going back takes. A
branch never changes: each method returns the next one, so a call that is interrupted
leaves the old branch or the new one, never half of each. Knows nothing of models:
`stepper` decides when something is run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from llm_walkthrough.arrays import Logits, LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache, Rows

Entry = TypeVar("Entry")
Shaped = TypeVar("Shaped", bound=np.ndarray[Any, Any])

KEPT_LOGITS = 64
"""Rows of logits kept for undo; older ones come back by repeating their run."""


@dataclass(frozen=True)
class Step:
    """One token that was appended."""

    position: int  # its place among all tokens, counted from 0
    token: int  # its id
    # the number in [0, 1) that drew it; None if it was forced, by hand or because a
    # processor left no other
    u: float | None


@dataclass(frozen=True)
class Run:
    """One run of the graph, equal only to itself with as many guesses kept."""

    start: int = field(compare=False)  # how many tokens the cache held before it
    tokens: TokenIds = field(compare=False)  # the ids that were fed, [sequence] int64
    seconds: float = field(compare=False)  # how long it took
    guesses: int = field(default=0, compare=False)  # how many of them, the last ones
    kept: int = 0  # the guesses that came true so far, and are tokens of the branch
    origin: object = field(default_factory=object, repr=False)  # the same for any kept

    @property
    def seen(self) -> TokenIds:
        """The ids without the guesses that did not come true, or not yet."""
        return self.tokens[: len(self.tokens) - self.guesses + self.kept]

    @property
    def stop(self) -> int:
        """How many tokens the cache holds after it."""
        return self.start + len(self.seen)

    def timed(self, seconds: float) -> Run:
        """Return the run with how long it took; `replace` is slow after each token."""
        told = self.start, self.tokens, seconds, self.guesses, self.kept, self.origin
        return Run(*told)


class Log(NamedTuple, Generic[Entry]):
    """A list that never changes, and yet is made longer without a copy.

    Branches share one list and look at its beginning only; whoever wants to go on
    where another one has gone on already takes a copy.

    >>> common = Log([]).with_entry("a")
    >>> common.with_entry("b").entries(), common.with_entry("c").entries()
    (('a', 'b'), ('a', 'c'))
    """

    shared: list[Entry]
    length: int = 0

    @property
    def last(self) -> Entry:
        """The newest entry; there must be one."""
        return self.shared[self.length - 1]

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries, oldest first."""
        return tuple(self.shared[: self.length])

    def with_entry(self, entry: Entry) -> Log[Entry]:
        """Return the log with one more entry."""
        # nobody has appended to the list since: it may grow in place
        begun = self.shared if len(self.shared) == self.length else [*self.entries()]
        begun.append(entry)
        return Log(begun, self.length + 1)


class KeptRows:
    """The rows of logits after the newest runs; the prompt's for good.

    Of each run it is the last row, and those before it after which a guess was fed. The
    one thing here that changes; branches that share a run share its rows. A row that is
    gone comes back by repeating its run, and one whose run no branch knows, because an
    interrupt came between, goes in its turn.
    """

    def __init__(self, prompt_length: int) -> None:
        self._prompt_length = prompt_length
        self._newest: OrderedDict[Run, Logits] = OrderedDict()
        self._after_prompt: dict[Run, Logits] = {}

    def after(self, run: Run) -> Logits | None:
        """Return the row [vocab] float32 for the token after the run, None if gone."""
        return self._newest.get(run, self._after_prompt.get(run))

    def keep(self, run: Run, logits: LogitsRows) -> Logits:
        """Keep the row after each number of kept guesses, and return the run's."""
        # the last of many rows as a view would keep the memory of all
        rows = logits[-1 - run.guesses :]
        rows = read_only(rows if len(rows) == len(logits) else rows.copy())
        for kept, row in enumerate(rows):
            key = run if kept == run.kept else replace(run, kept=kept)
            self._newest[key] = row
        own = self._newest[run]
        if run.stop == self._prompt_length:
            self._after_prompt = {run: own}
        while len(self._newest) > KEPT_LOGITS:
            self._newest.popitem(last=False)
        return own


class Branch(NamedTuple):
    """Tokens, and what is known of how they came to be there.

    The active branch has all its rows in its cache. A resting one shares the first rows
    of the buffer with the active one, and owns a copy of the others.
    """

    tokens: TokenIds  # all token ids, the prompt first, [sequence] int64
    cache: KVCache  # what the model has seen; at rest, what is still in the buffer
    run_log: Log[Run]  # the runs that filled the cache
    step_log: Log[Step]  # the steps that appended tokens
    kept: tuple[Rows, ...] = ()  # at rest, the rows that follow those in `cache`
    chosen_u: Mapping[int, float] = MappingProxyType({})  # by position, set by hand

    @classmethod
    def empty(cls, cache: KVCache) -> Branch:
        """Return a branch without tokens on an empty cache."""
        return cls(read_only(np.empty(0, np.int64)), cache, Log([]), Log([]))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that filled the cache."""
        return self.run_log.entries()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that appended tokens."""
        return self.step_log.entries()

    def extended(self, tokens: TokenIds) -> Branch:
        """Return the branch with more tokens, which its cache has not seen."""
        longer = np.concatenate([self.tokens, tokens])
        return self._replace(tokens=read_only(longer))

    # The next two are called for every token, when the run before has pushed all else
    # out of the processor's caches: `concatenate` and `_replace` would cost twice that.

    def stepped(self, step: Step) -> Branch:
        """Return the branch with one more step and its token."""
        tokens, cache, runs, steps, kept, chosen_u = self
        longer = np.empty(len(tokens) + 1, np.int64)
        longer[:-1] = tokens  # the whole history: 8 bytes a token, far less than a run
        longer[-1] = step.token
        steps = steps.with_entry(step)
        return Branch(read_only(longer), cache, runs, steps, kept, chosen_u)

    def ran(self, run: Run, cache: KVCache) -> Branch:
        """Return the branch after a run, which made its cache this long."""
        tokens, _, runs, steps, kept, chosen_u = self
        return Branch(tokens, cache, runs.with_entry(run), steps, kept, chosen_u)

    def cut(self, length: int) -> Branch:
        """Return the branch of the first `length` tokens; numbers set by hand stay.

        A run that goes beyond them keeps fewer of its guesses. If that is not enough it
        is forgotten whole, since the logits in its middle were never kept: those of its
        tokens that stay are unseen again.
        """
        runs = [run for run in self.runs if run.stop - run.kept <= length]  # in order
        run_log = self.run_log._replace(length=len(runs))
        if runs and (beyond := runs[-1].stop - length) > 0:
            runs[-1] = replace(runs[-1], kept=runs[-1].kept - beyond)
            run_log = run_log._replace(length=len(runs) - 1).with_entry(runs[-1])
        seen = runs[-1].stop if runs else 0
        steps = sum(step.position < length for step in self.steps)
        return self._replace(
            tokens=self.tokens[:length],
            cache=self.cache.truncated(min(seen, self.cache.length)),
            run_log=run_log,
            step_log=self.step_log._replace(length=steps),
        )

    def before_last_run(self) -> Branch:
        """Return the branch whose cache has not seen the tokens of its last run."""
        return self._replace(
            run_log=self.run_log._replace(length=self.run_log.length - 1),
            cache=self.cache.truncated(self.run_log.last.start),
        )

    def with_u(self, u: float | None) -> Branch:
        """Return the branch that draws its next token with `u`, None: the seed's."""
        # numbers of other positions stay, also of those that come again after an undo
        others = {p: own for p, own in self.chosen_u.items() if p != len(self.tokens)}
        own = {} if u is None else {len(self.tokens): u}
        return self._replace(chosen_u={**others, **own})

    def without_rows(self, start: int) -> Branch:
        """Return the branch that keeps its rows from `start` on out of the buffer."""
        if start >= self.cache.length:
            return self
        kept = (self.cache.rows(start), *self.kept)
        return self._replace(kept=kept, cache=self.cache.truncated(start))

    def with_rows(self) -> Branch:
        """Return the branch with the first of its kept rows back in the buffer."""
        first, *others = self.kept
        return self._replace(kept=tuple(others), cache=self.cache.with_rows(first))


def read_only(array: Shaped) -> Shaped:
    """Return the array, which nobody can write to through this name any more."""
    array.setflags(write=False)
    return array
