"""The graphs that are refused, since they are no decoders with a cache."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from tiny_graph import LAYOUTS, Layout, build

from llm_walkthrough.errors import InputError
from llm_walkthrough.exports.fitness import check_ports
from llm_walkthrough.model_files.ports import Port, read_ports

FLOAT = onnx.TensorProto.FLOAT


def both_sides(model: onnx.ModelProto) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    return read_ports(model.graph.input, {}), read_ports(model.graph.output, {})


def check(model: onnx.ModelProto) -> None:
    check_ports("model.onnx", *both_sides(model))


def without(
    model: onnx.ModelProto, *beginnings: str
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    inputs, outputs = (
        tuple(port for port in side if not port.name.startswith(beginnings))
        for side in both_sides(model)
    )
    return inputs, outputs


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_accepted(layout: Layout) -> None:
    check(build(layout))


@pytest.mark.parametrize(
    "name",
    [
        "encoder_hidden_states",
        "pixel_values",
        "inputs_embeds",
        "past_key_values.0.decoder.key",
        "past_conv.0",
    ],
)
def test_an_input_of_another_kind_of_model_is_named(name: str) -> None:
    model = build()
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, FLOAT, [1]))
    with pytest.raises(InputError, match=f"not known here: {name}; only decoders"):
        check(model)


def test_of_many_unknown_inputs_three_are_named() -> None:
    model = build()
    for i in range(5):
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(f"past_{i}", FLOAT, [1])
        )
    with pytest.raises(InputError, match="past_0, past_1, past_2 and 2 more;"):
        check(model)


def test_an_input_that_is_no_tensor_is_refused() -> None:
    model = build()
    sequence = onnx.helper.make_sequence_type_proto(model.graph.input[0].type)
    model.graph.input.append(onnx.helper.make_value_info("images", sequence))
    with pytest.raises(InputError, match="not known here: images"):
        check(model)


def test_a_graph_without_a_cache_is_refused() -> None:
    with pytest.raises(InputError, match=r"has 0 cache inputs .* with its KV"):
        check_ports("a file", *without(build(), "past", "present"))


def test_a_cache_that_goes_in_and_does_not_come_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"has 4 cache inputs .* and 3 outputs"):
        check_ports("a file", *without(build(), "present.1.value"))


@pytest.mark.parametrize("name", ["input_ids", "logits"])
def test_a_port_that_no_decoder_can_do_without_is_missed(name: str) -> None:
    with pytest.raises(InputError, match=f"has no port '{name}'"):
        check_ports("a file", *without(build(), name))


def test_a_graph_without_mask_and_positions_is_accepted() -> None:
    check_ports("a file", *without(build(), "attention_mask"))


def drop_the_batch(value: onnx.ValueInfoProto) -> None:
    if "logits" not in value.name:
        del value.type.tensor_type.shape.dim[0]


def widen_layer_1(value: onnx.ValueInfoProto) -> None:
    if ".1." in value.name:
        value.type.tensor_type.shape.dim[1].dim_value = 4


def fix(name: str, axis: int, size: int) -> Callable[[onnx.ValueInfoProto], None]:
    """Give an axis of this port a fixed size."""

    def change(value: onnx.ValueInfoProto) -> None:
        if value.name == name:
            value.type.tensor_type.shape.dim[axis].dim_value = size

    return change


@pytest.mark.parametrize(
    ("name", "axis", "size"),
    [
        ("input_ids", 1, 1),
        ("input_ids", 0, 2),
        ("attention_mask", 1, 96),
        ("past_key_values.0.key", 0, 2),
        ("past_key_values.1.value", 2, 95),
        ("logits", 1, 5),
    ],
)
def test_a_graph_for_texts_of_one_length_or_for_several_is_refused(
    name: str, axis: int, size: int
) -> None:
    model = build()
    for value in (*model.graph.input, *model.graph.output):
        fix(name, axis, size)(value)
    with pytest.raises(InputError, match=f"'{name}' of shape .* with dynamic axes"):
        check(model)


@pytest.mark.parametrize("name", ["input_ids", "logits", "past_key_values.0.key"])
def test_a_batch_of_one_may_be_fixed_and_a_shape_be_left_out(name: str) -> None:
    model = build()
    for value in (*model.graph.input, *model.graph.output):
        fix(name, 0, 1)(value)
    check(model)
    if not name.startswith("past"):
        for value in (*model.graph.input, *model.graph.output):
            if value.name == name:
                value.type.tensor_type.ClearField("shape")
        check(model)


def test_a_port_on_the_wrong_side_is_not_known() -> None:
    model = build()
    for name in ("logits", "present.0.key"):
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, FLOAT, [1]))
    with pytest.raises(InputError, match=r"not known here: logits, present\.0\.key;"):
        check(model)


def typed(name: str, kind: str) -> Callable[[onnx.ValueInfoProto], None]:
    """Give the ports with this name, or beginning, another type."""

    def change(value: onnx.ValueInfoProto) -> None:
        if value.name.startswith(name):
            number = onnx.TensorProto.DataType.Value(kind)
            value.type.tensor_type.elem_type = number

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop_the_batch, r"past_key_values\.0\.key' of shape \(2, 'pa"),
        (widen_layer_1, r"past_key_values\.1\.key' .* all layers alike"),
        (typed("p", "BFLOAT16"), r"s\.0\.key' of bfloat16"),
        (typed("p", "INT8"), r"s\.0\.key' of int8"),
        (typed("logits", "BFLOAT16"), "has 'logits' of bfloat16"),
        (typed("present.1.key", "FLOAT16"), r"has 'present\.1\.key' of float16"),
    ],
)
def test_a_cache_or_logits_of_another_shape_or_type_are_refused(
    change: Callable[[onnx.ValueInfoProto], None], fault: str
) -> None:
    model = build()
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith(("past", "present", "logits")):
            change(value)
    with pytest.raises(InputError, match=fault):
        check(model)
