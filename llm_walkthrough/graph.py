"""The ports of a decoder in an ONNX file, and the sizes of what they carry.

Joins three sources: the ports by name, the nodes that tell whether the cache may be one
shared buffer, and for sizes that the graph leaves open `genai_config.json` or
`config.json`. Knows nothing of sessions: `model` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from llm_walkthrough.errors import FETCH_AGAIN, InputError
from llm_walkthrough.exports.end_tokens import EndToken, read_end_tokens
from llm_walkthrough.exports.fitness import check_ports
from llm_walkthrough.exports.limits import Limits, can_share_buffers, read_limits
from llm_walkthrough.exports.which_file import find_onnx_file
from llm_walkthrough.model_files.model_config import (
    MOST_TOKENS,
    ModelConfig,
    read_model_config,
)
from llm_walkthrough.model_files.onnx_file import bytes_needed, load_structure
from llm_walkthrough.model_files.ports import Port, cache_ports, read_ports

KEYS = {  # what the configurations call the sizes that a graph may leave open
    "kv_heads": "num_key_value_heads num_attention_heads n_head n_heads",
    "head_dim": "head_size head_dim",
    "vocab": "vocab_size",
    "context_length": "context_length max_position_embeddings n_positions n_ctx "
    "seq_length max_seq_len max_sequence_length",
}


@dataclass(frozen=True)
class Graph:
    """What has to be known of a decoder in order to run it."""

    path: Path  # the `.onnx` file
    inputs: tuple[Port, ...]  # all of them, in the order of the file
    outputs: tuple[Port, ...]  # likewise
    kv_heads: int  # heads in the cache of one layer
    head_dim: int  # numbers in one key or value
    vocab: int  # how many tokens the logits score
    limits: Limits  # how far the export can be trusted
    ends: tuple[EndToken, ...]  # what ends an answer, and which files say so
    # whether past and present may be one buffer: only GroupQueryAttention reads the
    # one and writes the other
    can_share_buffers: bool
    data_files: tuple[str, ...] = ()  # beside the file, with weights of it

    @cached_property
    def has_last_row_only(self) -> bool:
        """Whether a run returns logits for its last token alone."""
        return self.logits.shape[1:2] == (1,)  # [batch, sequence, vocab]

    @cached_property
    def logits(self) -> Port:
        """The output that scores the tokens to come."""
        return next(port for port in self.outputs if port.role == "logits")

    @cached_property
    def past(self) -> tuple[Port, ...]:
        """The cache's inputs: key and value of layer 0, then of layer 1, and so on."""
        return cache_ports(self.inputs)

    @cached_property
    def present(self) -> tuple[Port, ...]:
        """The cache's outputs, in the order of `past`."""
        return cache_ports(self.outputs)

    @property
    def context_length(self) -> int:
        """The most tokens that the model can attend to, and comes out right."""
        return self.limits.context_length

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The ids that end an answer."""
        return tuple(end.token for end in self.ends)

    @property
    def num_layers(self) -> int:
        """How many layers own a part of the cache."""
        return len(self.past) // 2

    @property
    def cache_dtype(self) -> np.dtype[Any]:
        """The element type of keys and values."""
        return np.dtype(self.past[0].dtype)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that one more token adds to the cache."""
        # layers x (key, value) x kv_heads x head_dim x bytes of a number
        numbers = len(self.past) * self.kv_heads * self.head_dim
        return numbers * self.cache_dtype.itemsize


def read_graph(path: Path, *, file: str | None = None) -> Graph:
    """Read a model folder, or an `.onnx` file, without its weights.

    Of several files in the folder it is `file`, or as `find_onnx_file` chooses.

    InputError: no graph there, a damaged one, weights missing or cut short, a graph
    without a cache, an input whose purpose is unknown, or a fact that neither the graph
    nor the configuration beside it tells.
    """
    path = Path(path)
    config = read_model_config(path)
    onnx_file = find_onnx_file(path, config.entry("filename"), file)
    return graph_of(load_structure(onnx_file).graph, onnx_file, config)


def graph_of(graph: onnx.GraphProto, onnx_file: Path, config: ModelConfig) -> Graph:
    """Return what is known of a graph that was read; errors as for `read_graph`."""
    weights = {tensor.name for tensor in graph.initializer}  # old files list them twice
    fed = [port for port in graph.input if port.name not in weights]
    inputs = read_ports(fed, config.table("inputs"))
    outputs = read_ports(graph.output, config.table("outputs"))
    check_ports(onnx_file, inputs, outputs)
    past, present = cache_ports(inputs), cache_ports(outputs)
    logits = next(port for port in outputs if port.role == "logits")
    axes = {
        "kv_heads": past[0].shape[1],
        "head_dim": past[0].shape[3],
        "vocab": logits.shape[-1] if logits.shape else "?",
        "context_length": "?",  # no axis is as long
    }
    sizes = {fact: _size(fact, axis, config, onnx_file) for fact, axis in axes.items()}
    longest = sizes.pop("context_length")
    return Graph(
        path=onnx_file,
        inputs=inputs,
        outputs=outputs,
        limits=read_limits(graph, config, longest, logits),
        ends=read_end_tokens(onnx_file, config, sizes["vocab"]),
        can_share_buffers=can_share_buffers(graph, past, present),
        data_files=tuple(bytes_needed(onnx_file, graph)),
        **sizes,
    )


def _size(fact: str, axis: int | str, config: ModelConfig, file: Path) -> int:
    """Return a size of the graph where it is fixed there, else the configuration's."""
    size = axis if isinstance(axis, int) else config.number(*KEYS[fact].split())
    if size is None and fact == "head_dim":  # the query heads together are as wide
        width = config.number("hidden_size", "n_embd", "d_model")
        heads = config.number("num_attention_heads", "n_head", "n_heads")
        size = width // heads if width and heads else None
    if size is None:
        wanted = " or ".join(map(repr, KEYS[fact].split()))
        raise InputError(
            f"{fact} is not a fixed number in {file.name}, and no number above 0 "
            f"stands under {wanted} in genai_config.json or config.json in "
            f"{file.parent}; add it there"
        )
    if fact == "vocab" and size > MOST_TOKENS:  # each run makes room for as many logits
        wanted = f"wanted at most {MOST_TOKENS:,}; {FETCH_AGAIN}"
        raise InputError(f"{file} has logits for {size:,} tokens, {wanted}")
    return size
