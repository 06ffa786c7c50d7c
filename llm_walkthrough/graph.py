"""The ports of a decoder in an ONNX file, and the sizes of what they carry.

Joins three sources: the ports by name, the nodes that tell whether the cache may be one
shared buffer, and for sizes that the graph leaves open `genai_config.json` or
`config.json`. Knows nothing of sessions: `model` asserts that the running session
agrees with what is read here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.errors import FETCH_AGAIN, InputError
from llm_walkthrough.model_files.model_config import (
    MOST_TOKENS,
    ModelConfig,
    read_model_config,
)
from llm_walkthrough.model_files.onnx_file import (
    all_nodes,
    find_onnx_file,
    load_structure,
)
from llm_walkthrough.model_files.ports import (
    Port,
    cache_ports,
    check_ports,
    read_ports,
)

if TYPE_CHECKING:
    import onnx

_KEYS = {  # what the configurations call the sizes that a graph may leave open
    "kv_heads": "num_key_value_heads num_attention_heads n_head",
    "head_dim": "head_size head_dim",
    "vocab": "vocab_size",
    "context_length": "context_length max_position_embeddings n_positions n_ctx",
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
    context_length: int  # the most tokens the model can attend to
    end_tokens: tuple[int, ...]  # the ids that end an answer
    # whether past and present may be one buffer: only GroupQueryAttention reads the
    # one and writes the other
    can_share_buffers: bool

    @cached_property
    def past(self) -> tuple[Port, ...]:
        """The cache's inputs: key and value of layer 0, then of layer 1, and so on."""
        return cache_ports(self.inputs)

    @cached_property
    def present(self) -> tuple[Port, ...]:
        """The cache's outputs, in the order of `past`."""
        return cache_ports(self.outputs)

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


def read_graph(path: Path) -> Graph:
    """Read a model folder, or an `.onnx` file, without its weights.

    Raises:
        InputError: no graph there, a damaged one, weights missing or cut short, a graph
            without a cache, an input whose purpose is unknown, or a fact that neither
            the graph nor the configuration beside it tells.
    """
    config = read_model_config(Path(path))
    file = find_onnx_file(Path(path), config.text("filename"))
    graph = load_structure(file).graph
    weights = {tensor.name for tensor in graph.initializer}  # old files list them twice
    inputs = read_ports([port for port in graph.input if port.name not in weights])
    outputs = read_ports(graph.output)
    check_ports(file, inputs, outputs)
    past, present = cache_ports(inputs), cache_ports(outputs)
    _, kv_heads, _, head_dim = past[0].shape
    logits = next(port for port in outputs if port.role == "logits")
    axes = {
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "vocab": logits.shape[-1] if logits.shape else "?",
        "context_length": "?",  # no axis is as long
    }
    sizes = {fact: _size(fact, axis, config, file) for fact, axis in axes.items()}
    return Graph(
        path=file,
        inputs=inputs,
        outputs=outputs,
        end_tokens=config.end_tokens(),
        can_share_buffers=_can_share_buffers(graph, past, present),
        **sizes,
    )


def _size(fact: str, axis: int | str, config: ModelConfig, file: Path) -> int:
    """Return a size of the graph where it is fixed there, else the configuration's."""
    size = axis if isinstance(axis, int) else config.number(*_KEYS[fact].split())
    if size is None and fact == "head_dim":  # the query heads together are as wide
        width = config.number("hidden_size", "n_embd")
        heads = config.number("num_attention_heads", "n_head")
        size = width // heads if width and heads else None
    if size is None:
        wanted = " or ".join(map(repr, _KEYS[fact].split()))
        raise InputError(
            f"{fact} is not a fixed number in {file.name}, and no number above 0 "
            f"stands under {wanted} in genai_config.json or config.json in "
            f"{file.parent}; add it there"
        )
    if fact == "vocab" and size > MOST_TOKENS:  # each run makes room for as many logits
        wanted = f"wanted at most {MOST_TOKENS:,}; {FETCH_AGAIN}"
        raise InputError(f"{file} has logits for {size:,} tokens, {wanted}")
    return size


def _can_share_buffers(
    graph: onnx.GraphProto, past: tuple[Port, ...], present: tuple[Port, ...]
) -> bool:
    """Tell whether GroupQueryAttention alone reads every past and writes its present.

    Any other reader would find a past as long as the whole buffer.
    """
    nodes = all_nodes(graph)
    pairs = {
        pair
        for node in nodes
        if node.op_type == "GroupQueryAttention"
        # inputs 3 and 4: past key and value; outputs 1 and 2: present key and value
        for pair in zip(node.input[3:5], node.output[1:3], strict=False)
    }
    readers = Counter(name for node in nodes for name in node.input)
    return all(
        (before.name, after.name) in pairs and readers[before.name] == 1
        for before, after in zip(past, present, strict=True)
    )
