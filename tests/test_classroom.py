"""Tests of what a notebook begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_walkthrough.classroom import REQUEST, open_lesson
from llm_walkthrough.errors import InputError


def test_a_missing_model_is_answered_with_the_command_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path))
    with pytest.raises(InputError, match="models fetch smollm2-135m-instruct-float32"):
        open_lesson("float32")


def test_a_model_that_is_half_there_is_answered_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "smollm2-135m-instruct-int4").mkdir()
    (tmp_path / "smollm2-135m-instruct-int4" / "model.onnx").write_bytes(b"half")
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path))
    with pytest.raises(InputError, match="models fetch smollm2-135m-instruct-int4"):
        open_lesson()


@pytest.mark.model
def test_the_lesson_is_the_same_from_any_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_lesson().folder.name == "smollm2-135m-instruct-int4"


@pytest.mark.model
def test_the_prompt_is_the_request_and_opens_the_answer() -> None:
    lesson = open_lesson()
    text = lesson.tokenizer.decode(lesson.prompt(), show_special=True)
    assert f"<|im_start|>user\n{REQUEST}<|im_end|>" in text
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.model
def test_the_two_variants_are_two_folders_of_one_model() -> None:
    int4, float32 = open_lesson("int4"), open_lesson("float32")
    assert int4.folder != float32.folder
    assert (int4.prompt() == float32.prompt()).all()
