"""Ends that a grammar allows a text, found in few tokens.

What is found is an end, not always the nearest one: always taking the token that most
likely ends something does it for nearly every grammar, and for the others one more
sign, or a search that tries several tokens. Knows nothing of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.constraints.matcher import GrammarState, GrammarVocabulary

Tokens = tuple[int, ...]

WIDTH = 8  # continuations of one length that the search follows
CHOICES = 5  # tokens that it tries where there is a choice
SHARED = 8  # tokens of a known ending that may be done already when it is tried again
REPEATED = 3  # times that one sign is tried, where nothing else ends a text
FREE = 0.1  # where a larger share of all tokens may come, a text is written: a string
NEVER_FREE = 1.0  # nowhere may more than all of them come

_ENDING = frozenset(b'"]}')
_LATER = frozenset(b"[{(<-+")  # opens something, or begins a number that need not be


class _Continuation(NamedTuple):
    """Some tokens, and the state that they lead to."""

    tokens: Tokens
    state: GrammarState

    def longer(self, choices: int, free: float) -> Iterator[_Continuation]:
        """Yield this one with the forced tokens after it, or with one of a few."""
        forced = self.state.forced
        for tokens in [forced] if forced else _choices(self.state, choices, free):
            state: GrammarState | None = self.state
            for token in tokens:
                state = state and state.after(token)
            if state is not None:
                yield _Continuation((*self.tokens, *tokens), state)


def completion(state: GrammarState, max_tokens: int) -> Tokens | None:
    """Return few tokens after which the text is complete; None if none were found."""
    found = fast_completion(state, max_tokens)
    return _searched(state, max_tokens) if found is None else found


def fast_completion(state: GrammarState, max_tokens: int) -> Tokens | None:
    """Return the same, found fast or not at all: never look at a second choice."""
    for free in (FREE, NEVER_FREE):
        tried: _Continuation | None = _Continuation((), state)
        while tried is not None and len(tried.tokens) <= max_tokens:
            if tried.state.is_complete:
                return tried.tokens
            tried = next(tried.longer(1, free), None)
    signs = (  # a full stop, or an empty line, which is one sign twice
        (token,) * count
        for count in range(1, min(REPEATED, max_tokens) + 1)
        for token in _characters(state.vocabulary)
    )
    return next((end for end in signs if state.is_completed_by(end)), None)


class Spot(NamedTuple):
    """A state of a text, and an ending that fits; the same tokens lead to the same."""

    state: GrammarState
    ending: Tokens | None

    def ending_after(self, token: int, state: GrammarState, left: int) -> Tokens | None:
        """Return an ending within `left` tokens after `token`: the known one first."""
        known, ending = self.ending, None
        if known is not None and known[:1] == (token,):
            ending = known[1:]
        elif known is not None:
            rests = (known[count:] for count in range(min(len(known), SHARED) + 1))
            ending = next(filter(state.is_completed_by, rests), None)
        if ending is None or len(ending) > left:
            ending = fast_completion(state, left)
        return ending

    def can_end_after(self, token: int, left: int) -> bool:
        """Tell whether the text can be finished in `left` tokens, this one included."""
        state = self.state.after(token)
        ending = None if state is None else self.ending_after(token, state, left - 1)
        return ending is not None


def _searched(state: GrammarState, max_tokens: int) -> Tokens | None:
    """Follow the most promising continuations of each length."""
    by_length = {0: [_Continuation((), state)]}
    for length in range(max_tokens + 1):
        tried = by_length.pop(length, [])
        for one in tried:
            if one.state.is_complete:
                return one.tokens
        if len(tried) > WIDTH:  # where few tokens may come, an end is nearer
            tried = sorted(tried, key=lambda one: one.state.allowed.sum())[:WIDTH]
        for longer in (longer for one in tried for longer in one.longer(CHOICES, FREE)):
            # forced tokens come together, so that lengths are left out
            by_length.setdefault(len(longer.tokens), []).append(longer)
        if not by_length:
            break
    return None


def _choices(state: GrammarState, count: int, free: float) -> list[Tokens]:
    """Return a few allowed tokens, each with another first byte."""
    is_free = bool(state.allowed.mean() > free)
    by_preference, first_bytes = _preferences(state.vocabulary, is_free=is_free)
    is_allowed = state.allowed[by_preference]
    if count == 1:  # without a look at all the others
        first = int(is_allowed.argmax())
        return [(int(by_preference[first]),)] if is_allowed[first] else []
    allowed = np.flatnonzero(is_allowed)
    _, first_of_byte = np.unique(first_bytes[allowed], return_index=True)
    chosen = by_preference[allowed[np.sort(first_of_byte)[:count]]]
    return [(token,) for token in chosen.tolist()]


@lru_cache(maxsize=8)
def _preferences(
    vocabulary: GrammarVocabulary, *, is_free: bool
) -> tuple[TokenIds, np.ndarray]:
    """Return token ids, the most preferred first, and each one's first byte (uint8)."""
    spelled, preference = vocabulary.spelled, _in_free_text if is_free else _between
    order = sorted(_with_text(vocabulary), key=lambda token: preference(spelled[token]))
    return np.array(order), np.array([spelled[t][0] for t in order], np.uint8)


@lru_cache(maxsize=8)
def _characters(vocabulary: GrammarVocabulary) -> Tokens:
    """Return the tokens of one ASCII character, signs before letters and figures."""
    spelled = vocabulary.spelled
    texts = _with_text(vocabulary)
    ids = [t for t in texts if len(spelled[t]) == 1 and spelled[t].isascii()]
    return tuple(sorted(ids, key=lambda token: spelled[token].isalnum()))


def _with_text(vocabulary: GrammarVocabulary) -> list[int]:
    special = vocabulary.tokenizer.special_tokens
    return [t for t, text in enumerate(vocabulary.spelled) if text and t not in special]


def _in_free_text(text: bytes) -> tuple[int, ...]:
    """Quotes first, which end a string; then the longest, where it has a length."""
    is_end = text.startswith(b'"') and _ENDING.issuperset(text)
    return not is_end, -len(text)


def _between(text: bytes) -> tuple[int, ...]:
    """What ends something, other signs, words and numbers, what opens something.

    A sign is more likely than a letter to be where a pattern goes on. A zero comes
    last, since a number above 0 may begin with any number of them.
    """
    if _ENDING.issuperset(text):
        return (1 if b'"' in text else 0), -len(text)
    if text.strip().isalnum():
        return 3, -len(text), text.startswith(b"0")
    if not text.isascii() or _LATER.intersection(text) or text[:1].isspace():
        return (4 if text.strip() else 5), len(text)
    return 2, -len(text)
