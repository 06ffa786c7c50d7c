"""Guesses at the tokens to come, so that one run of the graph can check several.

A run of several tokens costs less than as many runs of one, since the weights are read
once. So the stepper feeds guesses behind what is unseen, and gets a row of logits after
each. A guess is kept if it is the very token that is drawn from the row before it; as
the number `u` that draws belongs to the position, greedy and sampled texts are those of
the plain loop. Only rounding tells: a run of many tokens rounds differently. On float32
that changes no token; on int4 two texts part after some 30 tokens, both as good.
Knows nothing of models, nor of how a token is drawn: `stepper` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.branch import Branch, Run
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import checked_tokens
from llm_walkthrough.sampling import Processor, forced_token

MOST = 16  # guesses in one run
LATELY = 8  # runs by which it is judged how many guesses come true
TIMED = 128  # runs by which it is judged what a run of so many tokens costs
HOPED = 0.1  # of the shortest run: what one more token costs, until it has been tried
NO_GUESSES: TokenIds = np.empty(0, np.int64)


class Guesser(Protocol):
    """Guesses which tokens come next; a function will do.

    >>> def the_same_again(tokens, most):
    ...     return [tokens[-1]] * most
    """

    def __call__(self, tokens: TokenIds, most: int, /) -> Sequence[int] | TokenIds:
        """Return up to `most` tokens that may follow `tokens` [sequence], in order."""


@dataclass(frozen=True)
class NGrams:
    """Guess that what once followed the newest tokens follows them again.

    The longest match counts, and of equals the latest; the longer it is, the more is
    guessed. Also known as prompt lookup: it does well where a text repeats itself or
    its prompt.

    >>> NGrams()(np.array([5, 6, 7, 8, 9, 5, 6]), 16)
    array([7, 8, 9])
    """

    longest: int = 8  # no more tokens are compared

    def __call__(self, tokens: TokenIds, most: int, /) -> TokenIds:
        """Return what followed then; what repeats itself is taken to do so again."""
        matched, ends = 0, np.arange(len(tokens) - 1)  # where a match may end
        while matched < self.longest:
            longer = ends[ends >= matched]
            longer = longer[tokens[longer - matched] == tokens[-1 - matched]]
            if len(longer) == 0:
                break
            matched, ends = matched + 1, longer
        if matched == 0:
            return NO_GUESSES
        return np.resize(tokens[ends[-1] + 1 :], min(most, 2 * matched - 1))


@dataclass(frozen=True)
class GuessCount:
    """How many runs there were, how many guesses they were fed and how many kept."""

    runs: int
    guesses: int
    kept: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> GuessCount:
        """Count what `runs` say of themselves, as those of `Stepper.runs`."""
        guesses = sum(run.guesses for run in runs)
        return cls(len(runs), guesses, sum(run.kept for run in runs))

    def __str__(self) -> str:
        return f"{self.runs:,} runs, {self.kept:,} of {self.guesses:,} guesses kept"


def guesses_after(
    branch: Branch, guesser: Guesser, processors: Sequence[Processor], vocab: int
) -> TokenIds:
    """Return what the next run shall be fed behind the unseen tokens of a branch.

    Where a processor says that only one token may come, that one is the guess. What
    the guesser returns must be token ids, else InputError.
    """
    length, capacity = len(branch.tokens), branch.cache.capacity
    wanted = how_many(length - branch.cache.length, branch.runs[-TIMED:])
    most = min(capacity - length - 1, wanted)  # the last token needs no row
    context = branch.tokens
    expected = _asked(guesser, context, most, vocab) if most > 0 else NO_GUESSES
    while len(expected):
        context, expected = np.append(context, expected[0]), expected[1:]
        left = length + most - len(context)
        if left == 0:
            break
        try:
            forced = forced_token(context, processors)
        except InputError:
            return context[length:-1]  # the newest guess is against the grammar
        if forced is not None and expected[:1].tolist() != [forced]:
            more = _asked(guesser, np.append(context, forced), left - 1, vocab)
            expected = np.append(forced, more)
    return context[length:]


def how_many(unseen: int, runs: Sequence[Run]) -> int:
    """Return how many guesses behind so many unseen tokens bring most in a second.

    If a share `p` comes true, a run with n of them makes `1 + p + … + p**n` tokens.
    `runs` are the ones before, from which both the share and the costs are learned.
    """
    lately = runs[-LATELY:]
    kept = sum(run.kept for run in lately)
    missed = sum(run.kept < run.guesses for run in lately)
    share = (kept + 1) / (kept + missed + 2)  # a half, as long as nothing is known
    numbers = np.arange(MOST + 1)
    made = np.cumsum(share**numbers)
    return int(np.argmax(made / costs(unseen + numbers, runs)))


def costs(lengths: np.ndarray, runs: Sequence[Run]) -> np.ndarray:
    """Return the seconds [n] that runs of `lengths` [n] tokens take, from earlier runs.

    Lines between the fastest times, and from the longest on `HOPED` for each token. As
    long as no time is known, a run of one counts as 1.
    """
    fastest: dict[int, float] = {}
    for run in runs:
        if run.start:  # the first run of all also wakes up the machine
            length = len(run.tokens)
            fastest[length] = min(run.seconds, fastest.get(length, run.seconds))
    tried = sorted(fastest) or [1]
    seconds = [fastest.get(length, 1.0) for length in tried]
    beyond = HOPED * seconds[0] * np.maximum(lengths - tried[-1], 0)
    cost: np.ndarray = np.interp(lengths, tried, seconds) + beyond
    return cost


def _asked(guesser: Guesser, tokens: TokenIds, most: int, vocab: int) -> TokenIds:
    """Return at most so many tokens that the guesser gives; InputError if it cannot."""
    guessed = guesser(tokens, most)
    try:
        if len(guessed) == 0:
            return NO_GUESSES
        return checked_tokens(guessed, vocab)[:most].astype(np.int64)
    except (TypeError, InputError) as error:
        what = f"the guesser {guesser!r:.60} guessed what is no token ({error})"
        way_out = "return a list of ids of this model's vocabulary"
        raise InputError(f"{what}; {way_out}") from error
