"""GGUF files with random weights of any block type, to measure and to test with.

The gguf library can read all types but write only some, so blocks are random bytes with
scales that give the weights a deviation. Knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

# bytes of a block where a float16 stands: the scale, and the scale of the minimums with
# the number of scales that it takes to move the mean of the codes to 0
NUMBERS: dict[str, tuple[int, tuple[int, float] | None]] = {
    "Q4_0": (0, None),
    "Q4_1": (0, (2, -7.5)),
    "Q5_0": (0, None),
    "Q5_1": (0, (2, -15.5)),
    "Q8_0": (0, None),
    "IQ4_NL": (0, None),
    "Q2_K": (80, (82, 1.5)),
    "Q3_K": (108, None),
    "Q4_K": (0, (2, 7.5)),
    "Q5_K": (0, (2, 15.5)),
    "Q6_K": (208, None),
}


def random_rows(
    kind: str, shape: tuple[int, ...], random: np.random.Generator, deviation: float
) -> UInt8[np.ndarray, "rows bytes"] | Float32[np.ndarray, "rows columns"]:
    """Draw the stored rows of a matrix whose weights have this deviation and mean 0."""
    if kind not in NUMBERS:
        weights = random.standard_normal(shape, np.float32) * deviation
        rows: UInt8[np.ndarray, "rows bytes"] = gguf.quantize(weights, Kind[kind])
        return rows
    weights_in_block, block_bytes = gguf.GGML_QUANT_SIZES[Kind[kind]]
    count = shape[0] * shape[1] // weights_in_block
    blocks = random.integers(0, 256, (count, block_bytes), np.uint8)
    _set_scales(blocks, kind, np.ones(count))
    sample = gguf.dequantize(blocks[:64], Kind[kind])
    scales = deviation / sample.std() * random.uniform(0.7, 1.3, count)
    _set_scales(blocks, kind, scales)
    return blocks.reshape(shape[0], -1)


def _set_scales(blocks: UInt8[np.ndarray, "..."], kind: str, scales: object) -> None:
    place, minimum = NUMBERS[kind]
    places = [(place, 1.0), *([minimum] if minimum else [])]
    for start, times in places:
        numbers = (np.asarray(scales) * times).astype("<f2")[:, None]
        blocks[:, start : start + 2] = numbers.view(np.uint8)


@dataclass(frozen=True)
class Shape:
    """The sizes of a llama decoder."""

    layers: int = 12
    hidden: int = 2048
    ffn: int = 5632
    heads: int = 32
    kv_heads: int = 4
    context: int = 2048


def q4_k_m(name: str, layer: int, shape: Shape) -> str:
    """Choose types as files called Q4_K_M mix them: some layers have more bits."""
    last = shape.layers - 1
    more = (
        not shape.layers // 8 <= layer < 7 * shape.layers // 8
        or (last - layer) % 3 == 0
    )
    if name == "output" or (name in ("attn_v", "ffn_down") and more):
        return "Q6_K"
    return "Q4_K"


def write_random_gguf(
    path: Path,
    like: Path,
    shape: Shape,
    kind_of: Callable[[str, int, Shape], str],
) -> Path:
    """Write a llama decoder with the tokenizer of the GGUF file `like`.

    `kind_of` is asked for the type of each matrix, by its name and layer.
    """
    source = gguf.GGUFReader(like)
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    for key, field in source.fields.items():
        if key.startswith("tokenizer."):
            item = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], item)
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    random = np.random.default_rng(0)

    def add(name: str, rows: int, columns: int, layer: int = 0) -> None:
        short = name.rpartition(".")[2]
        kind = kind_of(short, layer, shape)
        stored = random_rows(kind, (rows, columns), random, 0.5 / columns**0.5)
        writer.add_tensor(f"{name}.weight", stored, raw_dtype=Kind[kind])

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(shape.hidden, np.float32))

    vocab = len(source.fields["tokenizer.ggml.tokens"].data)
    head_dim = shape.hidden // shape.heads
    hidden, keys = shape.hidden, shape.kv_heads * head_dim
    add("token_embd", vocab, hidden)
    for layer in range(shape.layers):
        base = f"blk.{layer}"
        add_norm(f"{base}.attn_norm")
        add_norm(f"{base}.ffn_norm")
        add(f"{base}.attn_q", hidden, hidden, layer)
        add(f"{base}.attn_k", keys, hidden, layer)
        add(f"{base}.attn_v", keys, hidden, layer)
        add(f"{base}.attn_output", hidden, hidden, layer)
        add(f"{base}.ffn_gate", shape.ffn, hidden, layer)
        add(f"{base}.ffn_up", shape.ffn, hidden, layer)
        add(f"{base}.ffn_down", hidden, shape.ffn, layer)
    add_norm("output_norm")
    add("output", vocab, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
