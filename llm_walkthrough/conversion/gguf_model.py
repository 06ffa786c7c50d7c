"""A GGUF file that holds a llama decoder, checked before anything is made of it.

Reads the shape of the decoder, its metadata and its weights, each weight in the form in
which the file keeps it: nothing is rounded on the way. The default model's matrices are
stored as blocks of 32 weights in one row:

    Q4_1    w = d * q + m     q in 0 … 15,      d and m float16     20 bytes
    Q8_0    w = d * q         q in -128 … 127,  d float16           34 bytes

Rows of the query and key matrices are stored for a rotary embedding that turns the
neighbours (0, 1), (2, 3), … of a head; they are handed out in the order of the original
model, which turns (0, 32), (1, 33), … of a head of 64. Knows nothing of ONNX.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeGuard

import gguf
import numpy as np

from llm_walkthrough.conversion.gguf_header import require_counts
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped, UInt8

Metadata = Any  # text, a number, a truth value or a list of them: the file decides

BLOCK = 32  # weights of a row that share one scale, in Q4_1 and Q8_0 alike
READABLE = ("F32", "F16", "Q8_0", "Q4_1")  # tensor types
# the tensors blk.{layer}.{name}.weight of each layer, in the order of use
ATTENTION = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
MLP = ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
# what the gguf library raises, depending on where a damaged file breaks off
UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(OverflowError, MemoryError, struct.error),
)
MOST_COUNTED = 2**20  # layers, heads, columns, or tokens of a context; none has more


class Q4Matrix(NamedTuple):
    """A Q4_1 matrix: weight = scale * code + minimum."""

    codes: UInt8[np.ndarray, "rows blocks 16"]  # two in a byte, the earlier column low
    scales: Float32[np.ndarray, "rows blocks"]  # d of each block
    minimums: Float32[np.ndarray, "rows blocks"]  # m of each block

    @classmethod
    def from_blocks(cls, blocks: UInt8[np.ndarray, "rows blocks 20"]) -> Self:
        """Read d, m, and 16 bytes: column i in the lower half, i + 16 in the upper."""
        stored = blocks[..., 4:]
        codes = np.concatenate([stored & 15, stored >> 4], axis=-1)
        packed = codes[..., 0::2] | codes[..., 1::2] << 4
        return cls(packed, _float16(blocks[..., 0:2]), _float16(blocks[..., 2:4]))


class Q8Matrix(NamedTuple):
    """A Q8_0 matrix: weight = scale * (code - 128)."""

    codes: UInt8[np.ndarray, "rows blocks 32"]  # 0 … 255: what the file has, plus 128
    scales: Float32[np.ndarray, "rows blocks"]  # d of each block


class GgufModel:
    """A llama decoder in a GGUF file, which is mapped, not loaded.

    Raises:
        InputError: if the file is not a complete GGUF file, or holds another
            architecture, another quantisation, or not a plain llama decoder's tensors.
    """

    def __init__(self, path: Path) -> None:
        reader = _open(path)
        self.path = path
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._require_plain("general.architecture", "llama")
        self.num_layers = self._count("block_count")
        self.hidden = self._count("embedding_length")
        self.num_heads = self._count("attention.head_count")
        self.kv_heads = self._count("attention.head_count_kv")
        self._require_whole("embedding_length", self.hidden, self.num_heads)
        self._require_whole("attention.head_count", self.num_heads, self.kv_heads)
        self.head_dim = self.hidden // self.num_heads
        self.tokens = self.texts("tokenizer.ggml.tokens")
        self.vocab = len(self.tokens)
        self.context_length = self._count("context_length")
        self.rope_theta = self._positive("llama.rope.freq_base", 10_000.0)
        self.norm_epsilon = self._positive("llama.attention.layer_norm_rms_epsilon")
        self.has_own_head = "output.weight" in self._tensors  # else the embedding's
        # a stretched or partial rotary embedding would need other nodes
        self._require_plain("llama.attention.key_length", None, self.head_dim)
        self._require_plain("llama.rope.dimension_count", None, self.head_dim)
        self._require_plain("llama.rope.scaling.type", None, "none")
        self._check_tensors()

    def field(self, key: str) -> Metadata:
        """What the metadata says under `key`; None if nothing."""
        try:
            return self._fields[key].contents() if key in self._fields else None
        except UNREADABLE as error:  # such as a text that is not UTF-8
            raise self._wrong(key, "readable", error) from error

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under `key`.

        Raises:
            InputError: there is something else, or nothing.
        """
        found = self.field(key)
        if isinstance(found, list) and found and isinstance(found[0], str):
            return found  # all items of a list are of one type
        raise self._wrong(key, "a list of texts", found)

    def token(self, key: str) -> int | None:
        """Return the token id under `key`; None if there is none.

        Raises:
            InputError: there is something else.
        """
        found = self.field(key)
        if found is None or (_is_whole(found) and 0 <= found < self.vocab):
            return found
        raise self._wrong(key, f"a token id below {self.vocab:,}", found)

    def dense(self, name: str) -> Float32[np.ndarray, "..."]:
        """Tensor `name` in float32: exact; d * q + m of Q4_1 is rounded once."""
        kind = self._tensors[name].tensor_type
        return gguf.dequantize(self._rows(name), kind).astype(np.float32, copy=False)

    def q4(self, names: Sequence[str]) -> Q4Matrix:
        """The matrices `names`, one below the other; InputError if one is not Q4_1."""
        stacked = np.concatenate([self._blocks(name, "Q4_1") for name in names])
        return Q4Matrix.from_blocks(stacked)

    def q8(self, name: str) -> Q8Matrix:
        """The matrix `name`; InputError if it is not Q8_0."""
        blocks = self._blocks(name, "Q8_0")  # d, and 32 bytes in -128 … 127
        # adding 128 to an int8 is flipping its top bit
        return Q8Matrix(blocks[..., 2:] ^ 0x80, _float16(blocks[..., 0:2]))

    def _blocks(self, name: str, kind: str) -> UInt8[np.ndarray, "rows blocks bytes"]:
        if self._kind(name) != kind:
            raise InputError(
                f"{self.path.name}: tensor {name} is {self._kind(name)}, but the int4 "
                f"variant wants {kind} there; use the float32 variant"
            )
        rows = self._rows(name)
        _, block_bytes = gguf.GGML_QUANT_SIZES[self._tensors[name].tensor_type]
        return rows.reshape(len(rows), -1, block_bytes)

    def _rows(self, name: str) -> Shaped[np.ndarray, "rows ..."]:
        """The stored bytes or numbers, rows in the order of the original model."""
        rows = self._tensors[name].data
        if not name.endswith(("attn_q.weight", "attn_k.weight")):
            return rows
        pairs = self.head_dim // 2
        heads = rows.reshape(-1, pairs, 2, *rows.shape[1:])
        return heads.swapaxes(1, 2).reshape(rows.shape)

    def _kind(self, name: str) -> str:
        return str(self._tensors[name].tensor_type.name)

    def _require_plain(self, key: str, *wanted: Metadata) -> None:
        found = self.field(key)
        if found not in wanted:
            raise InputError(
                f"{self.path.name}: {key} is {found!r}, but only {wanted[-1]!r} can be "
                "converted"
            )

    def _count(self, key: str) -> int:
        number = self.field(f"llama.{key}")
        if _is_whole(number) and 1 <= number <= MOST_COUNTED:
            return int(number)
        wanted = f"a whole number from 1 to {MOST_COUNTED:,}"
        raise self._wrong(f"llama.{key}", wanted, number)

    def _positive(self, key: str, default: float | None = None) -> float:
        number = default if key not in self._fields else self.field(key)
        if isinstance(number, float) and 0 < number < math.inf:
            return number
        raise self._wrong(key, "a number above 0", number)

    def _require_whole(self, key: str, number: int, parts: int) -> None:
        if number % parts:
            raise self._wrong(f"llama.{key}", f"a multiple of {parts:,}", number)

    def _wrong(self, key: str, wanted: str, found: object) -> InputError:
        return InputError(
            f"{self.path.name}: {key} must be {wanted}, got {found!r:.60}; fetch the "
            "file again, or take another one"
        )

    def _check_tensors(self) -> None:
        if self.num_layers > len(self._tensors):
            raise self._wrong(
                "llama.block_count", "fewer than there are tensors", self.num_layers
            )
        wanted = {"token_embd.weight", "output_norm.weight"} | {
            f"blk.{layer}.{name}.weight"
            for layer in range(self.num_layers)
            for name in ATTENTION + MLP
        }
        found = set(self._tensors) - {"output.weight"}
        for name in sorted(wanted ^ found):
            trouble = "not one of a plain llama decoder" if name in found else "missing"
            raise InputError(f"{self.path.name}: tensor {name!r} is {trouble}")
        for name in self._tensors:
            if (kind := self._kind(name)) not in READABLE:
                raise InputError(
                    f"{self.path.name}: tensor {name} is quantised as {kind}; only "
                    f"{', '.join(READABLE)} can be converted"
                )
            shape, dims = self._shape(name), self._tensors[name].shape.tolist()
            if shape != tuple(reversed(dims)):
                raise self._wrong(f"the shape of tensor {name}", str(shape), dims)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a tensor must have, (rows, columns) or (columns,)."""
        kind = name.removesuffix(".weight").rpartition(".")[2]
        layer, shape = name.partition(kind)[0], (self.hidden,)
        if kind in ("token_embd", "output"):
            return (self.vocab, *shape)
        if kind.startswith("ffn_") and kind != "ffn_norm":
            inner = int(self._tensors[f"{layer}ffn_gate.weight"].shape[-1])
            return (self.hidden, inner) if kind == "ffn_down" else (inner, *shape)
        if kind in ("attn_k", "attn_v"):
            return (self.kv_heads * self.head_dim, *shape)
        return shape * (2 if kind in ("attn_q", "attn_output") else 1)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _float16(
    two_bytes: UInt8[np.ndarray, "rows blocks 2"],
) -> Float32[np.ndarray, "rows blocks"]:
    return np.ascontiguousarray(two_bytes).view("<f2")[..., 0].astype(np.float32)


def _open(path: Path) -> gguf.GGUFReader:
    if not is_file(path):
        raise InputError(f"there is no file {path}; name a GGUF file")
    try:
        require_counts(path)
        return gguf.GGUFReader(path)
    except (OSError, *UNREADABLE) as error:
        raise InputError(
            f"{path} is not a complete GGUF file ({error}); fetch it again"
        ) from error
