"""Blocks of 32 quantised weights, and how their numbers are taken out unchanged.

The two quantisations of the default model, for a block of 32 weights in one row:

    Q4_1    w = d * q + m     q in 0 … 15,      d and m float16     20 bytes
    Q8_0    w = d * q         q in -128 … 127,  d float16           34 bytes

Nothing is rounded here. Knows nothing of files, and what is done with the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

BLOCK = 32
"""How many weights of a row share one scale, in Q4_1 and Q8_0 alike."""


@dataclass(frozen=True)
class Q4Matrix:
    """A Q4_1 matrix: weight = scale * code + minimum.

    Attributes:
        codes: 0 … 15, two in a byte, the earlier column in the lower half.
        scales: d of each block.
        minimums: m of each block.
    """

    codes: UInt8[np.ndarray, "rows blocks 16"]
    scales: Float32[np.ndarray, "rows blocks"]
    minimums: Float32[np.ndarray, "rows blocks"]

    @classmethod
    def from_blocks(cls, blocks: UInt8[np.ndarray, "rows blocks 20"]) -> Self:
        """Read d, m, and 16 bytes: column i in the lower half, i + 16 in the upper."""
        stored = blocks[..., 4:]
        codes = np.concatenate([stored & 15, stored >> 4], axis=-1)
        return cls(
            codes=codes[..., 0::2] | codes[..., 1::2] << 4,
            scales=_float16(blocks[..., 0:2]),
            minimums=_float16(blocks[..., 2:4]),
        )


@dataclass(frozen=True)
class Q8Matrix:
    """A Q8_0 matrix: weight = scale * (code - 128).

    Attributes:
        codes: 0 … 255; the blocks have -128 … 127, so 128 is added here.
        scales: d of each block.
    """

    codes: UInt8[np.ndarray, "rows blocks 32"]
    scales: Float32[np.ndarray, "rows blocks"]

    @classmethod
    def from_blocks(cls, blocks: UInt8[np.ndarray, "rows blocks 34"]) -> Self:
        """Read d and 32 bytes; adding 128 to an int8 is flipping its top bit."""
        return cls(codes=blocks[..., 2:] ^ 0x80, scales=_float16(blocks[..., 0:2]))


def _float16(
    two_bytes: UInt8[np.ndarray, "rows blocks 2"],
) -> Float32[np.ndarray, "rows blocks"]:
    numbers = np.ascontiguousarray(two_bytes).view("<f2")[..., 0]
    return numbers.astype(np.float32)
