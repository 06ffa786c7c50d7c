from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from llm_walkthrough.conversion.onnx_writer import OnnxWriter

LARGE = np.arange(4096, dtype=np.float32)
SMALL = np.arange(3, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that adds a small, a large and a looked-at-again weight to its input."""
    with OnnxWriter(tmp_path) as writer:
        writer.input("x", TensorProto.FLOAT, ["length"])
        writer.output("y", TensorProto.FLOAT, ["length"])
        writer.weight("small", SMALL)
        writer.weight("large", LARGE)
        writer.same_bytes("square", "large", (64, 64))
        writer.node("Add", ["x", "large"], "/sum/Add", ["y"])
        writer.save()
    return tmp_path


def placed(folder: Path) -> dict[str, dict[str, str]]:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    return {
        weight.name: {entry.key: entry.value for entry in weight.external_data}
        for weight in model.graph.initializer
    }


def test_weights_are_read_back_bit_for_bit(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    read = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    np.testing.assert_array_equal(read["small"], SMALL)
    np.testing.assert_array_equal(read["large"], LARGE)
    np.testing.assert_array_equal(read["square"], LARGE.reshape(64, 64))


def test_a_large_weight_starts_on_a_page(folder: Path) -> None:
    assert int(placed(folder)["large"]["offset"]) % 4096 == 0


def test_a_second_name_costs_no_bytes(folder: Path) -> None:
    assert placed(folder)["square"] == placed(folder)["large"]
    assert (folder / "model.onnx.data").stat().st_size == 4096 + LARGE.nbytes


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_others_may_read_the_weights_as_far_as_the_umask_lets_them(
    tmp_path: Path,
) -> None:
    before = os.umask(0o027)
    try:
        with OnnxWriter(tmp_path) as writer:
            writer.save()
    finally:
        os.umask(before)
    mode = (tmp_path / "model.onnx.data").stat().st_mode
    assert stat.S_IMODE(mode) == 0o640


def test_files_in_the_current_folder_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, target = tmp_path / "current", tmp_path / "target"
    current.mkdir()
    target.mkdir()
    (current / "model.onnx.data").write_text("mine")
    monkeypatch.chdir(current)
    with OnnxWriter(target) as writer:
        writer.weight("large", LARGE)
        writer.save()
    assert (current / "model.onnx.data").read_text() == "mine"
    assert (target / "model.onnx.data").stat().st_size == LARGE.nbytes
