from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from tiny_gguf import HEADS, write_tiny_gguf

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.errors import InputError


def stored(path: Path, name: str) -> np.ndarray:
    (tensor,) = (t for t in gguf.GGUFReader(path).tensors if t.name == name)
    dequantised: np.ndarray = gguf.dequantize(tensor.data, tensor.tensor_type)
    return dequantised


def test_query_rows_come_in_the_order_of_the_original_model(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    rows = stored(path, "blk.1.attn_q.weight")
    original = [
        rows[head * 32 + 2 * pair + half]
        for head in range(HEADS)
        for half in (0, 1)
        for pair in range(16)
    ]
    np.testing.assert_array_equal(
        GgufModel(path).dense("blk.1.attn_q.weight"), original
    )


def test_a_file_that_is_no_gguf_file_or_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.gguf"
    with pytest.raises(InputError, match=r"no file .*notes\.gguf"):
        GgufModel(path)
    path.write_text("this is not a model, but it is long enough to have a header")
    with pytest.raises(InputError, match=r"notes\.gguf is not a complete GGUF file"):
        GgufModel(path)


def test_a_file_that_breaks_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    content = path.read_bytes()
    for share in (0.0, 0.001, 0.05, 0.2, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match="not a complete GGUF file"):
            GgufModel(path)


REFUSED: dict[str, dict[str, Any]] = {
    r"architecture is 'gemma3'": {"architecture": "gemma3"},
    r"blk\.1\.ffn_up\.weight is quantised as MXFP4; only F32, F16": {
        "kinds": {"blk.1.ffn_up": GGMLQuantizationType.MXFP4}
    },
    r"blk\.1\.attn_v\.weight' is missing": {"kinds": {"blk.1.attn_v": None}},
    r"llama\.rope\.scaling\.type is 'longrope', but only 'none' or 'linear'": {
        "fields": {"llama.rope.scaling.type": "longrope"}
    },
    r"llama\.expert_count is 8, but only 0": {"fields": {"llama.expert_count": 8}},
    r"llama\.attention\.sliding_window is 64": {
        "fields": {"llama.attention.sliding_window": 64}
    },
    r"llama\.rope\.dimension_count is 16, but only 32": {
        "fields": {"llama.rope.dimension_count": 16}
    },
    r"split\.count is 3": {"fields": {"split.count": 3}},
    r"blk\.0\.attn_q\.bias' is not one of a plain qwen3 decoder": {
        "architecture": "qwen3",
        "extra": {"blk.0.attn_q.bias": 64},
    },
    r"blk\.1\.attn_k\.bias' is missing": {
        "architecture": "qwen2",
        "kinds": {"blk.1.attn_k.bias": None},
    },
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_converted_is_named(tmp_path: Path, said: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **REFUSED[said])
    with pytest.raises(InputError, match=said):
        GgufModel(path)


def test_a_token_that_is_too_long_to_be_split_is_refused(
    tmp_path: Path,
) -> None:
    tokens = ["a" * 5_000, *(f"t{number}" for number in range(263))]
    fields = {"tokenizer.ggml.tokens": tokens}
    file = write_tiny_gguf(tmp_path / "a.gguf", tokens=tokens, fields=fields)
    with pytest.raises(InputError, match=r"texts of at most 4,096 letters, got 5000"):
        GgufModel(file)


@pytest.mark.parametrize("kind", ["Q4_1", "F16"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    usual = GGMLQuantizationType[kind]
    file = write_tiny_gguf(tmp_path / "a.gguf", usual=usual)
    name = "blk.0.attn_v.weight"
    tensors = {one.name: one for one in gguf.GGUFReader(file).tensors}
    place = int(tensors[name].data_offset)
    content = bytearray(file.read_bytes())
    content[place : place + 2] = np.float16(np.nan).tobytes()
    file.write_bytes(content)
    model = GgufModel(file)
    with pytest.raises(InputError, match=f"{name} must be finite numbers, got"):
        model.blocks([name]) if kind == "Q4_1" else model.dense(name)


def test_matrices_are_stacked_in_their_order(tmp_path: Path) -> None:
    model = GgufModel(write_tiny_gguf(tmp_path / "tiny.gguf"))
    names = [f"blk.0.{part}.weight" for part in ("attn_q", "attn_k", "attn_v")]
    alone = [model.blocks([name]).codes for name in names]
    np.testing.assert_array_equal(model.blocks(names).codes, np.concatenate(alone))
