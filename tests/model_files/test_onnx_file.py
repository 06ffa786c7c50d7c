"""How the file of a graph may be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_graph import Layout, build, write_model

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.onnx_file import all_nodes, load_structure

if TYPE_CHECKING:
    import onnx


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
