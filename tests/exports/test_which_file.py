"""Which file of a folder is meant, by name or by the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.exports.which_file import find_onnx_file


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()


def test_a_file_means_itself(tmp_path: Path) -> None:
    touch(tmp_path / "model.onnx", tmp_path / "model_q4.onnx")
    assert find_onnx_file(tmp_path / "model_q4.onnx") == tmp_path / "model_q4.onnx"


def test_a_folder_means_its_model_onnx(tmp_path: Path) -> None:
    touch(tmp_path / "a.onnx", tmp_path / "model.onnx", tmp_path / "onnx/model.onnx")
    assert find_onnx_file(tmp_path) == tmp_path / "model.onnx"


def test_a_folder_means_the_file_that_genai_config_names(tmp_path: Path) -> None:
    touch(tmp_path / "model.onnx", tmp_path / "decoder.onnx")
    assert find_onnx_file(tmp_path, "decoder.onnx") == tmp_path / "decoder.onnx"
    assert find_onnx_file(tmp_path, "absent.onnx") == tmp_path / "model.onnx"


@pytest.mark.parametrize("name", ["onnx/model.onnx", "onnx/model_q4.onnx", "a.onnx"])
def test_the_only_file_is_found_as_hubs_lay_it_out(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert find_onnx_file(tmp_path) == tmp_path / name


def test_of_several_precisions_the_rule_takes_what_suits_a_processor(
    tmp_path: Path,
) -> None:
    kinds = ["_bnb4", "_q4f16", "_fp16", "_uint8", "_int8", "_quantized", "_q4", ""]
    for kind in kinds:
        touch(tmp_path / f"onnx/model{kind}.onnx")
        assert find_onnx_file(tmp_path) == tmp_path / f"onnx/model{kind}.onnx"


def test_a_merged_decoder_goes_before_its_parts(tmp_path: Path) -> None:
    for name in ("decoder_model", "decoder_with_past_model", "decoder_model_merged"):
        touch(tmp_path / f"{name}.onnx")
    assert find_onnx_file(tmp_path) == tmp_path / "decoder_model_merged.onnx"


def test_a_file_is_found_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "model.onnx", tmp_path / "onnx/model_int8.onnx")
    expected = tmp_path / "onnx/model_int8.onnx"
    for name in ("model_int8.onnx", "onnx/model_int8.onnx"):
        assert find_onnx_file(tmp_path, "model.onnx", name) == expected
    with pytest.raises(InputError, match=r"should hold q4, found model\.onnx, onnx/mo"):
        find_onnx_file(tmp_path, file="q4")


def test_of_several_files_that_no_rule_knows_none_is_guessed(tmp_path: Path) -> None:
    touch(tmp_path / "a.onnx", tmp_path / "onnx/b.onnx")
    with pytest.raises(InputError, match=r"found a\.onnx, onnx/b\.onnx; .*--file"):
        find_onnx_file(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"should hold model\.onnx, found no"):
        find_onnx_file(tmp_path)


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no model folder .*absent"):
        find_onnx_file(tmp_path / "absent")


def test_a_folder_that_may_not_be_read_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # who runs this may read all
    with pytest.raises(InputError, match=r"no model folder .* that may be read"):
        find_onnx_file(tmp_path)
