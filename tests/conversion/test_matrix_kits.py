from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy_forward import NumpyModel
from one_run import OneRun
from tiny_gguf import write_tiny_gguf

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
