from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import checks


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    lesson = tmp_path / "test_lesson.py"
    lesson.write_text("import pytest\ndef test_a(): pytest.skip('no browser')\n")
    return lesson


@pytest.mark.parametrize(("ci", "fault"), [("true", "1 skipped"), ("", "")])
def test_a_skip_is_a_failure_under_ci_alone(
    lesson: Path, monkeypatch: pytest.MonkeyPatch, ci: str, fault: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # for speed
    monkeypatch.setenv("CI", ci)
    found = checks.run_check(
        ["pytest", "-q", f"--rootdir={lesson.parent}", str(lesson)]
    )
    assert fault in found
    assert bool(fault) == bool(found)


def test_a_check_does_not_see_the_path_by_which_run_py_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = tmp_path / "test_lesson.py"
    lesson.write_text(
        "import os\ndef test_a(): assert 'PYTHONPATH' not in os.environ\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert (
        checks.run_check(["pytest", "-q", f"--rootdir={tmp_path}", str(lesson)]) == ""
    )


def test_every_check_is_run_and_one_that_is_red_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    green = ["ast", os.devnull]
    commands = {"first": green, "second": ["no_such_module"], "third": green}
    monkeypatch.setattr(checks, "checks", lambda: commands)
    assert checks.run_checks() == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said if " s  " in line] == [
        "green",
        "red",
        "green",
    ]
    assert said[-1] == "checks: 2 passed, 1 failed"


def test_every_notebook_is_checked_the_solutions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["01_b.ipynb", "00_a.ipynb", "solutions/00_a.ipynb"]
    for name in [*names, ".ipynb_checkpoints/00_a-checkpoint.ipynb"]:
        file = tmp_path / "notebooks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    found = [
        Path(name).relative_to(tmp_path / "notebooks") for name in checks.notebooks()
    ]
    assert found == [Path(name) for name in sorted(names)]
    assert "--nbval" in checks.checks()["notebooks"]
