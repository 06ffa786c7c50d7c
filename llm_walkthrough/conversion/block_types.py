"""The block types of a GGUF file, each with the codes, scales and minimums it holds.

Weights that follow each other in a row share a scale, and in some types a minimum:

    weight = scale * (code - zero) + minimum

A file packs its codes in many ways; here they are 4 or 8 bits wide, as the fast
operators want them, around the middle of what so many bits can say. Every weight is the
one that `gguf.dequantize` finds, bit for bit. The layouts are those of ggml-common.h.
Knows nothing of files and nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import gguf
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

    Stored = UInt8[np.ndarray, "blocks bytes"]
    Codes = UInt8[np.ndarray, "blocks weights"]
    Numbers = Float32[np.ndarray, "blocks groups"]
    Parts = tuple[Codes, Numbers, Numbers | None]  # codes, scales, minimums

BYTE = 8  # bits
# what the 16 codes of IQ4_NL stand for, denser near 0
IQ4_NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


class BlockType(NamedTuple):
    """How the blocks of one type are kept."""

    bits: int  # of a code
    group: int  # weights of a row that share a scale
    zero: int  # the code that stands for 0, or for the minimum
    has_minimum: bool
    parts: Callable[[Stored], Parts]

    @property
    def middle(self) -> int:
        """The code in the middle, which fast operators take for 0."""
        return int(2 ** (self.bits - 1))

    @property
    def bytes_per_weight(self) -> float:
        """How many bytes a weight takes, its share of float32 numbers included."""
        return self.bits / 8 + 4 * (1 + self.has_minimum) / self.group


class Blocks(NamedTuple):
    """A matrix of one block type."""

    codes: UInt8[np.ndarray, "rows groups bytes"]  # of 4 bits: the earlier column low
    scales: Float32[np.ndarray, "rows groups"]
    minimums: Float32[np.ndarray, "rows groups"] | None


def read_blocks(kind: str, rows: UInt8[np.ndarray, "rows bytes"]) -> Blocks:
    """Take the stored rows of a matrix of type `kind` apart."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    codes, scales, minimums = BLOCK_TYPES[kind].parts(rows.reshape(-1, block_bytes))
    codes = packed(codes, BLOCK_TYPES[kind].bits)
    scales = scales.reshape(len(rows), -1)
    if minimums is not None:
        minimums = minimums.reshape(scales.shape)
    return Blocks(codes.reshape(*scales.shape, -1), scales, minimums)


def packed(codes: Codes, bits: int) -> Stored:
    """Put codes of 4 bits in pairs into bytes, the earlier low; leave those of 8."""
    if bits == BYTE:
        return codes
    even = np.pad(codes, [(0, 0), (0, codes.shape[1] % 2)])
    pairs: Stored = even[:, 0::2] | even[:, 1::2] << 4
    return pairs


def stacked(matrices: Iterable[Blocks]) -> Blocks:
    """Put matrices of one block type one below the other."""
    codes, scales, minimums = zip(*matrices, strict=True)
    has_minimum = minimums[0] is not None
    below = np.concatenate
    return Blocks(below(codes), below(scales), below(minimums) if has_minimum else None)


def _fields(stored: Stored, bits: int, run: int) -> Codes:
    """Cut bytes into fields of `bits`, run by run: first the lowest of all its bytes.

    >>> _fields(np.array([[0x21, 0x43]], np.uint8), bits=4, run=2).tolist()
    [[1, 3, 2, 4]]
    """
    shifts = np.arange(0, BYTE, bits, dtype=np.uint8)[:, None]
    runs = stored.reshape(len(stored), -1, 1, run)
    fields: Codes = np.bitwise_and(runs >> shifts, 2**bits - 1)
    return fields.reshape(len(stored), -1)


def _float16(stored: Stored) -> Numbers:
    return np.ascontiguousarray(stored).view("<f2").astype(np.float32)


def _signed(stored: Stored) -> Numbers:
    return stored.view(np.int8).astype(np.float32)


def _q4_0(b: Stored) -> Parts:
    return _fields(b[:, 2:], 4, 16), _float16(b[:, :2]), None


def _q4_1(b: Stored) -> Parts:
    return _fields(b[:, 4:], 4, 16), _float16(b[:, :2]), _float16(b[:, 2:4])


def _q5_0(b: Stored) -> Parts:
    codes = _fields(b[:, 6:], 4, 16) | _fields(b[:, 2:6], 1, 1) << 4  # 16 is its zero
    return codes + 112, _float16(b[:, :2]), None


def _q5_1(b: Stored) -> Parts:
    codes = _fields(b[:, 8:], 4, 16) | _fields(b[:, 4:8], 1, 1) << 4
    return codes + 112, _float16(b[:, :2]), _float16(b[:, 2:4])


def _q8_0(b: Stored) -> Parts:
    # adding 128 to an int8 is flipping its top bit
    return b[:, 2:] ^ 0x80, _float16(b[:, :2]), None


def _iq4_nl(b: Stored) -> Parts:
    table = (np.array(IQ4_NL) + 128).astype(np.uint8)
    return table[_fields(b[:, 2:], 4, 16)], _float16(b[:, :2]), None


def _q2_k(b: Stored) -> Parts:
    pairs, d = b[:, :16], _float16(b[:, 80:])  # of scale and minimum, 4 bits each
    codes = _fields(b[:, 16:80], 2, 32) + 6
    return codes, d[:, :1] * (pairs & 15), -(d[:, 1:] * (pairs >> 4))


def _q3_k(b: Stored) -> Parts:
    codes = _fields(b[:, 32:96], 2, 32) | _fields(b[:, :32], 1, 32) << 2
    scales = _fields(b[:, 96:104], 4, 8) | _fields(b[:, 104:108], 2, 4) << 4
    return codes + 4, _float16(b[:, 108:]) * _signed(scales - 32), None


def _q4_k(b: Stored) -> Parts:
    return _fields(b[:, 16:], 4, 32), *_scales_and_minimums(b)


def _q5_k(b: Stored) -> Parts:
    codes = _fields(b[:, 48:], 4, 32) | _fields(b[:, 16:48], 1, 32) << 4
    return codes + 112, *_scales_and_minimums(b)


def _q6_k(b: Stored) -> Parts:
    codes = _fields(b[:, :128], 4, 64) | _fields(b[:, 128:192], 2, 32) << 4
    return codes + 96, _float16(b[:, 208:]) * _signed(b[:, 192:208]), None


def _scales_and_minimums(b: Stored) -> tuple[Numbers, Numbers]:
    """Read those of Q4_K and Q5_K: 8 of each, 6 bits wide, in bytes 4 … 15."""
    d, first, second, rest = _float16(b[:, :4]), b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = np.hstack([first & 63, rest & 15 | first >> 6 << 4])
    minimums = np.hstack([second & 63, rest >> 4 | second >> 6 << 4])
    return d[:, :1] * scales, -(d[:, 1:] * minimums)


BLOCK_TYPES = {
    "Q4_0": BlockType(4, 32, 8, has_minimum=False, parts=_q4_0),
    "Q4_1": BlockType(4, 32, 0, has_minimum=True, parts=_q4_1),
    "Q5_0": BlockType(8, 32, 128, has_minimum=False, parts=_q5_0),
    "Q5_1": BlockType(8, 32, 112, has_minimum=True, parts=_q5_1),
    "Q8_0": BlockType(8, 32, 128, has_minimum=False, parts=_q8_0),
    "IQ4_NL": BlockType(8, 32, 128, has_minimum=False, parts=_iq4_nl),
    "Q2_K": BlockType(4, 16, 6, has_minimum=True, parts=_q2_k),
    "Q3_K": BlockType(4, 16, 8, has_minimum=False, parts=_q3_k),
    "Q4_K": BlockType(4, 32, 0, has_minimum=True, parts=_q4_k),
    "Q5_K": BlockType(8, 32, 112, has_minimum=True, parts=_q5_k),
    "Q6_K": BlockType(8, 16, 128, has_minimum=False, parts=_q6_k),
}
