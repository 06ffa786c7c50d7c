"""The KV cache: keys and values of all tokens that a model has seen.

Attention looks back at the key and the value of every earlier token. The cache holds
them, so that a token goes through the model only once. It grows along one axis, so an
earlier cache is a prefix of a later one.

Two ways to keep it, with the same few methods. `GrownCache`: every run returns new,
longer arrays; nothing is ever overwritten, and every run copies the whole cache.
`SharedCache`: one buffer per key and value, as long as the context may get; a run
writes only its own rows, and what a learner holds is a handle: which buffer, how many
rows, and since when. When somebody writes over those rows, the handle is stale and says
so. This file knows nothing of ONNX: `model` does the running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from llm_walkthrough.arrays import KeyOrValue, TokenIds
from llm_walkthrough.errors import InputError, StaleCacheError

Rows: TypeAlias = Mapping[str, KeyOrValue]
"""Cache input name to keys or values [1, kv_heads, rows, head_dim]: some rows of it."""


@dataclass(frozen=True)
class GrownCache:
    """Arrays that are never written again; the next run returns longer ones.

    InputError if a method is told a row past the end, or more rows than fit.

    >>> cache = GrownCache({"past.0.key": np.zeros((1, 2, 3, 4))}, capacity=8)
    >>> cache.length, cache.truncated(1).length, cache.with_rows(cache.rows(1)).length
    (3, 1, 5)
    """

    held: Rows  # of every token that it holds
    capacity: int  # tokens that it can hold at most

    @property
    def length(self) -> int:
        """How many tokens the cache holds, read off its arrays."""
        return _length(self.held)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that it holds."""
        return sum(array.nbytes for array in self.held.values())

    def arrays(self) -> Rows:
        """Return each cache input's array [1, kv_heads, length, head_dim]."""
        return self.held

    def truncated(self, length: int) -> Self:
        """Return the cache of the first `length` tokens, without a copy."""
        _require_within(length, self.length)
        return replace(self, held=_cut(self.held, 0, length))

    def rows(self, start: int) -> Rows:
        """Return the rows from `start` on, without a copy: nobody writes over them."""
        _require_within(start, self.length)
        return _cut(self.held, start, self.length)

    def with_rows(self, rows: Rows) -> Self:
        """Return a longer cache; both parts are copied."""
        _require_within(self.length + _length(rows), self.capacity)
        joined = {
            name: np.concatenate([array, rows[name]], axis=2)  # along `past`
            for name, array in self.held.items()
        }
        return replace(self, held=joined)


class SharedBuffer:
    """The arrays that all handles of one cache write to: the one mutable thing here.

    Attributes:
        whole: cache input name to array [1, kv_heads, capacity, head_dim].
        written: [capacity] int64, for each row the newest write that began at it or
            before it; so it never falls along the buffer. 0: no write yet.
    """

    def __init__(self, whole: Rows) -> None:
        self.whole = whole
        self.written = np.zeros(_length(whole), dtype=np.int64)

    @property
    def capacity(self) -> int:
        """How many rows there is room for."""
        return len(self.written)

    def note_write(self, start: int) -> int:
        """Note that rows from `start` on are written; return the write's number.

        Every handle that reaches past `start` is stale from now on.
        """
        generation = int(self.written[-1]) + 1
        self.written[start:] = generation
        return generation


@dataclass(frozen=True)
class SharedCache:
    """A handle on the first rows of a shared buffer.

    Raises:
        InputError: a method is told a row past the end, or more rows than fit.
        StaleCacheError: a method needs the rows, and somebody wrote over them.

    >>> empty = SharedCache(SharedBuffer({"past.0.key": np.zeros((1, 2, 8, 4))}))
    >>> row = {"past.0.key": np.ones((1, 2, 1, 4))}
    >>> two = empty.with_rows(row).with_rows(row)
    >>> other = two.truncated(1).with_rows(row)  # overwrites row 1
    >>> two.arrays()
    Traceback (most recent call last):
    llm_walkthrough.errors.StaleCacheError: this cache of 2 tokens is stale: row 1 ...
    """

    buffer: SharedBuffer
    length: int = 0  # tokens that the cache holds
    generation: int = 0  # the newest write that this handle has seen

    @property
    def capacity(self) -> int:
        """How many tokens it can hold at most."""
        return self.buffer.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that it holds, not of the whole buffer."""
        whole = sum(array.nbytes for array in self.buffer.whole.values())
        return whole // max(1, self.capacity) * self.length  # bytes of a row x rows

    def arrays(self) -> Rows:
        """Return views [1, kv_heads, length, head_dim] that later writes may change."""
        self.require_fresh()
        return _cut(self.buffer.whole, 0, self.length)

    def require_fresh(self) -> None:
        """Make sure that no row of this handle was overwritten."""
        # `written` never falls, so its last entry is the newest write to any row here
        if self.length and self.buffer.written[self.length - 1] > self.generation:
            first = np.searchsorted(self.buffer.written, self.generation, side="right")
            raise StaleCacheError(
                f"this cache of {self.length} tokens is stale: row {first} was "
                "overwritten by another run; keep rows() before going another way, or "
                "start from truncated()"
            )

    def truncated(self, length: int) -> Self:
        """Return a handle on the first `length` tokens; nothing is copied."""
        _require_within(length, self.length)
        return replace(self, length=length)

    def extended(self, count: int) -> Self:
        """Return the handle on `count` more rows, which the caller writes right away.

        The write is noted first: were it interrupted, the handles on rows that are
        half overwritten would know. The caller has made sure that this handle is fresh
        and that there is room.
        """
        generation = self.buffer.note_write(self.length)
        return type(self)(self.buffer, self.length + count, generation)

    def rows(self, start: int) -> Rows:
        """Return a copy of the rows from `start` on."""
        _require_within(start, self.length)
        self.require_fresh()
        views = _cut(self.buffer.whole, start, self.length)
        return {name: view.copy() for name, view in views.items()}

    def with_rows(self, rows: Rows) -> Self:
        """Write `rows` behind this handle's own and return the longer handle."""
        self.require_fresh()
        _require_within(self.length + _length(rows), self.capacity)
        longer = self.extended(_length(rows))
        for name, array in rows.items():
            self.buffer.whole[name][:, :, self.length : longer.length] = array
        return longer


KVCache = GrownCache | SharedCache
"""What a model runs against; each method leaves the cache itself as it was."""


def checked_tokens(tokens: Sequence[int] | TokenIds, vocab: int) -> TokenIds:
    """Return the ids that shall be run, as an array [sequence].

    >>> checked_tokens([3, 1, 4], vocab=5)
    array([3, 1, 4])

    InputError: no token, something else than a row of ids, or an id that is not in
    the vocabulary.
    """
    ids = np.asarray(tokens)
    if ids.size == 0:
        raise InputError("there are no tokens; give a text that is not empty")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(
            f"token ids must be whole numbers in one row, got {tokens!r:.60}; encode "
            "the text with the tokenizer"
        )
    # in a step it is one id, for which numpy's own comparisons would take far longer
    for wrong in (token for token in ids.tolist() if not 0 <= token < vocab):
        raise InputError(
            f"token id {wrong} is not in 0 … {vocab - 1}; encode the text with the "
            "tokenizer of this very model"
        )
    return ids


def _length(rows: Rows) -> int:
    return int(next(iter(rows.values())).shape[2])  # [1, kv_heads, length, head_dim]


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    return {name: array[:, :, start:stop] for name, array in rows.items()}


def _require_within(position: int, end: int) -> None:
    if not 0 <= position <= end:
        raise InputError(
            f"the position in the cache must be between 0 and {end}, got {position}; "
            "a cache can be cut back to any shorter length and filled to its capacity"
        )
