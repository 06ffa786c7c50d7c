"""A process that judges answers by the course's own checks, and runs nobody's code.

A function of the learner's is here a stand-in that asks the learner's process: what a
check sees is made of numbers, texts and arrays alone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises.exercise import ExerciseOn
from llm_walkthrough.exercises.practice_session import PracticeSession
from tools.review.handed_in import File
from tools.review.kernel import Kernel, Limits, StoppedError
from tools.review.lesson import (
    Question,
    code_cells,
    lighter,
    names_in,
    needed,
    questions,
)

RIGHT, WRONG, UNANSWERED = "right", "wrong", "not answered"
STOPPED, UNREADABLE, MISSING, UNTRIED = "stopped", "unreadable", "missing", "not tried"
MOST_STOPS = 2  # of a notebook; what comes after them is not tried
_KINDS = {True: RIGHT, False: WRONG, None: UNANSWERED}
_MOST_MEMORY = 8_000_000_000  # bytes of ours: an answer may be a prompt without end
_MOST_SECONDS = 300  # of ours for one exercise, on top of the learner's
_LONGEST = 500  # characters of a hint


class Finding(NamedTuple):
    """What came of one exercise."""

    kind: str  # one of those above
    hint: str = ""
    remark: str = ""  # on the notebook


def serve() -> None:
    """Judge notebooks of a lesson; writes a line for each finding.

    Standard input holds its path, the limits, and of each notebook where it is and the
    names of exercises.
    """
    lesson, limits, tasks = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not everywhere

        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    watch = _MOST_SECONDS + Limits(*limits).seconds
    for place, (file, names) in enumerate(tasks):
        faulthandler.dump_traceback_later(watch, exit=True)
        for found in judged(Path(lesson), File(*file), names, Limits(*limits)):
            out.write(json.dumps([place, *found]) + "\n")
            out.flush()
            faulthandler.dump_traceback_later(watch, exit=True)


def judged(
    lesson: Path, file: File, names: Sequence[str], limits: Limits
) -> Iterator[tuple[str, Finding]]:
    """Yield what comes of the exercises of these names in a notebook."""
    try:
        notebook = _Notebook(lesson, code_cells(file.read()), limits)
    except ValueError as error:
        yield from ((name, Finding(UNREADABLE, str(error))) for name in names)
        return
    with contextlib.closing(notebook):
        for question in questions(lesson):
            if question.name in names:
                yield question.name, notebook.finding(question)


@cache
def _world(lesson: Path) -> dict[str, Any]:
    """Return what the checks of a lesson need, made by the lesson's own cells."""
    own, asked = code_cells(lesson.read_bytes()), questions(lesson)
    names = {name for one in asked for name in (one.check, *one.others)}
    places, wanted = needed(own, names)
    world: dict[str, Any] = {}
    for place in places:
        code = compile(lighter(own[place], wanted), lesson.name, "exec")
        exec(code, world)  # noqa: S102 - the course's own
    for one in asked:
        check, given = world[one.check], [world[name] for name in one.others]
        if isinstance(check, ExerciseOn):  # what is right is worked out only once
            world[one.check] = check.make(*given)
    return world


class _Notebook:
    """A learner's notebook, and the kernel in which it is now."""

    def __init__(self, lesson: Path, cells: list[str], limits: Limits) -> None:
        own = code_cells(lesson.read_bytes())
        self._lesson, self._cells, self._limits = lesson, cells, limits
        self._own = {source.strip() for source in own}
        _, self._wanted = needed(cells, [one.answer for one in questions(lesson)])
        self._kernel: Kernel | None = None
        self._has_run: dict[int, str] = {}  # place of a cell, and what it stopped with
        self._num_stops = 0
        num_same = sum(source.strip() in self._own for source in cells)
        self._is_other = num_same < len(own) / 2

    def finding(self, question: Question) -> Finding:
        """Judge one exercise, with what is to be said about the notebook."""
        remarks = []
        if question.cell not in map(str.strip, self._cells):
            remarks.append("a check is changed or gone, the course's own was used")
        if self._is_other:
            remarks.append("most cells are not those of this version of the course")
        try:
            kind, hint, _ = self._judged_by_itself(question)
        except StoppedError as error:
            kind, hint = STOPPED, str(error)
            self._num_stops += 1
            self.close()
        except (InputError, SystemExit) as error:  # the model is not there
            kind, hint = UNTRIED, f"The check itself does not run: {error}"
        return Finding(kind, hint[:_LONGEST], "; ".join(remarks))

    def close(self) -> None:
        """End the kernel."""
        if self._kernel is not None:
            self._kernel.close()
        self._kernel, self._has_run = None, {}

    def _judged_by_itself(self, question: Question) -> Finding:
        """Judge one exercise; once more if an answer before may have done the harm."""
        is_used = bool(self._has_run)
        try:
            return self._judged(question)
        except StoppedError:
            is_late = self._kernel is not None and self._kernel.left <= 0
            self.close()
            if is_late or not is_used:
                raise
            return self._judged(question)

    def _judged(self, question: Question) -> Finding:
        places = self._places(question)
        if not places:
            return Finding(UNANSWERED)
        if self._num_stops >= MOST_STOPS:
            return Finding(UNTRIED, f"{MOST_STOPS} exercises before it were stopped.")
        check, kernel = _world(self._lesson)[question.check], self._run(places)
        is_there, is_function, value = _parts(kernel.ask("get", question.answer), 3)
        if not is_there:
            why = next(filter(None, map(self._has_run.get, reversed(places))), "")
            return Finding(WRONG, f"Its cell does not run: {why or 'it is empty'}")
        answer = _StandIn(kernel, question.answer) if is_function else value
        verdict = check(answer)
        hint = verdict.message if verdict.is_right is False else ""
        if is_function and hint.startswith("It stopped"):
            hint = answer.stopped  # with the learner's line, and not with ours
        return Finding(_KINDS[verdict.is_right], hint)

    def _places(self, question: Question) -> list[int]:
        """Return the places of the cells that make an answer; none if it is no new one.

        They stand above the check, or else anywhere.
        """
        checks = [i for i, one in enumerate(self._cells) if f"{question.check}(" in one]
        for stop in (*checks[-1:], None):
            cells = self._cells[:stop]
            makers = [one for one in cells if question.answer in names_in(one)[0]]
            if any(one.strip() not in self._own for one in makers):
                return needed(cells, [question.answer])[0]
        return []

    def _run(self, places: Sequence[int]) -> Kernel:
        """Run those of the cells that have not run yet, in order."""
        left = [place for place in places if place not in self._has_run]
        if self._kernel is None:
            self._kernel, left = Kernel(self._limits), [*places]
        self._kernel.left = self._limits.seconds
        for place in left:
            source = lighter(self._cells[place], self._wanted)
            self._has_run[place] = str(self._kernel.ask("run", source))
        return self._kernel


class _StandIn:
    """A function of the learner's, as a check calls it."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self._kernel, self._name, self.stopped = kernel, name, ""

    def __call__(self, *arguments: object) -> object:
        """Ask the learner's process; what it changed is changed here as well."""
        handed = tuple(map(_portable, arguments))
        answer = self._kernel.ask("call", self._name, handed)
        stopped, given, changed, fed = _parts(answer, 4)
        with contextlib.suppress(Exception):  # it may send anything in their place
            for argument, value, count in zip(arguments, changed, fed, strict=True):
                _change(argument, value, count)
        self.stopped = str(stopped)
        if stopped:
            raise RuntimeError(self.stopped)
        return given


def _parts(answer: Any, count: int) -> tuple[Any, ...]:  # noqa: ANN401 - a learner's
    if not isinstance(answer, tuple) or len(answer) != count:
        raise StoppedError("It sends something else in place of its answer.")
    return answer


def _portable(argument: object) -> object:
    """Return an argument as it can be sent; ports of onnxruntime cannot."""
    if isinstance(argument, list):
        return [*map(_portable, argument)]
    if type(argument).__name__ == "NodeArg":
        names = ("name", "shape", "type")
        return SimpleNamespace(**{name: getattr(argument, name) for name in names})
    return argument


def _change(argument: object, value: Any, count: int) -> None:  # noqa: ANN401
    if isinstance(argument, PracticeSession):
        argument.num_fed = int(count)
    elif value is None:
        pass  # it is as it was
    elif isinstance(argument, np.ndarray):
        argument[...] = value
    elif isinstance(argument, list):
        argument[:] = value
    elif isinstance(argument, dict):
        argument.clear()
        argument.update(value)


if __name__ == "__main__":
    serve()
