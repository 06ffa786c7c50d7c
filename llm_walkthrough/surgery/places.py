"""Where a decoder's graph attends, and where it adds to the residual stream.

Found by operator and connection, never by a node's name. Knows nothing of sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.ports import cache_ports, read_ports

_ATTENTION, _NORM = "GroupQueryAttention", "SimplifiedLayerNormalization"


@dataclass(frozen=True)
class Places:
    """Nodes and names of tensors, in the order of the layers."""

    attentions: list[onnx.NodeProto]
    # add what attention, then feed-forward hands on, and norm the sum, their 4th output
    adders: list[onnx.NodeProto]
    embedding: str
    branches: list[str]  # what each layer's attention adds, after its projection


def find_places(graph: onnx.GraphProto) -> Places:
    """Find them; InputError if an operator is in the way."""
    makers = {name: node for node in graph.node for name in node.output}
    ports = cache_ports(read_ports(graph.output, {}))
    keys = [port.name for port in ports if port.role == "present key"]
    attentions = [makers.get(name, onnx.NodeProto(name=name)) for name in keys]
    for node in attentions:
        _require(_ATTENTION, node)
        if any(one.name == "sliding_window_cache" and one.i for one in node.attribute):
            what = f"{_ATTENTION} {node.name!r} is in the way of a look inside"
            why = "as its cache drops tokens (sliding_window_cache)"
            raise InputError(f"{what}, {why}; choose a model without it")
    norms = (node for node in graph.node if node.op_type == _NORM)
    stream = embedding = next(norms, attentions[0]).input[0]
    adders: list[onnx.NodeProto] = []
    branches = []
    for place in range(2 * len(attentions)):
        users = [node for node in graph.node if stream in node.input]
        user = (users or attentions[place // 2 :])[-1]
        _require(f"Skip{_NORM}", user)
        branches.append(next((name for name in user.input if name != stream), ""))
        adders.append(user)
        stream = [*user.output, "", "", "", ""][3]
    return Places(attentions, adders, embedding, branches[::2])


def _require(operator: str, node: onnx.NodeProto) -> None:
    if node.op_type != operator:
        name = node.name or [*node.output, ""][0]
        what = f"{node.op_type} {name!r} is in the way of a look inside"
        why = f"which needs {operator} there"
        raise InputError(f"{what}, {why}; choose a model with it")
