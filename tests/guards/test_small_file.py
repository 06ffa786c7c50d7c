"""What stands in place of a small file is read, or refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards import small_file
from llm_walkthrough.guards.small_file import is_file, read_json, read_text, way_out


def test_a_pipe_a_folder_and_a_name_that_cannot_be_are_no_files(tmp_path: Path) -> None:
    places = [tmp_path, tmp_path / ("x" * 5_000), tmp_path / "a\0b", tmp_path / "none"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        places += [tmp_path / "pipe", Path("/dev/zero")]
    for place in places:
        assert not is_file(place)
        with pytest.raises(InputError, match=r"it is no file"):
            read_text(place)


def test_a_file_without_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_file, "MOST_BYTES", 5)
    (tmp_path / "small").write_text("12345")
    (tmp_path / "large").write_text("123456")
    assert read_text(tmp_path / "small") == "12345"
    with pytest.raises(InputError, match="6 bytes are more than such a file has"):
        read_text(tmp_path / "large")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 5_000, b"\xff{}", b"[]"])
def test_what_is_no_json_object_is_refused_with_the_way_out(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(InputError, match=r"file\.json .*fetch or convert"):
        read_json(tmp_path / "file.json")


def test_what_helps_is_told_for_each_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="mend it, or fetch or convert the model aga"):
        read_json(tmp_path / "config.json")
    (tmp_path / "model.onnx").write_text("{")
    assert way_out(tmp_path / "model.onnx") == "fetch or convert the model again"
    (tmp_path / "tokenizer.json").write_text("version https://git-lfs.github.com/1\n")
    with pytest.raises(InputError, match="it is a Git LFS pointer: run `git lfs pull`"):
        read_json(tmp_path / "tokenizer.json")
