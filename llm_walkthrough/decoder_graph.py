"""Which nodes does a llama decoder consist of, as an ONNX graph?

Follows the tokens' vectors from the embedding through the layers to the logits. Big
matrices are written by one of two kits: `Float32Kit` writes plain MatMul nodes, `Int4Kit`
keeps the 4-bit and 8-bit codes of the file. Knows nothing of files and tokenizers.

How a Q4_1 weight w = d * q + m, q in 0 … 15 (module `gguf_model`), is kept exactly: the
fast 4-bit operator, MatMulNBits, computes with d * (q - 8). What is left, m + 8d, is the
same for all 32 weights of a block, so it multiplies the *sum* of the block's inputs:

    sum of w x  =  sum of d (q - 8) x  +  (m + 8d) * sum of x

The operators named com.microsoft are described in onnxruntime's ContribOperators.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from onnx import TensorProto

from llm_walkthrough.gguf_model import BLOCK, Q4Matrix, Q8Matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float64

    from llm_walkthrough.gguf_model import DecoderShape, GgufModel
    from llm_walkthrough.onnx_writer import OnnxWriter

EMBEDDING = "/model/embed_tokens"
HEAD = "/lm_head"
INT8_INPUTS = 4  # accuracy_level of MatMulNBits: inputs rounded to int8, block by block


class Kit(Protocol):
    """How the big matrices of one variant are written."""

    def embed(self, token_ids: str) -> str:
        """Look up the tokens' rows of the embedding; returns the output's name."""

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by the stacked matrices `tensors`; returns the output's name."""

    def head(self, vectors: str) -> None:
        """Turn vectors into the output `logits`."""


class Float32Kit:
    """Every weight as float32; a head that shares the embedding shares its bytes."""

    def __init__(self, model: GgufModel, onnx: OnnxWriter) -> None:
        self._model, self._onnx = model, onnx

    def embed(self, token_ids: str) -> str:
        """Gather float32 rows."""
        rows = self._onnx.weight(
            f"{EMBEDDING}/weight", self._model.dense("token_embd.weight")
        )
        return self._onnx.node("Gather", [rows, token_ids], f"{EMBEDDING}/Gather")

    def linear(self, name: str, vectors: str, tensors: Sequence[str]) -> str:
        """Multiply by the transposed matrices: MatMul wants a column per output."""
        rows = np.concatenate([self._model.dense(tensor) for tensor in tensors])
        columns = self._onnx.weight(f"{name}/weight", rows.T)
        return self._onnx.node("MatMul", [vectors, columns], f"{name}/MatMul")

    def head(self, vectors: str) -> None:
        """Multiply by rows as they lie: FusedMatMul transposes while it multiplies."""
        rows = f"{EMBEDDING}/weight"
        if self._model.has_own_head:
            rows = self._onnx.weight(
                f"{HEAD}/weight", self._model.dense("output.weight")
            )
        self._onnx.node(
            "FusedMatMul", [vectors, rows], f"{HEAD}/MatMul", ["logits"], transB=1
        )


class Int4Kit:
    """The codes of the file, bit for bit: Q4_1 in the layers, Q8_0 at both ends."""

    def __init__(self, model: GgufModel, onnx: OnnxWriter) -> None:
        self._model, self._onnx = model, onnx

    def embed(self, token_ids: str) -> str:
        """Gather rows of codes and turn them into float32."""
        shape = self._model.shape
        codes, scales = self._write(EMBEDDING, self._model.q8("token_embd.weight"))
        rows = self._onnx.same_bytes(
            f"{EMBEDDING}/rows", codes, (shape.vocab, shape.hidden)
        )
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
        matrix = Q4Matrix.stacked([self._model.q4(tensor) for tensor in tensors])
        offsets = self._onnx.weight(
            f"{name}/block_offsets", (matrix.minimums + 8 * matrix.scales).T
        )
        weights = self._write(name, matrix)
        product = self._multiply(name, [vectors, *weights], matrix.codes.shape)
        sums = self._block_sums(f"{name}/block_sums", vectors, len(matrix.scales.T))
        rest = self._onnx.node(
            "MatMul", [sums, offsets], f"{name}/block_offsets/MatMul"
        )
        return self._onnx.node("Add", [product, rest], f"{name}/Add")

    def head(self, vectors: str) -> None:
        """Multiply by the embedding's own codes, or by the head's if there are any."""
        shape = self._model.shape
        weights = [f"{EMBEDDING}/codes", f"{EMBEDDING}/scales"]
        if self._model.has_own_head:
            weights = self._write(HEAD, self._model.q8("output.weight"))
        dims = (shape.vocab, shape.hidden // BLOCK, BLOCK)
        self._multiply(HEAD, [vectors, *weights], dims, ["logits"])

    def _write(self, name: str, matrix: Q4Matrix | Q8Matrix) -> list[str]:
        return [
            self._onnx.weight(f"{name}/codes", matrix.codes),
            self._onnx.weight(f"{name}/scales", matrix.scales),
        ]

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

    def _block_sums(self, name: str, vectors: str, blocks: int) -> str:
        """Sum of each block of 32 inputs: [batch, sequence, blocks]."""
        split = self._onnx.constant(
            f"/model/constants/{blocks}_blocks", np.array([0, 0, blocks, BLOCK])
        )
        last_axis = self._onnx.constant("/model/constants/last_axis", np.array([-1]))
        blocked = self._onnx.node("Reshape", [vectors, split], f"{name}/Reshape")
        return self._onnx.node(
            "ReduceSum", [blocked, last_axis], f"{name}/ReduceSum", keepdims=0
        )


class DecoderGraph:
    """Writes the nodes of the whole decoder, from `input_ids` to `logits`.

    Args:
        model: where shape and weights come from.
        onnx: where nodes and weights go.
        kit: how the big matrices are written.
    """

    def __init__(self, model: GgufModel, onnx: OnnxWriter, kit: Kit) -> None:
        self._model, self._onnx, self._kit = model, onnx, kit
        self._shape = model.shape

    def write(self, progress: Callable[[float], None]) -> None:
        """Write everything; `progress` hears the share that is done, in 0 … 1."""
        num_layers = self._shape.num_layers
        self._write_ports()
        attention_inputs = self._write_lengths() + self._write_rotary_tables()
        stream, change = self._kit.embed("input_ids"), ""
        for layer in range(num_layers):
            progress((layer + 1) / (num_layers + 2))  # both ends count as a layer
            base = f"/model/layers.{layer}"
            normed, stream = self._norm(
                f"{base}/input_layernorm", stream, change, f"blk.{layer}.attn_norm"
            )
            change = self._attention(layer, normed, attention_inputs)
            normed, stream = self._norm(
                f"{base}/post_attention_layernorm",
                stream,
                change,
                f"blk.{layer}.ffn_norm",
            )
            change = self._mlp(layer, normed)
        normed, _ = self._norm("/model/norm", stream, change, "output_norm")
        self._kit.head(normed)
        progress(1.0)

    def _write_ports(self) -> None:
        """Inputs and outputs; the cache axes are open, so that buffers can be shared."""
        shape, onnx = self._shape, self._onnx
        onnx.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        onnx.input("attention_mask", TensorProto.INT64, ["batch", "total_sequence"])
        onnx.output("logits", TensorProto.FLOAT, ["batch", "sequence", shape.vocab])
        past = ["batch", shape.kv_heads, "past_sequence", shape.head_dim]
        present = ["batch", shape.kv_heads, "total_sequence", shape.head_dim]
        for layer in range(shape.num_layers):
            for part in ("key", "value"):
                onnx.input(f"past_key_values.{layer}.{part}", TensorProto.FLOAT, past)
                onnx.output(f"present.{layer}.{part}", TensorProto.FLOAT, present)

    def _write_lengths(self) -> list[str]:
        """What GroupQueryAttention wants of the mask: its sum - 1, and its width."""
        onnx, base = self._onnx, "/model/attention_mask"
        one = onnx.constant("/model/constants/one", np.array([1]))
        width_axis = onnx.constant("/model/constants/width_axis", np.array(1))
        ones = onnx.node(
            "ReduceSum", ["attention_mask", one], f"{base}/ReduceSum", keepdims=0
        )
        last = onnx.node("Sub", [ones, one], f"{base}/Sub")
        dims = onnx.node("Shape", ["attention_mask"], f"{base}/Shape")
        width = onnx.node("Gather", [dims, width_axis], f"{base}/Gather", axis=0)
        return [
            onnx.node("Cast", [last], f"{base}/seqlens_k/Cast", to=TensorProto.INT32),
            onnx.node(
                "Cast",
                [width],
                f"{base}/total_sequence_length/Cast",
                to=TensorProto.INT32,
            ),
        ]

    def _write_rotary_tables(self) -> list[str]:
        angles = rotary_angles(self._shape)
        return [
            self._onnx.weight("/model/rotary/cos", np.cos(angles).astype(np.float32)),
            self._onnx.weight("/model/rotary/sin", np.sin(angles).astype(np.float32)),
        ]

    def _norm(
        self, name: str, stream: str, change: str, tensor: str
    ) -> tuple[str, str]:
        """Add `change` to the residual stream and normalise: (normalised, new stream)."""
        weight = self._onnx.constant(
            f"{name}/weight", self._model.dense(f"{tensor}.weight")
        )
        epsilon = self._shape.norm_epsilon
        if not change:  # before the first layer nothing has been added yet
            normed = self._onnx.node(
                "SimplifiedLayerNormalization",
                [stream, weight],
                f"{name}/LayerNorm",
                axis=-1,
                epsilon=epsilon,
                stash_type=TensorProto.FLOAT,
            )
            return normed, stream
        outputs = [f"{name}/output_0", "", "", f"{name}/residual"]
        self._onnx.node(
            "SkipSimplifiedLayerNormalization",
            [stream, change, weight],
            f"{name}/SkipLayerNorm",
            outputs,
            epsilon=epsilon,
        )
        return outputs[0], outputs[3]

    def _attention(self, layer: int, vectors: str, common_inputs: list[str]) -> str:
        shape, base = self._shape, f"/model/layers.{layer}/attn"
        tensors = [f"blk.{layer}.attn_{part}.weight" for part in "qkv"]
        packed = self._kit.linear(f"{base}/qkv_proj", vectors, tensors)
        cache = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        mixed = self._onnx.node(
            "GroupQueryAttention",
            [packed, "", "", *cache, *common_inputs],
            f"{base}/GroupQueryAttention",
            [f"{base}/output_0", f"present.{layer}.key", f"present.{layer}.value"],
            num_heads=shape.num_heads,
            kv_num_heads=shape.kv_heads,
            scale=shape.head_dim**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
        )
        return self._kit.linear(
            f"{base}/o_proj", mixed, [f"blk.{layer}.attn_output.weight"]
        )

    def _mlp(self, layer: int, vectors: str) -> str:
        """SwiGLU: down(silu(gate(x)) * up(x)), where silu(g) = g * sigmoid(g)."""
        onnx, base = self._onnx, f"/model/layers.{layer}/mlp"
        tensors = [f"blk.{layer}.ffn_{part}.weight" for part in ("gate", "up")]
        packed = self._kit.linear(f"{base}/gate_up_proj", vectors, tensors)
        gate, up = f"{base}/gate", f"{base}/up"
        onnx.node(
            "Split", [packed], f"{base}/Split", [gate, up], axis=-1, num_outputs=2
        )
        sigmoid = onnx.node("Sigmoid", [gate], f"{base}/act_fn/Sigmoid")
        silu = onnx.node("Mul", [gate, sigmoid], f"{base}/act_fn/Mul")
        gated = onnx.node("Mul", [silu, up], f"{base}/Mul")
        return self._kit.linear(
            f"{base}/down_proj", gated, [f"blk.{layer}.ffn_down.weight"]
        )


def rotary_angles(shape: DecoderShape) -> Float64[np.ndarray, "position pair"]:
    """Angle of every rotary pair at every position, in radians.

    position * theta ** (-2 pair / head_dim): Su et al. 2021, RoFormer, section 3.2.2.
    """
    pairs = np.arange(shape.head_dim // 2)
    turns = shape.rope_theta ** (-2.0 * pairs / shape.head_dim)
    return np.outer(np.arange(shape.context_length), turns)
