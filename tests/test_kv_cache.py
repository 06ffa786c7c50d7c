from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from llm_walkthrough.arrays import KeyOrValue
from llm_walkthrough.errors import InputError, StaleCacheError
from llm_walkthrough.kv_cache import (
    GrownCache,
    Rows,
    SharedBuffer,
    SharedCache,
    checked_tokens,
)

Cache = GrownCache | SharedCache
CAPACITY = 10


def rows_of(*numbers: int) -> Rows:
    """One row for each number, which tells it in all of its 2 heads x 3 places."""
    row = np.array(numbers, np.float32).reshape(1, 1, -1, 1)
    key: KeyOrValue = np.broadcast_to(row, (1, 2, len(numbers), 3)).copy()
    return {"past.0.key": key, "past.0.value": -key}


def told_by(cache: Cache) -> list[int]:
    """The numbers of the cache's rows, the same in keys and values."""
    keys, values = cache.arrays().values()
    np.testing.assert_array_equal(keys, -values)
    np.testing.assert_array_equal(keys, np.broadcast_to(keys[:, :1, :, :1], keys.shape))
    return [int(number) for number in keys[0, 0, :, 0]]


def grown() -> GrownCache:
    return GrownCache(rows_of(), CAPACITY)


def shared() -> SharedCache:
    return SharedCache(SharedBuffer(rows_of(*[99] * CAPACITY)))


both = pytest.mark.parametrize("empty", [grown, shared])


@pytest.mark.parametrize("tokens", [[5, 0, 63], np.array([7], np.int32)])
def test_ids_of_the_vocabulary_are_taken_as_they_are(tokens: list[int]) -> None:
    assert checked_tokens(tokens, 64).tolist() == list(tokens)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "there are no tokens; give a text that is not empty"),
        *(([5, t, 6], f"id {t} is not in 0 … 63; encode") for t in (-1, 64, 10**12)),
        *(([t], "in one row, got ") for t in (1.5, True, [1, 2], "a", 2**70)),
        ("Hello", "in one row, got 'Hello'; encode the text"),
    ],
)
def test_what_is_no_row_of_ids_of_the_vocabulary_is_refused(
    tokens: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checked_tokens(tokens, 64)


# --- what both do ---------------------------------------------------------------------


@both
def test_a_new_cache_is_empty(empty: Callable[[], Cache]) -> None:
    cache = empty()
    assert (cache.length, cache.nbytes, cache.capacity) == (0, 0, CAPACITY)
    assert told_by(cache) == []


@both
def test_rows_are_appended_in_order(empty: Callable[[], Cache]) -> None:
    cache = empty().with_rows(rows_of(1, 2)).with_rows(rows_of(3))
    assert told_by(cache) == [1, 2, 3]
    assert cache.length == 3


@both
def test_the_bytes_are_those_of_the_rows_it_holds(empty: Callable[[], Cache]) -> None:
    cache = empty().with_rows(rows_of(1, 2, 3, 4))
    # key and value x 2 heads x 4 rows x 3 numbers x 4 bytes
    assert cache.nbytes == 2 * 2 * 4 * 3 * 4
    taken = cache.rows(1).values()
    assert sum(array.nbytes for array in taken) == 2 * 2 * 3 * 3 * 4


@both
def test_an_earlier_cache_is_a_prefix_and_the_later_one_stays(
    empty: Callable[[], Cache],
) -> None:
    cache = empty().with_rows(rows_of(1, 2, 3))
    for length in range(4):
        assert told_by(cache.truncated(length)) == [1, 2, 3][:length]
    assert told_by(cache) == [1, 2, 3]


@both
def test_rows_taken_out_and_put_back_are_the_same(empty: Callable[[], Cache]) -> None:
    cache = empty().with_rows(rows_of(1, 2, 3, 4))
    out, short = cache.rows(2), cache.truncated(2)
    other = short.with_rows(rows_of(7, 8, 9))
    assert told_by(other) == [1, 2, 7, 8, 9]
    assert told_by(short.with_rows(out)) == [1, 2, 3, 4]
    assert out["past.0.key"].shape[2] == 2


@both
def test_no_rows_are_rows_too(empty: Callable[[], Cache]) -> None:
    cache = empty().with_rows(rows_of(1))
    assert [array.shape[2] for array in cache.rows(1).values()] == [0, 0]
    assert told_by(cache.with_rows(cache.rows(1))) == [1]


@both
@pytest.mark.parametrize("position", [-1, 4])
def test_a_place_outside_of_the_cache_is_refused(
    empty: Callable[[], Cache], position: int
) -> None:
    cache = empty().with_rows(rows_of(1, 2, 3))
    sentence = f"position in the cache must be between 0 and 3, got {position}; a cache"
    with pytest.raises(InputError, match=sentence):
        cache.truncated(position)
    with pytest.raises(InputError, match=sentence):
        cache.rows(position)


@both
def test_more_rows_than_there_is_room_for_are_refused_and_nothing_is_lost(
    empty: Callable[[], Cache],
) -> None:
    cache = empty().with_rows(rows_of(*range(CAPACITY - 1)))
    with pytest.raises(InputError, match="between 0 and 10, got 11; a cache can be"):
        cache.with_rows(rows_of(50, 51))
    assert told_by(cache) == [*range(CAPACITY - 1)]
    assert told_by(cache.with_rows(rows_of(50)))[-1] == 50


# --- arrays that grow -----------------------------------------------------------------


def test_grown_arrays_are_never_written_again() -> None:
    cache = grown().with_rows(rows_of(1, 2, 3))
    cache.truncated(1).with_rows(rows_of(8, 9))
    cache.with_rows(rows_of(4))
    assert told_by(cache) == [1, 2, 3]


def test_cutting_grown_arrays_back_copies_nothing() -> None:
    cache = grown().with_rows(rows_of(1, 2, 3))
    for name, array in cache.truncated(2).arrays().items():
        assert np.shares_memory(array, cache.held[name])


# --- one shared buffer ----------------------------------------------------------------


def test_a_handle_whose_rows_were_overwritten_says_so_whatever_is_asked() -> None:
    cache = shared().with_rows(rows_of(1, 2, 3))
    cache.truncated(1).with_rows(rows_of(8))
    questions: list[Callable[[], object]] = [
        cache.arrays,
        cache.require_fresh,
        lambda: cache.rows(0),
        lambda: cache.with_rows(rows_of(4)),
    ]
    for question in questions:
        with pytest.raises(StaleCacheError, match="3 tokens is stale: row 1 was over"):
            question()


def test_the_part_of_a_stale_handle_before_the_overwritten_row_is_good() -> None:
    cache = shared().with_rows(rows_of(1, 2, 3))
    cache.truncated(2).with_rows(rows_of(8))
    assert told_by(cache.truncated(2)) == [1, 2]


def test_a_write_behind_a_handle_leaves_it_fresh() -> None:
    cache = shared().with_rows(rows_of(1, 2))
    cache.with_rows(rows_of(3, 4))
    assert told_by(cache) == [1, 2]


def test_rows_that_are_equal_but_were_written_by_another_are_stale_too() -> None:
    cache = shared().with_rows(rows_of(1, 2))
    cache.truncated(1).with_rows(rows_of(2))
    with pytest.raises(StaleCacheError):
        cache.arrays()


def test_all_handles_look_at_one_memory() -> None:
    cache = shared()
    longer = cache.with_rows(rows_of(1, 2))
    for name, array in longer.arrays().items():
        assert np.shares_memory(array, cache.buffer.whole[name])


def test_a_write_that_breaks_off_half_way_leaves_no_handle_that_lies() -> None:
    cache = shared().with_rows(rows_of(1, 2, 3))
    half = dict(rows_of(8, 9))
    half["past.0.value"] = half["past.0.value"][:, :1, :1, :2]  # does not fit
    with pytest.raises(ValueError, match="broadcast"):
        cache.truncated(1).with_rows(half)
    with pytest.raises(StaleCacheError):
        cache.arrays()
    assert told_by(cache.truncated(1)) == [1]
    assert told_by(cache.truncated(1).with_rows(rows_of(5))) == [1, 5]


@pytest.mark.parametrize("seed", range(5))
def test_every_handle_tells_what_was_written_through_it_or_that_it_is_stale(
    seed: int,
) -> None:
    chance = np.random.default_rng(seed)
    handles = [(shared(), list[int]())]
    for number in range(100, 250):
        cache, told = handles[chance.integers(len(handles))]
        if told != physically(cache):
            with pytest.raises(StaleCacheError):
                cache.arrays()
        length = int(chance.integers(len(told) + 1))
        shorter = cache.truncated(length)
        if told[:length] == physically(shorter) and length < CAPACITY:
            longer = shorter.with_rows(rows_of(number))
            handles.append((longer, [*told[:length], number]))
        for handle, expected in handles:
            if expected == physically(handle):
                assert told_by(handle) == expected


def physically(cache: SharedCache) -> list[int]:
    """What stands in the buffer, whether the handle may be read or not."""
    row = cache.buffer.whole["past.0.key"][0, 0, : cache.length, 0]
    return [int(number) for number in row]
