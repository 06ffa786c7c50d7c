"""The way to speak to the person at the terminal.

On stderr, since stdout belongs to the job. Knows nothing of what is said.
"""

from __future__ import annotations

import sys


class Stop(Exception):  # noqa: N818 - not every one is an error: a wrong word is none
    """Ends this start with one sentence that says what to do."""


def say(sentence: str) -> None:
    """Print a line at once."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
