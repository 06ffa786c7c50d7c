"""A decoder laid out as onnxruntime-genai's model builder does it, made by hand.

Norms that add, projections with a bias, no sum behind the last norm, opset 14. The
weights are random but always the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser
from tiny_graph import (
    CONTEXT,
    HEAD_DIM,
    HIDDEN,
    KV_HEADS,
    NUM_HEADS,
    NUM_LAYERS,
    VOCAB,
    angles,
    genai_config,
    write_config,
)

_BEGIN = """
    ones = ReduceSum <keepdims = 0> (attention_mask, one)
    last = Sub (ones, one)
    seqlens_k = Cast <to = 6> (last)
    mask_shape = Shape (attention_mask)
    width = Gather <axis = 0> (mask_shape, axis)
    total = Cast <to = 6> (width)
    rest0 = Gather (embedding, input_ids)
    normed0 = SimplifiedLayerNormalization
        <axis = -1, epsilon = 0.00001, stash_type = 1> (rest0, gain0)
"""
_LAYER = """
    mq@ = MatMul (normed@, q@)
    mk@ = MatMul (normed@, k@)
    mv@ = MatMul (normed@, v@)
    bq@ = Add (mq@, biasq@)
    bk@ = Add (mk@, biask@)
    bv@ = Add (mv@, biask@)
    mixed@, "present.@.key", "present.@.value" = com.microsoft.GroupQueryAttention
        <num_heads = 4, kv_num_heads = 2, scale = 0.25, do_rotary = 1 MORE>
        (bq@, bk@, bv@, "past_key_values.@.key", "past_key_values.@.value",
         seqlens_k, total, cos_cache, sin_cache)
    mo@ = MatMul (mixed@, o@)
    attended@ = Add (mo@, biaso@)
    between@, "", "", middle@ = com.microsoft.SkipSimplifiedLayerNormalization
        <epsilon = 0.00001> (rest@, attended@, gain@)
    gate@ = MatMul (between@, gate_w@)
    up@ = MatMul (between@, up_w@)
    half@ = Sigmoid (gate@)
    silu@ = Mul (gate@, half@)
    both@ = Mul (silu@, up@)
    down@ = MatMul (both@, down_w@)
    normed+, "", "", rest+ = com.microsoft.SkipSimplifiedLayerNormalization
        <epsilon = 0.00001> (middle@, down@, gain@)
"""


def write_built_model(folder: Path, told: str = "") -> Path:
    """Write a model folder and return it; `told` is said to each attention."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(told), folder / "model.onnx")
    write_config(folder / "genai_config.json", genai_config())
    return folder


def build(told: str = "") -> onnx.ModelProto:
    """Build the graph with its weights inside."""
    size = f"batch, {KV_HEADS}, past, {HEAD_DIM}"
    parts = [f"{i}.{part}" for i in range(NUM_LAYERS) for part in ("key", "value")]
    inputs = ["int64[batch, sequence] input_ids", "int64[batch, total_] attention_mask"]
    inputs += [f'float[{size}] "past_key_values.{part}"' for part in parts]
    outputs = [f"float[batch, sequence, {VOCAB}] logits"]
    outputs += [f'float[{size}] "present.{part}"' for part in parts]
    body = _BEGIN
    for i in range(NUM_LAYERS):
        layer = _LAYER.replace("MORE", told)
        body += layer.replace("@", str(i)).replace("+", str(i + 1))
    body = body.replace(f', "", "", rest{NUM_LAYERS} =', " =")
    model: onnx.ModelProto = parser.parse_model(
        '<ir_version: 7, opset_import: ["": 14, "com.microsoft": 1]>\n'
        f"decoder ({', '.join(inputs)}) => ({', '.join(outputs)}) {{\n{body}"
        f"    logits = MatMul (normed{NUM_LAYERS}, head)\n}}"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in _weights().items()
    )
    return model


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    width, kv = NUM_HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    sizes: dict[str, tuple[int, ...]] = {"head": (HIDDEN, VOCAB)}
    for i in range(NUM_LAYERS):
        matrices = {"q": (HIDDEN, width), "k": (HIDDEN, kv), "v": (HIDDEN, kv)}
        matrices |= {"o": (width, HIDDEN), "down_w": (2 * HIDDEN, HIDDEN)}
        matrices |= dict.fromkeys(("gate_w", "up_w"), (HIDDEN, 2 * HIDDEN))
        sizes |= {f"{name}{i}": size for name, size in matrices.items()}
        sizes |= {f"biasq{i}": (width,), f"biask{i}": (kv,), f"biaso{i}": (HIDDEN,)}
    drawn = {n: random.normal(0, size[0] ** -0.5, size) for n, size in sizes.items()}
    drawn["embedding"] = random.normal(0, 1, (VOCAB, HIDDEN))
    drawn |= {f"gain{i}": random.normal(1, 0.1, HIDDEN) for i in range(NUM_LAYERS)}
    drawn |= {"cos_cache": np.cos(angles()), "sin_cache": np.sin(angles())}
    weights = {name: values.astype(np.float32) for name, values in drawn.items()}
    assert len(weights["cos_cache"]) == CONTEXT
    return weights | {"one": np.array([1]), "axis": np.array(1)}
