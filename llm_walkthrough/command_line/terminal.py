"""Text, progress and Ctrl-C between a command and its terminal, pipe or file.

Whatever stands at the other end: text goes out as UTF-8 and at once, a reader that went
away and a full disk are told apart. Knows nothing of what is written.
"""
# ruff: noqa: PLC0415 - rich is loaded when there is progress to be shown, not before

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import FrameType

from llm_walkthrough.errors import InputError, harmless

_READER_GONE = (errno.EPIPE, errno.EINVAL)  # EINVAL: what Windows says instead


def prepare_output() -> None:
    """Write UTF-8 also in a pipe of Windows, and nowhere if the output was closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def write(text: str) -> None:
    """Write to standard output, at once; on a terminal, no sign in it is an order.

    BrokenPipeError if nobody reads any more, InputError if it cannot be written.
    """
    try:
        sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
    except OSError as error:
        # what still waits in standard output must vanish, or Python cannot end
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - os.devnull is a name, not a path, on Windows
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if error.errno in _READER_GONE:
            raise BrokenPipeError from error
        what = f"standard output cannot be written ({error.strerror})"
        raise InputError(f"{what}; free some space or send it elsewhere") from error


def note(line: str) -> None:
    """Write a line to standard error, which nobody needs to read."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{harmless(line)}\n")
        sys.stderr.flush()


def read_input() -> str:
    """Read standard input to its end, less the line end that `echo` adds."""
    if sys.stdin is None:
        raise InputError("standard input is closed; write the prompt as an argument")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"standard input is not UTF-8 at byte {error.start}"
        raise InputError(f"{what}; convert the text first") from error
    return text.removesuffix("\n").removesuffix("\r")


@contextlib.contextmanager
def first_ctrl_c(call: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C only call `call`; a second one raises KeyboardInterrupt."""

    def on_first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        call()

    before = signal.signal(signal.SIGINT, on_first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show progress on standard error while the block runs.

    Gives what the work calls with its activity and the share of it, in 0 … 1. There is
    a bar for each activity on a terminal, a line at each quarter of it elsewhere.
    """
    if not sys.stderr.isatty():  # a file would keep every frame of a bar
        say = cache(note)  # a line that was written is not written again
        yield lambda activity, share: say(f"{activity}: {int(share * 4) * 25} %")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        add = cache(partial(bars.add_task, total=1.0))
        yield lambda activity, share: bars.update(add(activity), completed=share)
