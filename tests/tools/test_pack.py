"""The command that writes a pack."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.words import Stop
from tools import pack


def test_an_option_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stop, match="wants one folder"):
        pack.main(["--help"])
    assert not [*tmp_path.iterdir()]
