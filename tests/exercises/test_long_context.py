"""Tests of the checks of notebook 07: solutions pass, typical mistakes get a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llm_walkthrough.exercises.long_context import (
    check_chunks,
    check_kept_turns,
    check_reusable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.exercises.verdict import Verdict


def stub(*_arguments: object) -> Any:  # noqa: ANN401 - stands for every answer
    ...


@pytest.mark.parametrize("check", [check_chunks, check_reusable, check_kept_turns])
def test_an_exercise_as_handed_out_is_not_answered(
    check: Callable[[object], Verdict],
) -> None:
    assert check(stub).is_right is None


# --- chunks -----------------------------------------------------------------------


def chunks(tokens: TokenIds, size: int) -> list[TokenIds]:
    return [tokens[start : start + size] for start in range(0, len(tokens), size)]


def with_first_and_last_swapped(tokens: TokenIds, size: int) -> list[TokenIds]:
    return chunks(tokens, size)[::-1]


def with_the_short_chunk_first(tokens: TokenIds, size: int) -> list[TokenIds]:
    short = len(tokens) % size or size
    return [tokens[:short], *chunks(tokens[short:], size)]


def test_pieces_up_to_the_last_short_one_are_right() -> None:
    assert check_chunks(chunks).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda t, n: chunks(t[: len(t) // n * n], n), "2 tokens are in no chunk"),
        (lambda t, n: [*chunks(t, n), t[:0]], "one chunk is empty"),
        (lambda t, n: [t[i : i + n + 1] for i in range(0, len(t), n)], "in two chunks"),
        (np.array_split, "only the last chunk may be shorter"),
        (lambda t, _n: [t], "the longest chunk has 10"),
        (lambda t, _n: t, "an array with one axis"),
        (with_first_and_last_swapped, "in their order"),
        (with_the_short_chunk_first, "only the last chunk may be shorter"),
    ],
)
def test_wrong_chunks_get_their_hint(
    answer: Callable[[TokenIds, int], list[TokenIds]], word: str
) -> None:
    verdict = check_chunks(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- what may stay ----------------------------------------------------------------


def agreeing(cached: TokenIds, wanted: TokenIds) -> int:
    both = min(len(cached), len(wanted))
    differing = np.flatnonzero(cached[:both] != wanted[:both])
    return int(differing[0]) if len(differing) else both


def test_the_common_beginning_stays_and_one_token_is_left_to_run() -> None:
    assert check_reusable(lambda c, w: min(agreeing(c, w), len(w) - 1)).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (agreeing, "leaves no token to run"),
        (
            lambda c, w: int((c[: len(w)] == w[: len(c)]).sum()),
            "behind the first difference",
        ),
        (lambda c, w: len(np.intersect1d(c, w)), "in one place"),
        (lambda c, w: min(len(c), len(w)) - 1, "does not fit the new prompt"),
        (lambda _c, _w: 0, "too short"),
        (lambda c, w: agreeing(c, w) - 1, "too short"),
    ],
)
def test_a_wrong_length_gets_its_hint(
    answer: Callable[[TokenIds, TokenIds], int], word: str
) -> None:
    verdict = check_reusable(answer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- making room ------------------------------------------------------------------


def kept(turns: list[int], capacity: int, room: int) -> list[int]:
    places = list(range(len(turns)))
    while len(places) > 1 and sum(turns[i] for i in places) + room > capacity:
        del places[1]
    return places


def from_the_end(turns: list[int], capacity: int, room: int) -> list[int]:
    places = list(range(len(turns)))
    while len(places) > 1 and sum(turns[i] for i in places) + room > capacity:
        places.pop()
    return places


def without_the_first(turns: list[int], capacity: int, room: int) -> list[int]:
    places = list(range(len(turns)))
    while sum(turns[i] for i in places) + room > capacity:
        del places[0]
    return places


def one_more_gone(turns: list[int], capacity: int, room: int) -> list[int]:
    places = kept(turns, capacity, room)
    return places if len(places) == len(turns) else [0, *places[2:]]


def test_the_oldest_messages_but_the_first_go() -> None:
    assert check_kept_turns(kept).is_right


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (from_the_end, "the oldest go first"),
        (without_the_first, "message 0 is gone"),
        (lambda t, c, _room: kept(t, c, 0), "no room left"),
        (lambda t, c, room: kept(t, c, room + 1), "fits exactly"),
        (lambda t, c, room: kept(t, c, room)[::-1], "not in the order"),
        (lambda t, c, room: [t[i] for i in kept(t, c, room)], "return places"),
        (one_more_gone, "more messages are left out"),
        (lambda t, _c, _room: list(range(len(t))), "45 tokens too many"),
    ],
)
def test_wrong_messages_get_their_hint(
    answer: Callable[[list[int], int, int], list[int]], word: str
) -> None:
    verdict = check_kept_turns(answer)
    assert verdict.is_right is False
    assert word in verdict.message
