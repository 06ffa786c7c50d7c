"""Exercises of notebook 07: chunks, what may stay in a cache, making room.

Pure functions of token ids and counts. Knows nothing of models or caches.
"""

from __future__ import annotations

from operator import eq
from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import Attempt, When


def _chunk_lengths(t: Attempt) -> dict[str, Any]:
    lengths = [np.size(chunk) for chunk in t.given]
    return {
        "lengths": lengths,
        "longest": max(lengths, default=0),
        "num_missing": len(t.tokens) - sum(lengths),
        "joined": [token for chunk in t.given for token in np.ravel(chunk)],
    }


check_chunks = Exercise(
    texts_of("long_context.chunks"),
    right=lambda tokens, size: [
        tokens[start : start + size] for start in range(0, len(tokens), size)
    ],
    cases=[(np.arange(100, 100 + n, dtype=np.int64), 4) for n in (10, 8, 3)],
    also=_chunk_lengths,
    hints={
        "has_other_axes": When(lambda t: any(np.ndim(chunk) != 1 for chunk in t.given)),
        "has_an_empty_chunk": When(lambda t: 0 in t.lengths),
        "misses_tokens": When(lambda t: t.num_missing > 0),
        "overlaps": When(lambda t: t.num_missing < 0),
        "has_another_order": When(lambda t: t.joined != t.tokens.tolist()),
        "has_a_long_chunk": When(lambda t: t.longest > t.size),
    },
)


def _reusable(cached: TokenIds, wanted: TokenIds) -> int:
    """Count the tokens that both begin with, but leave one to run."""
    both = min(len(cached), len(wanted) - 1)
    return int(np.argmin([*(cached[:both] == wanted[:both]), False]))


_DOCUMENT = np.arange(20, 32, dtype=np.int64)
_PROMPT = np.append(_DOCUMENT, [1, 2, 3, 9])

check_reusable = Exercise(
    texts_of("long_context.reusable"),
    right=_reusable,
    cases=[
        (_PROMPT, np.append(_DOCUMENT, [4, 3, 7, 9, 9])),
        (_PROMPT, np.append(_PROMPT, [5, 6])),
        (_PROMPT[::-1], _PROMPT),
        (_PROMPT, _PROMPT),
        (_PROMPT, _PROMPT[:14]),
    ],
    hints={
        "leaves_none_to_run": When(lambda t: t.given == len(t.wanted)),
        "counts_behind_a_difference": lambda cached, wanted: sum(
            map(eq, cached, wanted[:-1])
        ),
        "counts_in_any_place": lambda old, new: len(np.intersect1d(old, new)),
        "is_too_long": When(lambda t: t.given > t.right),
    },
)


def _kept_turns(turns: list[int], capacity: int, answer_room: int) -> list[int]:
    kept = list(range(len(turns)))
    while len(kept) > 1 and sum(turns[i] for i in kept) + answer_room > capacity:
        del kept[1]
    return kept


check_kept_turns = Exercise(
    texts_of("long_context.kept_turns"),
    right=_kept_turns,
    cases=[
        ([10, 40, 30, 20, 25], capacity, room)
        for capacity, room in ((200, 50), (120, 40), (125, 40), (115, 30), (72, 40))
    ],
    also=lambda t: {
        "excess": sum(t.turns[i] for i in t.given) + t.answer_room - t.capacity
    },
    hints={
        "gives_no_places": When(lambda t: not {*t.given} <= {*range(len(t.turns))}),
        "drops_the_first": When(lambda t: 0 not in t.given),
        "has_another_order": When(lambda t: sorted(t.given) == t.right),
        "leaves_no_room": lambda turns, capacity, _: _kept_turns(turns, capacity, 0),
        "drops_what_fits": lambda turns, most, room: _kept_turns(turns, most - 1, room),
        "is_too_much": When(lambda t: t.excess > 0),
        "drops_too_many": When(lambda t: {*t.given} < {*t.right}),
    },
)
