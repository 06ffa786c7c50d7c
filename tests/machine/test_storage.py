from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.storage import (
    exclusive,
    refusals_explained,
    scratch_folder,
)

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from llm_walkthrough.machine.storage import exclusive
with exclusive(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_scratch_folder_is_gone_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path / "x") as scratch:
            (scratch / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".model.1234.partial").mkdir()
    (tmp_path / ".model.1234.partial" / "half").write_text("written")
    for kept in ("model", "my.partial"):
        (tmp_path / kept).mkdir()
    with exclusive(tmp_path, lambda: None):
        pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model", "my.partial", ".lock"}


def test_a_second_process_waits_and_a_killed_one_frees_the_lock(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == b"held"
        told: list[str] = []

        def kill_the_holder() -> None:
            told.append("waiting")
            holder.kill()

        with exclusive(tmp_path, kill_the_holder):
            assert told == ["waiting"]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, r"disk of .* is full .*free 1 GB"),
        (errno.EROFS, "is read-only; name a folder elsewhere .as LLM_WALK"),
        (errno.EACCES, "is read-only; name a folder elsewhere .as LLM_WALK"),
        (errno.EEXIST, "a file stands in the way of .*; move it"),
        (errno.ENOTDIR, "a file stands in the way of .*; move it"),
    ],
)
def test_a_refusal_of_the_system_says_what_to_do(
    tmp_path: Path, number: int, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence), refusals_explained(tmp_path):
        raise OSError(number, "refused")
