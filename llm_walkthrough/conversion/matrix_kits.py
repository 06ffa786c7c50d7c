"""Kits that write the big matrices of a decoder as ONNX nodes.

Two kits: `Float32Kit` writes plain products, `Int4Kit` keeps the 4-bit and 8-bit codes
of the file. In both `embed` looks up the tokens' rows of the embedding, `linear`
multiplies by stacked matrices, and `head` turns vectors into the output `logits`; the
first two return their output's name. Knows nothing of layers and attention.

How a weight w = d * (q - zero) + m (module `block_types`) is kept exactly: the fast
operator, MatMulNBits, computes with d * (q - 8), or d * (q - 128) if q has 8 bits. What
is left is the same for all weights of a block, so it multiplies the sum of the block's
inputs; in Q4_1, with q in 0 … 15 and zero = 0, it is m + 8d:

    sum of w x  =  sum of d (q - 8) x  +  (m + 8d) * sum of x

A block where float32 would round m + 8d has its zero beside it, and is left with m.
Tensors without blocks are written as float32: onnxruntime would make that of narrower
ones when it opens the model, in memory that processes cannot share.

Vectors come as rows, [tokens, inputs], because Gemm, which multiplies and adds in one
node, takes matrices; only the head sees [batch, sequence, hidden].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from llm_walkthrough.conversion.block_types import BLOCK_TYPES, BYTE, BlockType, packed
from llm_walkthrough.conversion.gguf_model import EMBEDDING as ROWS
from llm_walkthrough.conversion.gguf_model import HEAD as HEAD_ROWS
from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.onnx_writer import OnnxWriter

EMBEDDING = "/model/embed_tokens"
HEAD = "/lm_head"
USUAL_GROUP = 32  # weights that share a scale
INT8_INPUTS = 4  # accuracy_level of MatMulNBits: inputs rounded to int8, block by block


class Float32Kit:
    """Every weight as float32; a head that shares the embedding shares its bytes."""

    def __init__(self, model: GgufModel, onnx: OnnxWriter) -> None:
        self._model, self._onnx = model, onnx

    @staticmethod
    def bytes_per_weight(_kind: str) -> float:
        """Return what a weight takes that is of some type in the file."""
        return 4.0

    def embed(self, token_ids: str) -> str:
        """Gather float32 rows."""
        rows = self._weight(EMBEDDING, [ROWS])
        return self._onnx.node("Gather", [rows, token_ids], f"{EMBEDDING}/Gather")

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by the rows of the matrices as they lie, hence transB."""
        weight = self._weight(name, tensors)
        return self._onnx.node("Gemm", [vectors, weight], f"{name}/Gemm", transB=1)

    def head(self, vectors: str) -> None:
        """Multiply by the embedding's rows, or by the head's if there are any."""
        rows = f"{EMBEDDING}/weight"
        if self._model.has(HEAD_ROWS):
            rows = self._weight(HEAD, [HEAD_ROWS])
        name, outputs = f"{HEAD}/MatMul", ["logits"]
        self._onnx.node("FusedMatMul", [vectors, rows], name, outputs, transB=1)

    def _weight(self, name: str, tensors: Sequence[str]) -> str:
        rows = np.concatenate([self._model.dense(tensor) for tensor in tensors])
        return self._onnx.weight(f"{name}/weight", rows)


class Int4Kit(Float32Kit):
    """The codes of the file, bit for bit; tensors without blocks as float32."""

    @staticmethod
    def bytes_per_weight(kind: str) -> float:
        """As above; a share of the numbers of its block is counted."""
        return BLOCK_TYPES[kind].bytes_per_weight if kind in BLOCK_TYPES else 4.0

    def embed(self, token_ids: str) -> str:
        """Gather rows of codes and turn them into float32."""
        if self._model.kind(ROWS) not in BLOCK_TYPES:
            return super().embed(token_ids)
        onnx, name = self._onnx, EMBEDDING
        written = self._embedding = self._write(name, [ROWS])
        (codes, *others), kind = written.weights, written.kind
        operator, inputs = "GatherBlockQuantized", [codes, token_ids, *others]
        form = {"bits": kind.bits, "block_size": kind.group}
        form |= {"gather_axis": 0, "quantize_axis": 1}
        rows = onnx.node(operator, inputs, f"{name}/Gather", (), **form)
        if not written.offsets:
            return rows
        base = f"{name}/block_offsets"
        offsets = onnx.node("Gather", [written.offsets, token_ids], f"{base}/Gather")
        blocked = onnx.node("Reshape", [rows, self._split(written)], f"{base}/Reshape")
        columns = [offsets, onnx.constant("last_axis", np.array([-1]))]
        offset = onnx.node("Unsqueeze", columns, f"{base}/Unsqueeze")
        exact = onnx.node("Add", [blocked, offset], f"{base}/Add")
        return onnx.node("Reshape", [exact, self._rows()], f"{name}/Reshape")

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by all matrices of one type at once, by those of another apart."""
        parts = [[*part] for _, part in groupby(tensors, self._block_type)]
        if len(parts) > 1:
            called = ["_".join(one.split(".")[-2] for one in part) for part in parts]
            outputs = [
                self.linear(f"{name}/{part_name}", vectors, part)
                for part_name, part in zip(called, parts, strict=True)
            ]
            return self._onnx.node("Concat", outputs, f"{name}/Concat", axis=-1)
        if not self._block_type(tensors[0]):
            return super().linear(name, vectors, tensors)
        return self._multiply(name, vectors, self._write(name, tensors))

    def head(self, vectors: str) -> None:
        """Multiply by the embedding's own codes, or by the head's if there are any."""
        onnx, own = self._onnx, self._model.has(HEAD_ROWS)
        if not self._block_type(HEAD_ROWS if own else ROWS):
            super().head(vectors)
            return
        if own:
            written = self._write(HEAD, [HEAD_ROWS])
        else:
            written = self._embedding
            codes, *others = written.weights
            dims = (*written.shape, written.kind.group * written.kind.bits // BYTE)
            codes = onnx.same_bytes(f"{HEAD}/codes", codes, dims)
            written = written._replace(weights=[codes, *others])
        if not written.offsets:
            self._product(HEAD, vectors, written, ["logits"])
            return
        rows = onnx.node("Reshape", [vectors, self._rows()], f"{HEAD}/rows/Reshape")
        logits = [self._multiply(HEAD, rows, written), "by_sequence"]
        onnx.node("Reshape", logits, f"{HEAD}/Reshape", ["logits"])

    def _rows(self) -> str:
        return self._onnx.constant("vectors", np.array([-1, self._model.hidden]))

    def _block_type(self, tensor: str) -> BlockType | None:
        return BLOCK_TYPES.get(self._model.kind(tensor))

    def _write(self, name: str, tensors: Sequence[str]) -> _Written:
        kind = BLOCK_TYPES[self._model.kind(tensors[0])]
        codes, scales, minimums = self._model.blocks(tensors)
        if name == EMBEDDING:  # GatherBlockQuantized wants them in rows
            codes = codes.reshape(len(codes), -1)
        add = self._onnx.weight
        weights = [add(f"{name}/codes", codes), add(f"{name}/scales", scales)]
        if minimums is None:
            return _Written(kind, scales.shape, weights, offsets="")
        shift = kind.middle - kind.zero
        offsets, exact = minimums + shift * scales, scales.astype(np.float64) * shift
        rounded = offsets != minimums + exact
        if rounded.any():
            offsets[rounded] = minimums[rounded]
            zeros = np.where(rounded, kind.zero, kind.middle).astype(np.uint8)
            weights.append(add(f"{name}/zeros", packed(zeros, kind.bits)))
        name = add(f"{name}/block_offsets", offsets)
        return _Written(kind, scales.shape, weights, offsets=name)

    def _multiply(self, name: str, vectors: str, matrix: _Written) -> str:
        """Multiply by scale * (code - middle), and add the sums times offsets."""
        onnx, base = self._onnx, f"{name}/block_sums"
        product = self._product(name, vectors, matrix)
        if not matrix.offsets:
            return product
        split = self._split(matrix)
        last_axis = onnx.constant("last_axis", np.array([-1]))
        blocked = onnx.node("Reshape", [vectors, split], f"{base}/Reshape")
        axes, reduce = [blocked, last_axis], f"{base}/ReduceSum"
        sums = onnx.node("ReduceSum", axes, reduce, keepdims=0)  # [tokens, blocks]
        inputs = [sums, matrix.offsets, product]
        return onnx.node("Gemm", inputs, f"{name}/block_offsets/Gemm", transB=1)

    def _split(self, matrix: _Written) -> str:
        """Name the shape that takes rows apart into blocks."""
        (_, blocks), group = matrix.shape, matrix.kind.group
        name = f"{blocks}_blocks" + f"_of_{group}" * (group != USUAL_GROUP)
        return self._onnx.constant(name, np.array([-1, blocks, group]))

    def _product(
        self, name: str, vectors: str, matrix: _Written, outputs: Sequence[str] = ()
    ) -> str:
        (rows, blocks), kind = matrix.shape, matrix.kind
        form = {"K": blocks * kind.group, "N": rows, "bits": kind.bits}
        form |= {"block_size": kind.group, "accuracy_level": INT8_INPUTS}
        inputs, node = [vectors, *matrix.weights], f"{name}/MatMul"
        return self._onnx.node("MatMulNBits", inputs, node, outputs, **form)


class _Written(NamedTuple):
    """A matrix of a block type that has been written."""

    kind: BlockType
    shape: tuple[int, int]  # rows, and blocks of a row
    weights: list[str]  # names of codes and scales, and of zeros where they are needed
    offsets: str  # name of what is added to all weights of a block; "" for nothing


Kit = Float32Kit  # or one made from it
