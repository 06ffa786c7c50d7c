"""One process that reads damaged cases, one after the other, and notes each in a file.

The number of a case is noted before it and what came of it afterwards, so that whoever
reads the file knows which case ended the process.
"""

from __future__ import annotations

import faulthandler
import random
from pathlib import Path
from time import monotonic, process_time

from fuzz.readers import ERRORS, READERS

MOST_SECONDS = 10.0  # of a processor; a busy machine takes longer by the clock
MOST_WAITING = 60.0


def read_cases(reader: str, seed: int, first: int, end: int, notes: Path) -> None:
    """Read the cases from number `first` to before `end`."""
    faulthandler.enable()
    with notes.open("w", encoding="utf-8", buffering=1) as file:
        for number in range(first, end):
            file.write(f"{number}\n")
            faulthandler.dump_traceback_later(MOST_WAITING, exit=True)
            file.write(f"{_outcome(reader, f'{reader} {seed} {number}')}\n")
    faulthandler.cancel_dump_traceback_later()


def _outcome(reader: str, case: str) -> str:
    before, since, outcome = process_time(), monotonic(), "taken"
    try:
        READERS[reader](random.Random(case))  # noqa: S311 - no secret
    except ERRORS as error:
        outcome = "lines" if "\n" in str(error) else "refused"
    if process_time() - before > MOST_SECONDS:
        outcome = "slow"
    return f"{outcome} {monotonic() - since:.1f}"
