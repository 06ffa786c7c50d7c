"""How is a text brought to an end that its grammar allows, in few tokens?

A beam search from a place in the grammar: of the ways of each length only the most
promising are followed, so what it finds is an end, not always the nearest one. Knows
nothing of the model: nobody is asked how likely the end is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.matcher import GrammarVocabulary, Place

    Tokens = tuple[int, ...]

WIDTH = 8
"""Ways of one length that are followed."""
CHOICES = 5
"""Tokens that are tried where there is a choice."""

_OPENING, _CLOSING = b"[{(<", b"]})>"
_ENDINGS = frozenset(b"\"'" + _CLOSING)


@dataclass(frozen=True)
class _Way:
    """Some tokens, and the place that they lead to."""

    tokens: Tokens
    place: Place
    depth: int  # brackets opened and not closed

    @property
    def cost(self) -> tuple[int, int]:
        """Fewer open brackets first, then places that leave less choice."""
        return self.depth, int(self.place.allowed.sum())

    def with_tokens(self, added: Tokens) -> _Way | None:
        """Return the way that goes on with these; None if they do not fit."""
        place, depth = self.place, self.depth
        for token in added:
            text = place.vocabulary.spelled[token]
            depth += sum(byte in _OPENING for byte in text)
            depth -= sum(byte in _CLOSING for byte in text)
            following = place.after(token)
            if following is None:
                return None
            place = following
        return _Way((*self.tokens, *added), place, depth)


def completion(place: Place, max_tokens: int) -> Tokens | None:
    """Return tokens after which the text is complete, without an end token.

    Args:
        place: where the text is now.
        max_tokens: the most that may be used.

    Returns:
        As few as the search could find; None if it found none within the limit.
    """
    by_length = {0: [_Way((), place, 0)]}
    for length in range(max_tokens + 1):
        ways = by_length.pop(length, [])
        for way in ways:
            if way.place.is_complete:
                return way.tokens
        if len(ways) > WIDTH:
            ways = sorted(ways, key=lambda way: way.cost)[:WIDTH]
        for longer in (longer for way in ways for longer in _longer(way, max_tokens)):
            by_length.setdefault(len(longer.tokens), []).append(longer)
        if not by_length:
            break
    return None


def is_completion(place: Place, tokens: Tokens) -> bool:
    """Tell whether the text is complete after these tokens."""
    way = _Way((), place, 0).with_tokens(tokens)
    return way is not None and way.place.is_complete


def _longer(way: _Way, max_tokens: int) -> Iterator[_Way]:
    place = way.place
    if len(way.tokens) + len(place.forced) > max_tokens:
        return
    tries = [place.forced] if place.forced else [(t,) for t in _choices(place)]
    for tokens in tries:
        longer = way.with_tokens(tokens)
        if longer is not None:
            yield longer


def _choices(place: Place) -> list[int]:
    """Return a few allowed tokens that differ: what ends something first."""
    by_preference, first_bytes, num_endings = _preferences(place.vocabulary)
    is_allowed = place.allowed[by_preference]
    endings = by_preference[:num_endings][is_allowed[:num_endings]][:2]
    others = np.flatnonzero(is_allowed[num_endings:]) + num_endings
    first_of_byte = np.full(256, len(by_preference))
    # of equal bytes the last assignment stays, so the most preferred comes last
    first_of_byte[first_bytes[others[::-1]]] = others[::-1]
    found = np.sort(first_of_byte)[: CHOICES - len(endings)]
    return [
        *endings.tolist(),
        *by_preference[found[found < len(by_preference)]].tolist(),
    ]


@lru_cache(maxsize=4)
def _preferences(vocabulary: GrammarVocabulary) -> tuple[TokenIds, TokenIds, int]:
    """Sort the tokens by how soon they may lead to an end.

    Returns:
        Token ids, the most preferred first; the first byte of each; and how many of
        them consist of endings alone, such as `"}]`.
    """
    special = vocabulary.tokenizer.special_tokens
    ids = [t for t, s in enumerate(vocabulary.spelled) if s and t not in special]
    order = sorted(ids, key=lambda token: _preference(vocabulary.spelled[token]))
    endings = sum(_ENDINGS.issuperset(vocabulary.spelled[token]) for token in order)
    first = [vocabulary.spelled[token][0] for token in order]
    return np.array(order), np.array(first), endings


def _preference(text: bytes) -> tuple[int, int]:
    """Endings first, then other signs, letters and digits, and the rest; longest first.

    A sign is more likely than a letter to be where a pattern goes on.
    """
    if _ENDINGS.issuperset(text):
        group = 0
    elif text.isalnum():
        group = 2
    else:
        group = 1 if text.isascii() and not text[:1].isspace() else 3
    return group, -len(text)
