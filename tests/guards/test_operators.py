"""Numbers that would end onnxruntime's process are refused before it reads them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from tiny_graph import LAYOUTS, write_model

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.operators import faults
from llm_walkthrough.model import open_model


@pytest.mark.parametrize("name", ["num_heads", "kv_num_heads", "local_window_size"])
@pytest.mark.parametrize("number", [2**32, 2**62, -(2**63)])
def test_a_number_that_would_wrap_round_is_refused_with_operator_and_name(
    tmp_path: Path, name: str, number: int
) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = next(n for n in model.graph.node if n.op_type == "GroupQueryAttention")
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, number)])

    folder = write_model(tmp_path, change=change)
    with pytest.raises(
        InputError, match=rf"{name} of GroupQueryAttention .* {number:,}"
    ):
        open_model(folder)


@pytest.mark.parametrize("number", [1, 3, 2**31 - 1])
def test_a_split_has_as_many_outputs_as_it_says(number: int) -> None:
    node = onnx.helper.make_node("Split", ["x"], ["y", "z"], num_outputs=number)
    assert [*faults([node])] != []
    assert [
        *faults([onnx.helper.make_node("Split", ["x"], ["y"], num_outputs=1)])
    ] == []


def test_a_number_of_axes_is_one_that_tensors_have() -> None:
    node = onnx.helper.make_node("GatherND", ["x", "y"], ["z"], batch_dims=-(2**31))
    (fault,) = faults([node])  # this one aborts onnxruntime's process
    assert fault.startswith("batch_dims of GatherND must be between 0 and 16, got -2,1")


def test_what_means_to_the_very_end_is_no_fault(tmp_path: Path) -> None:
    end = 2**63 - 1
    slices = onnx.helper.make_node("Slice", ["x"], ["y"], starts=[0], ends=[end])
    constant = onnx.helper.make_node("Constant", [], ["x"], value_ints=[end])
    assert [*faults([slices, constant])] == []
    for number, layout in enumerate(LAYOUTS.values()):
        file = write_model(tmp_path / str(number), layout) / "model.onnx"
        assert [*faults(onnx.load(file, load_external_data=False).graph.node)] == []
