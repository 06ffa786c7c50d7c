"""A decoder of 33 kB in a GGUF file, complete with a tokenizer, made from a seed.

Two layers, hidden 64, two query heads that share one key-value head, head_dim 32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType, GGUFValueType, TokenType

from benchmarks.random_gguf import random_rows

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 64, 96, 2, 2, 1
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "e r", "1 2"]
TEMPLATE = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"

Q4_1 = GGMLQuantizationType.Q4_1
Q8_0 = GGMLQuantizationType.Q8_0
F32 = GGMLQuantizationType.F32


@dataclass(frozen=True)
class Tiny:
    """What the file is like."""

    architecture: str = "llama"
    hidden: int = HIDDEN
    ffn: int = FFN
    head_dim: int = HIDDEN // HEADS
    usual: GGMLQuantizationType = Q4_1  # type of the matrices in the layers
    ends: GGMLQuantizationType = Q8_0  # and of embedding and head
    # other types for single tensors; None leaves a tensor out
    kinds: Mapping[str, GGMLQuantizationType | None] = field(default_factory=dict)
    own_head: bool = False  # has the head weights of its own?
    fields: Mapping[str, Any] = field(default_factory=dict)  # metadata besides
    rope_factors: Sequence[float] = ()
    tokens: Sequence[str] = ()  # instead of the usual ones
    extra: Mapping[str, int] = field(default_factory=dict)  # vectors besides

    def dims(self) -> dict[str, tuple[int, ...]]:
        """All tensors with their shapes, rows first."""
        hidden, queries = self.hidden, HEADS * self.head_dim
        keys, ends = (
            KV_HEADS * self.head_dim,
            (len(self.tokens or vocabulary()), self.hidden),
        )
        dims: dict[str, tuple[int, ...]] = {"token_embd.weight": ends}
        extra = {
            "qwen2": {
                f"attn_{p}.bias": (queries if p == "q" else keys,) for p in "qkv"
            },
            "qwen3": {f"attn_{part}_norm.weight": (self.head_dim,) for part in "qk"},
        }
        of_layer = {
            "attn_norm.weight": (hidden,),
            "attn_q.weight": (queries, hidden),
            "attn_k.weight": (keys, hidden),
            "attn_v.weight": (keys, hidden),
            "attn_output.weight": (hidden, queries),
            "ffn_norm.weight": (hidden,),
            "ffn_gate.weight": (self.ffn, hidden),
            "ffn_up.weight": (self.ffn, hidden),
            "ffn_down.weight": (hidden, self.ffn),
            **extra.get(self.architecture, {}),
        }
        for layer in range(LAYERS):
            dims |= {f"blk.{layer}.{name}": shape for name, shape in of_layer.items()}
        dims["output_norm.weight"] = (hidden,)
        dims |= {name: (length,) for name, length in self.extra.items()}
        return dims | ({"output.weight": ends} if self.own_head else {})

    def kind(self, name: str, shape: tuple[int, ...]) -> GGMLQuantizationType | None:
        """Type of a tensor."""
        usual = self.ends if name.startswith(("token_embd", "output")) else self.usual
        one = F32 if len(shape) == 1 else usual
        return self.kinds.get(name.removesuffix(".weight"), one)


def write_tiny_gguf(path: Path, **changes: Any) -> Path:  # noqa: ANN401 - as their fields
    """Write and return `path`; `changes` are fields of `Tiny`."""
    tiny = Tiny(**changes)
    writer = gguf.GGUFWriter(path, tiny.architecture)
    _write_metadata(writer, tiny)
    random = np.random.default_rng(7)
    for name, dims in tiny.dims().items():
        weights = random.normal(0, 0.2, dims).astype(np.float32)
        kind = tiny.kind(name, dims)
        if kind is None:
            continue
        writer.add_tensor(name, stored(weights, kind), raw_dtype=kind)
    if tiny.rope_factors:
        factors = np.array(tiny.rope_factors, np.float32)
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(weights: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    """Quantise, or draw blocks at random where the gguf library only reads a type."""
    try:
        rows: np.ndarray = gguf.quantize(weights, kind)
    except NotImplementedError:
        return random_rows(kind.name, weights.shape, np.random.default_rng(7), 0.1)
    return rows


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


def _write_metadata(writer: gguf.GGUFWriter, tiny: Tiny) -> None:
    tokens, arch = vocabulary(), tiny.architecture
    kinds = [TokenType.CONTROL if t in SPECIAL else TokenType.NORMAL for t in tokens]
    fields = {
        f"{arch}.block_count": LAYERS,
        f"{arch}.context_length": 128,
        f"{arch}.embedding_length": tiny.hidden,
        f"{arch}.feed_forward_length": tiny.ffn,
        f"{arch}.attention.head_count": HEADS,
        f"{arch}.attention.head_count_kv": KV_HEADS,
        f"{arch}.rope.freq_base": 10_000.0,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": TEMPLATE,
        "tokenizer.ggml.pre": "smollm",
        **tiny.fields,
    }
    if tiny.head_dim * HEADS != tiny.hidden:
        fields |= {
            f"{arch}.attention.{k}_length": tiny.head_dim for k in ("key", "value")
        }
    for key, value in fields.items():
        kind = GGUFValueType.get_type(value)
        if kind == GGUFValueType.INT32:
            kind = GGUFValueType.UINT32
        item = GGUFValueType.get_type(value[0]) if isinstance(value, list) else None
        writer.add_key_value(key, value, kind, item)
