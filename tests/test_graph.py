"""Which sizes a graph has, from itself or from the files beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_graph import (
    CONTEXT,
    END_TOKENS,
    GROUPED,
    HEAD_DIM,
    KV_HEADS,
    LAYOUTS,
    NUM_LAYERS,
    PLAIN,
    VOCAB,
    Layout,
    genai_config,
    hf_config,
    write_config,
    write_model,
)

from llm_walkthrough.errors import InputError
from llm_walkthrough.graph import read_graph

OPEN = Layout(fixed_sizes=False, config="config.json")
GQA = "GroupQueryAttention"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_has_the_same_sizes(tmp_path: Path, layout: Layout) -> None:
    graph = read_graph(write_model(tmp_path, layout))
    assert graph.path == tmp_path / "model.onnx"
    assert graph.num_layers == NUM_LAYERS
    assert graph.kv_heads == KV_HEADS
    assert graph.head_dim == HEAD_DIM
    assert graph.vocab == VOCAB
    assert graph.context_length == CONTEXT
    assert graph.cache_dtype == np.dtype(layout.cache_dtype)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_only_group_query_attention_shares(tmp_path: Path, layout: Layout) -> None:
    graph = read_graph(write_model(tmp_path, layout))
    assert graph.can_share_buffers == (layout.attention == "grouped")


def test_a_token_costs_a_key_and_a_value_per_layer_and_head(tmp_path: Path) -> None:
    half = read_graph(write_model(tmp_path, Layout(cache_dtype="float16")))
    assert half.cache_bytes_per_token == 2 * 2 * 2 * 16 * 2


def test_end_tokens_come_from_the_configuration(tmp_path: Path) -> None:
    assert read_graph(write_model(tmp_path)).end_tokens == END_TOKENS


def test_the_configuration_above_a_folder_called_onnx_is_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "onnx", OPEN)
    (folder / "config.json").rename(tmp_path / "config.json")
    (folder / "model.onnx").rename(folder / "model_q4.onnx")
    graph = read_graph(tmp_path)
    assert graph.path == folder / "model_q4.onnx"
    assert graph.head_dim == HEAD_DIM


def test_the_file_that_genai_config_names_is_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.onnx").rename(folder / "decoder.onnx")
    (folder / "model.onnx").touch()
    config = genai_config()
    config["model"]["decoder"]["filename"] = "decoder.onnx"
    write_config(folder / "genai_config.json", config)
    assert read_graph(folder).path == folder / "decoder.onnx"


def test_a_fixed_size_is_believed_before_the_configuration(tmp_path: Path) -> None:
    folder = write_model(tmp_path, replace(OPEN, fixed_sizes=True))
    write_config(folder / "config.json", {**hf_config(), "vocab_size": 7})
    assert read_graph(folder).vocab == VOCAB


def test_logits_without_a_shape_take_it_from_the_configuration(tmp_path: Path) -> None:
    def forget(model: onnx.ModelProto) -> None:
        model.graph.output[0].type.tensor_type.ClearField("shape")

    assert read_graph(write_model(tmp_path, change=forget)).vocab == VOCAB


@pytest.mark.parametrize(
    ("missing", "fact"),
    [
        ("hidden_size", "head_dim"),
        ("max_position_embeddings", "context_length"),
        ("vocab_size", "vocab"),
    ],
)
def test_a_fact_that_nothing_tells_is_named_with_its_place(
    tmp_path: Path, missing: str, fact: str
) -> None:
    folder = write_model(tmp_path, OPEN)
    config = {key: value for key, value in hf_config().items() if key != missing}
    write_config(folder / "config.json", config)
    with pytest.raises(InputError, match=f"^{fact} is not a fixed number") as refused:
        read_graph(folder)
    assert f"config.json in {folder}" in str(refused.value)


def test_without_any_configuration_the_context_is_missed(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "genai_config.json").unlink()
    with pytest.raises(InputError, match=r"^context_length .* 'max_position_embedd"):
        read_graph(folder)


def test_a_refused_graph_is_named(tmp_path: Path) -> None:
    def add_picture(model: onnx.ModelProto) -> None:
        model.graph.input.add(name="pixel_values").type.tensor_type.elem_type = 1

    folder = write_model(tmp_path, change=add_picture)
    with pytest.raises(InputError, match=r"model\.onnx has inputs .* pixel_values"):
        read_graph(folder)


def test_weights_that_old_files_list_as_inputs_are_no_ports(tmp_path: Path) -> None:
    def list_weights(model: onnx.ModelProto) -> None:
        for weight in model.graph.initializer:
            value = onnx.helper.make_tensor_value_info(
                weight.name, weight.data_type, weight.dims
            )
            model.graph.input.append(value)

    graph = read_graph(write_model(tmp_path, change=list_weights))
    assert {port.role for port in graph.inputs} == {
        "token ids",
        "attention mask",
        "past key",
        "past value",
    }


def grouped_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == GQA]


def read_the_past_elsewhere(model: onnx.ModelProto) -> None:
    shape = onnx.helper.make_node("Shape", ["past_key_values.0.key"], ["past_shape"])
    model.graph.node.insert(0, shape)


def return_the_present_through_a_node(model: onnx.ModelProto) -> None:
    grouped_nodes(model)[1].output[2] = "inner"
    node = onnx.helper.make_node("Identity", ["inner"], ["present.1.value"])
    model.graph.node.append(node)


def swap_the_layers(model: onnx.ModelProto) -> None:
    first, second = grouped_nodes(model)
    first.output[1], second.output[1] = second.output[1], first.output[1]


@pytest.mark.parametrize(
    "change",
    [read_the_past_elsewhere, return_the_present_through_a_node, swap_the_layers],
    ids=lambda change: change.__name__,
)
def test_buffers_are_not_shared_when_past_and_present_do_not_pair_up(
    tmp_path: Path, change: object
) -> None:
    assert callable(change)
    folder = write_model(tmp_path, GROUPED, change=change)
    assert not read_graph(folder).can_share_buffers


def test_one_layer_of_plain_attention_forbids_sharing(tmp_path: Path) -> None:
    def rename(model: onnx.ModelProto) -> None:
        grouped_nodes(model)[1].op_type = "SomeOtherAttention"

    assert not read_graph(write_model(tmp_path, change=rename)).can_share_buffers


def test_a_graph_is_read_the_same_twice(tmp_path: Path) -> None:
    folder = write_model(tmp_path, PLAIN)
    assert read_graph(folder) == read_graph(folder / "model.onnx")


@pytest.mark.parametrize("layout", ["grouped", "grouped, symbolic sizes"])
def test_a_vocabulary_that_no_model_has_is_refused(tmp_path: Path, layout: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        axis = model.graph.output[0].type.tensor_type.shape.dim[-1]
        if axis.HasField("dim_value"):
            axis.dim_value = 2**31

    folder = write_model(tmp_path, LAYOUTS[layout], change=change)
    write_config(folder / "config.json", hf_config() | {"vocab_size": 2**31 - 1})
    with pytest.raises(InputError, match=r"logits for 2,147,483,64\d tokens, wanted"):
        read_graph(folder)
