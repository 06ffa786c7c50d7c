from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy_forward import NumpyModel
from one_run import OneRun
from tiny_gguf import write_tiny_gguf

from llm_walkthrough.conversion.convert import Variant, convert
from llm_walkthrough.errors import InputError

TOKENS = np.array([[1, 72, 104, 40, 2, 250, 7, 9], [3, 5, 8, 13, 21, 34, 55, 89]])


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def float32(gguf: Path, tmp_path: Path) -> Path:
    convert(gguf, tmp_path / "float32", variant="float32")
    return tmp_path / "float32"


def test_sequences_of_one_batch_do_not_disturb_each_other(float32: Path) -> None:
    model = OneRun(float32)
    alone = [model.logits(TOKENS[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(model.logits(TOKENS), alone, atol=1e-5)


@pytest.mark.parametrize("variant", ["int4", "float32"])
def test_every_node_says_where_it_belongs(
    gguf: Path, tmp_path: Path, variant: Variant
) -> None:
    convert(gguf, tmp_path / variant, variant=variant)
    graph = onnx.load(tmp_path / variant / "model.onnx", load_external_data=False).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert all(name.startswith(("/model/", "/lm_head/")) for name in names)
    for layer in range(2):
        base = f"/model/layers.{layer}"
        assert f"{base}/attn/GroupQueryAttention" in names
        for part in ("attn/qkv", "attn/o", "mlp/gate_up", "mlp/down"):
            assert any(name.startswith(f"{base}/{part}_proj/") for name in names)


def test_every_key_and_value_has_its_port(float32: Path) -> None:
    graph = onnx.load(float32 / "model.onnx", load_external_data=False).graph
    parts = [f"{layer}.{part}" for layer in range(2) for part in ("key", "value")]
    past = [f"past_key_values.{part}" for part in parts]
    present = [f"present.{part}" for part in parts]
    assert [p.name for p in graph.input] == ["input_ids", "attention_mask", *past]
    assert [p.name for p in graph.output] == ["logits", *present]


LONG = np.arange(100)[None] * 7 % 260
SCALINGS: dict[str, dict[str, object]] = {
    "linear": {"type": "linear", "factor": 4.0},
    "yarn": {"type": "yarn", "factor": 4.0, "original_context_length": 32},
    "none": {},
}


@pytest.mark.parametrize("head_dim", [32, 64])
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_each_architecture_gives_the_logits_of_plain_numpy(
    tmp_path: Path, architecture: str, scaling: str, head_dim: int
) -> None:
    fields = {
        f"{architecture}.rope.scaling.{key}": value
        for key, value in SCALINGS[scaling].items()
    }
    path, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    write_tiny_gguf(path, architecture=architecture, fields=fields, head_dim=head_dim)
    convert(path, folder, variant="float32")
    expected = NumpyModel(path).logits(LONG[0])
    np.testing.assert_allclose(OneRun(folder).logits(LONG)[0], expected, atol=1e-4)
    write_tiny_gguf(path, architecture=architecture, head_dim=head_dim)
    unscaled = np.abs(NumpyModel(path).logits(LONG[0]) - expected).max()
    assert bool(unscaled > 1e-3) is (scaling != "none")


def test_a_base_by_which_no_pair_turns_more_slowly_is_refused(tmp_path: Path) -> None:
    fields = {f"llama.rope.scaling.{key}": n for key, n in SCALINGS["yarn"].items()}
    fields["llama.rope.freq_base"] = 1.0
    path = write_tiny_gguf(tmp_path / "tiny.gguf", fields=fields)
    with pytest.raises(InputError, match="freq_base must be a number above 1, got 1"):
        convert(path, tmp_path / "model", variant="float32")


def test_each_pair_turns_more_slowly_by_its_own_factor(tmp_path: Path) -> None:
    path, factors = tmp_path / "tiny.gguf", np.linspace(1, 8, 16).tolist()
    write_tiny_gguf(path, rope_factors=factors)
    convert(path, tmp_path / "model", variant="float32")
    expected = NumpyModel(path).logits(LONG[0])
    found = OneRun(tmp_path / "model").logits(LONG)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
