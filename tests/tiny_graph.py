"""A decoder of two layers with the ports of a real one, in every layout met so far.

The weights are random but always the same. `forward` computes the logits in plain numpy
and without a cache; it shares the weights with the graph and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper, parser

NUM_LAYERS = 2
NUM_HEADS = 4
KV_HEADS = 2
HEAD_DIM = 16  # GroupQueryAttention turns heads of a multiple of 16 only
HIDDEN = 24
VOCAB = 64
CONTEXT = 96
END_TOKENS = (3, 5)

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Layout:
    """What exporters do differently.

    Attributes:
        attention: plain ONNX operators, or GroupQueryAttention.
        output_order: key and value of each layer, or all keys and then all values.
        fixed_sizes: kv_heads, head_dim and vocab are numbers in the graph, not names.
        config: the file beside the graph that tells what it leaves open.
        cache_dtype: element type of keys and values.
        logits_dtype: element type of the logits.
        position_ids: whether the graph is told the positions.
        past_prefix: how the names of the cache's inputs begin.
        cache_branch: whether a flag tells the graph to look at the past at all.
        shuffled_inputs: whether the inputs stand in no sensible order.
        external_weights: whether the weights are in model.onnx.data.
    """

    attention: Literal["plain", "grouped"] = "grouped"
    output_order: Literal["interleaved", "keys first"] = "interleaved"
    fixed_sizes: bool = True
    config: Literal["config.json", "genai_config.json"] = "genai_config.json"
    cache_dtype: Literal["float32", "float16"] = "float32"
    logits_dtype: Literal["float32", "float16"] = "float32"
    position_ids: bool = False
    past_prefix: Literal["past_key_values", "past"] = "past_key_values"
    cache_branch: bool = False
    shuffled_inputs: bool = False
    external_weights: bool = False


GROUPED = Layout()
PLAIN = Layout(attention="plain")
LAYOUTS = {
    "grouped": GROUPED,
    "grouped, keys first": Layout(output_order="keys first"),
    "grouped, float16 caches": Layout(cache_dtype="float16"),
    "grouped, float16": Layout(cache_dtype="float16", logits_dtype="float16"),
    "grouped, positions": Layout(position_ids=True, external_weights=True),
    "grouped, past names": Layout(past_prefix="past", shuffled_inputs=True),
    "grouped, symbolic sizes": Layout(fixed_sizes=False, config="config.json"),
    "plain": PLAIN,
    "plain, keys first": Layout(attention="plain", output_order="keys first"),
    "plain, float16 caches": Layout(attention="plain", cache_dtype="float16"),
    "plain, positions": Layout(attention="plain", position_ids=True),
    "plain, past names": Layout(attention="plain", past_prefix="past"),
    "plain, symbolic sizes": Layout(attention="plain", fixed_sizes=False),
    "plain, cache branch": Layout(attention="plain", cache_branch=True),
    "plain, all at once": Layout(
        attention="plain",
        output_order="keys first",
        fixed_sizes=False,
        config="config.json",
        cache_dtype="float16",
        logits_dtype="float16",
        position_ids=True,
        past_prefix="past",
        cache_branch=True,
        shuffled_inputs=True,
        external_weights=True,
    ),
}


def write_model(
    folder: Path,
    layout: Layout = GROUPED,
    *,
    seed: int = 0,
    change: Callable[[onnx.ModelProto], object] = lambda _: None,
) -> Path:
    """Write a model folder and return it.

    Args:
        folder: is made if need be.
        layout: what the exporter of this one does.
        seed: another one gives other weights.
        change: spoils the graph before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = build(layout, seed=seed)
    change(model)
    save(model, folder / "model.onnx", external=layout.external_weights)
    config = genai_config() if layout.config == "genai_config.json" else hf_config()
    write_config(folder / layout.config, config)
    return folder


def write_config(file: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration as JSON."""
    file.write_text(json.dumps(config), encoding="utf-8")


def save(model: onnx.ModelProto, file: Path, *, external: bool) -> None:
    """Write the graph, and its weights inside it or in a file of their own."""
    onnx.save(
        model,
        file,
        save_as_external_data=external,
        location=f"{file.name}.data",
        size_threshold=512,  # shapes and single numbers stay in the graph
    )


def genai_config() -> dict[str, Any]:
    """What onnxruntime-genai's model builder writes, as far as it matters here."""
    decoder = {
        "filename": "model.onnx",
        "head_size": HEAD_DIM,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": KV_HEADS,
    }
    return {
        "model": {
            "context_length": CONTEXT,
            "decoder": decoder,
            "eos_token_id": list(END_TOKENS),
            "vocab_size": VOCAB,
        },
        "search": {"max_length": CONTEXT},
    }


def hf_config() -> dict[str, Any]:
    """What stands beside an export on the Hugging Face hub; head_dim is derived."""
    return {
        "eos_token_id": END_TOKENS[0],
        "hidden_size": NUM_HEADS * HEAD_DIM,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB,
    }


# --- weights and what they compute --------------------------------------------------


def weights(seed: int = 0) -> dict[str, Array]:
    """All weights in float32, each stored as [inputs, outputs]."""
    random = np.random.default_rng(seed)
    sizes = {"embedding": (VOCAB, HIDDEN), "head": (HIDDEN, VOCAB)}
    for i in range(NUM_LAYERS):
        sizes |= {
            f"q{i}": (HIDDEN, NUM_HEADS * HEAD_DIM),
            f"k{i}": (HIDDEN, KV_HEADS * HEAD_DIM),
            f"v{i}": (HIDDEN, KV_HEADS * HEAD_DIM),
            f"o{i}": (NUM_HEADS * HEAD_DIM, HIDDEN),
            f"up{i}": (HIDDEN, 2 * HIDDEN),
            f"down{i}": (2 * HIDDEN, HIDDEN),
        }
    drawn = {
        name: random.normal(0, size[0] ** -0.5, size) for name, size in sizes.items()
    }
    drawn["embedding"] *= VOCAB**0.5  # rows of about unit variance
    return {name: values.astype(np.float32) for name, values in drawn.items()}


def angles() -> Array:
    """Rotary angle of each position and pair, in radians [CONTEXT, HEAD_DIM / 2]."""
    pairs = np.arange(HEAD_DIM // 2)
    return np.outer(np.arange(CONTEXT), 100.0 ** (-2 * pairs / HEAD_DIM))


def forward(
    tokens: Sequence[int] | Array, *, seed: int = 0, window: int = CONTEXT
) -> Array:
    """Logits [sequence, vocab] float64 of all tokens at once, without a cache.

    A token attends to as many as the `window`, itself included.
    """
    w = {name: values.astype(np.float64) for name, values in weights(seed).items()}
    stream = w["embedding"][np.asarray(tokens)]
    for i in range(NUM_LAYERS):
        stream = stream + _attend(stream, w, i, window) @ w[f"o{i}"]
        stream = stream + np.tanh(stream @ w[f"up{i}"]) @ w[f"down{i}"]
    logits: Array = stream @ w["head"]
    return logits


def _attend(stream: Array, w: Mapping[str, Array], layer: int, window: int) -> Array:
    length = len(stream)
    q = _rotate((stream @ w[f"q{layer}"]).reshape(length, NUM_HEADS, HEAD_DIM))
    k = _rotate((stream @ w[f"k{layer}"]).reshape(length, KV_HEADS, HEAD_DIM))
    v = (stream @ w[f"v{layer}"]).reshape(length, KV_HEADS, HEAD_DIM)
    mixed = np.zeros_like(q)
    for position in range(length):
        for head in range(NUM_HEADS):
            shared = head // (NUM_HEADS // KV_HEADS)
            seen = slice(max(0, position + 1 - window), position + 1)
            scores = k[seen, shared] @ q[position, head] * HEAD_DIM**-0.5
            parts = np.exp(scores - scores.max())
            mixed[position, head] = parts / parts.sum() @ v[seen, shared]
    return mixed.reshape(length, -1)


def _rotate(heads: Array) -> Array:
    turns = angles()[: len(heads), np.newaxis]
    left, right = np.split(heads, 2, axis=-1)
    turned = (left + 1j * right) * np.exp(1j * turns)
    rotated: Array = np.concatenate([turned.real, turned.imag], axis=-1)
    return rotated


# --- the graph, in onnx's own text form ---------------------------------------------


def build(layout: Layout = GROUPED, *, seed: int = 0) -> onnx.ModelProto:
    """Build the graph with its weights inside."""
    inputs, outputs = ports(layout)
    onnx_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(layout.logits_dtype))
    body = [_PREPARE, _POSITIONS_FED if layout.position_ids else _POSITIONS]
    body += [_layer(layout, i) for i in range(NUM_LAYERS)]
    model: onnx.ModelProto = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>\n'
        f"decoder ({', '.join(inputs)}) => ({', '.join(outputs)}) {{\n"
        + "\n".join(body)
        + f"\n  scores = MatMul (stream{NUM_LAYERS}, head)"
        + f"\n  logits = Cast <to = {onnx_type}> (scores)\n}}"
    )
    tables = _tables(np.dtype(layout.cache_dtype))
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name)
        for name, values in {**weights(seed), **tables}.items()
    )
    return model


def ports(layout: Layout) -> tuple[list[str], list[str]]:
    """Inputs and outputs with their types, in the order that the layout wants."""
    heads, size, vocab = KV_HEADS, HEAD_DIM, VOCAB
    if not layout.fixed_sizes:
        heads, size, vocab = "kv_heads", "head_dim", "vocab"  # type: ignore[assignment]
    cache = layout.cache_dtype
    parts = [(i, part) for i in range(NUM_LAYERS) for part in ("key", "value")]
    inputs = ["int64[batch, sequence] input_ids", "int64[batch, total] attention_mask"]
    inputs += ["int64[batch, sequence] position_ids"] * layout.position_ids
    inputs += ["bool[1] use_cache_branch"] * layout.cache_branch
    inputs += [
        f'{cache}[batch, {heads}, past, {size}] "{layout.past_prefix}.{i}.{part}"'
        for i, part in parts
    ]
    if layout.output_order == "keys first":
        parts.sort(key=lambda pair: pair[1])
    outputs = [f"{layout.logits_dtype}[batch, sequence, {vocab}] logits"]
    outputs += [
        f'{cache}[batch, {heads}, total, {size}] "present.{i}.{part}"'
        for i, part in parts
    ]
    if layout.shuffled_inputs:
        inputs = [*inputs[::-2], *inputs[-2::-2]]
    return [_typed(port) for port in inputs], [_typed(port) for port in outputs]


def _typed(port: str) -> str:
    return port.replace("float32[", "float[", 1)


def _tables(cache_dtype: np.dtype[Any]) -> dict[str, Array]:
    """What the nodes need besides weights: rotary tables, shapes, single numbers."""
    cos, sin = np.cos(angles()), np.sin(angles())
    group = NUM_HEADS // KV_HEADS
    return {
        "cos": cos.astype(np.float32),
        "sin": sin.astype(np.float32),
        "cache_cos": cos.astype(cache_dtype),
        "cache_sin": sin.astype(cache_dtype),
        "scale": np.array(HEAD_DIM**-0.5, np.float32),
        "never": np.array(-1e9, np.float32),
        "zero": np.array(0),
        "one": np.array(1),
        "axis0": np.array([0]),
        "axis1": np.array([1]),
        "axis2": np.array([2]),
        "q_heads": np.array([1, -1, KV_HEADS, group, HEAD_DIM]),
        "kv_heads": np.array([1, -1, KV_HEADS, 1, HEAD_DIM]),
        "kv_cache": np.array([1, KV_HEADS, -1, HEAD_DIM]),
        "flat": np.array([1, -1, NUM_HEADS * HEAD_DIM]),
    }


_PREPARE = """
    stream0 = Gather (embedding, input_ids)
    mask_shape = Shape (attention_mask)
    total = Gather (mask_shape, one)
    total_int32 = Cast <to = 6> (total)
    mask_sum = ReduceSum <keepdims = 0> (attention_mask, axis1)
    last = Sub (mask_sum, one)
    last_int32 = Cast <to = 6> (last)
    ids_shape = Shape (input_ids)
    new = Gather (ids_shape, one)
    past_length = Sub (total, new)
    all_places = Range (zero, total, one)
"""

_POSITIONS = """
    places = Range (past_length, total, one)
    position_rows = Unsqueeze (places, axis0)
"""

_POSITIONS_FED = """
    places = Squeeze (position_ids, axis0)
    position_rows = Identity (position_ids)
"""

_PROJECT = """
    flat_q@ = MatMul (stream@, q@)
    flat_k@ = MatMul (stream@, k@)
    flat_v@ = MatMul (stream@, v@)
"""

_TURN = """
    turned_q@ = com.microsoft.RotaryEmbedding (flat_q@, position_rows, cos, sin)
    turned_k@ = com.microsoft.RotaryEmbedding (flat_k@, position_rows, cos, sin)
"""

_USE_PAST = """
    past_k@ = Identity ("PREFIX.@.key")
    past_v@ = Identity ("PREFIX.@.value")
"""

_ONE_PAST_IF_TOLD = """
    past_k@ = If (use_cache_branch) <
        then_branch = with_past_k@ () => (CACHE[1, 2, past, 16] kept_k@) {
            kept_k@ = Identity ("PREFIX.@.key") },
        else_branch = no_past_k@ () => (CACHE[1, 2, past, 16] none_k@) {
            none_k@ = Slice ("PREFIX.@.key", axis0, axis0, axis2) }>
"""
_USE_PAST_IF_TOLD = _ONE_PAST_IF_TOLD + _ONE_PAST_IF_TOLD.replace("_k", "_v").replace(
    "key", "value"
)

_PLAIN_ATTENTION = """
    split_q@ = Reshape (turned_q@, q_heads)
    split_k@ = Reshape (turned_k@, kv_heads)
    split_v@ = Reshape (flat_v@, kv_heads)
    queries@ = Transpose <perm = [0, 2, 3, 1, 4]> (split_q@)
    new_k@ = Transpose <perm = [0, 2, 3, 1, 4]> (split_k@)
    new_v@ = Transpose <perm = [0, 2, 3, 1, 4]> (split_v@)
    rows_k@ = Reshape (new_k@, kv_cache)
    rows_v@ = Reshape (new_v@, kv_cache)
    cached_k@ = CastLike (rows_k@, past_k@)
    cached_v@ = CastLike (rows_v@, past_v@)
    "present.@.key" = Concat <axis = 2> (past_k@, cached_k@)
    "present.@.value" = Concat <axis = 2> (past_v@, cached_v@)
    all_k@ = Cast <to = 1> ("present.@.key")
    all_v@ = Cast <to = 1> ("present.@.value")
    wide_k@ = Unsqueeze (all_k@, axis2)
    wide_v@ = Unsqueeze (all_v@, axis2)
    columns_k@ = Transpose <perm = [0, 1, 2, 4, 3]> (wide_k@)
    products@ = MatMul (queries@, columns_k@)
    scores@ = Mul (products@, scale)
    place_column@ = Unsqueeze (places, axis1)
    visible@ = GreaterOrEqual (place_column@, all_places)
    masked@ = Where (visible@, scores@, never)
    parts@ = Softmax <axis = -1> (masked@)
    mixed_heads@ = MatMul (parts@, wide_v@)
    mixed_rows@ = Transpose <perm = [0, 3, 1, 2, 4]> (mixed_heads@)
    mixed@ = Reshape (mixed_rows@, flat)
"""

_GROUPED_ATTENTION = """
    query@ = CastLike (QUERY, cache_cos)
    key@ = CastLike (KEY, cache_cos)
    value@ = CastLike (flat_v@, cache_cos)
    mixed_cache@, "present.@.key", "present.@.value" =
        com.microsoft.GroupQueryAttention
        <num_heads = 4, kv_num_heads = 2, do_rotary = ROTARY>
        (query@, key@, value@, "PREFIX.@.key", "PREFIX.@.value",
         last_int32, total_int32 TABLES)
    mixed@ = Cast <to = 1> (mixed_cache@)
"""

_REST_OF_LAYER = """
    attended@ = MatMul (mixed@, o@)
    middle@ = Add (stream@, attended@)
    upper@ = MatMul (middle@, up@)
    bent@ = Tanh (upper@)
    lower@ = MatMul (bent@, down@)
    stream+ = Add (middle@, lower@)
"""


def _layer(layout: Layout, layer: int) -> str:
    plain = layout.attention == "plain"
    attention = _plain(layout) if plain else _grouped(layout)
    text = _PROJECT + attention + _REST_OF_LAYER
    return (
        text.replace("PREFIX", layout.past_prefix)
        .replace("CACHE", _typed(f"{layout.cache_dtype}[")[:-1])
        .replace("@", str(layer))
        .replace("+", str(layer + 1))
    )


def _plain(layout: Layout) -> str:
    past = _USE_PAST_IF_TOLD if layout.cache_branch else _USE_PAST
    return _TURN + past + _PLAIN_ATTENTION


def _grouped(layout: Layout) -> str:
    """Let the operator turn the heads, unless the graph is told the positions."""
    text, choices = "", ("flat_q@", "flat_k@", "1", ", cache_cos, cache_sin")
    if layout.position_ids:
        text, choices = _TURN, ("turned_q@", "turned_k@", "0", "")
    text += _GROUPED_ATTENTION
    for word, choice in zip(("QUERY", "KEY", "ROTARY", "TABLES"), choices, strict=True):
        text = text.replace(word, choice)
    return text
