"""Which inputs and outputs has this ONNX file, and how large is what they carry?

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

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.model_config import read_model_config
from llm_walkthrough.model_files.onnx_file import (
    all_nodes,
    find_onnx_file,
    load_structure,
)
from llm_walkthrough.model_files.ports import (
    Port,
    Role,
    cache_ports,
    check_ports,
    read_ports,
)

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Graph:
    """What has to be known of a decoder in order to run it.

    Attributes:
        path: the `.onnx` file.
        inputs: all inputs, in the order of the file.
        outputs: all outputs, in the order of the file.
        kv_heads: heads in the cache of one layer.
        head_dim: numbers in one key or value.
        vocab: how many tokens the logits score.
        context_length: the most tokens the model can attend to.
        end_tokens: the ids that end an answer.
        can_share_buffers: whether past and present may be one buffer, as only
            GroupQueryAttention reads the one and writes the other.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    kv_heads: int
    head_dim: int
    vocab: int
    context_length: int
    end_tokens: tuple[int, ...]
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
        """Bytes that one more token adds: layers x K,V x kv_heads x head_dim x size."""
        numbers = len(self.past) * self.kv_heads * self.head_dim
        return numbers * self.cache_dtype.itemsize

    def port(self, role: Role) -> Port | None:
        """Return the port with this role, or None if the graph has none."""
        ports = (*self.inputs, *self.outputs)
        return next((port for port in ports if port.role == role), None)


def read_graph(path: Path) -> Graph:
    """Read a model folder, or an `.onnx` file, without its weights.

    Raises:
        InputError: no graph there, a damaged one, weights missing or cut short, a graph
            without a cache, an input whose purpose is unknown, or a fact that neither
            the graph nor the configuration beside it tells.
    """
    file = find_onnx_file(Path(path))
    graph = load_structure(file).graph
    weights = {tensor.name for tensor in graph.initializer}  # old files list them twice
    inputs = read_ports(value for value in graph.input if value.name not in weights)
    outputs = read_ports(graph.output)
    try:
        check_ports(inputs, outputs)
    except InputError as error:
        raise InputError(f"{file} {error}") from None
    facts = _Facts(file, inputs, outputs)
    return Graph(
        path=file,
        inputs=inputs,
        outputs=outputs,
        kv_heads=facts.kv_heads(),
        head_dim=facts.head_dim(),
        vocab=facts.vocab(),
        context_length=facts.context_length(),
        end_tokens=facts.end_tokens(),
        can_share_buffers=_can_share_buffers(graph, inputs, outputs),
    )


def _can_share_buffers(
    graph: onnx.GraphProto, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> bool:
    """Tell whether GroupQueryAttention alone reads every past and writes its present.

    The operator's inputs 3 and 4 are past key and value, its outputs 1 and 2 present
    key and value. Any other reader would find a past as long as the whole buffer.
    """
    nodes = list(all_nodes(graph))
    pairs = {
        (past, present)
        for node in nodes
        if node.op_type == "GroupQueryAttention"
        for past, present in zip(node.input[3:5], node.output[1:3], strict=False)
    }
    readers = Counter(name for node in nodes for name in node.input)
    return all(
        (past.name, present.name) in pairs and readers[past.name] == 1
        for past, present in zip(cache_ports(inputs), cache_ports(outputs), strict=True)
    )


class _Facts:
    """Facts from the graph where it has them, else from the files beside it."""

    def __init__(
        self, file: Path, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
    ) -> None:
        self._file = file
        self._key_axes = cache_ports(inputs)[0].shape
        self._logits_axes = next(p.shape for p in outputs if p.role == "logits")
        self._config = read_model_config(file.parent)

    def kv_heads(self) -> int:
        keys = ("num_key_value_heads", "num_attention_heads", "n_head")
        return self._number("kv_heads", self._key_axes[1], keys)

    def head_dim(self) -> int:
        keys = ("head_size", "head_dim")
        axis = self._key_axes[3]
        width = self._config.number("hidden_size", "n_embd")
        heads = self._config.number("num_attention_heads", "n_head")
        if isinstance(axis, str) and not self._config.number(*keys) and width and heads:
            return width // heads
        return self._number("head_dim", axis, keys)

    def vocab(self) -> int:
        axis = self._logits_axes[-1] if self._logits_axes else "?"
        return self._number("vocab", axis, ("vocab_size",))

    def context_length(self) -> int:
        keys = ("context_length", "max_position_embeddings", "n_positions", "n_ctx")
        return self._number("context_length", "?", keys)

    def end_tokens(self) -> tuple[int, ...]:
        return self._config.end_tokens()

    def _number(self, fact: str, axis: int | str, keys: tuple[str, ...]) -> int:
        value = axis if isinstance(axis, int) else self._config.number(*keys)
        if value is None:
            wanted = " or ".join(repr(key) for key in keys)
            raise InputError(
                f"{fact} is not a fixed number in {self._file.name}, and no number "
                f"above 0 stands under {wanted} in genai_config.json or config.json in "
                f"{self._file.parent}; add it there"
            )
        return value
