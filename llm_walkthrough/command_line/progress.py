"""Progress of work on standard error: bars on a terminal, a few plain lines elsewhere.

Knows nothing of the work.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from llm_walkthrough.command_line import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show progress while the block runs; gives what the work calls with its news."""
    if not sys.stderr.isatty():  # a file would keep every frame of a bar
        yield _quarters()
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def move(activity: str, share: float) -> None:
            if activity not in tasks:
                tasks[activity] = bars.add_task(activity, total=1.0)
            bars.update(tasks[activity], completed=share)

        yield move


def _quarters() -> Callable[[str, float], None]:
    """Write a line at the beginning of an activity and at each quarter of it."""
    said: set[str] = set()

    def say(activity: str, share: float) -> None:
        line = f"{activity}: {int(share * 4) * 25} %"  # rounded down to a quarter
        if line not in said:
            said.add(line)
            terminal.note(line)

    return say
