from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_gguf
from gguf.constants import GGMLQuantizationType as Kind
from numpy_forward import NumpyModel
from one_run import OneRun
from tiny_gguf import write_tiny_gguf

from benchmarks.random_gguf import random_rows
from llm_walkthrough.conversion.block_types import BLOCK_TYPES
from llm_walkthrough.conversion.convert import Variant, convert

TOKENS = np.array([[1, 72, 104, 40, 2, 250, 7, 9]])


@pytest.mark.parametrize(("variant", "tolerance"), [("float32", 1e-5), ("int4", 0.05)])
@pytest.mark.parametrize("own_head", [False, True])
def test_a_head_may_share_the_embedding_or_have_its_own_weights(
    tmp_path: Path, variant: Variant, tolerance: float, *, own_head: bool
) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", own_head=own_head)
    convert(gguf, tmp_path / "model", variant=variant)
    logits = OneRun(tmp_path / "model").logits(TOKENS)[0]
    expected = NumpyModel(gguf).logits(TOKENS[0])
    np.testing.assert_allclose(logits, expected, atol=tolerance)


def test_a_shared_head_is_stored_once(tmp_path: Path) -> None:
    sizes = {}
    for own_head in (False, True):
        name = f"own_head={own_head}"
        gguf = write_tiny_gguf(tmp_path / f"{name}.gguf", own_head=own_head)
        convert(gguf, tmp_path / name, variant="float32")
        sizes[own_head] = (tmp_path / name / "model.onnx.data").stat().st_size
    embedding_bytes = 264 * 64 * 4
    assert sizes[True] - sizes[False] >= embedding_bytes


WIDE = {"hidden": 256, "ffn": 256, "head_dim": 128}  # as the K types want it
MIXED = {
    "blk.0.attn_v": Kind.Q6_K,
    "blk.0.ffn_gate": Kind.F16,
    "blk.1.attn_k": Kind.Q5_0,
    "blk.1.ffn_up": Kind.Q5_K,
}


class Written:
    """The weights that a converted folder multiplies with, as its nodes have them."""

    def __init__(self, folder: Path) -> None:
        graph = onnx.load(folder / "model.onnx").graph
        arrays = onnx.numpy_helper.to_array
        self._found = {weight.name: arrays(weight) for weight in graph.initializer}
        self._nodes = {node.name: node for node in graph.node}

    def matrix(self, name: str) -> np.ndarray:
        """All in float32, with one rounding, that of the sum."""
        if f"{name}/codes" not in self._found:
            weight: np.ndarray = self._found[f"{name}/weight"]
            return weight
        given = {a.name: a.i for a in self._nodes[f"{name}/MatMul"].attribute}
        codes, scales = self._found[f"{name}/codes"], self._found[f"{name}/scales"]
        zeros = self._found.get(f"{name}/zeros")
        if given["bits"] == 4:
            codes = self._halves(codes)
            zeros = None if zeros is None else self._halves(zeros)[:, : scales.shape[1]]
        zero = 2 ** (given["bits"] - 1) if zeros is None else zeros[..., None]
        codes = codes.reshape(*scales.shape, -1).astype(np.float32)
        weights = (codes - np.float32(zero)) * scales[..., None]
        offsets = self._found.get(f"{name}/block_offsets", np.zeros((1, 1), np.float32))
        return np.asarray(weights + offsets[..., None]).reshape(len(codes), -1)

    def has_zeros(self, name: str) -> bool:
        return f"{name}/zeros" in self._found

    def _halves(self, codes: np.ndarray) -> np.ndarray:
        return np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)


def in_file(path: Path, *names: str) -> np.ndarray:
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    tensors = [stored[f"{name}.weight"] for name in names]
    return np.concatenate([gguf.dequantize(t.data, t.tensor_type) for t in tensors])


@pytest.mark.parametrize("kind", [*BLOCK_TYPES, "F16", "BF16", "F32"])
def test_every_type_keeps_its_weights_and_gives_the_logits_of_the_file(
    tmp_path: Path, kind: str
) -> None:
    own_head, given = kind in ("Q4_K", "Q6_K", "F16"), Kind[kind]
    path, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    write_tiny_gguf(path, usual=given, ends=given, own_head=own_head, **WIDE)
    convert(path, folder, variant="int4")
    written, layer = Written(folder), "/model/layers.1/mlp"
    found = written.matrix(f"{layer}/gate_up_proj")
    wanted = in_file(path, "blk.1.ffn_gate", "blk.1.ffn_up")
    np.testing.assert_array_equal(found, wanted)
    found = written.matrix(f"{layer}/down_proj")
    np.testing.assert_array_equal(found, in_file(path, "blk.1.ffn_down"))
    logits = OneRun(folder).logits(TOKENS)[0]
    tolerance = 0.1 if kind in BLOCK_TYPES else 1e-5
    np.testing.assert_allclose(
        logits, NumpyModel(path).logits(TOKENS[0]), atol=tolerance
    )


def looked_up(folder: Path, tokens: np.ndarray) -> np.ndarray:
    """The rows of the embedding, as the graph itself makes them."""
    model = onnx.load(folder / "model.onnx")
    graph = model.graph
    first = next(node for node in graph.node if node.name.endswith("/LayerNorm"))
    used = [n for n in graph.node if "/embed_tokens/" in n.name or "/arr" in n.name]
    rows = onnx.helper.make_tensor_value_info(first.input[0], 1, None)
    for field, kept in (("node", used), ("output", [rows]), ("input", graph.input[:1])):
        copies = [*kept]
        graph.ClearField(field)
        getattr(graph, field).extend(copies)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"input_ids": tokens})
    looked_up: np.ndarray = found.reshape(tokens.size, -1)
    return looked_up


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_the_rows_of_an_embedding_are_those_of_the_file_bit_for_bit(
    tmp_path: Path, kind: str
) -> None:
    path, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    convert(write_tiny_gguf(path, ends=Kind[kind], **WIDE), folder, variant="int4")
    every = np.arange(len(tiny_gguf.vocabulary()))[None]
    found = looked_up(folder, every)
    np.testing.assert_array_equal(found, in_file(path, "token_embd"))


def test_types_may_differ_from_matrix_to_matrix(tmp_path: Path) -> None:
    path, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    write_tiny_gguf(path, usual=Kind.Q4_K, ends=Kind.Q4_K, kinds=MIXED, **WIDE)
    convert(path, folder, variant="int4")
    written = Written(folder)
    for name, tensors in {
        "0/attn/qkv_proj/attn_q_attn_k": ["blk.0.attn_q", "blk.0.attn_k"],
        "0/attn/qkv_proj/attn_v": ["blk.0.attn_v"],
        "0/mlp/gate_up_proj/ffn_gate": ["blk.0.ffn_gate"],
        "1/attn/qkv_proj/attn_k": ["blk.1.attn_k"],
        "1/mlp/gate_up_proj/ffn_up": ["blk.1.ffn_up"],
    }.items():
        wanted = [in_turned_order(in_file(path, one), one) for one in tensors]
        found = written.matrix(f"/model/layers.{name}")
        np.testing.assert_array_equal(found, np.concatenate(wanted))
    logits = OneRun(folder).logits(TOKENS)[0]
    np.testing.assert_allclose(logits, NumpyModel(path).logits(TOKENS[0]), atol=0.1)


def in_turned_order(rows: np.ndarray, name: str) -> np.ndarray:
    """Queries and keys of 128 columns a head, without the interleaving of GGUF."""
    if not name.endswith(("attn_q", "attn_k")):
        return rows
    heads = rows.reshape(-1, 128, rows.shape[1])
    return np.concatenate([heads[:, 0::2], heads[:, 1::2]], axis=1).reshape(rows.shape)


@pytest.mark.parametrize("kind", ["Q4_1", "Q2_K", "Q4_K", "Q5_K"])
def test_a_block_whose_offset_would_be_rounded_keeps_its_minimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Every other minimum is so small that float32 cannot add it to 8 scales."""

    def uneven(weights: np.ndarray, given: Kind) -> np.ndarray:
        if given != Kind[kind]:
            return gguf.quantize(weights, given)
        rows = random_rows(kind, weights.shape, np.random.default_rng(6), 3)
        _, block_bytes = gguf.GGML_QUANT_SIZES[given]
        place = 82 if kind == "Q2_K" else 2
        small = np.array([2**-24], "<f2").view(np.uint8)
        rows.reshape(-1, block_bytes)[::2, place : place + 2] = small
        return rows

    monkeypatch.setattr(tiny_gguf, "stored", uneven)
    path, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    write_tiny_gguf(path, usual=Kind[kind], ends=Kind[kind], **WIDE)
    convert(path, folder, variant="int4")
    written = Written(folder)
    assert written.has_zeros("/model/layers.0/mlp/down_proj")
    found = written.matrix("/model/layers.0/mlp/down_proj")
    np.testing.assert_array_equal(found, in_file(path, "blk.0.ffn_down"))
    every = np.arange(len(tiny_gguf.vocabulary()))[None]
    rows = looked_up(folder, every)
    np.testing.assert_array_equal(rows, in_file(path, "token_embd"))
