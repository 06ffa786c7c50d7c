"""Tests of what a notebook begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_walkthrough.classroom import REQUEST, open_lesson
from llm_walkthrough.errors import InputError


def test_a_model_that_is_missing_or_half_there_names_the_command_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path))
    with pytest.raises(InputError, match="models fetch smollm2-135m-instruct-float32"):
        open_lesson("float32")
    (tmp_path / "smollm2-135m-instruct-int4").mkdir()
    (tmp_path / "smollm2-135m-instruct-int4" / "model.onnx").write_bytes(b"half")
    with pytest.raises(InputError, match="models fetch smollm2-135m-instruct-int4"):
        open_lesson()


@pytest.mark.model
def test_both_variants_open_from_any_folder_with_the_request_as_their_prompt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    int4, float32 = open_lesson(), open_lesson("float32")
    assert int4.folder.name == "smollm2-135m-instruct-int4"
    assert int4.folder != float32.folder
    assert (int4.prompt() == float32.prompt()).all()
    text = int4.tokenizer.decode(int4.prompt(), show_special=True)
    assert f"<|im_start|>user\n{REQUEST}<|im_end|>" in text
    assert text.endswith("<|im_start|>assistant\n")
