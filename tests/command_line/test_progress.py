"""Who waits sees that work goes on: bars on a terminal, a few lines elsewhere."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from llm_walkthrough.command_line.progress import progress

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    """Says that somebody is looking."""

    def isatty(self) -> bool:
        return True


def test_pipe_gets_one_line_for_each_quarter_of_an_activity(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as show:
        for percent in range(0, 101, 5):
            show("converting", percent / 100)
    written = capsys.readouterr()
    assert written.out == ""
    quarters = (0, 25, 50, 75, 100)
    assert written.err == "".join(f"converting: {n} %\n" for n in quarters)


def test_terminal_gets_one_bar_for_each_activity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as show:
        for share in (0.0, 0.5, 1.0):
            show("fetching", share)
        show("converting", 0.1)
    last_frame = screen.getvalue().rpartition("fetching")[2]
    assert last_frame.count("converting") == 1
    assert "%" not in last_frame
