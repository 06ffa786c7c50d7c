"""Copies of a decoder's graph that are made in memory, with its weights left on disk.

`alter` gives the graph ports for looking and for intervening: with gates of 1 and no
position patched it computes the very numbers that it did before. `cut_out` leaves only
some nodes. Both change what they are given. Knows nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from llm_walkthrough.surgery.places import Places

GATE = "inside.gate.{}"  # of a layer: a factor for all that its heads hand on [width]
PATCHED = "inside.patched.{}"  # after a layer: replace the stream? [sequence, 1] bool
HALF = "inside.half"  # half of what it is replaced by [hidden]


def alter(graph: onnx.GraphProto, places: Places, dtype: int) -> list[str]:
    """Give a graph its new ports, of one type; returns the names of the outputs.

    Of all layers the queries as they enter attention, the weights, and what the heads
    hand on; then the embedding, and the stream after each attention and feed-forward.
    """
    last = places.adders[-1]
    last.output[:] = [last.output[0], "", "", "inside.stream"]  # may have been left out
    mixed = [node.output[0] for node in places.attentions]
    outputs = [node.input[0] for node in places.attentions]
    outputs += [f"{name}/weights" for name in mixed] + mixed
    outputs += [places.embedding, *(node.output[3] for node in places.adders)]
    gates = {name: GATE.format(layer) for layer, name in enumerate(mixed)}
    ends = (node.output[0] for node in places.adders[1::2])
    masks = {name: PATCHED.format(layer) for layer, name in enumerate(ends)}
    nodes = [*graph.node]
    del graph.node[:]
    for node in nodes:
        if node.output[0] in masks:
            graph.node.extend(_patched(node, masks[node.output[0]]))
        elif node.output[0] in gates:
            graph.node.extend(_gated(node, gates[node.output[0]]))
        else:
            graph.node.append(node)
    port = helper.make_tensor_value_info
    graph.input.extend(port(name, dtype, [None]) for name in (HALF, *gates.values()))
    graph.input.extend(port(n, TensorProto.BOOL, [None, 1]) for n in masks.values())
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return outputs


def _patched(node: onnx.NodeProto, mask: str) -> Iterator[onnx.NodeProto]:
    """Let a node that adds and normalises add up two halves where the mask says so."""
    for place in (0, 1):
        new = f"{node.output[0]}/added.{place}"
        yield helper.make_node("Where", [mask, HALF, node.input[place]], [new])
        node.input[place] = new
    yield node


def _gated(node: onnx.NodeProto, gate: str) -> Iterator[onnx.NodeProto]:
    """Multiply what attention hands on; a twin hands out its weights."""
    name = node.output[0]
    twin = onnx.NodeProto()  # as the node itself would then compute in another order
    twin.CopyFrom(node)
    twin.name = f"{name}/twin"
    twin.attribute.append(helper.make_attribute("qk_output", 2))  # after the softmax
    parts = ("twin", "key", "value", "weights")
    twin.output[:] = [f"{name}/{part}" for part in parts]
    node.output[0] = f"{name}/ungated"
    yield from (node, twin, helper.make_node("Mul", [node.output[0], gate], [name]))


def cut_out(
    proto: onnx.ModelProto, start: Sequence[str], end: Sequence[str], dtype: int
) -> bytes:
    """Return the nodes between some tensors, all of one type, and others."""
    port, values = helper.make_tensor_value_info, proto.graph.value_info
    values.extend(port(name, dtype, None) for name in start)
    values.extend(onnx.ValueInfoProto(name=name) for name in end)
    part = Extractor(proto).extract_model([*start, "input_ids"], [*end])
    return bytes(part.SerializeToString())
