"""Writer of model.onnx and model.onnx.data.

Weights go to the data file one by one, so that memory holds one at a time; the graph
beside it says where each one lies. Knows nothing of decoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from jaxtyping import Shaped

GRAPH_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"

MICROSOFT = "com.microsoft"  # whose operators onnxruntime adds to the standard ones
UNLISTED = "SimplifiedLayerNormalization"  # in the standard set all the same
STANDARD = 21  # the operator set; its operators are settled for good
OPERATOR_SETS = (("", STANDARD), (MICROSOFT, 1))
IR_VERSION = 10  # the file format that goes with this operator set

PAGE = 4096  # bytes; a large weight that starts on a page can be mapped as it is
CACHE_LINE = 64  # bytes


class OnnxWriter(AbstractContextManager["OnnxWriter"]):
    """A model under construction in a folder, completed by `save` inside a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = (folder / DATA_FILE).open("wb")
        self._graph = onnx.GraphProto(name="decoder")
        self._initializers: dict[str, TensorProto] = {}

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def input(self, name: str, element_type: int, axes: Sequence[int | str]) -> None:
        """Declare an input; an axis of open length has a name."""
        port = helper.make_tensor_value_info(name, element_type, axes)
        self._graph.input.append(port)

    def output(self, name: str, element_type: int, axes: Sequence[int | str]) -> None:
        """Declare an output that some node makes."""
        port = helper.make_tensor_value_info(name, element_type, axes)
        self._graph.output.append(port)

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        outputs: Sequence[str] = (),
        **attributes: float | Sequence[int],
    ) -> str:
        """Add a node; returns its first output, called {name}/output_0 unless named."""
        outputs = outputs or [f"{name}/output_0"]
        is_standard = onnx.defs.has(operator, STANDARD, "") or operator == UNLISTED
        domain = "" if is_standard else MICROSOFT
        node = helper.make_node(operator, inputs, outputs, name=name, domain=domain)
        for key, value in attributes.items():  # `make_node` would sort them by name
            node.attribute.append(helper.make_attribute(key, value))
        self._graph.node.append(node)
        return outputs[0]

    def constant(self, name: str, values: Shaped[np.ndarray, "..."]) -> str:
        """Keep a few numbers in the graph file itself; returns `name`."""
        self._initializers[name] = numpy_helper.from_array(values, name)
        return name

    def weight(self, name: str, values: Shaped[np.ndarray, "..."]) -> str:
        """Append `values` to the data file; returns `name`."""
        alignment = PAGE if values.nbytes >= PAGE else CACHE_LINE
        offset = -(-self._data.tell() // alignment) * alignment  # rounded up
        self._data.seek(offset)
        self._data.write(np.ascontiguousarray(values).data)
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        where = {"location": DATA_FILE, "offset": offset, "length": values.nbytes}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        self._initializers[name] = tensor
        return name

    def same_bytes(self, name: str, weight: str, dims: Sequence[int]) -> str:
        """Give the bytes of `weight` a second name and shape; returns `name`."""
        tensor = TensorProto()
        tensor.CopyFrom(self._initializers[weight])
        tensor.name, tensor.dims[:] = name, dims
        self._initializers[name] = tensor
        return name

    def save(self) -> None:
        """Write the graph file; the model is then complete."""
        self._graph.initializer.extend(self._initializers.values())
        model = helper.make_model(
            self._graph,
            opset_imports=[helper.make_opsetid(*pair) for pair in OPERATOR_SETS],
            ir_version=IR_VERSION,
            producer_name="llm_walkthrough",
        )
        self._data.flush()
        (self._folder / GRAPH_FILE).write_bytes(model.SerializeToString())
