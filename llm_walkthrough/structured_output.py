"""A mask over the logits that lets a text follow a grammar and end in time.

A logits processor, the first in the row: tokens that the grammar does not allow get the
logit -inf. What is allowed is a function of the tokens after the prompt and of nothing
else, so that undo, forced tokens and branches need no care. Knows nothing of how a
grammar is followed (`constraints.matcher`) or ended (`constraints.completion`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import ClassVar

import numpy as np

from llm_walkthrough.arrays import Logits, TokenIds, TokenMask
from llm_walkthrough.constraints.completion import Spot, completion
from llm_walkthrough.constraints.matcher import GrammarState, GrammarVocabulary
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import Grammar

KEPT_SPOTS = 32  # for undo and branches; others are found again from the first token
NEARNESS = 32  # tokens to spare; below, only tokens are allowed that are known to fit
HORIZON = 64  # tokens left, and twice the shortest text: from there on, fit is tested
TESTED = 12  # likeliest tokens of which it is tested whether they leave an ending
FURTHER = 4  # times the limit: how far is searched, to say what it would have to be


@dataclass(frozen=True)
class GrammarMask:
    """Allow only tokens that a grammar allows, and an end only where it is complete.

    Near the limit, tokens are masked as well after which the text could not be finished
    in time. A grammar that cannot be followed, or not within the limit, is an
    InputError; so are tokens after the prompt that do not follow it, in each method.
    """

    grammar: Grammar
    vocabulary: GrammarVocabulary
    start: int  # tokens before the text, usually those of the prompt
    max_new_tokens: int | None = None  # that the text may have
    label: ClassVar[str] = "grammar"  # of this processor, where it masks a token
    _lock: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.start < 0:
            what = f"the text must start at position 0 or later, got {self.start}"
            raise InputError(f"{what}; give the length of the prompt")
        limit = self.max_new_tokens
        if limit is None or self._spots[b""].ending is not None:
            return
        longer = completion(self._spots[b""].state, FURTHER * limit + HORIZON)
        if longer is not None:
            what = f"{limit} new tokens are too few for the {self.grammar.kind}"
            found = f"the shortest text that was found takes {len(longer)}"
            raise InputError(f"{what}: {found}; allow more, or ask for less")

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, -inf for all that may not come."""
        with self._lock:
            allowed = self._allowed(logits, context)
        return np.where(allowed, logits, np.float32(-np.inf))

    def forced(self, context: TokenIds) -> int | None:
        """Return the only token that may come next; None where there is a choice."""
        with self._lock:
            return next(iter(self._spot_at(context).state.forced), None)

    def is_complete(self, context: TokenIds) -> bool:
        """Tell whether the text may end after these tokens, or has ended."""
        with self._lock:
            return self._spot_at(context).state.is_complete

    def reason(self, token: int, context: TokenIds) -> str | None:
        """Say in a sentence why a token may not come next; None if it may."""
        with self._lock:
            spot = self._spot_at(context)
            if not spot.state.allowed[token]:
                return self._reason_of(token, spot.state, context)
            left = self._left(len(context))
            is_free = token in self.vocabulary.end_tokens or spot.state.forced
            if left is None or spot.ending is None or is_free:
                return None
            if spot.can_end_after(token, left):
                return None
        what = f"the {left} tokens that are left of {self.max_new_tokens}"
        return f"{what} would not be enough to finish the text after it"

    # --- how it is done --------------------------------------------------------------

    @cached_property
    def _spots(self) -> dict[bytes, Spot]:
        """The first spot and the newest, by their tokens; looked up under the lock."""
        state, limit = self.vocabulary.start(self.grammar), self.max_new_tokens
        return {b"": Spot(state, None if limit is None else completion(state, limit))}

    def _spot_at(self, context: TokenIds) -> Spot:
        """Return where the text is, followed from the nearest spot that is known."""
        tokens = context[self.start :].astype(np.int64, copy=False)
        text, size = tokens.tobytes(), tokens.itemsize  # bytes can be looked up
        counts = range(len(tokens), -1, -1)
        known = next(n for n in counts if text[: n * size] in self._spots)
        spot = self._spots[text[: known * size]]
        for count in range(known, len(tokens)):
            token, position = int(tokens[count]), self.start + count
            state = spot.state.after(token)
            if state is None:
                raise self._misfit(token, position, is_ended=spot.state.is_ended)
            left = self._left(position + 1)
            ending = None if left is None else spot.ending_after(token, state, left)
            spot = Spot(state, ending)
            self._spots[text[: (count + 1) * size]] = spot
            if len(self._spots) > KEPT_SPOTS:  # the first stays, b""
                del self._spots[next(filter(None, self._spots))]
        return spot

    def _misfit(self, token: int, position: int, *, is_ended: bool) -> InputError:
        where = "after the end of the text" if is_ended else "there"
        what = f"{self.vocabulary.tokenizer.piece(token)!r} at position {position}"
        why = f"{self.grammar.kind}, which does not allow it {where}"
        way_out = "undo it, or take the grammar out of the processors"
        return InputError(f"token {what} does not follow the {why}; {way_out}")

    def _left(self, length: int) -> int | None:
        """Return how many tokens are left; None far from the limit, and behind it."""
        if self.max_new_tokens is None:
            return None
        left = self.start + self.max_new_tokens - length
        shortest = len(self._spots[b""].ending or ())
        return left if 0 < left <= HORIZON + 2 * shortest else None

    def _allowed(self, logits: Logits, context: TokenIds) -> TokenMask:
        (state, ending), left = self._spot_at(context), self._left(len(context))
        if left is None or ending is None or state.forced or state.is_ended:
            return state.allowed
        ends = self.vocabulary.end_tokens
        tokens = np.flatnonzero(state.allowed)
        if len(tokens) > TESTED:
            tokens = tokens[np.argpartition(logits[tokens], -TESTED)[-TESTED:]]
        # the ending's own token always fits, so that something is left to draw
        tried = {*tokens.tolist(), *ending[:1]} - set(ends)
        spot = Spot(state, ending)
        is_near = left - len(ending) < NEARNESS
        allowed = np.zeros_like(state.allowed) if is_near else state.allowed.copy()
        for token in tried:
            allowed[token] = spot.can_end_after(token, left)
        allowed[list(ends)] = state.is_complete
        return allowed

    def _reason_of(self, token: int, state: GrammarState, context: TokenIds) -> str:
        tokenizer, kind = self.vocabulary.tokenizer, self.grammar.kind
        if state.is_ended:
            return "the text has ended: nothing comes after an end token"
        if token in self.vocabulary.end_tokens:
            return f"the text would end here, and the {kind} is not met"
        if token in tokenizer.special_tokens:
            return "it is a special token and no part of a text"
        if state.is_complete and state.forced:
            return "the text is complete: only an end token may come"
        if state.forced:
            return f"only {tokenizer.piece(state.forced[0])} may come here"
        before = "".join(tokenizer.piece(int(t)) for t in context[self.start :][-12:])
        return f"…{before[-24:]}{tokenizer.piece(token)} is not allowed by the {kind}"
