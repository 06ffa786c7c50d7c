"""How does somebody who waits see that work goes on?

On a terminal as a bar for each activity, in a pipe or a file as a few plain lines;
always on standard error. Knows nothing of the work.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from llm_walkthrough.command_line import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def progress() -> Iterator[Lines | Bars]:
    """Show progress while the block runs; gives what the work calls with its news."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield Bars(bars)


class Lines:
    """A line at the beginning of an activity and at each quarter of it."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, activity: str, share: float) -> None:
        """Write how far the activity is, unless that was said before."""
        line = f"{activity}: {int(share * 4) * 25} %"
        if line not in self._said:
            self._said.add(line)
            terminal.note(line)


class Bars:
    """A bar for each activity."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def __call__(self, activity: str, share: float) -> None:
        """Move the activity's bar; the first call makes it."""
        known = {task.description: task.id for task in self._bars.tasks}
        bar = known.get(activity)
        if bar is None:
            bar = self._bars.add_task(activity, total=1.0)
        self._bars.update(bar, completed=share)
