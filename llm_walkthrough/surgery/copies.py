"""Copies of a decoder's graph that are made in memory, with its weights left on disk.

`alter` gives the whole graph ports for looking and for intervening: with gates of 1 and
no position patched it computes the very numbers that it did before. `cut_out` leaves
only some of the nodes. Knows nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from llm_walkthrough.surgery.places import Places, summed

GATE = "inside.gate.{}"  # of a layer: a factor for all that its heads hand on [width]
PATCHED = "inside.patched.{}"  # of a layer: replace what it makes? [sequence, 1] bool
VECTOR, ZERO = "inside.vector", "inside.zero"  # what stands there instead [hidden], [1]
_LEAST_OPSET = 15  # has CastLike; nothing that decoders use changed from 14 to 15


def alter(proto: onnx.ModelProto, places: Places) -> list[str]:
    """Give a graph its new ports.

    Returns:
        Names of outputs. Of all layers the queries as they enter attention, the
        weights, and what the heads hand on; then the stream: the embedding, and what it
        is after attention and after the feed-forward network of each layer.
    """
    graph, layers = proto.graph, places.layers
    for opset in (one for one in proto.opset_import if not one.domain):
        opset.version = max(opset.version, _LEAST_OPSET)
    adders = [n for layer in layers for n in (layer.adds_attention, layer.adds_mlp)]
    if not summed(adders[-1]):  # nobody needed it behind the last norm
        adders[-1].output[:] = [adders[-1].output[0], "", "", "inside.stream"]
    mixed = [layer.attention.output[0] for layer in layers]
    outputs = [layer.attention.input[0] for layer in layers]
    outputs += [f"{name}/weights" for name in mixed] + mixed
    outputs += [places.embedding, *map(summed, adders)]
    gates = {name: GATE.format(i) for i, name in enumerate(mixed)}
    masks = {n.output[0]: PATCHED.format(i) for i, n in enumerate(adders[1::2])}
    nodes = [new for node in graph.node for new in _altered(node, gates, masks)]
    del graph.node[:]
    graph.node.extend(nodes)
    port = helper.make_tensor_value_info
    for name in (VECTOR, ZERO, *gates.values()):
        graph.input.append(port(name, TensorProto.FLOAT, [None]))
    for name in masks.values():
        graph.input.append(port(name, TensorProto.BOOL, [None, 1]))
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return outputs


def _altered(
    node: onnx.NodeProto, gates: Mapping[str, str], masks: Mapping[str, str]
) -> Iterator[onnx.NodeProto]:
    """Yield a node and those that stand before and behind it from now on."""
    name, make = node.output[0], helper.make_node
    if name in masks:  # it may normalise as well, so what it adds up is replaced
        for place, value in enumerate((VECTOR, ZERO)):
            old, new = node.input[place], f"{name}/added.{place}"
            yield make("CastLike", [value, old], [f"{new}/instead"])
            yield make("Where", [masks[name], f"{new}/instead", old], [new])
            node.input[place] = new
    yield node
    if name in gates:
        # The weights come from a twin: a node that hands them out computes in another
        # order, so the logits would no longer be the very same.
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = f"{name}/twin"
        twin.attribute.append(helper.make_attribute("qk_output", 2))  # after softmax
        twin.output[:] = [f"{name}/{part}" for part in ("twin", "key", "value")]
        twin.output.append(f"{name}/weights")
        node.output[0] = f"{name}/ungated"
        yield twin
        yield make("CastLike", [gates[name], node.output[0]], [f"{name}/gate"])
        yield make("Mul", [node.output[0], f"{name}/gate"], [name])


def cut_out(
    proto: onnx.ModelProto,
    start: Mapping[str, str],
    ports: Iterable[str],
    end: list[str],
) -> onnx.ModelProto:
    """Return the nodes between some tensors and others.

    Args:
        proto: the whole graph; is changed.
        start: tensors that become inputs, with the names of their types.
        ports: inputs of the whole graph that stay inputs.
        end: tensors that become outputs.
    """
    values = proto.graph.value_info
    for name, dtype in start.items():
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        values.append(helper.make_tensor_value_info(name, kind, None))
    values.extend(onnx.ValueInfoProto(name=name) for name in end)
    return Extractor(proto).extract_model([*start, *ports], end)


def unrounded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Let a graph's matrices take activations as they are, not rounded to int8."""
    for attribute in (a for node in proto.graph.node for a in node.attribute):
        if attribute.name == "accuracy_level":
            attribute.i = 0
    return proto
