"""What does the model compute, in plain numpy and float32, without ONNX or a cache?

An oracle: it reads the GGUF file with the gguf library and shares no code with the
package. Rows of queries and keys stay in the order of the file, so for the architecture
"llama" the rotary embedding turns neighbours (0, 1), (2, 3), … here and pairs (0, 32),
(1, 33), … in the ONNX graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64

    Vectors = Float32[np.ndarray, "sequence hidden"]
    Heads = Float32[np.ndarray, "heads sequence head_dim"]


class NumpyModel:
    """A decoder with every weight dequantised to float32.

    Args:
        path: a GGUF file of the architecture llama, qwen2 or qwen3.
    """

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._weights = {
            tensor.name.removesuffix(".weight"): gguf.dequantize(
                tensor.data, tensor.tensor_type
            )
            for tensor in reader.tensors
        }
        self._architecture = reader.fields["general.architecture"].contents()
        self._numbers = {
            key.removeprefix(f"{self._architecture}."): field.contents()
            for key, field in reader.fields.items()
            if key.startswith(f"{self._architecture}.")
        }
        self.num_layers = self._numbers["block_count"]
        self.num_heads = self._numbers["attention.head_count"]
        self.kv_heads = self._numbers["attention.head_count_kv"]
        self._weights_seen: list[Float32[np.ndarray, "heads sequence sequence"]] = []

    def attention_weights(
        self, tokens: TokenIds
    ) -> list[Float32[np.ndarray, "heads sequence sequence"]]:
        """What each head of each layer takes of each token, row by row."""
        self._weights_seen.clear()
        self.logits(tokens)
        return [*self._weights_seen]

    def logits(self, tokens: TokenIds) -> LogitsRows:
        """Logits after each of `tokens`: [sequence, vocab]."""
        stream = self._weights["token_embd"][tokens]
        for layer in range(self.num_layers):
            name = f"blk.{layer}"
            normed = self._norm(stream, f"{name}.attn_norm")
            stream = stream + self._attention(normed, name)
            normed = self._norm(stream, f"{name}.ffn_norm")
            stream = stream + self._mlp(normed, name)
        head = self._weights.get("output", self._weights["token_embd"])
        logits: LogitsRows = self._norm(stream, "output_norm") @ head.T
        return logits

    def _norm(self, vectors: Vectors, name: str) -> Vectors:
        square = np.mean(vectors**2, axis=-1, keepdims=True)
        epsilon = np.float32(self._numbers["attention.layer_norm_rms_epsilon"])
        normed: Vectors = vectors / np.sqrt(square + epsilon) * self._weights[name]
        return normed

    def _attention(self, vectors: Vectors, name: str) -> Vectors:
        queries, keys, values = (
            self._heads(self._projected(vectors, f"{name}.attn_{part}"), heads)
            for part, heads in (
                ("q", self.num_heads),
                ("k", self.kv_heads),
                ("v", self.kv_heads),
            )
        )
        if f"{name}.attn_q_norm" in self._weights:
            queries = self._norm(queries, f"{name}.attn_q_norm")
            keys = self._norm(keys, f"{name}.attn_k_norm")
        shared = self.num_heads // self.kv_heads
        keys = np.repeat(self._rotate(keys), shared, axis=0)
        scores = self._rotate(queries) @ keys.swapaxes(1, 2)
        scores = scores / np.sqrt(np.float32(queries.shape[-1]))
        future = np.triu(np.ones(scores.shape[1:], bool), k=1)
        weights = _softmax(np.where(future, -np.inf, scores))
        self._weights_seen.append(weights)
        mixed = weights @ np.repeat(values, shared, axis=0)
        joined = mixed.swapaxes(0, 1).reshape(len(vectors), -1)
        output: Vectors = joined @ self._weights[f"{name}.attn_output"].T
        return output

    def _projected(self, vectors: Vectors, name: str) -> Vectors:
        bias = self._weights.get(f"{name}.bias", np.float32(0))
        projected: Vectors = vectors @ self._weights[name].T + bias
        return projected

    def _heads(self, vectors: Vectors, heads: int) -> Heads:
        return vectors.reshape(len(vectors), heads, -1).swapaxes(0, 1)

    def _rotate(self, heads: Heads) -> Heads:
        """Turn pair i of the vector at position p by p * turns[i] radians."""
        turns, length = self._turns(heads.shape[-1])
        turned_by = np.exp(1j * np.arange(heads.shape[1])[:, None] * turns) * length
        if self._architecture == "llama":
            rotated = (heads[..., 0::2] + 1j * heads[..., 1::2]) * turned_by
            parts = np.stack([rotated.real, rotated.imag], axis=-1)
        else:
            first, second = np.split(heads, 2, axis=-1)
            rotated = (first + 1j * second) * turned_by
            parts = np.concatenate([rotated.real, rotated.imag], axis=-1)
        return parts.reshape(heads.shape).astype(np.float32)

    def _turns(self, head_dim: int) -> tuple[Float64[np.ndarray, " pair"], float]:
        """Turn of each pair from one position to the next, and a factor of length."""
        theta = self._numbers["rope.freq_base"]
        turns = theta ** (-np.arange(0, head_dim, 2) / head_dim)
        turns = turns / self._weights.get("rope_freqs", np.float32(1))
        kind = self._numbers.get("rope.scaling.type")
        if kind is None:
            return turns, 1.0
        factor = self._numbers["rope.scaling.factor"]
        if kind == "linear":
            return turns / factor, 1.0
        # yarn: a pair that turns round 32 times or more in the trained context stays as
        # it is, one that turns round once or less is slowed down, between them a ramp
        context = self._numbers["rope.scaling.original_context_length"]
        ends = [
            head_dim * np.log(context / (rounds * 2 * np.pi)) / 2 / np.log(theta)
            for rounds in (32, 1)
        ]
        low, high = max(np.floor(ends[0]), 0), min(np.ceil(ends[1]), head_dim - 1)
        ramp = np.interp(np.arange(head_dim // 2), [low, high], [0, 1])
        return turns * (1 - ramp) + turns / factor * ramp, 1 + 0.1 * np.log(factor)

    def _mlp(self, vectors: Vectors, name: str) -> Vectors:
        gate = vectors @ self._weights[f"{name}.ffn_gate"].T
        up = vectors @ self._weights[f"{name}.ffn_up"].T
        gated = gate / (1 + np.exp(-gate)) * up
        output: Vectors = gated @ self._weights[f"{name}.ffn_down"].T
        return output


def _softmax(
    scores: Float32[np.ndarray, "*axes past"],
) -> Float32[np.ndarray, "*axes past"]:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    share: Float32[np.ndarray, "*axes past"] = weights / weights.sum(
        axis=-1, keepdims=True
    )
    return share
