"""A GGUF file that holds a decoder, checked before anything is made of it.

Reads the shape of the decoder, its metadata and its weights: plain numbers, or the
codes and scales of a block type (module `block_types`). Nothing is rounded on the way.

Rows of the query and key matrices of the architecture "llama" are stored for a rotary
embedding that turns the neighbours (0, 1), (2, 3), … of a head; they are handed out in
the order of the original model, which turns (0, 32), (1, 33), … of a head of 64. Knows
nothing of ONNX.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import gguf
import numpy as np

from llm_walkthrough.conversion.block_types import (
    BLOCK_TYPES,
    Blocks,
    read_blocks,
    stacked,
)
from llm_walkthrough.conversion.gguf_header import require_counts
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped

Metadata = Any  # text, a number, a truth value or a list of them: the file decides

PLAIN = ("F32", "F16", "BF16")  # tensor types that are numbers, not blocks
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
ROPE_FACTORS = "rope_freqs.weight"  # of Llama 3: slower turns, pair by pair
PIECE = 2**24  # bytes of a matrix that are taken apart at once
# the tensors of each layer, in the order of use
LAYER = (
    *("attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight"),
    *("attn_output.weight", "ffn_norm.weight"),
    *("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"),
)
# and those that a layer has besides, by architecture
ARCHITECTURES = {
    "llama": (),
    "qwen2": ("attn_q.bias", "attn_k.bias", "attn_v.bias"),
    "qwen3": ("attn_q_norm.weight", "attn_k_norm.weight"),
}
SCALINGS = ("none", "linear", "yarn")  # of the rotary embedding
# what the metadata may say, if anything, under these keys: other nodes would be needed
NEUTRAL = {
    0: "expert_count attention.sliding_window attention.scale attention.clamp_kqv "
    "attention.max_alibi_bias attn_logit_softcapping final_logit_softcapping "
    "rope.scaling.yarn_log_multiplier",
    1: "attention.causal embedding_scale residual_scale logit_scale rope.scale_linear "
    "rope.scaling.attn_factor rope.scaling.yarn_attn_factor "
    "rope.scaling.yarn_ext_factor",
}
# what the gguf library raises, depending on where a damaged file breaks off
UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(OverflowError, MemoryError, struct.error),
)
MOST_COUNTED = 2**20  # layers, heads, columns, or tokens of a context; none has more


class GgufModel:
    """A decoder in a GGUF file, which is mapped, not loaded.

    Raises:
        InputError: if the file is not a complete GGUF file, or holds another
            architecture, another quantisation, or not a plain decoder's tensors.
    """

    def __init__(self, path: Path) -> None:
        reader = _open(path)
        self.path = path
        self._fields = reader.fields
        self._mapped: Any = reader.data.base
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._require("split.count", (None, 0, 1))
        self._require("general.architecture", (*ARCHITECTURES,))
        self.architecture = str(self.field("general.architecture"))
        self._require(self._key("rope.scaling.type"), (None, *SCALINGS))
        for value, keys in NEUTRAL.items():
            for key in keys.split():
                self._require(self._key(key), (None, value))
        self.num_layers = self._count("block_count")
        self.hidden = self._count("embedding_length")
        self.num_heads = self._count("attention.head_count")
        self.kv_heads = self._count("attention.head_count_kv", self.num_heads)
        self._require_whole("attention.head_count", self.num_heads, self.kv_heads)
        if self._key("attention.key_length") not in self._fields:
            self._require_whole("embedding_length", self.hidden, self.num_heads)
        share = self.hidden // self.num_heads
        self.head_dim = self._count("attention.key_length", share)
        self._require_whole("attention.key_length", self.head_dim, 2)
        self.queries = self.num_heads * self.head_dim  # numbers, for each token
        for key in ("attention.value_length", "rope.dimension_count"):
            self._require(self._key(key), (None, self.head_dim))
        self.tokens = self.texts("tokenizer.ggml.tokens")
        self.vocab = len(self.tokens)
        self.context_length = self._count("context_length")
        self.norm_epsilon = self.positive("attention.layer_norm_rms_epsilon")
        self.rope_scaling = self.field(self._key("rope.scaling.type")) or "none"
        self.has_own_head = HEAD in self._tensors  # else the embedding's
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

    def positive(self, key: str, default: float | None = None) -> float:
        """Return the number under a key of the architecture; InputError as above."""
        full = self._key(key)
        number = default if full not in self._fields else self.field(full)
        if isinstance(number, float | int) and 0 < number < math.inf:
            return float(number)
        raise self._wrong(full, "a number above 0", number)

    def has(self, name: str) -> bool:
        """Is there a tensor of this name?"""
        return name in self._tensors

    def kind(self, name: str) -> str:
        """Type of the tensor, one of `PLAIN` or `BLOCK_TYPES`."""
        return str(self._tensors[name].tensor_type.name)

    def num_weights(self, name: str) -> int:
        """How many numbers tensor `name` stands for."""
        return int(self._tensors[name].n_elements)

    @property
    def matrices(self) -> list[str]:
        """Names of all tensors with rows."""
        return [name for name, one in self._tensors.items() if len(one.shape) > 1]

    def dense(self, name: str) -> Float32[np.ndarray, "..."]:
        """Tensor `name` in float32: exact; scale * code + minimum is rounded once."""
        kind = self._tensors[name].tensor_type
        return gguf.dequantize(self._rows(name), kind).astype(np.float32, copy=False)

    def blocks(self, names: Sequence[str]) -> Blocks:
        """The matrices `names`, all of one block type, one below the other."""
        kind = self.kind(names[0])
        return stacked(
            read_blocks(kind, rows)
            for matrix in map(self._rows, names)
            for rows in np.array_split(matrix, -(-matrix.nbytes // PIECE))
        )

    def _rows(self, name: str) -> Shaped[np.ndarray, "rows ..."]:
        """The stored bytes or numbers, rows in the order of the original model."""
        if hasattr(mmap, "MADV_DONTNEED"):  # what was read before may leave the memory
            self._mapped.madvise(mmap.MADV_DONTNEED)
        rows, (part, *_) = self._tensors[name].data, name.split(".")[-2:]
        if self.architecture != "llama" or part not in ("attn_q", "attn_k"):
            return rows
        heads = rows.reshape(-1, self.head_dim // 2, 2, *rows.shape[1:])
        return heads.swapaxes(1, 2).reshape(rows.shape)

    def _key(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def _require(self, key: str, wanted: Sequence[Metadata]) -> None:
        found = self.field(key)
        if found not in wanted:
            known = " or ".join(repr(one) for one in wanted if one is not None)
            raise InputError(
                f"{self.path.name}: {key} is {found!r:.60}, but only {known} can be "
                "converted"
            )

    def _count(self, key: str, default: int | None = None) -> int:
        full = self._key(key)
        number = default if full not in self._fields else self.field(full)
        if _is_whole(number) and 1 <= number <= MOST_COUNTED:
            return int(number)
        wanted = f"a whole number from 1 to {MOST_COUNTED:,}"
        raise self._wrong(full, wanted, number)

    def _require_whole(self, key: str, number: int, parts: int) -> None:
        if number % parts:
            raise self._wrong(self._key(key), f"a multiple of {parts:,}", number)

    def _wrong(self, key: str, wanted: str, found: object) -> InputError:
        return InputError(
            f"{self.path.name}: {key} must be {wanted}, got {found!r:.60}; fetch the "
            "file again, or take another one"
        )

    def _check_tensors(self) -> None:
        if self.num_layers > len(self._tensors):
            raise self._wrong(
                self._key("block_count"),
                "fewer than there are tensors",
                self.num_layers,
            )
        needed = {EMBEDDING, "output_norm.weight"} | {
            f"blk.{layer}.{name}"
            for layer in range(self.num_layers)
            for name in (*LAYER, *ARCHITECTURES[self.architecture])
        }
        found = set(self._tensors) - {HEAD, ROPE_FACTORS}
        for name in sorted(needed ^ found):
            plain = f"not one of a plain {self.architecture} decoder"
            trouble = plain if name in found else "missing"
            raise InputError(f"{self.path.name}: tensor {name!r} is {trouble}")
        known = (*PLAIN, *BLOCK_TYPES)
        for name in self._tensors:
            if (kind := self.kind(name)) not in known:
                raise InputError(
                    f"{self.path.name}: tensor {name} is quantised as {kind}; only "
                    f"{', '.join(known)} can be converted"
                )
            shape, dims = self._shape(name), self._tensors[name].shape.tolist()
            if shape != tuple(reversed(dims)):
                raise self._wrong(f"the shape of tensor {name}", str(shape), dims)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a tensor must have, (rows, columns) or (columns,)."""
        layer, _, part = name.rpartition(".")[0].rpartition(".")
        hidden, queries = self.hidden, self.queries
        if part in ("token_embd", "output"):
            return (self.vocab, hidden)
        if part in ("ffn_gate", "ffn_up", "ffn_down"):
            inner = int(self._tensors[f"{layer}.ffn_gate.weight"].shape[-1])
            return (hidden, inner) if part == "ffn_down" else (inner, hidden)
        keys = self.kv_heads * self.head_dim
        rows = {"attn_q": queries, "attn_k": keys, "attn_v": keys}
        rows |= {"attn_q_norm": self.head_dim, "attn_k_norm": self.head_dim}
        rows |= {"rope_freqs": self.head_dim // 2}
        if part == "attn_output":
            return (hidden, queries)
        is_matrix = part in ("attn_q", "attn_k", "attn_v") and name.endswith(".weight")
        return (rows.get(part, hidden), *((hidden,) if is_matrix else ()))


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


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
