"""End tokens come from every file of the folder, and each tells which ones name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_graph import PLAIN, VOCAB, Layout, hf_config, write_config, write_model

from llm_walkthrough.errors import InputError
from llm_walkthrough.exports.end_tokens import EndToken
from llm_walkthrough.graph import read_graph


def ends(folder: Path, **files: Any) -> tuple[EndToken, ...]:  # noqa: ANN401 - JSON
    if not (folder / "model.onnx").exists():
        write_model(folder, Layout("plain", config="config.json"))
    for name, content in files.items():
        write_config(folder / f"{name}.json", content)
    return read_graph(folder).ends


def test_the_ids_of_all_files_are_joined_and_each_names_its_files(
    tmp_path: Path,
) -> None:
    found = ends(
        tmp_path,
        config={**hf_config(), "eos_token_id": 2},
        generation_config={"eos_token_id": [2, 7, None]},
        genai_config={"model": {"eos_token_id": 7}},
    )
    assert found == (
        EndToken(7, ("genai_config.json", "generation_config.json")),
        EndToken(2, ("config.json", "generation_config.json")),
    )
    assert read_graph(tmp_path).end_tokens == (7, 2)


ADDED = {"added_tokens_decoder": {"9": {"content": "<|end|>"}}}
IN_TOKENIZER = {"added_tokens": [{"id": 9, "content": "<|end|>"}], "model": {}}
IN_VOCABULARY = {"added_tokens": [], "model": {"vocab": {"a": 1, "<|end|>": 9}}}


@pytest.mark.parametrize("text", ["<|end|>", {"content": "<|end|>"}])
@pytest.mark.parametrize(
    ("config", "tokenizer"), [(ADDED, {}), ({}, IN_TOKENIZER), ({}, IN_VOCABULARY)]
)
def test_the_text_in_the_tokenizers_own_file_is_looked_up(
    tmp_path: Path, text: object, config: dict[str, Any], tokenizer: dict[str, Any]
) -> None:
    found = ends(
        tmp_path,
        config={**hf_config(), "eos_token_id": None},
        tokenizer_config={"eos_token": text, **config},
        tokenizer=tokenizer,
    )
    assert found == (EndToken(9, ("tokenizer_config.json",)),)


@pytest.mark.parametrize(
    "tokenizer",
    [{}, {"added_tokens": 3, "model": {"vocab": []}}, {"added_tokens": [7, {}]}],
)
def test_a_text_that_is_no_token_ends_nothing(
    tmp_path: Path, tokenizer: dict[str, Any]
) -> None:
    entries = {"x": {}, "8": 4, "9" * 5_000: {"content": "<|end|>"}}
    config = {"eos_token": "<|end|>", "added_tokens_decoder": entries}
    plain = {**hf_config(), "eos_token_id": None}
    assert ends(tmp_path, config=plain, tokenizer_config=config) == ()
    assert ends(tmp_path, tokenizer=tokenizer) == ()


def test_the_small_files_may_stand_above_the_folder_onnx(tmp_path: Path) -> None:
    write_model(tmp_path / "onnx", Layout("plain", config="config.json"))
    write_config(tmp_path / "generation_config.json", {"eos_token_id": 4})
    write_config(tmp_path / "tokenizer_config.json", {"eos_token": "<e>", **ADDED})
    for path in (tmp_path, tmp_path / "onnx", tmp_path / "onnx" / "model.onnx"):
        assert read_graph(path).ends == (
            EndToken(3, ("onnx/config.json",)),
            EndToken(4, ("generation_config.json",)),
        )


def test_an_id_without_a_row_of_logits_is_left_out(tmp_path: Path) -> None:
    config = {**hf_config(), "eos_token_id": [-1, VOCAB, VOCAB - 1]}
    assert ends(tmp_path, config=config) == (EndToken(VOCAB - 1, ("config.json",)),)


@pytest.mark.parametrize("value", ["2", [1, "a"], True, 2.0, [[2]]])
def test_an_end_token_that_is_no_id_is_named(tmp_path: Path, value: object) -> None:
    write_model(tmp_path, PLAIN)
    content = json.dumps({"eos_token_id": value})
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(InputError, match=r"eos_token_id must be .*generation_config\."):
        read_graph(tmp_path)
