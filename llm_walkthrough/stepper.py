"""The only decode loop: steps forward and back, by hand or by chance, on branches.

Feed every token that the cache has not seen, look at the last row of logits, choose a
token, append it. The first time the unseen tokens are the prompt (prefill), afterwards
the one token that was chosen (decode); a second chat turn is fed by the same code.
Knows token ids only: not text, not ONNX, not how anything is shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

import numpy as np

from llm_walkthrough.arrays import Logits, LogitsRows, Probabilities, TokenIds
from llm_walkthrough.branch import Branch, KeptRows, Run, Step, read_only
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import KVCache, checked_tokens
from llm_walkthrough.sampling import (
    Processor,
    choose,
    forced_token,
    pick,
    require_u,
    softmax,
    uniform,
)
from llm_walkthrough.speculation import NO_GUESSES, Guesser, guesses_after

StopRule = Callable[[TokenIds], bool]
"""Told the new tokens, the prompt left out: is it time to stop?"""

CHUNK = 256
"""Tokens per run of a long prompt: its logits take 4 bytes x vocab for each token."""


class LanguageModel(Protocol):
    """What the stepper needs of a model; `model.Model` has it, and so has a toy."""

    @property
    def vocab(self) -> int:
        """How many tokens the logits score."""

    def new_cache(self) -> KVCache:
        """Return an empty cache."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        """Return logits [sequence, vocab] and the cache that holds `unseen` too."""


@dataclass(frozen=True)
class EndTokens:
    """Stop when the newest token is one of these.

    >>> EndTokens((2,))(np.array([7, 2])), EndTokens((2,))(np.array([2, 7]))
    (True, False)
    """

    tokens: tuple[int, ...]

    def __call__(self, new_tokens: TokenIds) -> bool:
        """Tell whether the last of `new_tokens` ends the answer."""
        return bool(len(new_tokens)) and int(new_tokens[-1]) in self.tokens


@dataclass(frozen=True, eq=False)
class Draw:
    """All that decides the next token, and the token."""

    context: TokenIds  # all tokens so far, [sequence] int64
    processors: tuple[Processor, ...]  # what reshaped the logits, in order
    u: float  # the number in [0, 1) that draws
    rows: tuple[Logits, ...]  # [vocab] float32: the model's, then after each processor
    probabilities: Probabilities  # after the last processor, [vocab] float64
    token: int  # the id that `u` draws from them

    @classmethod
    def of(
        cls,
        logits: Logits,
        context: TokenIds,
        processors: Sequence[Processor],
        u: float,
    ) -> Draw:
        """Draw the token that `sampling.choose` gives or refuses; keep what led to it.

        >>> from llm_walkthrough.sampling import TopK
        >>> draw = Draw.of(np.array([1, 3, 2], "f4"), np.array([0]), [TopK(2)], u=0.8)
        >>> draw.token, draw.rows[1].tolist(), draw.probabilities.round(2).tolist()
        (2, [-inf, 3.0, 2.0], [0.0, 0.73, 0.27])
        """
        if not logits.max() < np.inf:
            softmax(logits)  # says what is wrong; a filter would make -inf of NaN
        rows, used = [logits], tuple(processors)
        for processor in used:
            rows.append(processor(rows[-1], context))
        probabilities = read_only(softmax(rows[-1]))
        survivors = np.flatnonzero(probabilities)  # these few are quicker to sort
        token = int(survivors[pick(probabilities[survivors], u)])
        return cls(context, used, u, tuple(rows), probabilities, token)


class Stepper:
    """Decodes token by token, and can go back, choose differently and branch.

    Every public method holds one lock, so a cell may call it while a panel runs, and
    returns values that never change afterwards. Hold `lock` yourself to make several
    calls with nothing in between.

    Args:
        model: runs tokens against a cache.
        prompt: token ids [sequence] int64 to begin with, at least one.
        processors: what reshapes the logits before a token is drawn; none means the
            model's own distribution. They may be replaced at any time.
        seed: decides, together with the position, the number that draws a token.
        cache: an empty cache of the model (default: `model.new_cache()`).
        guesser: guesses tokens to come, so that one run makes several; the tokens stay
            the same. It may be replaced at any time; None: no guesses.

    InputError if the prompt is empty or leaves no room for a new token; later, what a
    method is told is out of its range, and nothing was changed.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        model: LanguageModel,
        prompt: TokenIds,
        *,
        processors: Sequence[Processor] = (),
        seed: int = 0,
        cache: KVCache | None = None,
        guesser: Guesser | None = None,
    ) -> None:
        self.processors = tuple(processors)
        self.seed = seed
        self.guesser = guesser
        self.stop_reason: str | None = None
        self._model = model
        self.lock = threading.RLock()
        if cache is not None and cache.length:
            raise InputError(
                f"the cache must be empty, got one with {cache.length} tokens; give "
                "cache.truncated(0) or leave it out"
            )
        self._branches = [Branch.empty(cache or model.new_cache())]
        self._active = 0
        self._last_draw: Draw | None = None
        # of the newest run, if it has guesses: the cache that holds them, too
        self._ahead: dict[object, KVCache] = {}
        self.extend(prompt)
        self.prompt_length = len(self.tokens)
        self._rows = KeptRows(self.prompt_length)

    # --- what can be seen ----------------------------------------------------------

    @property
    def tokens(self) -> TokenIds:
        """All tokens of the active branch, the prompt first; [sequence] int64."""
        return self._branch.tokens

    @property
    def new_tokens(self) -> TokenIds:
        """The tokens after the prompt."""
        return self.tokens[self.prompt_length :]

    @property
    def position(self) -> int:
        """The place of the token that comes next."""
        return len(self.tokens)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that led here on the active branch."""
        return self._branch.steps

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of the graph that filled this branch's cache, with their times."""
        return self._branch.runs

    @property
    def cache(self) -> KVCache:
        """The active branch's cache."""
        return self._branch.cache

    @property
    def unseen(self) -> TokenIds:
        """The tokens that the next run feeds to the graph."""
        branch = self._branch
        return branch.tokens[branch.cache.length :]

    @property
    def logits(self) -> Logits:
        """The model's logits [vocab] float32 for the next token.

        Runs the model if there are unseen tokens. After an undo to where the logits
        are no longer kept, the last run is made again: only the very same run, as many
        tokens against as long a cache, gives the same logits to the last bit.
        """
        with self.lock:
            return self._run_unseen()[1]

    @property
    def probabilities(self) -> Probabilities:
        """What the next token is drawn from [vocab] float64: processed logits."""
        return self.draw.probabilities

    @property
    def draw(self) -> Draw:
        """What the next `step()` draws, and what from; that step computes nothing anew.

        It is made once, until a token, a processor or the number `u` changes.
        """
        with self.lock:
            branch, logits = self._run_unseen()
            u = self._u_of(branch)
            draw = self._draw_made(logits, u)
            if draw is None:
                draw = Draw.of(logits, branch.tokens, self.processors, u)
                self._last_draw = draw
            return draw

    @property
    def u(self) -> float:
        """The number that draws the next token: the one set here, or the seed's."""
        with self.lock:
            return self._u_of(self._branch)

    def set_u(self, u: float | None) -> None:
        """Set the number that draws the next token; None restores the seed's own."""
        with self.lock:
            self._branch = self._branch.with_u(None if u is None else require_u(u))

    # --- going on and back -----------------------------------------------------------

    def step(self, token: int | None = None) -> Step:
        """Append one token, if the context has room: the drawn one, or `token`.

        Where a processor says that only one token may come, there is nothing to draw,
        and the model is not run: the next run takes all such tokens together.
        """
        with self.lock:
            self._require_room(1)
            if token is None:
                branch, chosen, u = self._choose()
            else:
                (chosen,) = checked_tokens([token], self._model.vocab).tolist()
                branch, u = self._run_unseen()[0], None
            step = Step(len(branch.tokens), chosen, u)
            self._branch = branch.stepped(step)
            return step

    def run(
        self, max_new_tokens: int, stop_rules: Mapping[str, StopRule] | None = None
    ) -> Iterator[Step]:
        """Step until a rule says stop, the limit is reached or the context is full.

        Yields each step as soon as it is made. The name of the rule that stopped the
        run is then found in `stop_reason`, else "limit" or "context full".
        """
        if max_new_tokens < 1:
            raise InputError(
                f"max_new_tokens must be at least 1, got {max_new_tokens}; each step "
                "makes one token"
            )
        return self._steps(max_new_tokens, stop_rules or {})

    def extend(self, tokens: TokenIds) -> None:
        """Append tokens that nobody drew, such as the next turn of a chat.

        The context must have room for them and for the next token.
        """
        with self.lock:
            added = checked_tokens(tokens, self._model.vocab).astype(np.int64)
            self._require_room(len(added) + 1)
            self._branch = self._branch.extended(added)

    def undo(self, count: int = 1) -> None:
        """Take back the last `count` steps, and what was appended after them."""
        with self.lock:
            steps = self.steps
            if count not in range(len(steps) + 1):
                raise InputError(
                    f"undo takes back 0 … {len(steps)} steps here, got {count}; the "
                    "prompt stays"
                )
            if count:
                self._branch = self._branch.cut(steps[-count].position)

    # --- branches --------------------------------------------------------------------

    @property
    def branches(self) -> tuple[tuple[Step, ...], ...]:
        """The steps of each branch, in the order in which the branches were made."""
        with self.lock:
            return tuple(branch.steps for branch in self._branches)

    @property
    def branch_tokens(self) -> tuple[TokenIds, ...]:
        """All tokens of each branch, those included that no step made."""
        with self.lock:
            return tuple(branch.tokens for branch in self._branches)

    @property
    def active(self) -> int:
        """Which of `branches` goes on with the next step."""
        return self._active

    def fork(self) -> int:
        """Make a branch that begins as the active one is now, and go on with it.

        What is unseen is run before, so that both branches share the run. Returns its
        place in `branches`; the branch that was left keeps everything.
        """
        with self.lock:
            self._run_unseen()
            forked = [*self._branches, self._branch]  # never changes: both may have it
            self._branches, self._active = forked, len(forked) - 1
            return self._active

    def switch(self, branch: int) -> None:
        """Go on with another branch."""
        with self.lock:
            if branch not in range(len(self._branches)):
                raise InputError(
                    f"branch must be 0 … {len(self._branches) - 1}, got {branch}; "
                    "fork() makes another"
                )
            self._active = int(branch)

    def drop(self, branch: int) -> None:
        """Forget a branch other than the active one; later ones move up by one."""
        with self.lock:
            others = [i for i in range(len(self._branches)) if i != self._active]
            if branch not in others:
                raise InputError(
                    f"the branches that can be dropped are {others}, got {branch}; "
                    "switch() away from the active one first"
                )
            kept = [b for i, b in enumerate(self._branches) if i != branch]
            active = self._active - (branch < self._active)
            self._branches, self._active = kept, active

    def reset(self) -> None:
        """Go back to the prompt; forget all branches and the numbers set by hand."""
        with self.lock:
            prompt = self._branch.cut(self.prompt_length)._replace(chosen_u={})
            self._active, self._branches = 0, [prompt]

    # --- how it is done --------------------------------------------------------------

    @property
    def _branch(self) -> Branch:
        """The active branch, with the rows that other branches overwrote put back."""
        with self.lock:
            # part by part: an interrupt leaves each in the buffer or still in `kept`
            while (branch := self._branches[self._active]).kept:
                self._protect_others(branch.cache.length)
                self._ahead = {}  # its rows may be overwritten
                self._branches[self._active] = branch.with_rows()
            return branch

    @_branch.setter
    def _branch(self, changed: Branch) -> None:
        self._branches[self._active] = changed

    def _steps(
        self, max_new_tokens: int, stop_rules: Mapping[str, StopRule]
    ) -> Iterator[Step]:
        self.stop_reason = None
        for remaining in reversed(range(max_new_tokens)):
            with self.lock:
                step = self.step()  # no other thread may come before the reason
                new_tokens = self.new_tokens
                names = (name for name, rule in stop_rules.items() if rule(new_tokens))
                is_full = self.position >= self.cache.capacity
                last = "context full" if is_full else None if remaining else "limit"
                reason = next(names, last)
            self.stop_reason = reason
            yield step
            if reason is not None:
                return

    def _choose(self) -> tuple[Branch, int, float | None]:
        """Return the active branch, the token that comes next and what drew it."""
        branch = self._branch
        forced = forced_token(branch.tokens, self.processors)
        if forced is not None:
            return branch, forced, None  # its tokens stay unseen
        branch, logits = self._run_unseen()
        u = self._u_of(branch)
        draw = self._draw_made(logits, u)
        if draw is not None:
            return branch, draw.token, u
        return branch, choose(logits, branch.tokens, self.processors, u), u

    def _run_unseen(self) -> tuple[Branch, Logits]:
        """Run what is unseen; return the branch as it is then, and its logits."""
        branch, row = self._branch, None
        if branch.cache.length == len(branch.tokens):
            run = branch.run_log.last
            row = self._rows.after(run)
            if row is None:  # no longer kept, but the same run gives it again
                return self._run(branch.before_last_run(), run)
        while row is None or branch.cache.length < len(branch.tokens):
            branch, row = self._seen_ahead(branch) or self._run_chunk(branch)
        return branch, row

    def _run_chunk(self, branch: Branch) -> tuple[Branch, Logits]:
        """Run the first unseen tokens; return the branch after it and its logits."""
        start, guesses = branch.cache.length, NO_GUESSES
        chunk = branch.tokens[start : start + CHUNK]
        is_last = start + len(chunk) == len(branch.tokens)
        # the logits of the prompt stay those without guesses
        if self.guesser is not None and is_last and start >= self.prompt_length:
            known = self.guesser, self.processors, self._model.vocab
            guesses = guesses_after(branch, *known)
        # [chunk], a copy: a view would keep all tokens alive
        fed = np.append(chunk, guesses) if len(guesses) else chunk.copy()
        return self._run(branch, Run(start, read_only(fed), 0.0, len(guesses)))

    def _run(self, branch: Branch, run: Run) -> tuple[Branch, Logits]:
        """Make a run, the first time or again; return branch and logits likewise."""
        self._protect_others(run.start)
        self._ahead = {}
        began = time.perf_counter()
        rows, cache = self._model.run(run.tokens, branch.cache)  # rows [chunk, vocab]
        run = run.timed(time.perf_counter() - began)
        if len(rows) <= run.guesses:
            raise InputError(
                f"the model gives the last of {len(run.tokens)} rows of logits only, "
                "so that no guess can be checked; set guesser to None"
            )
        row = self._rows.keep(run, rows)
        seen = cache.truncated(run.stop) if run.guesses else cache
        self._branch = ran = branch.ran(run, seen)
        self._ahead = {run.origin: cache} if run.guesses else {}
        return ran, row

    def _seen_ahead(self, branch: Branch) -> tuple[Branch, Logits] | None:
        """Take unseen tokens that the last run was fed as guesses, if there are any."""
        if not self._ahead or not branch.run_log.length:
            return None
        run = branch.run_log.last
        guesses, unseen = run.tokens[len(run.seen) :], branch.tokens[run.stop :]
        pairs = zip(guesses.tolist(), unseen.tolist(), strict=False)
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        longer = replace(run, kept=run.kept + right)
        row = self._rows.after(longer)
        cache = self._ahead.get(run.origin)
        if right == 0 or row is None or cache is None:
            return None
        before = branch.before_last_run()
        self._branch = seen = before.ran(longer, cache.truncated(longer.stop))
        return seen, row

    def _draw_made(self, logits: Logits, u: float) -> Draw | None:
        """Return the draw that was asked for last, if it is still the next one."""
        draw = self._last_draw
        # a row of logits belongs to one run, and with it to one context
        if draw is None or draw.rows[0] is not logits:
            return None
        return draw if (draw.processors, draw.u) == (self.processors, u) else None

    def _u_of(self, branch: Branch) -> float:
        position = len(branch.tokens)
        own = branch.chosen_u.get(position)
        return uniform(self.seed, position) if own is None else own

    def _protect_others(self, start: int) -> None:
        """Copy the rows of other branches from `start` on: they will be overwritten."""
        self._branches = [branch.without_rows(start) for branch in self._branches]

    def _require_room(self, count: int) -> None:
        branch = self._branch
        taken, capacity = len(branch.tokens), branch.cache.capacity
        if taken + count > capacity:
            raise InputError(
                f"{taken} of {capacity} places in the context are taken: no room for "
                f"{count} more, the next token's included; shorten the prompt or undo "
                "some steps"
            )
