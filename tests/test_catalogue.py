from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_gguf import write_tiny_gguf
from tiny_wheel import MEMBER, REQUIREMENT, write_tiny_wheel

from llm_walkthrough import catalogue
from llm_walkthrough.catalogue import fetch, fetch_gguf, find, models_folder
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError

DEEP = b"x = " + b"[" * 9999
FETCH = """
import os, sys
from pathlib import Path
from llm_walkthrough import catalogue
catalogue.REPOSITORY_MODELS = Path(sys.argv[1])
def tell(activity, share):
    print(activity, flush=True)
    if sys.argv[2] == "die" and activity.startswith("converting") and share >= 0.5:
        os._exit(9)  # as when killed: nothing is cleaned up
catalogue.fetch("tiny", tell)
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one tiny model in its catalogue, already downloaded."""
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    wheel = write_tiny_wheel(tmp_path / "wheels", gguf.read_bytes())
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "catalogue.toml").write_text(
        f"""
        [[model]]
        name = "tiny-model"
        short_name = "tiny"
        title = "Tiny"
        licence = "Apache-2.0"
        parameters = 1
        good_for = "tests"
        download_bytes = 1
        cache_bytes = 1
        variants = ["int4", "float32"]
        [model.wheel]
        requirement = "{REQUIREMENT}"
        sha256 = "{sha256(wheel)}"
        file = "{MEMBER}"
        file_sha256 = "{sha256(gguf)}"
        """
    )
    gguf.rename(folder / "tiny.gguf")
    monkeypatch.setattr(catalogue, "REPOSITORY_MODELS", folder)
    monkeypatch.delenv("LLM_WALKTHROUGH_MODELS", raising=False)
    monkeypatch.setenv("LLM_WALKTHROUGH_WHEELS", str(wheel.parent))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def start(models: Path, manner: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(models), manner]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_fetched_model_is_found_by_every_name_and_by_its_path(models: Path) -> None:
    folder = fetch("tiny")
    assert folder == models / "tiny-model-int4"
    for name in ("tiny", "tiny-int4", "tiny-model", "tiny-model-int4", folder):
        assert find(name) == folder


def test_a_damaged_download_is_fetched_again(models: Path) -> None:
    whole = (models / "tiny.gguf").read_bytes()
    (models / "tiny.gguf").write_bytes(whole[:1000])
    fetch("tiny")
    assert (models / "tiny.gguf").read_bytes() == whole
    assert names(models) == {"catalogue.toml", ".lock", "tiny.gguf", "tiny-model-int4"}


def test_a_second_variant_is_made_from_the_file_that_was_kept(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("tiny")
    monkeypatch.setenv("LLM_WALKTHROUGH_WHEELS", "nowhere")
    folder = fetch("tiny-float32")
    assert folder == models / "tiny-model-float32"
    assert fetch_gguf("tiny") == models / "tiny.gguf"


def test_an_absent_or_damaged_model_names_the_command_that_makes_it(
    models: Path,
) -> None:
    with pytest.raises(InputError, match="models fetch tiny-model-int4"):
        find("tiny")
    data = fetch("tiny") / "model.onnx.data"
    whole = data.read_bytes()
    data.write_bytes(whole[:100])
    with pytest.raises(InputError, match="models fetch tiny-model-int4"):
        find("tiny")
    fetch("tiny")
    assert (models / "tiny-model-int4" / "model.onnx.data").read_bytes() == whole


@pytest.mark.usefixtures("models")
def test_a_file_that_is_to_be_converted_first_names_the_command(tmp_path: Path) -> None:
    file = tmp_path / "llama.gguf"
    file.touch()
    with pytest.raises(InputError, match="run `llm-walkthrough models convert ") as it:
        find(file)
    assert str(it.value).endswith(f"{file}`")


@pytest.mark.parametrize(
    "damage", [b"", b"\xff", b"[[model]]\nname = 3", b"model = 1", DEEP]
)
def test_a_damaged_catalogue_is_named(models: Path, damage: bytes) -> None:
    (models / "catalogue.toml").write_bytes(damage)
    with pytest.raises(InputError, match=r"catalogue\.toml is damaged"):
        find("tiny")


@pytest.mark.usefixtures("models")
def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no model gpt-9.*tiny"):
        find("gpt-9")
    with pytest.raises(InputError, match=r"no model gpt-9.*tiny"):
        fetch("gpt-9")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", ["x" * 5_000, "~nobody-of-that-name", "a\0b"])
def test_a_name_that_no_system_takes_is_no_model(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(InputError, match="there is no model"):
        find(name)
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", name.replace("\0", "/"))
    with pytest.raises(InputError, match="is not there"):
        find("tiny")


def test_after_a_kill_halfway_the_next_start_carries_on(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = start(models, "die")
    killed.communicate()
    assert killed.returncode == 9
    assert any(name.endswith(".partial") for name in names(models))
    with pytest.raises(InputError, match="models fetch"):
        find("tiny")
    monkeypatch.setenv("LLM_WALKTHROUGH_WHEELS", "nowhere")  # the file is still there
    fetch("tiny")
    assert find("tiny").is_dir()
    assert not any(name.endswith(".partial") for name in names(models))


def test_of_two_starts_at_once_one_works_and_one_waits(models: Path) -> None:
    (models / "tiny.gguf").unlink()
    with start(models, "live") as first, start(models, "live") as second:
        said = [first.communicate()[0], second.communicate()[0]]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("downloading" in text for text in said) == 1
    assert find("tiny").is_dir()


def test_a_full_disk_is_explained_and_the_next_start_carries_on(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(OnnxWriter, "save", refuse)
        with pytest.raises(InputError, match=r"disk of .* is full"):
            fetch("tiny")
    assert names(models) == {"catalogue.toml", ".lock", "tiny.gguf"}
    assert fetch("tiny") == find("tiny")


def refuse_to_lock(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.usefixtures("models")
def test_a_read_only_folder_works_with_the_model_and_without_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = fetch("tiny")
    monkeypatch.setattr(FileLock, "acquire", refuse_to_lock)
    assert fetch("tiny") == find("tiny") == folder
    assert fetch_gguf("tiny").is_file()
    with pytest.raises(InputError, match="read-only; name a folder elsewhere"):
        fetch("tiny-float32")


def test_models_lie_in_the_clone_or_at_home_or_where_the_environment_says(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert models_folder() == models
    monkeypatch.setattr(catalogue, "REPOSITORY_MODELS", tmp_path / "no-clone")
    assert models_folder().is_relative_to(Path.home())
    with pytest.raises(InputError, match=r"no catalogue\.toml"):
        find("smollm2")
    monkeypatch.setattr(catalogue, "INSTALLED_SHARE", models)
    assert [entry.name for entry in catalogue.entries()] == ["tiny-model"]
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path / "hub"))
    assert models_folder() == tmp_path / "hub"


def test_the_catalogue_in_the_repository_has_the_default_model_first() -> None:
    entry = catalogue.entries()[0]
    assert entry.name == "smollm2-135m-instruct"
    assert entry.source.file.endswith("/SmolLM2-135M-Instruct.Q4_1.gguf")
    assert set(catalogue.choices()) >= {"smollm2", "smollm2-135m-instruct-float32"}
