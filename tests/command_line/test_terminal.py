"""Text goes out at once, and whatever is wrong at the other end is told apart."""

from __future__ import annotations

import errno
import io
import signal
import sys
from types import SimpleNamespace

import pytest

from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError


class Broken(io.StringIO):
    """A stream on which every write fails in one way."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self.error = error

    def write(self, _text: str) -> int:
        raise OSError(self.error, "no such luck")


def test_text_is_written_and_flushed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    stream = SimpleNamespace(
        write=heard.append, flush=lambda: heard.append("flushed"), isatty=lambda: False
    )
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.write("Hé🙂")
    assert heard == ["Hé🙂", "flushed"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_on_a_terminal_what_would_be_an_order_is_shown_instead(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    stream, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", errors)
    terminal.write("a\x1b[31mb\n")
    terminal.note("\x1b[2J")
    assert stream.getvalue() == ("a<0x1B>[31mb\n" if is_terminal else "a\x1b[31mb\n")
    assert errors.getvalue() == "<0x1B>[2J\n"


def test_input_that_is_closed_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        terminal.read_input()


@pytest.mark.parametrize("error", [errno.EPIPE, errno.EINVAL])
def test_reader_that_went_away_is_a_broken_pipe_on_every_system(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(error))
    with pytest.raises(BrokenPipeError):
        terminal.write("text")


def test_full_disk_is_told_as_such_and_a_note_that_nobody_can_read_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    with pytest.raises(InputError, match=r"cannot be written \(no such luck\)"):
        terminal.write("text")
    monkeypatch.setattr(sys, "stderr", Broken(errno.EPIPE))
    terminal.note("line")


def test_output_becomes_utf8_whatever_the_system_prefers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="cp1252", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.prepare_output()
    terminal.write("雨🙂")
    assert written.getvalue().decode("utf-8") == "雨🙂"


def test_output_that_was_closed_before_the_start_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    terminal.prepare_output()
    terminal.write("text")
    terminal.note("line")


def test_input_is_read_less_one_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    byte_order_mark = "\ufeffa\n\nb\n\n"
    read = {"Hé\n": "Hé", "Hé\r\n": "Hé", byte_order_mark: "a\n\nb\n", "": ""}
    for typed, expected in read.items():
        stream = io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="ascii")
        monkeypatch.setattr(sys, "stdin", stream)
        assert terminal.read_input() == expected


def test_first_ctrl_c_calls_and_the_second_interrupts() -> None:
    calls: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with terminal.first_ctrl_c(lambda: calls.append("stop")):
        signal.raise_signal(signal.SIGINT)
        assert calls == ["stop"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert calls == ["stop"]
    assert signal.getsignal(signal.SIGINT) is before


def test_pipe_gets_one_line_for_each_quarter_of_an_activity(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with terminal.progress() as show:
        for percent in range(0, 101, 5):
            show("converting", percent / 100)
    quarters = (0, 25, 50, 75, 100)
    lines = "".join(f"converting: {n} %\n" for n in quarters)
    assert capsys.readouterr() == ("", lines)


def test_terminal_gets_one_bar_for_each_activity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress() as show:
        for share in (0.0, 0.5, 1.0):
            show("fetching", share)
        show("converting", 0.1)
    last_frame = screen.getvalue().rpartition("fetching")[2]
    assert last_frame.count("converting") == 1
    assert "%" not in last_frame
