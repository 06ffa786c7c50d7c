"""What the small files beside a graph tell, and how they may be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.model_config import ModelConfig, read_model_config


def write(file: Path, **settings: Any) -> None:  # noqa: ANN401 - any JSON value
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(settings), encoding="utf-8")


def test_a_number_is_found_under_the_first_key_that_has_one(tmp_path: Path) -> None:
    write(tmp_path / "config.json", n_ctx=10, vocab_size=64)
    config = read_model_config(tmp_path)
    assert config.number("max_position_embeddings", "n_ctx") == 10
    assert config.number("head_dim") is None


def test_numbers_nested_in_genai_config_are_found(tmp_path: Path) -> None:
    decoder = {"head_size": 16, "filename": "decoder.onnx"}
    model = {"context_length": 96, "decoder": decoder}
    write(tmp_path / "genai_config.json", model=model)
    config = read_model_config(tmp_path)
    assert config.number("context_length") == 96
    assert config.number("head_size") == 16
    assert config.entry("filename") == "decoder.onnx"


def test_genai_config_is_believed_before_config(tmp_path: Path) -> None:
    write(tmp_path / "config.json", head_dim=8, vocab_size=64)
    write(tmp_path / "genai_config.json", model={"decoder": {"head_dim": 16}})
    config = read_model_config(tmp_path)
    assert config.number("head_dim") == 16
    assert config.number("vocab_size") == 64


def test_beside_a_folder_called_onnx_the_one_above_is_read(tmp_path: Path) -> None:
    write(tmp_path / "onnx" / "config.json", head_dim=16)
    write(tmp_path / "config.json", head_dim=8, vocab_size=64)
    config = read_model_config(tmp_path / "onnx")
    assert config.number("head_dim") == 16
    assert config.number("vocab_size") == 64


def test_above_any_other_folder_nothing_is_read(tmp_path: Path) -> None:
    write(tmp_path / "config.json", vocab_size=64)
    (tmp_path / "inner").mkdir()
    assert read_model_config(tmp_path / "inner").number("vocab_size") is None


@pytest.mark.parametrize("value", [None, True, 0, -5, 8.0, "8", [8]])
def test_what_is_no_count_is_not_taken_for_a_number(value: object) -> None:
    config = ModelConfig({"a": {"head_dim": value}, "b": {"head_dim": 16}})
    assert config.number("head_dim") == 16


def test_sizes_of_a_model_that_also_sees_stand_under_text_config(
    tmp_path: Path,
) -> None:
    write(tmp_path / "config.json", hidden_size=8, text_config={"hidden_size": 16})
    assert read_model_config(tmp_path).number("hidden_size") == 16


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(
        InputError, match=r"config\.json (is not valid JSON|cannot be read)"
    ):
        read_model_config(tmp_path)


def test_a_file_that_holds_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"generation_config\.json should hold.* list"):
        read_model_config(tmp_path)


def test_a_size_that_nothing_can_have_is_refused() -> None:
    for size in (2**31, 10**400):
        config = ModelConfig({"a": {"n_positions": size}})
        with pytest.raises(InputError, match=r"n_ctx or n_positions must be at most"):
            config.number("n_ctx", "n_positions")
