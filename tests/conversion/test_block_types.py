from __future__ import annotations

import gguf
import numpy as np
import onnxruntime
import pytest
from gguf.constants import GGMLQuantizationType as Kind
from onnx import TensorProto, helper, numpy_helper

from benchmarks.random_gguf import random_rows
from llm_walkthrough.conversion.block_types import BLOCK_TYPES, Blocks, read_blocks

SHAPE = (32, 512)


def stored(kind: str) -> np.ndarray:
    rows: np.ndarray = random_rows(kind, SHAPE, np.random.default_rng(3), 0.1)
    return rows


def unpacked(kind: str, matrix: Blocks) -> np.ndarray:
    """What the codes say: weight = scale * (code - zero) + minimum, in float32."""
    codes = matrix.codes
    if BLOCK_TYPES[kind].bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)
    signed = codes.reshape(*matrix.scales.shape, -1).astype(np.float32)
    weights = (signed - BLOCK_TYPES[kind].zero) * matrix.scales[..., None]
    if matrix.minimums is not None:
        weights = weights + matrix.minimums[..., None]
    return np.asarray(weights).reshape(SHAPE)


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_every_weight_is_the_one_of_the_file_bit_for_bit(kind: str) -> None:
    rows = stored(kind)
    found = unpacked(kind, read_blocks(kind, rows))
    np.testing.assert_array_equal(found, gguf.dequantize(rows, Kind[kind]))


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_random_bytes_are_read_as_the_gguf_library_reads_them(kind: str) -> None:
    """Scales that no quantiser would choose, infinite ones and NaN as well."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[Kind[kind]]
    count = SHAPE[0] * SHAPE[1] // gguf.GGML_QUANT_SIZES[Kind[kind]][0]
    rows = np.random.default_rng(4).integers(0, 256, (count, block_bytes), np.uint8)
    rows = rows.reshape(SHAPE[0], -1)
    with np.errstate(all="ignore"):
        found = unpacked(kind, read_blocks(kind, rows))
        np.testing.assert_array_equal(found, gguf.dequantize(rows, Kind[kind]))


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_onnxruntime_multiplies_by_these_weights(kind: str) -> None:
    """In float32, without rounded inputs; the kits' own nodes are tested with them."""
    block_type, matrix = BLOCK_TYPES[kind], read_blocks(kind, stored(kind))
    zero = block_type.zero | (block_type.zero << 4 if block_type.bits == 4 else 0)
    zeros = np.full((SHAPE[0], matrix.scales.shape[1] * block_type.bits // 8), zero)
    weights = {"codes": matrix.codes, "scales": matrix.scales}
    weights["zeros"] = zeros.astype(np.uint8)
    product = helper.make_node(
        "MatMulNBits",
        ["x", *weights],
        ["y"],
        domain="com.microsoft",
        K=SHAPE[1],
        N=SHAPE[0],
        bits=block_type.bits,
        block_size=block_type.group,
    )
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", SHAPE[1]), ("y", SHAPE[0]))
    ]
    tensors = [numpy_helper.from_array(weights[name], name) for name in weights]
    graph = helper.make_graph([product], kind, ports[:1], ports[1:], tensors)
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.random.default_rng(5).standard_normal((1, SHAPE[1]), np.float32)
    (y,) = session.run(None, {"x": x})
    if matrix.minimums is not None:
        sums = x.reshape(1, -1, block_type.group).sum(axis=-1)
        y = y + sums @ matrix.minimums.T
    wanted = x @ gguf.dequantize(stored(kind), Kind[kind]).T
    np.testing.assert_allclose(y, wanted, atol=2e-5)


def test_bytes_for_a_weight_are_counted_with_its_share_of_scale_and_minimum() -> None:
    for kind, block_type in BLOCK_TYPES.items():
        matrix = read_blocks(kind, stored(kind))
        num_bytes = sum(part.nbytes for part in matrix if part is not None)
        assert num_bytes == block_type.bytes_per_weight * SHAPE[0] * SHAPE[1]
        assert block_type.has_minimum is (matrix.minimums is not None)
