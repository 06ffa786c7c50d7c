"""A reader of GGUF files that does not believe what a header claims.

The gguf library makes room for as many texts, numbers and tensors as a file claims to
have, and takes what numpy finds of them. Knows nothing of what they mean.
"""
# ruff: noqa: ANN401 - what the library has without a type

from __future__ import annotations

from typing import Any

import gguf
import numpy as np

MOST_ENTRIES = 65_536  # fields or tensors; the largest models have some thousands
MOST_ITEMS = 1_000_000  # in all lists; the largest vocabularies have 300,000 tokens


class CheckedReader(gguf.GGUFReader):
    """The library's reader, with a look before each of its steps.

    A file that claims more than it has bytes for, or than any model has, is a
    ValueError; what the library raises where one breaks off is of any class.
    """

    _items = 0  # in the lists that were read so far

    def _get(
        self, offset: int, dtype: Any, count: int = 1, *order: Any, **by_name: Any
    ) -> Any:
        found = super()._get(offset, dtype, count, *order, **by_name)
        if len(found) < count:
            raise ValueError(f"{count:,} numbers should follow, found {len(found):,}")
        return found

    def _build_fields(self, offs: int, count: int) -> int:
        if self.byte_order == "S":
            raise ValueError("its numbers are written for big-endian machines")
        claimed = max(int(count), int(self.fields["GGUF.tensor_count"].parts[0][0]))
        if claimed > MOST_ENTRIES:
            raise ValueError(f"it claims {claimed:,} entries, more than any model has")
        return super()._build_fields(offs, count)

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type == gguf.GGUFValueType.ARRAY:
            self._items += int(self._get(orig_offs + 4, np.uint64)[0])
            if self._items > MOST_ITEMS:
                raise ValueError(f"its lists have more than {MOST_ITEMS:,} items")
        return super()._get_field_parts(orig_offs, raw_type)
