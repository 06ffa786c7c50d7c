"""What does a GGUF file hold, and is it one that we can convert?

Reads the shape of the decoder, its metadata and its weights, each weight in the form in
which the file keeps it: nothing is rounded on the way. Knows nothing of ONNX.

Rows of the query and key matrices are stored for a rotary embedding that turns the
neighbours (0, 1), (2, 3), … of a head; they are handed out in the order of the original
model, which turns (0, 32), (1, 33), … of a head of 64.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from llm_walkthrough.conversion.quantised import Q4Matrix, Q8Matrix
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float32, Shaped, UInt8

Metadata = Any
"""Text, a number, a truth value or a list of them: the file decides."""

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
"""The tensors blk.{layer}.{name}.weight of each layer, in the order of use."""

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


class GgufModel:
    """A llama decoder in a GGUF file, checked when it is opened.

    Args:
        path: the file; it is mapped, not loaded.

    Raises:
        InputError: if the file is not a complete GGUF file, or holds another
            architecture, another quantisation, or not a plain llama decoder's tensors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = _open(path)
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        _check_architecture(path, self.field("general.architecture"))
        self.shape = self._read_shape()
        self._check_tensors()

    def field(self, key: str) -> Metadata:
        """What the metadata says under `key`; None if nothing."""
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
        """Tensor `name` in float32: exact; d * q + m of Q4_1 is rounded once."""
        rows = self._rows(name)
        return gguf.dequantize(rows, self._tensors[name].tensor_type).astype(
            np.float32, copy=False
        )

    def q4(self, name: str) -> Q4Matrix:
        """The matrix `name` in its stored form.

        Raises:
            InputError: if its type is not Q4_1.
        """
        return Q4Matrix.from_blocks(self._blocks(name, "Q4_1"))

    def q8(self, name: str) -> Q8Matrix:
        """The matrix `name` in its stored form.

        Raises:
            InputError: if its type is not Q8_0.
        """
        return Q8Matrix.from_blocks(self._blocks(name, "Q8_0"))

    def _blocks(self, name: str, kind: str) -> UInt8[np.ndarray, "rows blocks bytes"]:
        if self.kind(name) != kind:
            raise InputError(
                f"{self.path.name}: tensor {name} is {self.kind(name)}, but the int4 "
                f"variant wants {kind} there; use the float32 variant"
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
        hidden, num_heads = (
            self._number("embedding_length"),
            self._number("attention.head_count"),
        )
        self._check_rotary(hidden // num_heads)
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

    def _check_rotary(self, head_dim: int) -> None:
        plain = {
            "attention.key_length": head_dim,
            "rope.dimension_count": head_dim,
            "rope.scaling.type": "none",
        }
        for key, wanted in plain.items():
            found = self.field(f"llama.{key}")
            if found not in (None, wanted):
                raise InputError(
                    f"{self.path.name}: llama.{key} is {found!r}, but only {wanted!r} "
                    "can be converted"
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
                    f"{self.path.name}: tensor {name} is quantised as "
                    f"{self.kind(name)}; only {', '.join(READABLE)} can be converted"
                )


def _open(path: Path) -> gguf.GGUFReader:
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
            f"{path.name} has the architecture {architecture!r}, but only llama can be "
            "converted"
        )
