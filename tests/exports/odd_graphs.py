"""What exporters do to a graph, as changes of the tiny one for `write_model`.

Each follows the published layout of an exporter that is named in `docs/exports.md`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tiny_graph import CONTEXT, HEAD_DIM, angles

INT64, BOOL, FLOAT = 7, 9, 1
SWITCH = 40  # tokens for which the short factors of LongRoPE hold
WINDOW = 24


def _named(model: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == operator]


def _attention(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return _named(model, "GroupQueryAttention")


def _insert_before(
    model: onnx.ModelProto, operator: str, *nodes: onnx.NodeProto
) -> None:
    place = [node.op_type for node in model.graph.node].index(operator)
    for node in reversed(nodes):
        model.graph.node.insert(place, node)


def give_windows(model: onnx.ModelProto) -> None:
    """As the builder does for Gemma: a window in each attention node."""
    for node in _attention(model):
        node.attribute.append(helper.make_attribute("local_window_size", WINDOW))


def slide_the_cache(model: onnx.ModelProto) -> None:
    """As today's builder does: buffers that may be as short as the window."""
    give_windows(model)
    for node in _attention(model):
        node.attribute.append(helper.make_attribute("sliding_window_cache", 1))


def compare_with_a_window(model: onnx.ModelProto) -> None:
    """As optimum does: the mask of plain operators knows the number."""
    number = numpy_helper.from_array(np.array(WINDOW))
    nodes = [helper.make_node("Constant", [], ["window"], value=number)]
    nodes += [helper.make_node("Sub", ["places", "window"], ["oldest"])]
    nodes += [helper.make_node("Unsqueeze", ["oldest", "axis1"], ["oldest_column"])]
    nodes += [helper.make_node("Less", ["oldest_column", "all_places"], ["is_near"])]
    _insert_before(model, "MatMul", *nodes)
    for layer, node in enumerate(_named(model, "Where")):
        seen = node.input[0]
        both = helper.make_node("And", [seen, "is_near"], [f"near{layer}"])
        node.input[0] = f"near{layer}"
        model.graph.node.insert(list(model.graph.node).index(node), both)


def switch_factors(model: onnx.ModelProto) -> None:
    """As the builder does for LongRoPE: an `If` between two tables of sines."""
    others = angles() / np.linspace(1.5, 4, HEAD_DIM // 2)
    tables = {"then_branch": others, "else_branch": angles()}
    branches = {}
    for name, turns in tables.items():
        nodes, outputs = [], []
        for part, values in (("cos", np.cos(turns)), ("sin", np.sin(turns))):
            tensor = numpy_helper.from_array(values.astype(np.float32))
            output = f"{name}_{part}"
            nodes.append(helper.make_node("Constant", [], [output], value=tensor))
            shape = [CONTEXT, HEAD_DIM // 2]
            outputs.append(helper.make_tensor_value_info(output, FLOAT, shape))
        branches[name] = helper.make_graph(nodes, name, [], outputs)
    model.graph.initializer.append(numpy_helper.from_array(np.array(SWITCH), "switch"))
    _insert_before(
        model,
        "GroupQueryAttention",
        helper.make_node("Greater", ["total", "switch"], ["is_long"]),
        helper.make_node("If", ["is_long"], ["chosen_cos", "chosen_sin"], **branches),
    )
    for node in _attention(model):
        node.input[7:9] = ["chosen_cos", "chosen_sin"]


def see_ahead_on_a_past(model: onnx.ModelProto) -> None:
    """As merged decoders of older optimum: traced with one token, so without a mask."""
    for layer, node in enumerate(_named(model, "Where")):
        names = [node.input[0], "use_cache_branch"]
        all_seen = helper.make_node("Or", names, [f"seen{layer}"])
        node.input[0] = f"seen{layer}"
        model.graph.node.insert(list(model.graph.node).index(node), all_seen)


def keep_the_last(model: onnx.ModelProto, count: str) -> None:
    """Compute logits for the last tokens only, as many as `count` says; 0 is all."""
    most = numpy_helper.from_array(np.array([2**31]), "most")
    model.graph.initializer.append(most)
    head = next(n for n in model.graph.node if "head" in n.input)
    names = [head.input[0], "first", "most", "axis1"]
    nodes = [
        helper.make_node("Neg", [count], ["negative"]),
        helper.make_node("Reshape", ["negative", "flat_shape"], ["first"]),
        helper.make_node("Slice", names, ["kept_stream"]),
    ]
    shape = numpy_helper.from_array(np.array([1]), "flat_shape")
    model.graph.initializer.append(shape)
    head.input[0] = "kept_stream"
    place = list(model.graph.node).index(head)
    for node in reversed(nodes):
        model.graph.node.insert(place, node)


def ask_how_many_logits(model: onnx.ModelProto) -> None:
    """As transformers.js exports since 2025: a scalar input, of which 0 means all."""
    value = helper.make_tensor_value_info("num_logits_to_keep", INT64, [])
    model.graph.input.append(value)
    keep_the_last(model, "num_logits_to_keep")


def return_the_last_row(model: onnx.ModelProto) -> None:
    """As the builder's `prune_lm_head`: the axis of tokens is 1."""
    keep_the_last(model, "one")
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1


def rename_ports(model: onnx.ModelProto) -> None:
    """Other names, as genai_config.json may tell them."""
    names = {"input_ids": "tokens", "logits": "all_scores"}
    for value in (*model.graph.input, *model.graph.output):
        new = names.get(value.name, value.name).replace("past_key_values.", "kv_in_")
        for node in model.graph.node:
            for side in (node.input, node.output):
                for place, name in enumerate(side):
                    if name == value.name:
                        side[place] = new
        value.name = new
