"""Are the answers of notebook 07 right: chunks, what may stay in a cache, making room?

Pure functions of token ids and counts. Knows nothing of models or caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_walkthrough.arrays import TokenIds

    Chunks = Callable[[TokenIds, int], Sequence[TokenIds]]
    Reusable = Callable[[TokenIds, TokenIds], int]
    Turns = Callable[[list[int], int, int], Sequence[int]]


# --- chunks -------------------------------------------------------------------------
def check_chunks(answer: Chunks) -> Verdict:
    """Judge (tokens, size) -> list of the tokens in pieces of `size`, in order."""

    def hint(function: Chunks) -> str | None:
        for count, size in ((10, 4), (8, 4), (3, 4)):
            tokens = np.arange(100, 100 + count, dtype=np.int64)
            found = _chunks_hint(called(function, tokens.copy(), size), tokens, size)
            if found:
                return f"{count} tokens in chunks of {size}: {found}"
        return None

    praise = "Every token is in one chunk, the short last chunk included."
    return first_failing(answer, [hint], praise)


def _chunks_hint(given: Sequence[TokenIds], tokens: TokenIds, size: int) -> str | None:
    chunks = [np.asarray(chunk) for chunk in given]
    if any(chunk.ndim != 1 for chunk in chunks):
        return "each chunk must be an array with one axis."
    if any(len(chunk) == 0 for chunk in chunks):
        return "one chunk is empty, and a run needs at least one token."
    joined = np.concatenate(chunks) if chunks else tokens[:0]
    return _joined_hint(joined, tokens) or _lengths_hint(
        [len(chunk) for chunk in chunks], len(tokens), size
    )


def _joined_hint(joined: TokenIds, tokens: TokenIds) -> str | None:
    missing = len(tokens) - len(joined)
    if missing > 0:
        return f"{missing} tokens are in no chunk; what of the last, shorter one?"
    if missing < 0:
        return "some tokens are in two chunks; where one ends, the next begins."
    if not np.array_equal(joined, tokens):
        return "joined together, the chunks are not the tokens in their order."
    return None


def _lengths_hint(lengths: list[int], count: int, size: int) -> str | None:
    if lengths == [min(size, count - start) for start in range(0, count, size)]:
        return None
    if max(lengths) > size:
        return f"the longest chunk has {max(lengths)} tokens; `size` is not a count."
    return f"the lengths are {lengths}; only the last chunk may be shorter."


# --- what may stay ------------------------------------------------------------------
def check_reusable(answer: Reusable) -> Verdict:
    """Judge (cached, wanted) -> the length to which the cache must be cut back."""
    document = np.arange(20, 32, dtype=np.int64)
    first = np.array([*document, 1, 2, 3, 9], np.int64)

    def hint(function: Reusable) -> str | None:
        other = np.array([*document, 4, 3, 7, 9, 9], np.int64)
        cases = (
            (first, other, 12, "another question about the same document"),
            (first, np.append(first, [5, 6]), 16, "a second turn"),
            (first[::-1], first, 0, "another beginning"),
            (first, first, 15, "the same prompt once more"),
            (first, first[:14], 13, "a prompt that the cache has seen and more"),
        )
        for cached, wanted, length, name in cases:
            given = int(called(function, cached.copy(), wanted.copy()))
            found = _reusable_hint(given, length, cached, wanted)
            if found:
                return f"In the case of {name}, {found}"
        return None

    praise = "All that both begin with stays, and one token at least is left to run."
    return first_failing(answer, [hint], praise)


def _reusable_hint(
    given: int, length: int, cached: TokenIds, wanted: TokenIds
) -> str | None:
    if given == length:
        return None
    both = min(len(cached), len(wanted))
    equal = int((cached[:both] == wanted[:both]).sum())
    if given == len(wanted):
        return (
            f"{given} leaves no token to run; which run would give the logits that the "
            "answer begins with?"
        )
    if given == equal and equal > length:
        return (
            f"{given} counts tokens that agree behind the first difference, but they "
            "were computed after other tokens."
        )
    if given == len(np.intersect1d(cached, wanted)) and given > length:
        return f"{given} counts tokens that stand in both; they must be in one place."
    if given > length:
        return f"{given} is too long: row {length} does not fit the new prompt."
    return f"{given} is too short: more tokens than that agree from the beginning on."


# --- making room --------------------------------------------------------------------
def check_kept_turns(answer: Turns) -> Verdict:
    """Judge (turns, capacity, answer_room) -> places of the messages that stay."""

    def hint(function: Turns) -> str | None:
        turns = [10, 40, 30, 20, 25]
        cases = ((200, 50), (120, 40), (125, 40), (115, 30), (60, 40))
        for capacity, room in cases:
            kept = called(function, list(turns), capacity, room)
            found = _turns_hint([int(i) for i in kept], turns, capacity, room)
            if found:
                sizes = f"{turns} tokens, capacity {capacity}, room for {room}"
                return f"{sizes}: {found}"
        return None

    praise = "The first message stays, the oldest others go, and the answer has room."
    return first_failing(answer, [hint], praise)


def _kept_turns(turns: Sequence[int], capacity: int, answer_room: int) -> list[int]:
    """Return the places of the messages that stay: the first, and the newest."""
    for start in range(1, len(turns)):
        if turns[0] + sum(turns[start:]) + answer_room <= capacity:
            return [0, *range(start, len(turns))]
    return [0]


def _turns_hint(
    given: list[int], turns: Sequence[int], capacity: int, room: int
) -> str | None:
    wanted = _kept_turns(turns, capacity, room)
    if given == wanted:
        return None
    if not set(given) <= set(range(len(turns))):
        return "return places in the list, not numbers of tokens."
    if 0 not in given:
        return "message 0 is gone, and with it how the model shall behave."
    mistakes = (
        (sorted(wanted), "the right messages, but not in the order of the chat."),
        (_kept_turns(turns, capacity, 0), "they fit, but the answer has no room left."),
        (
            _kept_turns(turns, capacity, room + 1),
            "a message is left out that fits exactly; compare with `<=`.",
        ),
    )
    for mistake, hint in mistakes:
        if sorted(given) == mistake:
            return hint
    return _choice_hint(given, wanted, sum(turns[i] for i in given) + room - capacity)


def _choice_hint(given: list[int], wanted: list[int], excess: int) -> str:
    if excess > 0:
        return f"together with the answer that is {excess} tokens too many."
    if len(given) < len(wanted) and wanted[-1] in given:
        return "more messages are left out than necessary."
    return "newer messages are gone while older ones stay; the oldest go first."
