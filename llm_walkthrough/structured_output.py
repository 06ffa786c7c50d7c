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

from llm_walkthrough.completion import completion, straight_completion
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds, TokenMask
    from llm_walkthrough.grammar import Grammar
    from llm_walkthrough.matcher import GrammarVocabulary, Place

    Tokens = tuple[int, ...]

KEPT_PLACES = 32
"""Places kept for undo and branches; others are found again from the first token."""
NEARNESS = 32
"""Tokens to spare, below which only tokens are allowed that are known to fit."""
HORIZON = 64
"""Tokens left, and twice what the shortest text takes: from there on, fit is tested."""
TESTED = 8
"""Likeliest tokens of which it is tested whether the text can still end after them."""
FURTHER = 4
"""How much further than the limit is searched, to say what it would have to be."""
SHARED = 8
"""How many tokens of a known end may be done already when it is tried again."""


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
        place = self._trail.first
        limit = self.max_new_tokens
        if limit is not None and self._home(place, (), limit) is None:
            longer = completion(place, FURTHER * limit + HORIZON)
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
            forced = self._place(context).forced
        return forced[0] if forced else None

    def is_complete(self, context: TokenIds) -> bool:
        """Tell whether the text may end after these tokens, or has ended.

        Raises:
            InputError: as when it is called.
        """
        with self._trail.lock:
            return self._place(context).is_complete

    def reason(self, token: int, context: TokenIds) -> str | None:
        """Say in a sentence why a token may not come next; None if it may.

        Raises:
            InputError: as when it is called.
        """
        with self._trail.lock:
            place = self._place(context)
            if place.allowed[token]:
                return self._reason_of_limit(token, place, context)
            return self._reason_of_grammar(token, place, context)

    # --- how it is done --------------------------------------------------------------

    @cached_property
    def _trail(self) -> _Trail:
        return _Trail(self.vocabulary.start(self.grammar))

    def _place(self, context: TokenIds) -> Place:
        """Return where the text is, from the nearest place that is known."""
        text = tuple(context[self.start :].tolist())
        known = next(n for n in range(len(text), -1, -1) if text[:n] in self._trail)
        place = self._trail[text[:known]]
        for count in range(known + 1, len(text) + 1):
            following = place.after(text[count - 1])
            if following is None:
                raise self._misfit(text, count - 1, place)
            place = self._trail.keep(text[:count], following)
        return place

    def _misfit(self, text: Tokens, misfit: int, place: Place) -> InputError:
        piece = self.vocabulary.tokenizer.piece(text[misfit])
        where = "after the end of the text" if place.is_ended else "there"
        return InputError(
            f"token {piece!r} at position {self.start + misfit} does not follow the "
            f"{self.grammar.kind}, which does not allow it {where}; undo it, or take "
            "the grammar out of the processors"
        )

    def _allowed(self, logits: Logits, context: TokenIds) -> TokenMask:
        place, left = self._place(context), self._left(context)
        if left is None or not 0 < left <= self._horizon or place.forced:
            return place.allowed
        home = self._home(place, tuple(context[self.start :].tolist()), left)
        if home is None or place.is_ended:
            return place.allowed  # too late, or over: nothing can be saved
        tried = {*_likeliest(logits, np.flatnonzero(place.allowed)), *home[:1]}
        fitting = [t for t in tried if self._fits(t, place, home, left)]
        is_near = left - len(home) < NEARNESS
        allowed = np.zeros_like(place.allowed) if is_near else place.allowed.copy()
        allowed[list(tried)] = False
        allowed[fitting] = True
        ends = list(self.vocabulary.end_tokens)
        allowed[ends] = place.allowed[ends]
        return allowed

    @property
    def _horizon(self) -> int:
        return HORIZON + 2 * len(self._trail.homes.get((), ()))

    def _left(self, context: TokenIds) -> int | None:
        if self.max_new_tokens is None:
            return None
        return self.start + self.max_new_tokens - len(context)

    def _home(self, place: Place, text: Tokens, left: int) -> Tokens | None:
        """Return a known end of the text, or search for one that fits."""
        home = self._trail.homes.get(text)
        if home is None and text:
            home = _shared_home(place, self._trail.homes.get(text[:-1]), text[-1])
        if home is None or len(home) > left:
            search = straight_completion if text else completion
            home = search(place, left)
        if home is not None:
            self._trail.homes[text] = home
        return home

    def _fits(self, token: int, place: Place, home: Tokens, left: int) -> bool:
        """Tell whether the text can be finished in time after this token."""
        following = place.after(token) if place.allowed[token] else None
        if following is None:
            return False
        end = _shared_home(following, home, token)
        if end is None or len(end) > left - 1:
            end = straight_completion(following, left - 1)
        return end is not None

    def _reason_of_limit(
        self, token: int, place: Place, context: TokenIds
    ) -> str | None:
        left = self._left(context)
        if left is None or not 0 < left <= self._horizon or place.forced:
            return None
        home = self._home(place, tuple(context[self.start :].tolist()), left)
        is_end = token in self.vocabulary.end_tokens
        if home is None or is_end or self._fits(token, place, home, left):
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


class _Trail(OrderedDict[tuple[int, ...], "Place"]):
    """Places by the tokens that led there, the newest of them and the first.

    Attributes:
        first: the place before the first token.
        homes: a known end for some of the texts.
        lock: held by whoever looks something up; a place is worked out only once.
    """

    def __init__(self, first: Place) -> None:
        super().__init__({(): first})
        self.first = first
        self.homes: dict[Tokens, Tokens] = {}
        self.lock = threading.RLock()

    def keep(self, text: Tokens, place: Place) -> Place:
        """Keep one more place, and return it."""
        self[text] = place
        if len(self) > KEPT_PLACES:
            oldest = next(key for key in self if key)
            del self[oldest]
            self.homes.pop(oldest, None)
        return place


def _likeliest(logits: Logits, tokens: TokenIds) -> Tokens:
    """Return the likeliest of these tokens, as many as are tested."""
    if len(tokens) > TESTED:
        tokens = tokens[np.argpartition(logits[tokens], -TESTED)[-TESTED:]]
    return tuple(tokens.tolist())


def _shared_home(place: Place, home: Tokens | None, token: int) -> Tokens | None:
    """Return the end that was known before `token`, or its rest, if it still fits."""
    if home is None:
        return None
    if home[:1] == (token,):
        return home[1:]
    rests = (home[count:] for count in range(min(len(home), SHARED) + 1))
    return next((rest for rest in rests if place.is_completed_by(rest)), None)
