"""How the file of a graph may be damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_graph import Layout, build, write_model

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.onnx_file import all_nodes, load_structure

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def test_the_structure_is_read_without_the_weights(tmp_path: Path) -> None:
    folder = write_model(tmp_path, Layout(external_weights=True))
    tensors = load_structure(folder / "model.onnx").graph.initializer
    embedding = next(tensor for tensor in tensors if tensor.name == "embedding")
    assert not embedding.raw_data
    assert (folder / "model.onnx.data").stat().st_size > 64 * 24 * 4


def test_a_data_file_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, Layout(external_weights=True))
    (folder / "model.onnx.data").unlink()
    with pytest.raises(InputError, match=r"model\.onnx\.data .* is missing"):
        load_structure(folder / "model.onnx")


def test_a_data_file_one_byte_too_short_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, Layout(external_weights=True))
    weights = folder / "model.onnx.data"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model\.onnx\.data is cut short: 79,871 of"):
        load_structure(folder / "model.onnx")


def test_weights_with_a_place_that_is_no_number_are_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, Layout(external_weights=True))
    file = folder / "model.onnx"
    content = file.read_bytes()
    assert content.count(b"6144") > 0  # the length of several weights
    file.write_bytes(content.replace(b"6144", b"61x4"))
    with pytest.raises(InputError, match=r"tells no place of its weights '\w+'"):
        load_structure(file)


@pytest.mark.parametrize("name", [b"input_ids", b"location", b"embedding"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, name: bytes) -> None:
    file = write_model(tmp_path, Layout(external_weights=True)) / "model.onnx"
    file.write_bytes(file.read_bytes().replace(name, b"\xff" + name[1:]))
    with pytest.raises(InputError, match=r"damaged name b'.xff|not a readable ONNX"):
        load_structure(file)


@pytest.mark.parametrize("place", ["a\0b", "a\nb"])
def test_a_place_with_a_sign_that_no_name_has_is_refused(
    tmp_path: Path, place: str
) -> None:
    def move(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    file = write_model(tmp_path, change=move) / "model.onnx"
    with pytest.raises(InputError, match="damaged name 'a"):
        load_structure(file)


@pytest.mark.parametrize("length", [0, 1, 100, 10_000])
def test_random_bytes_are_not_taken_for_a_graph(tmp_path: Path, length: int) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(np.random.default_rng(length).bytes(length))
    with pytest.raises(InputError, match=r"not a readable ONNX graph|holds no ONNX"):
        load_structure(file)


def test_a_graph_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    file = write_model(tmp_path) / "model.onnx"
    content = file.read_bytes()
    for length in range(0, len(content), 997):
        file.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"model\.onnx"):
            load_structure(file)


def test_nodes_inside_the_branches_of_an_if_are_seen() -> None:
    graph: onnx.GraphProto = build(Layout(attention="plain", cache_branch=True)).graph
    outer = {node.op_type for node in graph.node}
    assert "Slice" not in outer
    assert "Slice" in {node.op_type for node in all_nodes(graph)}


def test_a_link_may_not_lead_out_of_the_folder_of_the_graph(tmp_path: Path) -> None:
    file = write_model(tmp_path / "a", Layout(external_weights=True)) / "model.onnx"
    weights = file.with_name("model.onnx.data")
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to("../elsewhere")
    with pytest.raises(InputError, match="has weights outside its folder, in "):
        load_structure(file)
    file.rename(tmp_path / "graph")  # unless the graph lies there: so do hubs
    file.symlink_to("../graph")
    load_structure(file)


@pytest.mark.parametrize("place", ["../model.onnx.data", "/tmp/model.onnx.data"])  # noqa: S108 - only a name
def test_weights_outside_the_folder_are_not_looked_for(
    tmp_path: Path, place: str
) -> None:
    file = write_model(tmp_path, Layout(external_weights=True)) / "model.onnx"
    proto = onnx.load(file, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = place
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="has weights outside its folder, in "):
        load_structure(file)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
def test_a_git_lfs_pointer_says_that_it_is_one(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, Layout(external_weights=True))
    (folder / name).write_text(POINTER)
    with pytest.raises(InputError, match=rf"{name} .* pointer: run `git lfs pull`"):
        load_structure(folder / "model.onnx")
