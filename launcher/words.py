"""How do we speak to the person at the terminal?

On stderr, since stdout belongs to the job. Knows nothing of what is said.
"""

from __future__ import annotations

import shutil
import sys
import time


class Stop(Exception):  # noqa: N818 - not every one is an error: a wrong word is none
    """Ends this start with one sentence that says what to do."""


def say(sentence: str) -> None:
    """Print a line at once."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


class Progress:
    """One line that is rewritten on a terminal; a line now and then in a log."""

    seconds_between_lines = 10.0

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last_line = time.monotonic()

    def show(self, text: str) -> None:
        """Show how far the work is; may be called often."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + text[:width].ljust(width))
            sys.stderr.flush()
        elif time.monotonic() - self._last_line > self.seconds_between_lines:
            say(text)
            self._last_line = time.monotonic()

    def close(self) -> None:
        """Leave an empty line behind."""
        if self._is_terminal:
            self.show("")
            sys.stderr.write("\r")
