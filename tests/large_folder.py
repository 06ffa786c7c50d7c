"""A model folder with the shape of Mistral-7B in int4, whose weights are all zero.

The data file is sparse: it is 4 GB long and takes no room on the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto, helper
from tiny_folder import write_tiny_folder

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 32, 4096, 14336, 32, 8, 128, 64
MICROSOFT = {"GroupQueryAttention", "MatMulNBits"}
SHAPES = (6144, HIDDEN), (HIDDEN, HIDDEN), (FFN, HIDDEN), (FFN, HIDDEN), (HIDDEN, FFN)


def write_large_folder(folder: Path) -> tuple[Path, int]:
    """Write it, with the small files of the tiny folder; returns the weights' bytes."""
    write_tiny_folder(folder)
    model, size = _graph()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with (folder / "model.onnx.data").open("wb") as data:
        os.truncate(data.fileno(), size)
    return folder, size


def _graph() -> tuple[ModelProto, int]:
    nodes, weights, size = [], [], 0

    def weight(name: str, dtype: int, *dims: int) -> str:
        nonlocal size
        tensor = TensorProto(name=name, dims=dims, data_type=dtype)
        tensor.data_location = TensorProto.EXTERNAL
        length = helper.tensor_dtype_to_np_dtype(dtype).itemsize
        for count in dims:
            length *= count
        told = {"location": "model.onnx.data", "offset": size, "length": length}
        for key, value in told.items():
            tensor.external_data.add(key=key, value=str(value))
        weights.append(tensor)
        size += length
        return name

    def product(name: str, vectors: str, rows: int, columns: int) -> str:
        codes = weight(name, TensorProto.UINT8, rows, columns // 32, 16)
        scales = weight(f"{name}.s", TensorProto.FLOAT, rows * columns // 32)
        form = {"K": columns, "N": rows, "bits": 4, "block_size": 32}
        return node("MatMulNBits", [vectors, codes, scales], f"{name}.y", **form)

    def node(operator: str, fed: list[str], made: str, *more: str, **form: int) -> str:
        domain = "com.microsoft" if operator in MICROSOFT else ""
        outputs = [made, *more]
        made_node = helper.make_node(operator, fed, outputs, domain=domain)
        made_node.attribute.extend(map(helper.make_attribute, form, form.values()))
        nodes.append(made_node)
        return made

    embedding = weight("embedding", TensorProto.FLOAT, 32_000, HIDDEN)
    x = node("Gather", [embedding, "input_ids"], "x")
    inputs = [_port("input_ids", TensorProto.INT64, "batch", "sequence")]
    inputs.append(_port("attention_mask", TensorProto.INT64, "batch", "total"))
    outputs = [_port("logits", TensorProto.FLOAT, "batch", "sequence", VOCAB)]
    # the real graph counts the mask: nothing is run here
    lengths = ["seqlens_k", "total_sequence_length"]
    for name, dims in zip(lengths, ([1], []), strict=True):
        weights.append(helper.make_tensor(name, TensorProto.INT32, dims, [1]))
    for layer in range(LAYERS):
        qkv, out, gate, up, down = SHAPES
        packed = product(f"layer{layer}.qkv", x, *qkv)
        cache = [f"{layer}.key", f"{layer}.value"]
        past = [f"past_key_values.{name}" for name in cache]
        present = [f"present.{name}" for name in cache]
        axes = ("batch", KV_HEADS, "past", HEAD_DIM)
        inputs += [_port(name, TensorProto.FLOAT, *axes) for name in past]
        outputs += [_port(name, TensorProto.FLOAT, *axes) for name in present]
        fed = [packed, "", "", *past, *lengths]
        heads = {"num_heads": HEADS, "kv_num_heads": KV_HEADS}
        mixed = node("GroupQueryAttention", fed, f"mixed{layer}", *present, **heads)
        between = product(f"layer{layer}.out", mixed, *out)
        parts = [product(f"layer{layer}.gate", between, *gate)]
        parts.append(product(f"layer{layer}.up", between, *up))
        both = node("Mul", parts, f"both{layer}")
        x = product(f"layer{layer}.down", both, *down)
    head = weight("head", TensorProto.FLOAT, HIDDEN, VOCAB)
    node("MatMul", [x, head], "logits")
    graph = helper.make_graph(nodes, "mistral", inputs, outputs, weights)
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10), size


def _port(name: str, dtype: int, *axes: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, axes)
