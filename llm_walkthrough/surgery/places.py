"""The places of a decoder's graph where one can look at a token or change its course.

Found by operator and by what is connected, never by a node's name: each layer adds to
the residual stream what attention found, and then what its feed-forward network made.
Knows nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.ports import cache_ports, read_ports

_ADDERS = ("Add", "SkipSimplifiedLayerNormalization")
_NORMS = (_ADDERS[1], "SimplifiedLayerNormalization", "RMSNormalization")
_LINEAR = {  # what they hand on is shared out among the rows that were added up
    *("Add", "Cast", "FusedMatMul", "Gemm", "Identity", "MatMul", "MatMulNBits"),
    *("ReduceSum", "Reshape", "Squeeze", "Transpose", "Unsqueeze"),
}


@dataclass(frozen=True)
class Layer:
    """One layer's attention, and where the layer adds to the residual stream."""

    attention: onnx.NodeProto
    branch: str  # what attention adds, after its projection
    adds_attention: onnx.NodeProto
    adds_mlp: onnx.NodeProto


@dataclass(frozen=True)
class Places:
    """All layers, and what is before and behind them."""

    layers: list[Layer]
    embedding: str  # the stream before the first layer
    normed: str  # what the last norm hands to the model's head


def find_places(graph: onnx.GraphProto) -> Places:
    """Find them.

    Raises:
        InputError: an operator is in the way; the message says no more than which.
    """
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    layers: list[Layer] = []
    stream = embedding = ""
    for attention in _attentions(graph):
        node, own = attention, {attention.output[0]}  # all that this alone has led to
        for node in _behind(graph, attention.output[0]):
            if node.op_type in _ADDERS and {*node.input} - own - constants - {""}:
                break
            _require(node.op_type in _LINEAR, node)
            own.update(node.output)
        branch, other = sorted(
            [*node.input, ""][:2], key=own.__contains__, reverse=True
        )
        stream, embedding = stream or other, embedding or other
        sums = [n for n in _users(graph, summed(node)) if n.op_type in _ADDERS]
        _require(other == stream and len(sums) == 1, node)
        layers.append(Layer(attention, branch, node, sums[0]))
        stream = summed(sums[0])
    norms = [n for n in [sums[0], *_users(graph, stream)] if n.op_type in _NORMS]
    normed = norms[0].output[0] if norms else stream
    for node in _behind(graph, normed):
        _require(node.op_type in _LINEAR, node)
    return Places(layers, embedding, normed)


def summed(adder: onnx.NodeProto) -> str:
    """Name the stream that an adder hands on; a norm that adds need not hand it on."""
    return str((*adder.output, "", "", "")[0 if adder.op_type == "Add" else 3])


def _attentions(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the attention of each layer, which writes its present key."""
    makers = {name: node for node in graph.node for name in node.output}
    for port in cache_ports(read_ports(graph.output)):
        node = makers.get(port.name, onnx.NodeProto(name=port.name))
        _require(node.op_type == "GroupQueryAttention", node)
        if port.role == "present key":
            yield node


def _behind(graph: onnx.GraphProto, start: str) -> Iterator[onnx.NodeProto]:
    """Yield all nodes that depend on a tensor, in the order in which they run."""
    reached = {start}
    for node in graph.node:
        if not reached.isdisjoint(node.input):
            reached.update(filter(None, node.output))
            yield node


def _users(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name and name in node.input]


def _require(is_so: bool, node: onnx.NodeProto) -> None:  # noqa: FBT001 - as assert
    if not is_so:
        where = node.name or node.output[0]
        raise InputError(
            f"{node.op_type} {where!r} is in the way, wanted are GroupQueryAttention, "
            "matrices and sums with one residual stream"
        )
