"""Kits that write the big matrices of a decoder as ONNX nodes.

Two kits: `Float32Kit` writes plain products, `Int4Kit` keeps the 4-bit and 8-bit codes
of the file. In both `embed` looks up the tokens' rows of the embedding, `linear`
multiplies by stacked matrices, and `head` turns vectors into the output `logits`; the
first two return their output's name. Knows nothing of layers and attention.

How a Q4_1 weight w = d * q + m, q in 0 … 15 (module `gguf_model`), is kept exactly:
the fast 4-bit operator, MatMulNBits, computes with d * (q - 8). What is left, m + 8d,
is the same for all 32 weights of a block, so it multiplies the sum of the block's
inputs:

    sum of w x  =  sum of d (q - 8) x  +  (m + 8d) * sum of x

Vectors come as rows, [tokens, inputs], because Gemm, which multiplies and adds in one
node, takes matrices; only the head sees [batch, sequence, hidden]. MatMulNBits and
GatherBlockQuantized are described in onnxruntime's ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.conversion.gguf_model import BLOCK, GgufModel
from llm_walkthrough.conversion.onnx_writer import OnnxWriter

if TYPE_CHECKING:
    from jaxtyping import Shaped

EMBEDDING = "/model/embed_tokens"
HEAD = "/lm_head"
INT8_INPUTS = 4  # accuracy_level of MatMulNBits: inputs rounded to int8, block by block


class _Kit:
    def __init__(self, model: GgufModel, onnx: OnnxWriter) -> None:
        self._model, self._onnx = model, onnx


class Float32Kit(_Kit):
    """Every weight as float32; a head that shares the embedding shares its bytes."""

    def embed(self, token_ids: str) -> str:
        """Gather float32 rows."""
        rows = self._weight(EMBEDDING, ["token_embd.weight"])
        return self._onnx.node("Gather", [rows, token_ids], f"{EMBEDDING}/Gather")

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by the rows of the matrices as they lie, hence transB."""
        weight = self._weight(name, tensors)
        return self._onnx.node("Gemm", [vectors, weight], f"{name}/Gemm", transB=1)

    def head(self, vectors: str) -> None:
        """Multiply by the embedding's rows, or by the head's if there are any."""
        rows = f"{EMBEDDING}/weight"
        if self._model.has_own_head:
            rows = self._weight(HEAD, ["output.weight"])
        name, outputs = f"{HEAD}/MatMul", ["logits"]
        self._onnx.node("FusedMatMul", [vectors, rows], name, outputs, transB=1)

    def _weight(self, name: str, tensors: Sequence[str]) -> str:
        rows = np.concatenate([self._model.dense(tensor) for tensor in tensors])
        return self._onnx.weight(f"{name}/weight", rows)


class Int4Kit(_Kit):
    """The codes of the file, bit for bit: Q4_1 in the layers, Q8_0 at both ends."""

    def embed(self, token_ids: str) -> str:
        """Gather rows of codes and turn them into float32."""
        codes, scale_rows = self._model.q8("token_embd.weight")
        flat = codes.reshape(len(codes), -1)  # [vocab, hidden]
        rows, scales = self._weights(EMBEDDING, flat, scale_rows)
        return self._onnx.node(
            "GatherBlockQuantized",
            [rows, token_ids, scales],
            f"{EMBEDDING}/Gather",
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by d * (q - 8), then add the block sums times (m + 8d)."""
        onnx, matrix = self._onnx, self._model.q4(tensors)
        weights = self._weights(name, matrix.codes, matrix.scales)
        offsets = matrix.minimums + 8 * matrix.scales  # [outputs, blocks]
        offset_rows = onnx.weight(f"{name}/block_offsets", offsets)
        product = self._multiply(name, [vectors, *weights], matrix.codes.shape)
        blocks, base = offsets.shape[1], f"{name}/block_sums"
        split = onnx.constant(f"{blocks}_blocks", np.array([-1, blocks, BLOCK]))
        last_axis = onnx.constant("last_axis", np.array([-1]))
        blocked = onnx.node("Reshape", [vectors, split], f"{base}/Reshape")
        axes, reduce = [blocked, last_axis], f"{base}/ReduceSum"
        sums = onnx.node("ReduceSum", axes, reduce, keepdims=0)  # [tokens, blocks]
        inputs = [sums, offset_rows, product]
        return onnx.node("Gemm", inputs, f"{name}/block_offsets/Gemm", transB=1)

    def head(self, vectors: str) -> None:
        """Multiply by the embedding's own codes, or by the head's if there are any."""
        dims = (self._model.vocab, self._model.hidden // BLOCK, BLOCK)
        if self._model.has_own_head:
            weights = self._weights(HEAD, *self._model.q8("output.weight"))
        else:
            codes = self._onnx.same_bytes(f"{HEAD}/codes", f"{EMBEDDING}/codes", dims)
            weights = [codes, f"{EMBEDDING}/scales"]
        self._multiply(HEAD, [vectors, *weights], dims, ["logits"])

    def _weights(self, name: str, *arrays: Shaped[np.ndarray, "rows ..."]) -> list[str]:
        named = zip((f"{name}/codes", f"{name}/scales"), arrays, strict=True)
        return [self._onnx.weight(*one) for one in named]

    def _multiply(
        self,
        name: str,
        inputs: Sequence[str],
        dims: tuple[int, ...],
        outputs: Sequence[str] = (),
    ) -> str:
        rows, blocks, block_bytes = dims
        return self._onnx.node(
            "MatMulNBits",
            inputs,
            f"{name}/MatMul",
            outputs,
            K=blocks * BLOCK,
            N=rows,
            bits=block_bytes * 8 // BLOCK,
            block_size=BLOCK,
            accuracy_level=INT8_INPUTS,
        )


Kit = Float32Kit | Int4Kit
