"""The counts in the header of a GGUF file, held against the size of the file.

The gguf library believes a header, and makes room for as many texts, numbers and
tensors as it claims to have. Knows nothing of what they mean.
"""

from __future__ import annotations

import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path

MOST_ENTRIES = 65_536  # fields or tensors; the largest models have some thousands
MOST_ITEMS = 1_000_000  # in all lists; the largest vocabularies have 300,000 tokens
_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9  # types of a field; all others are numbers of so many bytes
_MOST_DIMS = 4
_MAGIC = int.from_bytes(b"GGUF", "little")


def require_counts(file: Path) -> None:
    """Walk through the header, without keeping anything.

    Raises:
        ValueError: it is not the header of a GGUF file, or claims more than the file
            has bytes for, or more than any model has.
        OSError: the file cannot be read.
    """
    with (
        file.open("rb") as stream,
        mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
    ):
        header = _Header(content)
        if header.number("I") != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        if (version := header.number("I")) not in (2, 3):
            raise ValueError(f"its version is {version}, wanted 2 or 3")
        tensors, fields = header.count(MOST_ENTRIES), header.count(MOST_ENTRIES)
        for _ in range(fields):
            header.text()
            header.value()
        for _ in range(tensors):
            header.text()
            if (dims := header.number("I")) > _MOST_DIMS:
                raise ValueError(f"a tensor has {dims:,} dimensions")
            header.skip(8 * dims + 4 + 8)  # the dimensions, a type, a place


class _Header:
    """A place in the header, which moves on with everything that is read."""

    def __init__(self, content: mmap) -> None:
        self._content, self._place, self._items = content, 0, 0

    def skip(self, size: int) -> int:
        """Move on, and return the place from where."""
        start, left = self._place, len(self._content) - self._place
        if size > left:
            raise ValueError(f"{size:,} bytes should follow, but {left:,} are left")
        self._place += size
        return start

    def number(self, form: str) -> int:
        """Read a number without a sign: "I" of 4 bytes, "Q" of 8."""
        start = self.skip(struct.calcsize(form))
        return int(struct.unpack_from(f"<{form}", self._content, start)[0])

    def count(self, most: int) -> int:
        """Read how many things follow."""
        if (found := self.number("Q")) > most:
            raise ValueError(f"it claims {found:,} entries, more than any model has")
        return found

    def text(self) -> None:
        self.skip(self.number("Q"))

    def value(self) -> None:
        kind = self.number("I")
        count = 1
        if kind == _LIST:
            kind, count = self.number("I"), self.count(MOST_ITEMS)
            self._items += count
            if self._items > MOST_ITEMS:
                raise ValueError(f"its lists have more than {MOST_ITEMS:,} items")
        if kind == _TEXT:
            for _ in range(count):
                self.text()
        elif kind in _BYTES:
            self.skip(_BYTES[kind] * count)
        else:
            raise ValueError(f"a field is of type {kind}, which is unknown here")
