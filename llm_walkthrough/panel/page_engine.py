"""The cache as a map, and the arrays that a run was fed as a table."""

from __future__ import annotations

from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel.watched import CacheFacts, FedArray, Feed
from llm_walkthrough.panel.wording import cut
from llm_walkthrough.views import Vocabulary

_PIECES = 3


def cache_section(facts: CacheFacts, prompt_length: int, written: int) -> str:
    """Draw a cache: the prompt, what was made, and what the last run has written."""
    old, last = facts.length - written, facts.length - 1
    prompt, made = min(old, prompt_length), max(0, old - prompt_length)
    parts = {"prompt": prompt, "made": made, "new": written}
    slots = f"slots {old} to {last}" if written else "nothing"
    slots = f"slot {last}" if written == 1 else slots
    return filled("panel/cache.html", facts=facts, parts=parts, slots=slots)


def feed_table(feed: Feed, before: Feed | None, vocabulary: Vocabulary) -> str:
    """Write a row for each kind of array, with what changed since another feed."""
    shapes = {array.name: array.shape for array in before.arrays} if before else {}
    rows = []
    for array in feed.arrays:
        old = shapes.get(array.name)
        if "input_ids" in array.name:
            change = _first_pieces(feed, vocabulary)
        else:
            change = "the first run" if old is None else _growth(array, old)
        is_comparable = old is not None and len(old) == len(array.shape)
        rows.append((array, old if is_comparable else array.shape, change))
    return filled("panel/feed.html", rows=rows)


def _first_pieces(feed: Feed, vocabulary: Vocabulary) -> str:
    pieces = [cut(vocabulary.piece(token)) for token in feed.tokens[:_PIECES]]
    more = len(feed.tokens) - len(pieces)
    return " ".join(pieces) + (f" … and {more} more" if more > 0 else "")


def _growth(array: FedArray, old: tuple[int, ...]) -> str:
    grown = [a - b for a, b in zip(array.shape, old, strict=True) if a != b]
    return f"{grown[0]:+,} wide" if grown else "the same shape"
