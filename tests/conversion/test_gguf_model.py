from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from tiny_gguf import F32, HEADS, HIDDEN, Q8_0, write_tiny_gguf

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.errors import InputError


def stored(path: Path, name: str) -> np.ndarray:
    (tensor,) = (t for t in gguf.GGUFReader(path).tensors if t.name == name)
    dequantised: np.ndarray = gguf.dequantize(tensor.data, tensor.tensor_type)
    return dequantised


def test_a_4_bit_matrix_is_the_stored_one_bit_for_bit(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    matrix = GgufModel(path).q4(["blk.0.ffn_down.weight"])
    codes = np.stack([matrix.codes & 15, matrix.codes >> 4], axis=-1)
    blocks = codes.reshape(*matrix.scales.shape, 32)
    weights = matrix.scales[..., None] * blocks + matrix.minimums[..., None]
    np.testing.assert_array_equal(
        weights.reshape(HIDDEN, -1), stored(path, "blk.0.ffn_down.weight")
    )


def test_an_8_bit_matrix_is_the_stored_one_bit_for_bit(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    matrix = GgufModel(path).q8("token_embd.weight")
    weights = matrix.scales[..., None] * (matrix.codes.astype(np.float32) - 128)
    np.testing.assert_array_equal(
        weights.reshape(-1, HIDDEN), stored(path, "token_embd.weight")
    )


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
    r"blk\.1\.ffn_up\.weight is quantised as Q5_0": {
        "kinds": {"blk.1.ffn_up": GGMLQuantizationType.Q5_0}
    },
    r"blk\.1\.attn_v\.weight' is missing": {"kinds": {"blk.1.attn_v": None}},
    r"rope\.scaling\.type is 'yarn'": {"texts": {"llama.rope.scaling.type": "yarn"}},
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_converted_is_named(tmp_path: Path, said: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **REFUSED[said])
    with pytest.raises(InputError, match=said):
        GgufModel(path)


@pytest.mark.parametrize("kind", [F32, Q8_0])
def test_codes_of_another_width_are_not_taken_for_4_bit(
    tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kinds={"blk.0.attn_k": kind})
    with pytest.raises(InputError, match=rf"attn_k.weight is {kind.name}.*float32"):
        GgufModel(path).q4(["blk.0.attn_k.weight"])


def test_matrices_are_stacked_in_their_order(tmp_path: Path) -> None:
    model = GgufModel(write_tiny_gguf(tmp_path / "tiny.gguf"))
    names = [f"blk.0.{part}.weight" for part in ("attn_q", "attn_k", "attn_v")]
    alone = [model.q4([name]).codes for name in names]
    np.testing.assert_array_equal(model.q4(names).codes, np.concatenate(alone))
