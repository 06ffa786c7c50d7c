"""The command that reviews a class: it shares out the notebooks, and keeps the clock.

Judges are processes; one that is gone or stuck is replaced, and the next goes on behind
the exercise at which it was. Knows nothing of how an answer is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic
from typing import IO, cast

from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import facts
from tools.review import judge, kernel
from tools.review.handed_in import File, HandedIn, handed_in, shown_name
from tools.review.judge import Finding
from tools.review.kernel import ROOT, Limits
from tools.review.lesson import questions
from tools.review.table import Review, as_csv, as_page, as_text

RUNS_CODE = "This runs the learners' code on this machine, in your name. "
SHUT_IN = (
    "It has no network, and whatever it starts ends with it. But it can read and "
    "change all files that you can: use an account, or a machine, made for that."
)
NOT_SHUT_IN = (
    "This system does not shut it in: it has the network, can read and change all "
    "files that you can, end your programs, and leave some running. Review a class "
    "that you trust, or use Linux and an account made for that."
)
WHAT_IT_TELLS = (
    "A verdict tells what a function gave for the questions of the course's own check. "
    "It does not tell who wrote it: the solutions are part of the course."
)
_MEMORY_OF_JUDGE = 1_500_000_000  # bytes
_MOST_AT_ONCE = 16  # notebooks of one judge, which remembers what it has seen
Findings = dict[tuple[str, str, str], Finding]  # by learner, lesson and exercise
Task = tuple[str, File, list[str]]  # whose it is, and the exercises still to be judged


class Judges:
    """The processes that judge, and what they have found so far."""

    def __init__(self, limits: Limits, tell: Callable[[int], None]) -> None:
        self.findings: Findings = {}
        self._limits, self._tell = limits, tell
        self._lock, self._running, self._is_over = Lock(), set[int](), False

    def judge(self, lesson: Path, tasks: Sequence[Task]) -> None:
        """Judge notebooks of one lesson, with as many processes as it takes."""
        while left := [task for task in tasks if task[2]]:
            request = [str(lesson), self._limits, [task[1:] for task in left]]
            with self._lock:
                if self._is_over:
                    return
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "tools.review.judge"],
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # Ctrl-C is for this process
                )
                self._running.add(process.pid)
            with process, suppress(OSError, ValueError):
                cast("IO[str]", process.stdin).write(json.dumps(request))
                cast("IO[str]", process.stdin).close()
                for line in cast("IO[str]", process.stdout):
                    place, name, finding = json.loads(line)
                    self._found(lesson, left[place], name, Finding(*finding))
            with self._lock:
                self._running.discard(process.pid)
            rest = [task for task in left if task[2]]
            if rest and not self._is_over:  # it went, and at this one
                why = "It ends, or holds up, the process that judges."
                self._found(lesson, rest[0], rest[0][2][0], Finding(judge.STOPPED, why))

    def end(self) -> None:
        """End all that runs; `judge` returns soon afterwards."""
        with self._lock:
            self._is_over = True
            for number in self._running:
                kernel.end(number)

    def _found(self, lesson: Path, task: Task, name: str, finding: Finding) -> None:
        learner, _, names = task
        names.remove(name)
        self.findings[learner, lesson.stem, name] = finding
        self._tell(len(self.findings))


def judged(
    tasks: Mapping[Path, Sequence[Task]],
    limits: Limits,
    options: argparse.Namespace,
    tell: Callable[[int], None],
) -> tuple[Findings, str]:
    """Return what came of the notebooks, and why that is not all, or ""."""
    judges, why = Judges(limits, tell), ""
    with ThreadPoolExecutor(options.jobs) as pool:
        work = []
        for lesson, mine in tasks.items():
            num_parts = max(options.jobs, -(-len(mine) // _MOST_AT_ONCE))
            parts = (mine[start::num_parts] for start in range(num_parts))
            work += [pool.submit(judges.judge, lesson, part) for part in parts]
        try:
            if wait(work, timeout=60 * options.minutes).not_done:
                why = f"The {options.minutes:g} minutes were up."
        except KeyboardInterrupt:
            why = "It was interrupted."
        judges.end()
    for one in work:
        one.result()  # an error of ours is raised
    return judges.findings, why


def review(
    folder: Path, options: argparse.Namespace, tell: Callable[[float], None]
) -> tuple[Review, str]:
    """Review a class; returns also why not all was judged, or "".

    Raises:
        InputError: there is nothing in the folder.
    """
    began = monotonic()
    exercises = {
        file: [one.name for one in questions(file)]
        for file in sorted((ROOT / "notebooks").glob("*.ipynb"))
        if questions(file) and (not options.only or file.stem in options.only)
    }
    learners = handed_in(folder, [file.stem for file in exercises])
    tasks = {
        file: [
            (learner, mine.files[file.stem], [*names])
            for learner, mine in learners.items()
            if file.stem in mine.files
        ]
        for file, names in exercises.items()
    }
    total = sum(len(names) * len(tasks[file]) for file, names in exercises.items())
    with TemporaryDirectory(prefix="review-", ignore_cleanup_errors=True) as place:
        limits = Limits(options.seconds, int(options.memory * 1e9), place)
        findings, why = judged(tasks, limits, options, lambda n: tell(n / total))
    count, seconds = sum(map(len, tasks.values())), monotonic() - began
    remarks = [
        f"{len(learners)} learners, {count} notebooks, {seconds:.0f} seconds. {why}",
        RUNS_CODE + (SHUT_IN if kernel.wrapper() else NOT_SHUT_IN),
        WHAT_IT_TELLS,
        *_remarks(learners, findings),
    ]
    shown = {file.stem: names for file, names in exercises.items() if tasks[file]}
    columns = [(lesson, name) for lesson, names in shown.items() for name in names]
    left, missing = Finding(judge.UNTRIED, why), Finding(judge.MISSING)
    table = {
        learner: {
            column: findings.get(
                (learner, *column), left if column[0] in mine.files else missing
            )
            for column in columns
        }
        for learner, mine in learners.items()
    }
    return Review(f"Review of {shown_name(folder.name)}", shown, table, remarks), why


def _remarks(learners: Mapping[str, HandedIn], findings: Findings) -> list[str]:
    """Return what is to be said about files, and about notebooks that were changed."""
    who: dict[str, dict[str, None]] = {}  # learners by remark
    for learner, mine in learners.items():
        for remark in mine.remarks:
            who.setdefault(remark, {})[learner] = None
    for (learner, lesson, _), finding in findings.items():
        if finding.remark:
            who.setdefault(f"{lesson}: {finding.remark}", {})[learner] = None
    return [
        f"{what}: {', '.join(map(shown_name, them))}." for what, them in who.items()
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="review", description=main.__doc__)
    add = parser.add_argument
    only, a = "such as 05_sampling (default: all)", "a folder or zip file"
    add("folder", type=Path, help=f"{a} for each learner, or of them all")
    add("--only", nargs="+", metavar="NOTEBOOK", help=only)
    add("--to", type=Path, help="folder for the tables (default: beside FOLDER)")
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
    to = options.to or folder.with_name(f"{folder.stem} reviewed")
    terminal.note(RUNS_CODE + (SHUT_IN if kernel.wrapper() else NOT_SHUT_IN))
    try:
        to.mkdir(parents=True, exist_ok=True)
        with terminal.progress() as show:
            found, why = review(folder, options, partial(show, "review"))
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
