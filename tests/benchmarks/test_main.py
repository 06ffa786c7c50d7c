"""The command ends with the status that its report deserves."""

from __future__ import annotations

import json
from concurrent.futures import BrokenExecutor
from pathlib import Path
from unittest import mock

import pytest

from benchmarks import __main__ as command
from benchmarks import panel
from benchmarks.report import Bar, Report, Row
from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError


def test_a_missed_bar_makes_the_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def measure(_path: Path, _show: object, rounds: int) -> Report:
        return Report("tiny", (Row("a step", "ms", rounds, Bar("at most", 2)),))

    monkeypatch.setattr(panel, "measure", measure)
    words = ["panel", "--json", "--model", str(tmp_path), "--rounds"]
    for rounds, status in (("2", 0), ("3", 1)):
        assert command.main([*words, rounds]) == status
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert row["is_met"] is (status == 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["panel", "--rounds", "0"], "rounds must be at least 1, got 0; 5 are a good"),
        (["--model", "nix"], "no model nix"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert command.main(words) == 2
    written = capsys.readouterr()
    assert (written.out, said in written.err) == ("", True)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BrokenExecutor("a process was terminated abruptly"), 2),
        (InputError("standard output cannot be written"), 2),
        (BrokenPipeError(), 141),
        (KeyboardInterrupt(), 130),
    ],
)
@pytest.mark.parametrize("broken", [(panel, "measure"), (terminal, "write")])
def test_whatever_breaks_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    status: int,
    broken: tuple[object, str],
) -> None:
    report = Report("tiny", (Row("a step", "ms", 1),))
    monkeypatch.setattr(panel, "measure", lambda *_: report)
    monkeypatch.setattr(*broken, mock.Mock(side_effect=error))
    assert command.main(["panel", "--model", str(tmp_path)]) == status


def test_a_missing_peer_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.speed.find_spec", lambda _name: None)
    assert command.main(["--model", str(tmp_path)]) == 2
    assert "not installed; run `python3 run.py bench`" in capsys.readouterr().err
