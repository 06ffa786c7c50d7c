"""What does a GGUF file hold, and is it one that we can convert?

Reads the shape of the decoder, its metadata and its weights, each weight in the form in
which the file keeps it: nothing is rounded on the way. Knows nothing of ONNX.

The two quantisations of the default model, for a block of 32 weights in one row:

    Q4_1    w = d * q + m     q in 0 … 15,      d and m float16
    Q8_0    w = d * q         q in -128 … 127,  d float16

Rows of the query and key matrices are stored for a rotary embedding that turns the
neighbours (0, 1), (2, 3), …; they are handed out in the order of the original model, which
turns (0, 32), (1, 33), … of a head of 64.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float32, Shaped, UInt8

BLOCK = 32
"""Weights that share one scale, in Q4_1 and Q8_0 alike."""

READABLE = ("F32", "F16", "Q8_0", "Q4_1")
"""Names of the tensor types that can be read."""

LAYER_TENSORS = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
"""What each layer consists of, in the order of use; stored as blk.{layer}.{name}.weight."""

UNREADABLE = (
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
)
"""What the gguf library raises, depending on where a damaged file breaks off."""


@dataclass(frozen=True)
class DecoderShape:
    """The numbers that fix a llama decoder, apart from its weights."""

    num_layers: int
    hidden: int
    ffn: int
    num_heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_length: int
    rope_theta: float
    norm_epsilon: float


@dataclass(frozen=True)
class Q4Matrix:
    """A Q4_1 matrix as stored: weight = scale * code + minimum.

    Attributes:
        codes: 0 … 15, two in a byte, the earlier column in the lower half.
        scales: d of each block, exactly.
        minimums: m of each block, exactly.
    """

    codes: UInt8[np.ndarray, "rows blocks 16"]
    scales: Float32[np.ndarray, "rows blocks"]
    minimums: Float32[np.ndarray, "rows blocks"]

    @classmethod
    def stacked(cls, matrices: Sequence[Q4Matrix]) -> Q4Matrix:
        """One matrix with the rows of all, in their order."""
        return cls(
            codes=np.concatenate([matrix.codes for matrix in matrices]),
            scales=np.concatenate([matrix.scales for matrix in matrices]),
            minimums=np.concatenate([matrix.minimums for matrix in matrices]),
        )


@dataclass(frozen=True)
class Q8Matrix:
    """A Q8_0 matrix as stored: weight = scale * (code - 128).

    Attributes:
        codes: 0 … 255; the file has -128 … 127, so 128 is added here.
        scales: d of each block, exactly.
    """

    codes: UInt8[np.ndarray, "rows blocks 32"]
    scales: Float32[np.ndarray, "rows blocks"]


class GgufModel:
    """A llama decoder in a GGUF file, checked when it is opened.

    Args:
        path: the file; it is mapped, not loaded.

    Raises:
        InputError: if the file is not a complete GGUF file, or holds another
            architecture, another quantisation, or not the tensors of a plain llama decoder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = _open(path)
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        _check_architecture(path, self.field("general.architecture"))
        self.shape = self._read_shape()
        self._check_tensors()

    def field(self, key: str) -> Any:  # noqa: ANN401 - the file decides the type
        """What the metadata says under `key`: text, a number or a list; None if nothing."""
        field = self._fields.get(key)
        return None if field is None else field.contents()

    @property
    def has_own_head(self) -> bool:
        """Does the head have weights of its own, or does it share the embedding's?"""
        return "output.weight" in self._tensors

    def kind(self, name: str) -> str:
        """Name of the type of tensor `name`, such as "Q4_1"."""
        return str(self._tensors[name].tensor_type.name)

    def dense(self, name: str) -> Float32[np.ndarray, "..."]:
        """Tensor `name` in float32: exact, but for one rounding of d * q + m in Q4_1."""
        rows = self._rows(name)
        return gguf.dequantize(rows, self._tensors[name].tensor_type).astype(
            np.float32, copy=False
        )

    def q4(self, name: str) -> Q4Matrix:
        """The matrix `name` in its stored form.

        Raises:
            InputError: if its type is not Q4_1.
        """
        blocks = self._blocks(name, "Q4_1")
        stored = blocks[..., 4:]  # byte i: column i below, column i + 16 above
        codes = np.concatenate([stored & 15, stored >> 4], axis=-1)
        return Q4Matrix(
            codes=codes[..., 0::2] | codes[..., 1::2] << 4,
            scales=_float16(blocks[..., 0:2]),
            minimums=_float16(blocks[..., 2:4]),
        )

    def q8(self, name: str) -> Q8Matrix:
        """The matrix `name` in its stored form.

        Raises:
            InputError: if its type is not Q8_0.
        """
        blocks = self._blocks(name, "Q8_0")
        flipped = blocks[..., 2:] ^ 0x80  # int8 + 128 is the same byte, top bit flipped
        return Q8Matrix(codes=flipped, scales=_float16(blocks[..., 0:2]))

    def _blocks(self, name: str, kind: str) -> UInt8[np.ndarray, "rows blocks bytes"]:
        if self.kind(name) != kind:
            raise InputError(
                f"{self.path.name}: tensor {name} is {self.kind(name)}, but the int4 variant "
                f"wants {kind} here; convert this file to float32 instead"
            )
        rows = self._rows(name)
        block_bytes = gguf.GGML_QUANT_SIZES[self._tensors[name].tensor_type][1]
        return rows.reshape(len(rows), -1, block_bytes)

    def _rows(self, name: str) -> Shaped[np.ndarray, "rows ..."]:
        """The stored bytes or numbers, rows in the order of the original model."""
        rows = self._tensors[name].data
        if not name.endswith(("attn_q.weight", "attn_k.weight")):
            return rows
        pairs = self.shape.head_dim // 2
        heads = rows.reshape(-1, pairs, 2, *rows.shape[1:])
        return heads.swapaxes(1, 2).reshape(rows.shape)

    def _read_shape(self) -> DecoderShape:
        num_heads, hidden = (
            self._number("attention.head_count"),
            self._number("embedding_length"),
        )
        return DecoderShape(
            num_layers=self._number("block_count"),
            hidden=hidden,
            ffn=self._number("feed_forward_length"),
            num_heads=num_heads,
            kv_heads=self._number("attention.head_count_kv"),
            head_dim=hidden // num_heads,
            vocab=len(self.field("tokenizer.ggml.tokens") or ()),
            context_length=self._number("context_length"),
            rope_theta=float(self.field("llama.rope.freq_base") or 10_000.0),
            norm_epsilon=self.field("llama.attention.layer_norm_rms_epsilon"),
        )

    def _number(self, key: str) -> int:
        number = self.field(f"llama.{key}")
        if not isinstance(number, int) or number < 1:
            raise InputError(
                f"{self.path.name}: llama.{key} must be a number above 0, got {number}"
            )
        return number

    def _check_tensors(self) -> None:
        wanted = {"token_embd.weight", "output_norm.weight"} | {
            f"blk.{layer}.{name}.weight"
            for layer in range(self.shape.num_layers)
            for name in LAYER_TENSORS
        }
        found = set(self._tensors) - {"output.weight"}
        for name in sorted(wanted ^ found):
            trouble = (
                "is missing"
                if name in wanted
                else "is not one of a plain llama decoder"
            )
            raise InputError(f"{self.path.name}: tensor {name} {trouble}")
        for name in self._tensors:
            if self.kind(name) not in READABLE:
                raise InputError(
                    f"{self.path.name}: tensor {name} is quantised as {self.kind(name)}; "
                    f"only {', '.join(READABLE)} can be converted"
                )


def _open(path: Path) -> Any:  # noqa: ANN401 - gguf has no types
    if not path.is_file():
        raise InputError(f"there is no file {path}; name a GGUF file")
    try:
        return gguf.GGUFReader(path)
    except UNREADABLE as error:
        raise InputError(
            f"{path} is not a complete GGUF file ({error}); fetch it again"
        ) from error


def _check_architecture(path: Path, architecture: str | None) -> None:
    if architecture != "llama":
        raise InputError(
            f"{path.name} has the architecture {architecture}; only llama can be converted"
        )


def _float16(two_bytes: UInt8[np.ndarray, "*axes 2"]) -> Float32[np.ndarray, " *axes"]:
    numbers = np.ascontiguousarray(two_bytes).view("<f2")[..., 0]
    return numbers.astype(np.float32)
