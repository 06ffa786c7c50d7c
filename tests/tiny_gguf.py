"""A llama decoder of 33 kB in a GGUF file, complete with a tokenizer, made from a seed.

Two layers, hidden 64, two query heads that share one key-value head, head_dim 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType, TokenType

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 64, 96, 2, 2, 1
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "e r", "1 2"]
TEMPLATE = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"

Q4_1 = GGMLQuantizationType.Q4_1
Q8_0 = GGMLQuantizationType.Q8_0
F32 = GGMLQuantizationType.F32


def write_tiny_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    kinds: Mapping[str, GGMLQuantizationType | None] = MappingProxyType({}),
    own_head: bool = False,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write and return `path`.

    Args:
        path: where to.
        architecture: as the metadata says.
        kinds: other types for single tensors; None leaves a tensor out.
        own_head: has the head weights of its own?
        texts: other texts for the metadata.
    """
    writer = gguf.GGUFWriter(path, architecture)
    _write_metadata(writer)
    for key, text in ({"tokenizer.ggml.pre": "smollm"} | dict(texts)).items():
        writer.add_string(key, text)
    random = np.random.default_rng(7)
    for name, dims in _dims(own_head=own_head).items():
        weights = random.normal(0, 0.2, dims).astype(np.float32)
        kind = kinds.get(name, _usual_kind(name))
        if kind is not None:
            stored = gguf.quantize(weights, kind)
            writer.add_tensor(f"{name}.weight", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _usual_kind(name: str) -> GGMLQuantizationType:
    if name.endswith("norm"):
        return F32
    return Q8_0 if name in {"token_embd", "output"} else Q4_1


def _dims(*, own_head: bool) -> dict[str, tuple[int, ...]]:
    kv_rows = HIDDEN // HEADS * KV_HEADS
    dims: dict[str, tuple[int, ...]] = {"token_embd": (len(vocabulary()), HIDDEN)}
    for layer in range(LAYERS):
        dims |= {
            f"blk.{layer}.attn_norm": (HIDDEN,),
            f"blk.{layer}.attn_q": (HIDDEN, HIDDEN),
            f"blk.{layer}.attn_k": (kv_rows, HIDDEN),
            f"blk.{layer}.attn_v": (kv_rows, HIDDEN),
            f"blk.{layer}.attn_output": (HIDDEN, HIDDEN),
            f"blk.{layer}.ffn_norm": (HIDDEN,),
            f"blk.{layer}.ffn_gate": (FFN, HIDDEN),
            f"blk.{layer}.ffn_up": (FFN, HIDDEN),
            f"blk.{layer}.ffn_down": (HIDDEN, FFN),
        }
    dims["output_norm"] = (HIDDEN,)
    return dims | ({"output": (len(vocabulary()), HIDDEN)} if own_head else {})


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain}
    return letters | {byte: chr(256 + i) for i, byte in enumerate(others)}


def vocabulary() -> list[str]:
    """Special tokens, one token for each byte, one for each merge."""
    letters = byte_letters()
    pairs = [pair.replace(" ", "") for pair in MERGES]
    return [*SPECIAL, *(letters[byte] for byte in range(256)), *pairs]


def _write_metadata(writer: gguf.GGUFWriter) -> None:
    tokens = vocabulary()
    kinds = [TokenType.CONTROL if t in SPECIAL else TokenType.NORMAL for t in tokens]
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
