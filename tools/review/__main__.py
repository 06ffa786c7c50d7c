"""The command that reviews a class: it shares out the notebooks, and keeps the clock.

Knows nothing of how an answer is judged: each notebook has a judge, a process that is
replaced when it is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import facts
from tools.review import judge, kernel
from tools.review.judge import Finding
from tools.review.lesson import handed_in, questions, shown
from tools.review.table import Review, as_csv, as_page, as_text

RUNS_CODE = "This runs the learners' code on this machine, in your name. "
SHUT_IN = (
    "It has no network, and whatever it starts ends with it. But it can read and "
    "change all files that you can: use an account, or a machine, made for that."
)
NOT_SHUT_IN = (
    "Nothing shuts it in here: it has the network, your files and your programs. "
    "Review a class that you trust, or use Linux and an account made for that."
)
WHAT_IT_TELLS = "The solutions are part of the course: no verdict tells who wrote it."
_MEMORY_OF_JUDGE = 1_500_000_000  # bytes


class Judges:
    """The processes that judge, at most one for each thread that asks."""

    def __init__(self, options: argparse.Namespace, place: str) -> None:
        limits = (options.seconds, int(options.memory * 1e9), place)
        self._limits, self._running = [*map(str, limits)], set[int]()
        self._is_over = False

    def judge(self, lesson: Path, file: Path) -> dict[str, Finding]:
        """Return what came of the exercises of a notebook, by their names."""
        found, left = dict[str, Finding](), [one.name for one in questions(lesson)]
        while left and not self._is_over:
            words = [str(lesson), str(file), *self._limits, *left]
            process = subprocess.Popen(  # noqa: S603 - ours
                [sys.executable, "-P", "-m", judge.__name__, *words],
                env={**os.environ, "PYTHONPATH": str(kernel.ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process
            )
            self._running.add(process.pid)
            for line in process.communicate()[0].splitlines():
                kind, hint = json.loads(line)
                found[left.pop(0)] = Finding(kind, shown(hint))
            self._running.discard(process.pid)
            if left and not self._is_over:  # it went, and at this one
                why = "It ends, or holds up, the process that judges."
                found[left.pop(0)] = Finding(judge.STOPPED, why)
        return found

    def end(self) -> None:
        """End all that runs; each `judge` returns soon afterwards."""
        self._is_over = True
        for number in [*self._running]:
            kernel.end(number)


def review(
    folder: Path, options: argparse.Namespace, tell: Callable[[float], None]
) -> tuple[Review, str]:
    """Review a class; returns also why not all was judged, or "".

    Raises:
        InputError: there is nothing in the folder.
    """
    began, why = monotonic(), ""
    course = sorted((kernel.ROOT / "notebooks").glob("*.ipynb"))
    lessons = {file.stem: file for file in course if questions(file)}
    if options.only:
        lessons = {name: lessons[name] for name in _known(options.only, lessons)}
    learners = handed_in(folder, [*lessons])
    place = TemporaryDirectory(prefix="review-", ignore_cleanup_errors=True)
    with place, ThreadPoolExecutor(options.jobs) as pool:
        judges = Judges(options, place.name)
        work = {
            pool.submit(judges.judge, lessons[lesson], file): (learner, lesson)
            for learner, files in learners.items()
            for lesson, file in files.items()
        }
        try:
            for number, _ in enumerate(as_completed(work, 60 * options.minutes), 1):
                tell(number / len(work))
        except TimeoutError:
            why = f"The {options.minutes:g} minutes were up."
        except KeyboardInterrupt:
            why = "It was interrupted."
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(work, timeout=0.1).not_done:
            judges.end()
    found = {key: one.result() for one, key in work.items() if not one.cancelled()}
    exercises = {
        lesson: [one.name for one in questions(file)]
        for lesson, file in lessons.items()
        if any(lesson in files for files in learners.values())
    }
    table = {
        learner: {
            (lesson, name): found.get((learner, lesson), {}).get(
                name, Finding(judge.UNTRIED if lesson in files else judge.MISSING)
            )
            for lesson, names in exercises.items()
            for name in names
        }
        for learner, files in learners.items()
    }
    counts = _counted(len(learners), "learner"), _counted(len(work), "notebook")
    took = _counted(round(monotonic() - began), "second")
    remarks = f"{', '.join(counts)}, {took}. {why}".strip(), _warning()
    title = f"Review of {shown(folder.name)}"
    return Review(title, exercises, table, (*remarks, WHAT_IT_TELLS)), why


def _known(words: Sequence[str], lessons: Collection[str]) -> list[str]:
    """Return the lessons of these names; "05" or "05_sampling.ipynb" will do."""
    for word in words:
        if not any(_names(word, lesson) for lesson in lessons):
            known = ", ".join(lessons)
            raise InputError(f"there are no exercises in {word!r}; there are: {known}")
    return [one for one in lessons if any(_names(word, one) for word in words)]


def _names(word: str, lesson: str) -> bool:
    return word.removesuffix(".ipynb") in (lesson, lesson[:2])


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _warning() -> str:
    return RUNS_CODE + (SHUT_IN if kernel.wrapper() else NOT_SHUT_IN)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="review", description=main.__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="holds a folder of notebooks for each learner")
    add("--to", type=Path, help="folder for the tables (default: beside FOLDER)")
    what = "review these alone, such as 05_sampling (default: all that have exercises)"
    add("--only", nargs="+", metavar="NOTEBOOK", help=what)
    add("--seconds", type=float, default=30, help="for one exercise (default: 30)")
    add("--memory", type=float, default=2, help="for one learner, in GB (default: 2)")
    add("--minutes", type=float, default=60, help="for all (default: 60)")
    add("--jobs", type=int, help="notebooks at once (default: as the machine has room)")
    options = parser.parse_args(arguments)
    room = facts.memory().available / (options.memory * 1e9 + _MEMORY_OF_JUDGE)
    options.jobs = max(1, options.jobs or min(facts.cores().usable, int(room)))
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the notebooks of a class; it runs learners' code on this machine."""
    terminal.prepare_output()
    options = _options(arguments)
    folder = options.folder.absolute()
    to = options.to or folder.with_name(f"{folder.name} reviewed")
    terminal.note(_warning())
    try:
        with terminal.progress() as show:
            found, why = review(folder, options, partial(show, "review"))
        to.mkdir(parents=True, exist_ok=True)
        text = as_text(found)
        (to / "review.txt").write_text(text, "utf-8")
        (to / "review.csv").write_text(as_csv(found), "utf-8-sig")
        (to / "review.html").write_text(as_page(found), "utf-8")
        with suppress(BrokenPipeError):
            terminal.write(text)
        terminal.note(f"The tables are in {to}")
    except (InputError, OSError) as error:
        terminal.note(f"review: {error}")
        return 2
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
