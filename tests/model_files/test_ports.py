"""The purpose of each port, by name alone."""

from __future__ import annotations

import onnx
import pytest
from tiny_graph import LAYOUTS, Layout, build

from llm_walkthrough.model_files.ports import Port, cache_ports, read_ports

FLOAT = onnx.TensorProto.FLOAT


def both_sides(model: onnx.ModelProto) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    return read_ports(model.graph.input, {}), read_ports(model.graph.output, {})


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_understood(layout: Layout) -> None:
    inputs, outputs = both_sides(build(layout))
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
    ordered = [port.layer for port in cache_ports(read_ports(values, {}))]
    assert ordered == [0, 2, 10]


def test_a_size_that_is_not_above_zero_counts_as_open() -> None:
    value = onnx.helper.make_tensor_value_info("logits", FLOAT, [-1, 0, 64, None])
    assert read_ports([value], {})[0].shape == ("?", "?", 64, "?")


def test_names_of_ones_own_are_those_of_genai_config() -> None:
    names = ["tokens", "kv_in_0_k", "kv_in_11_k", "h2.0.v", "scores"]
    values = [onnx.helper.make_tensor_value_info(n, FLOAT, [1]) for n in names]
    named = {
        "input_ids": "tokens",
        "past_key_names": "kv_in_%d_k",
        "past_value_names": "h2.%d.v",
        "logits": "scores",
        "some_other_key": "kv_in_0_k",
        "attention_mask": 7,
    }
    told = [(port.role, port.layer) for port in read_ports(values, named)]
    assert told == [
        ("token ids", None),
        ("past key", 0),
        ("past key", 11),
        ("past value", 0),
        ("logits", None),
    ]
    assert {port.role for port in read_ports(values, {})} == {"unknown"}
