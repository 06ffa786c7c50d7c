"""Exercises of notebook 07: chunks, what may stay in a cache, making room.

Pure functions of token ids and counts. Knows nothing of models or caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.exercises.exercise import OTHERWISE, Attempt, Exercise, When


def _chunk_lengths(t: Attempt) -> dict[str, Any]:
    lengths = [np.size(chunk) for chunk in t.given]
    return {
        "lengths": lengths,
        "longest": max(lengths, default=0),
        "num_missing": len(t.tokens) - sum(lengths),
        "joined": [token for chunk in t.given for token in np.ravel(chunk)],
    }


check_chunks = Exercise(
    task="a function (tokens, size) -> the tokens in pieces of `size`, in order",
    right=lambda tokens, size: [
        tokens[start : start + size] for start in range(0, len(tokens), size)
    ],
    cases=[(np.arange(100, 100 + n, dtype=np.int64), 4) for n in (10, 8, 3)],
    case="{tokens.size} tokens in chunks of {size}: ",
    also=_chunk_lengths,
    hints={
        "each chunk must be an array with one axis.": When(
            lambda t: any(np.ndim(chunk) != 1 for chunk in t.given)
        ),
        "one chunk is empty, and a run needs at least one token.": When(
            lambda t: 0 in t.lengths
        ),
        "{num_missing} tokens are in no chunk; what of the last, shorter one?": When(
            lambda t: t.num_missing > 0
        ),
        "some tokens are in two chunks; where one ends, the next begins.": When(
            lambda t: t.num_missing < 0
        ),
        "joined together, the chunks are not the tokens in their order.": When(
            lambda t: t.joined != t.tokens.tolist()
        ),
        "the longest chunk has {longest} tokens; `size` is not a count.": When(
            lambda t: t.longest > t.size
        ),
        "the lengths are {lengths}; only the last chunk may be shorter.": OTHERWISE,
    },
    praise="Every token is in one chunk, the short last chunk included.",
)


def _agreeing(cached: TokenIds, wanted: TokenIds) -> int:
    """Count the tokens that both begin with."""
    both = min(len(cached), len(wanted))
    return int(np.argmin([*(cached[:both] == wanted[:both]), False]))


_DOCUMENT = np.arange(20, 32, dtype=np.int64)
_FIRST = np.append(_DOCUMENT, [1, 2, 3, 9])
_SECOND = np.append(_DOCUMENT, [4, 3, 7, 9, 9])
_REUSABLE = {
    "another question about the same document": (_FIRST, _SECOND),
    "a second turn": (_FIRST, np.append(_FIRST, [5, 6])),
    "another beginning": (_FIRST[::-1], _FIRST),
    "the same prompt once more": (_FIRST, _FIRST),
    "a prompt that the cache has seen and more": (_FIRST, _FIRST[:14]),
}

check_reusable = Exercise(
    task="a function (cached, wanted) -> the length that the cache is cut back to",
    right=lambda cached, wanted: min(_agreeing(cached, wanted), len(wanted) - 1),
    cases=[*_REUSABLE.values()],
    case="In the case of {name}, ",
    also=lambda t: {"name": [*_REUSABLE][t.place]},
    hints={
        "{given} leaves no token to run; which run would give the logits that the "
        "answer begins with?": When(lambda t: t.given == len(t.wanted)),
        "{given} counts tokens that agree behind the first difference, but they were "
        "computed after other tokens.": lambda cached, wanted: sum(
            old == new for old, new in zip(cached, wanted[:-1], strict=False)
        ),
        "{given} counts tokens that stand in both; they must be in one place.": (
            lambda cached, wanted: len(np.intersect1d(cached, wanted))
        ),
        "{given} is too long: row {right} does not fit the new prompt.": When(
            lambda t: t.given > t.right
        ),
        "{given} is too short: "
        "more tokens than that agree from the beginning on.": OTHERWISE,
    },
    praise="All that both begin with stays, and one token at least is left to run.",
)


def _kept_turns(turns: list[int], capacity: int, answer_room: int) -> list[int]:
    kept = list(range(len(turns)))
    while len(kept) > 1 and sum(turns[i] for i in kept) + answer_room > capacity:
        del kept[1]
    return kept


check_kept_turns = Exercise(
    task="a function (turns, capacity, answer_room) -> places of what stays",
    right=_kept_turns,
    cases=[
        ([10, 40, 30, 20, 25], capacity, room)
        for capacity, room in ((200, 50), (120, 40), (125, 40), (115, 30), (60, 40))
    ],
    case="{turns} tokens, capacity {capacity}, room for {answer_room}: ",
    also=lambda t: {
        "excess": sum(t.turns[i] for i in t.given) + t.answer_room - t.capacity
    },
    hints={
        "return places in the list, not numbers of tokens.": When(
            lambda t: not set(t.given) <= set(range(len(t.turns)))
        ),
        "message 0 is gone, and with it how the model shall behave.": When(
            lambda t: 0 not in t.given
        ),
        "the right messages, but not in the order of the chat.": When(
            lambda t: sorted(t.given) == t.right
        ),
        "they fit, but the answer has no room left.": (
            lambda turns, capacity, _: _kept_turns(turns, capacity, 0)
        ),
        "a message is left out that fits exactly; compare with `<=`.": (
            lambda turns, capacity, room: _kept_turns(turns, capacity, room + 1)
        ),
        "together with the answer that is {excess} tokens too many.": When(
            lambda t: t.excess > 0
        ),
        "more messages are left out than necessary.": When(
            lambda t: len(t.given) < len(t.right) and t.right[-1] in t.given
        ),
        "newer messages are gone while older ones stay; "
        "the oldest go first.": OTHERWISE,
    },
    praise="The first message stays, the oldest others go, and the answer has room.",
)
