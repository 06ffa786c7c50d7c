"""How is a text brought to an end that its grammar allows, in few tokens?

What is found is an end, not always the nearest one: always taking the token that most
likely ends something does it for nearly every grammar, and for the others one more
sign, or a search that follows several ways. Knows nothing of the model: nobody is asked
how likely the end is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.constraints.matcher import GrammarVocabulary, Place

    Tokens = tuple[int, ...]

WIDTH = 8
"""Ways of one length that the search follows."""
CHOICES = 5
"""Tokens that it tries where there is a choice."""

SHARED = 8
"""How many tokens of a known end may be done already when it is tried again."""

REPEATED = 3
"""How often one sign is tried, where nothing else ends a text."""

FREE = 0.1
"""Where a larger share of all tokens may come, a text is written, such as a string."""

NEVER_FREE = 1.0
"""Nowhere may more than all of them come."""

_ENDING = frozenset(b'"]}')
_LATER = frozenset(b"[{(<-+")  # opens something, or begins a number that need not be


@dataclass(frozen=True)
class _Way:
    """Some tokens, and the place that they lead to."""

    tokens: Tokens
    place: Place

    @property
    def freedom(self) -> int:
        """How many tokens may come next; where few may, an end is nearer."""
        return int(self.place.allowed.sum())

    def longer(self, choices: int, free: float) -> Iterator[_Way]:
        """Yield the ways that go on from here: the forced one, or a few."""
        forced = self.place.forced
        for tokens in [forced] if forced else _choices(self.place, choices, free):
            place: Place | None = self.place
            for token in tokens:
                place = None if place is None else place.after(token)
            if place is not None:
                yield _Way((*self.tokens, *tokens), place)


def completion(place: Place, max_tokens: int) -> Tokens | None:
    """Return tokens after which the text is complete, without an end token.

    Args:
        place: where the text is now.
        max_tokens: the most that may be used.

    Returns:
        As few as could be found; None if none were found within the limit.
    """
    found = _fast_completion(place, max_tokens)
    return _searched(place, max_tokens) if found is None else found


def straight_completion(place: Place, max_tokens: int) -> Tokens | None:
    """Return the same, found fast or not at all: never look at a second choice."""
    end = _straight(place, max_tokens, FREE)
    return _straight(place, max_tokens, NEVER_FREE) if end is None else end


class Spot(NamedTuple):
    """A place in a text, and a way to its end that is known to fit.

    It follows from the spot before and one token, so that whoever comes here by the
    same tokens finds the same.
    """

    place: Place
    home: Tokens | None

    def home_after(self, token: int, place: Place, left: int) -> Tokens | None:
        """Return a way to the end from the place after one more token."""
        home = _shared(place, self.home, token)
        if home is None or len(home) > left:
            home = _fast_completion(place, left)
        return home

    def can_end_after(self, token: int, left: int) -> bool:
        """Tell whether the text can be finished in time after this token."""
        place = self.place.after(token)
        return place is not None and self.home_after(token, place, left - 1) is not None


def _fast_completion(place: Place, max_tokens: int) -> Tokens | None:
    straight = straight_completion(place, max_tokens)
    return _by_one_sign(place, max_tokens) if straight is None else straight


def _by_one_sign(place: Place, max_tokens: int) -> Tokens | None:
    """Try one character, also several times: a full stop, or an empty line."""
    ends = (
        (token,) * count
        for count in range(1, min(REPEATED, max_tokens) + 1)
        for token in _characters(place.vocabulary)
    )
    return next((end for end in ends if place.is_completed_by(end)), None)


def _straight(place: Place, max_tokens: int, free: float) -> Tokens | None:
    way: _Way | None = _Way((), place)
    while way is not None and len(way.tokens) <= max_tokens:
        if way.place.is_complete:
            return way.tokens
        way = next(way.longer(1, free), None)
    return None


def _searched(place: Place, max_tokens: int) -> Tokens | None:
    """Follow the most promising ways of each length."""
    by_length = {0: [_Way((), place)]}
    for length in range(max_tokens + 1):
        ways = by_length.pop(length, [])
        for way in ways:
            if way.place.is_complete:
                return way.tokens
        if len(ways) > WIDTH:
            ways = sorted(ways, key=lambda way: way.freedom)[:WIDTH]
        for longer in (longer for way in ways for longer in way.longer(CHOICES, FREE)):
            by_length.setdefault(len(longer.tokens), []).append(longer)
        if not by_length:
            break
    return None


def _shared(place: Place, home: Tokens | None, token: int) -> Tokens | None:
    """Return the end that was known before `token`, or its rest, if it still fits."""
    if home is None:
        return None
    if home[:1] == (token,):
        return home[1:]
    rests = (home[count:] for count in range(min(len(home), SHARED) + 1))
    return next((rest for rest in rests if place.is_completed_by(rest)), None)


def _choices(place: Place, count: int, free: float) -> list[Tokens]:
    """Return a few allowed tokens, each with another first byte."""
    is_free = place.allowed.mean() > free
    by_preference, first_bytes = _preferences(place.vocabulary, is_free=bool(is_free))
    is_allowed = place.allowed[by_preference]
    if count == 1:
        first = int(is_allowed.argmax())
        return [(int(by_preference[first]),)] if is_allowed[first] else []
    allowed = np.flatnonzero(is_allowed)
    first_of_byte = np.full(256, len(by_preference))
    # of equal bytes the last assignment stays, so the most preferred comes last
    first_of_byte[first_bytes[allowed[::-1]]] = allowed[::-1]
    found = np.sort(first_of_byte)[:count]
    found = found[found < len(by_preference)]
    return [(token,) for token in by_preference[found].tolist()]


@lru_cache(maxsize=8)
def _preferences(
    vocabulary: GrammarVocabulary, *, is_free: bool
) -> tuple[TokenIds, TokenIds]:
    """Return token ids, the most preferred first, and the first byte of each."""
    special = vocabulary.tokenizer.special_tokens
    spelled = vocabulary.spelled
    ids = [t for t, text in enumerate(spelled) if text and t not in special]
    preference = _in_free_text if is_free else _between_texts
    order = sorted(ids, key=lambda token: preference(spelled[token]))
    return np.array(order), np.array([spelled[token][0] for token in order])


@lru_cache(maxsize=8)
def _characters(vocabulary: GrammarVocabulary) -> Tokens:
    """Return the tokens of one ASCII character, signs before letters and figures."""
    spelled, special = vocabulary.spelled, vocabulary.tokenizer.special_tokens
    ids = [
        token
        for token, text in enumerate(spelled)
        if len(text) == 1 and text.isascii() and token not in special
    ]
    return tuple(sorted(ids, key=lambda token: spelled[token].isalnum()))


def _in_free_text(text: bytes) -> tuple[bool, int]:
    """Quotes first, which end a string; then the longest, where it has a length."""
    is_end = text.startswith(b'"') and _ENDING.issuperset(text)
    return not is_end, -len(text)


def _between_texts(text: bytes) -> tuple[int, int, bool]:
    """What ends something, other signs, words and numbers, what opens something.

    A sign is more likely than a letter to be where a pattern goes on. A zero comes
    last, since a number above 0 may begin with any number of them.
    """
    if _ENDING.issuperset(text):
        return (1 if b'"' in text else 0), -len(text), False
    if text.strip().isalnum():
        return 3, -len(text), text.startswith(b"0")
    if not text.isascii() or _LATER.intersection(text) or text[:1].isspace():
        return (4 if text.strip() else 5), len(text), False
    return 2, -len(text), False
