"""Nodes of a decoder, from `input_ids` to `logits`.

Follows the tokens' vectors through the layers: normalise, attend, add; normalise, mix,
add. Leaves the big matrices to a kit (module `matrix_kits`). Knows nothing of files.

The vectors of all tokens are the rows of one matrix, [tokens, hidden], whatever
sequence a token belongs to; only attention and the head see [batch, sequence, …].
onnxruntime's ContribOperators.md describes the operators that are not ONNX's own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.matrix_kits import Kit
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.conversion.rotary import rotary_tables

# what the attention of every layer is given besides vectors and cache
ATTENTION_INPUTS = ["seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"]


class DecoderGraph:
    """Writes the decoder, layer by layer, the big matrices as the kit does."""

    def __init__(self, model: GgufModel, onnx: OnnxWriter, kit: Kit) -> None:
        self._model, self._onnx, self._kit = model, onnx, kit

    def write(self, progress: Callable[[float], None]) -> None:
        """Write everything; `progress` hears the share that is done, in 0 … 1."""
        self._write_ports()
        self._write_arrangements()
        self._write_lengths()
        cos, sin = rotary_tables(self._model, self._model.context_length)
        self._onnx.weight("cos_cache", cos)
        self._onnx.weight("sin_cache", sin)
        stream, change = self._kit.embed("token_rows"), ""
        for layer in range(self._model.num_layers):
            progress(layer / self._model.num_layers)
            stream, change = self._write_layer(layer, stream, change)
        normed, _ = self._norm("/model/norm", "output_norm", stream, change)
        self._kit.head(self._reshape(normed, "by_sequence", "/model/norm"))
        progress(1.0)

    def _write_ports(self) -> None:
        model, onnx = self._model, self._onnx
        onnx.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        onnx.input("attention_mask", TensorProto.INT64, ["batch", "total_sequence"])
        onnx.output("logits", TensorProto.FLOAT, ["batch", "sequence", model.vocab])
        past, present = (
            ["batch", model.kv_heads, length, model.head_dim]
            for length in ("past_sequence", "total_sequence")
        )
        for layer in range(model.num_layers):
            for part in ("key", "value"):
                onnx.input(f"past_key_values.{layer}.{part}", TensorProto.FLOAT, past)
                onnx.output(f"present.{layer}.{part}", TensorProto.FLOAT, present)

    def _write_arrangements(self) -> None:
        """The tokens in one list, and the two shapes between which vectors change."""
        onnx, base, ids = self._onnx, "/model/arrangement", "input_ids"
        one_list = onnx.constant("one_list", np.array([-1]))
        onnx.constant("rows", np.array([-1, self._model.queries]))
        onnx.node("Reshape", [ids, one_list], f"{base}/Reshape", ["token_rows"])
        dims = onnx.node("Shape", [ids], f"{base}/Shape")
        shape = ["by_sequence"]  # [batch, sequence, -1]
        onnx.node("Concat", [dims, one_list], f"{base}/Concat", shape, axis=0)

    def _write_lengths(self) -> None:
        """What attention wants of the mask: its sum less 1, and its width, as int32."""
        onnx, base, mask = self._onnx, "/model/attn_mask_reformat", "attention_mask"
        onnx.constant("one", np.array([1]))
        onnx.constant("width_axis", np.array(1))
        ones = onnx.node("ReduceSum", [mask, "one"], f"{base}/ReduceSum", keepdims=0)
        last = onnx.node("Sub", [ones, "one"], f"{base}/Sub")
        dims = onnx.node("Shape", [mask], f"{base}/Shape")
        width = onnx.node("Gather", [dims, "width_axis"], f"{base}/Gather", axis=0)
        int32 = TensorProto.INT32
        for wide, name in ((last, "seqlens_k"), (width, "total_sequence_length")):
            onnx.node("Cast", [wide], f"{base}/{name}/Cast", [name], to=int32)

    def _write_layer(self, layer: int, stream: str, change: str) -> tuple[str, str]:
        """One layer: the residual stream, and what is still to be added to it."""
        name, tensor = f"/model/layers.{layer}", f"blk.{layer}"
        before, after = f"{name}/input_layernorm", f"{name}/post_attention_layernorm"
        normed, stream = self._norm(before, f"{tensor}.attn_norm", stream, change)
        change = self._attention(layer, normed)
        normed, stream = self._norm(after, f"{tensor}.ffn_norm", stream, change)
        return stream, self._mlp(layer, normed)

    def _norm(self, name: str, norm: str, stream: str, change: str) -> tuple[str, str]:
        """Add `change` to the stream and normalise: (normalised, the new stream)."""
        onnx, epsilon = self._onnx, self._model.norm_epsilon
        weight = onnx.constant(f"{name}/weight", self._model.dense(f"{norm}.weight"))
        operator = "SimplifiedLayerNormalization"
        if not change:  # nothing has been added yet before the first layer
            inputs, node = [stream, weight], f"{name}/LayerNorm"
            return onnx.node(operator, inputs, node, axis=-1, epsilon=epsilon), stream
        inputs, node = [stream, change, weight], f"{name}/SkipLayerNorm"
        # the two outputs between are for training
        outputs = [f"{name}/output_0", "", "", f"{name}/residual"]
        onnx.node(f"Skip{operator}", inputs, node, outputs, epsilon=epsilon)
        return outputs[0], outputs[3]

    def _attention(self, layer: int, vectors: str) -> str:
        model, base = self._model, f"/model/layers.{layer}/attn"
        tensors = [f"blk.{layer}.attn_{part}.weight" for part in "qkv"]
        packed = self._kit.linear(f"{base}/qkv_proj", vectors, tensors)
        inputs = self._attention_inputs(layer, packed)
        past, present = (
            [f"{port}.{layer}.{part}" for part in ("key", "value")]
            for port in ("past_key_values", "present")
        )
        operator, outputs = "GroupQueryAttention", [f"{base}/output_0", *present]
        inputs += [*past, *ATTENTION_INPUTS]
        heads = {"num_heads": model.num_heads, "kv_num_heads": model.kv_heads}
        form = heads | {"scale": model.head_dim**-0.5, "do_rotary": 1}
        mixed = self._onnx.node(operator, inputs, f"{base}/{operator}", outputs, **form)
        mixed = self._reshape(mixed, "rows", base)
        output = f"blk.{layer}.attn_output.weight"
        return self._kit.linear(f"{base}/o_proj", mixed, [output])

    def _attention_inputs(self, layer: int, packed: str) -> list[str]:
        """Queries, keys, values by sequence: in one array, or apart if normalised."""
        onnx, model, base = self._onnx, self._model, f"/model/layers.{layer}/attn"
        biases = [f"blk.{layer}.attn_{part}.bias" for part in "qkv"]
        if model.has(biases[0]):
            bias = np.concatenate([model.dense(one) for one in biases])
            inputs = [packed, onnx.constant(f"{base}/qkv_proj/bias", bias)]
            packed = onnx.node("Add", inputs, f"{base}/qkv_proj/Add")
        if not model.has(f"blk.{layer}.attn_q_norm.weight"):
            return [self._reshape(packed, "by_sequence", f"{base}/qkv_proj"), "", ""]
        heads = np.array([model.num_heads, model.kv_heads, model.kv_heads])
        sizes = onnx.constant("qkv_columns", heads * model.head_dim)
        parts = [f"{base}/{part}" for part in "qkv"]
        onnx.node("Split", [packed, sizes], f"{base}/qkv_proj/Split", parts, axis=-1)
        by_head = onnx.constant("by_head", np.array([-1, model.head_dim]))
        for place, part in enumerate("qk"):
            one = self._reshape(parts[place], by_head, f"{base}/{part}_norm/heads")
            tensor = f"blk.{layer}.attn_{part}_norm"
            parts[place], _ = self._norm(f"{base}/{part}_norm", tensor, one, "")
        return [
            self._reshape(one, "by_sequence", f"{base}/{part}_proj")
            for one, part in zip(parts, "qkv", strict=True)
        ]

    def _mlp(self, layer: int, vectors: str) -> str:
        """SwiGLU: down(silu(gate(x)) * up(x)), where silu(g) = g * sigmoid(g)."""
        onnx, base = self._onnx, f"/model/layers.{layer}/mlp"
        tensors = [f"blk.{layer}.ffn_{part}.weight" for part in ("gate", "up")]
        packed = self._kit.linear(f"{base}/gate_up_proj", vectors, tensors)
        parts = gate, up = [f"{base}/gate", f"{base}/up"]
        onnx.node("Split", [packed], f"{base}/Split", parts, axis=-1, num_outputs=2)
        sigmoid = onnx.node("Sigmoid", [gate], f"{base}/act_fn/Sigmoid")
        silu = onnx.node("Mul", [gate, sigmoid], f"{base}/act_fn/Mul")
        mixed = onnx.node("Mul", [silu, up], f"{base}/Mul")
        down = f"blk.{layer}.ffn_down.weight"
        return self._kit.linear(f"{base}/down_proj", mixed, [down])

    def _reshape(self, vectors: str, shape: str, name: str) -> str:
        return self._onnx.node("Reshape", [vectors, shape], f"{name}/Reshape")
