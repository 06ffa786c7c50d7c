"""The purpose of each port, by name alone, and the graphs that are refused."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from tiny_graph import LAYOUTS, Layout, build

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.ports import Port, cache_ports, check_ports, read_ports

FLOAT = onnx.TensorProto.FLOAT


def both_sides(model: onnx.ModelProto) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    return read_ports(model.graph.input), read_ports(model.graph.output)


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
def test_every_layout_is_understood(layout: Layout) -> None:
    inputs, outputs = both_sides(build(layout))
    check_ports("a file", inputs, outputs)
    parts = ["0.key", "0.value", "1.key", "1.value"]
    past = [port.name for port in cache_ports(inputs)]
    assert past == [f"{layout.past_prefix}.{part}" for part in parts]
    assert [port.name for port in cache_ports(outputs)] == [
        f"present.{part}" for part in parts
    ]


def test_a_port_tells_name_type_shape_role_and_layer() -> None:
    inputs, _ = both_sides(build())
    key = next(port for port in inputs if port.name == "past_key_values.1.key")
    assert key.dtype == "float32"
    assert key.shape == ("batch", 2, "past", 16)
    assert key.role == "past key"
    assert key.layer == 1


def test_layers_are_ordered_by_number_and_not_by_name() -> None:
    axes: list[str | int | None] = [1, 2, "past", 16]
    values = [
        onnx.helper.make_tensor_value_info(f"past.{layer}.key", FLOAT, axes)
        for layer in (10, 2, 0)
    ]
    ordered = [port.layer for port in cache_ports(read_ports(values))]
    assert ordered == [0, 2, 10]


def test_a_size_that_is_not_above_zero_counts_as_open() -> None:
    value = onnx.helper.make_tensor_value_info("logits", FLOAT, [-1, 0, 64, None])
    assert read_ports([value])[0].shape == ("?", "?", 64, "?")


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
        (widen_layer_1, r"past_key_values\.1\.key' .* alike in all"),
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
