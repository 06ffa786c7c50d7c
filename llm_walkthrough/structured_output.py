"""Which logits are left, if the text must follow a grammar?

A logits processor, the first in the row: tokens that the grammar does not allow get the
logit -inf. What is allowed is a function of the tokens after the prompt and of nothing
else, so that undo, forced tokens and branches need no care. Knows grammars and logits;
how a grammar is followed is in `matcher`, how a text is brought to its end in
`completion`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.constraints.completion import Spot, completion
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds, TokenMask
    from llm_walkthrough.constraints.matcher import GrammarVocabulary, Place
    from llm_walkthrough.grammar import Grammar

    Tokens = tuple[int, ...]

KEPT_SPOTS = 32
"""Spots kept for undo and branches; others are found again from the first token."""
NEARNESS = 32
"""Tokens to spare, below which only tokens are allowed that are known to fit."""
HORIZON = 64
"""Tokens left, and twice what the shortest text takes: from there on, fit is tested."""
TESTED = 12
"""Likeliest tokens of which it is tested whether the text can still end after them."""
FURTHER = 4
"""How much further than the limit is searched, to say what it would have to be."""


@dataclass(frozen=True)
class GrammarMask:
    """Allow only tokens that a grammar allows, and an end only where it is complete.

    Args:
        grammar: what the text must follow.
        vocabulary: the tokens of the model.
        start: how many tokens come before the text, usually those of the prompt.
        max_new_tokens: how many tokens the text may have. Near this limit tokens are
            masked as well after which it could not be finished in time.

    Raises:
        InputError: a number is out of its range, the grammar cannot be followed, or
            the limit is too low for it.
    """

    grammar: Grammar
    vocabulary: GrammarVocabulary
    start: int
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise InputError(
                f"the text must start at position 0 or later, got {self.start}; give "
                "the length of the prompt"
            )
        limit = self.max_new_tokens
        if limit is not None and self._trail.first.home is None:
            longer = completion(self._trail.first.place, FURTHER * limit + HORIZON)
            if longer is not None:
                raise InputError(
                    f"{limit} new tokens are too few for the {self.grammar.kind}: the "
                    f"shortest text that was found takes {len(longer)}; allow more, or "
                    "ask for less"
                )

    @property
    def label(self) -> str:
        """What this processor is called where it masks a token."""
        return "grammar"

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, -inf for all that may not come.

        Raises:
            InputError: the tokens after the prompt do not follow the grammar, since
                one was forced by hand.
        """
        with self._trail.lock:
            allowed = self._allowed(logits, context)
        return np.where(allowed, logits, np.float32(-np.inf))

    def forced(self, context: TokenIds) -> int | None:
        """Return the only token that may come next; None where there is a choice.

        Raises:
            InputError: as when it is called.
        """
        with self._trail.lock:
            forced = self._spot(context).place.forced
        return forced[0] if forced else None

    def is_complete(self, context: TokenIds) -> bool:
        """Tell whether the text may end after these tokens, or has ended.

        Raises:
            InputError: as when it is called.
        """
        with self._trail.lock:
            return self._spot(context).place.is_complete

    def reason(self, token: int, context: TokenIds) -> str | None:
        """Say in a sentence why a token may not come next; None if it may.

        Raises:
            InputError: as when it is called.
        """
        with self._trail.lock:
            spot = self._spot(context)
            if spot.place.allowed[token]:
                return self._reason_of_limit(token, spot, self._left(len(context)))
            return self._reason_of_grammar(token, spot.place, context)

    # --- how it is done --------------------------------------------------------------

    @cached_property
    def _trail(self) -> _Trail:
        place = self.vocabulary.start(self.grammar)
        limit = self.max_new_tokens
        return _Trail(Spot(place, None if limit is None else completion(place, limit)))

    def _spot(self, context: TokenIds) -> Spot:
        """Return where the text is, followed from the nearest spot that is known."""
        tokens = context[self.start :].astype(np.int64, copy=False)
        text, size = tokens.tobytes(), tokens.itemsize
        counts = range(len(tokens), -1, -1)
        known = next(n for n in counts if text[: n * size] in self._trail)
        spot = self._trail[text[: known * size]]
        for count in range(known, len(tokens)):
            token = int(tokens[count])
            place = spot.place.after(token)
            if place is None:
                raise self._misfit(token, self.start + count, spot.place)
            left = self._left(self.start + count + 1)
            spot = Spot(
                place, None if left is None else spot.home_after(token, place, left)
            )
            self._trail.keep(text[: (count + 1) * size], spot)
        return spot

    def _misfit(self, token: int, position: int, place: Place) -> InputError:
        piece = self.vocabulary.tokenizer.piece(token)
        where = "after the end of the text" if place.is_ended else "there"
        return InputError(
            f"token {piece!r} at position {position} does not follow the "
            f"{self.grammar.kind}, which does not allow it {where}; undo it, or take "
            "the grammar out of the processors"
        )

    def _left(self, length: int) -> int | None:
        """Return how many tokens are left after `length`; None if it does not matter.

        Far from the limit it does not, nor behind it.
        """
        if self.max_new_tokens is None:
            return None
        left = self.start + self.max_new_tokens - length
        first = self._trail.first.home or ()
        return left if 0 < left <= HORIZON + 2 * len(first) else None

    def _allowed(self, logits: Logits, context: TokenIds) -> TokenMask:
        spot, left = self._spot(context), self._left(len(context))
        place, home = spot.place, spot.home
        if left is None or home is None or place.forced or place.is_ended:
            return place.allowed
        tried = {*_likeliest(logits, np.flatnonzero(place.allowed)), *home[:1]}
        tried -= set(self.vocabulary.end_tokens)
        fitting = [token for token in tried if spot.can_end_after(token, left)]
        is_near = left - len(home) < NEARNESS
        allowed = np.zeros_like(place.allowed) if is_near else place.allowed.copy()
        allowed[list(tried)] = False
        allowed[fitting] = True
        allowed[list(self.vocabulary.end_tokens)] = place.is_complete
        return allowed

    def _reason_of_limit(self, token: int, spot: Spot, left: int | None) -> str | None:
        is_free = left is None or spot.home is None or spot.place.forced
        if is_free or token in self.vocabulary.end_tokens:
            return None
        if left is None or spot.can_end_after(token, left):
            return None
        return (
            f"the {left} tokens that are left of {self.max_new_tokens} would not be "
            "enough to finish the text after it"
        )

    def _reason_of_grammar(self, token: int, place: Place, context: TokenIds) -> str:
        tokenizer = self.vocabulary.tokenizer
        if place.is_ended:
            return "the text has ended: nothing comes after an end token"
        if token in self.vocabulary.end_tokens:
            return f"the text would end here, and the {self.grammar.kind} is not met"
        if token in tokenizer.special_tokens:
            return "it is a special token and no part of a text"
        if place.is_complete and place.forced:
            return "the text is complete: only an end token may come"
        if place.forced:
            wanted = tokenizer.piece(place.forced[0])
            return f"only {wanted} may come here"
        before = "".join(tokenizer.piece(int(t)) for t in context[self.start :][-12:])
        return (
            f"…{before[-24:]}{tokenizer.piece(token)} is not allowed by the "
            f"{self.grammar.kind}"
        )


class _Trail(OrderedDict[bytes, Spot]):
    """Spots by the tokens that led there: the newest of them, and the first.

    Attributes:
        first: the spot before the first token.
        lock: held by whoever looks something up; a spot is worked out only once.
    """

    def __init__(self, first: Spot) -> None:
        super().__init__({b"": first})
        self.first = first
        self.lock = threading.RLock()

    def keep(self, text: bytes, spot: Spot) -> None:
        """Keep one more spot."""
        self[text] = spot
        if len(self) > KEPT_SPOTS:
            del self[next(key for key in self if key)]


def _likeliest(logits: Logits, tokens: TokenIds) -> Tokens:
    """Return the likeliest of these tokens, as many as are tested."""
    if len(tokens) > TESTED:
        tokens = tokens[np.argpartition(logits[tokens], -TESTED)[-TESTED:]]
    return tuple(tokens.tolist())
