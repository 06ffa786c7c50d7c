"""A process that judges a notebook by the course's own checks, and runs nobody's code.

A function of the learner's is here a stand-in that asks the learner's process: what a
check sees is made of numbers, texts and arrays alone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises.practice_session import PracticeSession
from tools.review.kernel import Kernel, Limits, StoppedError
from tools.review.learner import limit
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
_KINDS = {True: RIGHT, False: WRONG, None: UNANSWERED}
_MOST_MEMORY = 8_000_000_000  # bytes of ours: an answer may be a prompt without end
_MOST_SECONDS = 300  # of ours for one exercise, on top of the learner's
_LONGEST = 500  # characters of a hint


class Finding(NamedTuple):
    """What came of one exercise."""

    kind: str  # one of those above
    hint: str = ""


def main(lesson: Path, file: Path, names: Sequence[str], limits: Limits) -> None:
    """Judge the exercises of these names; writes a line for each."""
    limit(DATA=_MOST_MEMORY)
    for question in questions(lesson):
        if question.name in names:
            faulthandler.dump_traceback_later(limits.seconds + _MOST_SECONDS, exit=True)
            with contextlib.redirect_stdout(sys.stderr):
                found = judged(lesson, file, question, limits)
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


def judged(lesson: Path, file: Path, question: Question, limits: Limits) -> Finding:
    """Judge one exercise of a learner's notebook, in a fresh kernel."""
    try:
        cells = code_cells(file)
    except ValueError as error:
        return Finding(UNREADABLE, str(error))
    handed_out = {*map(str.strip, code_cells(lesson))}
    checks = [i for i, one in enumerate(cells) if f"{question.check}(" in one]
    cells = cells[: checks[-1]] if checks else cells  # it may be gone
    makers = (one for one in cells if question.answer in names_in(one)[0])
    if {*map(str.strip, makers)} <= handed_out:
        return Finding(UNANSWERED)
    places, wanted = needed(cells, [question.answer])
    try:
        world = _world(lesson)
        with contextlib.closing(Kernel(limits)) as kernel:
            sources = [lighter(cells[place], wanted) for place in places]
            made = kernel.ask("run", sources, question.answer)
            why, is_there, is_function, value = made
            if not is_there:
                return Finding(WRONG, f"Its cell does not run: {why}"[:_LONGEST])
            answer = _StandIn(kernel, question.answer) if is_function else value
            others = (world[name] for name in question.others)
            verdict = world[question.check](answer, *others)
    except StoppedError as error:
        return Finding(STOPPED, str(error))
    except (InputError, SystemExit) as error:  # the model is not there
        return Finding(UNTRIED, f"The check itself does not run: {error}")
    hint = verdict.message if verdict.is_right is False else ""
    if is_function and hint.startswith("It stopped"):
        hint = answer.stopped  # with the learner's line, and not with ours
    return Finding(_KINDS[verdict.is_right], hint[:_LONGEST])


@cache
def _world(lesson: Path) -> dict[str, Any]:
    """Return what the checks of a lesson need, made by the lesson's own cells."""
    own, world = code_cells(lesson), dict[str, Any]()
    names = {name for one in questions(lesson) for name in (one.check, *one.others)}
    places, wanted = needed(own, names)
    for place in places:
        code = compile(lighter(own[place], wanted), lesson.name, "exec")
        exec(code, world)  # noqa: S102 - the course's own
    return world


class _StandIn:
    """A function of the learner's, as a check calls it."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self._kernel, self._name, self.stopped = kernel, name, ""

    def __call__(self, *arguments: object) -> object:
        """Ask the learner's process; what it changed is changed here as well."""
        handed = tuple(map(_portable, arguments))
        stopped, given, changed, fed = self._kernel.ask("call", self._name, handed)
        with contextlib.suppress(Exception):  # it may send anything in their place
            for argument, value, count in zip(arguments, changed, fed, strict=True):
                _change(argument, value, count)
        self.stopped = str(stopped)
        if stopped:
            raise RuntimeError(self.stopped)
        return given


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
    elif isinstance(argument, np.ndarray):
        argument[...] = value
    elif isinstance(argument, list) and isinstance(value, list):
        argument[:] = value
    elif isinstance(argument, dict) and isinstance(value, dict):
        argument.clear()
        argument.update(value)


if __name__ == "__main__":
    _, its_lesson, its_file, seconds, memory, place, *its_names = sys.argv
    its_limits = Limits(float(seconds), int(memory), place)
    main(Path(its_lesson), Path(its_file), its_names, its_limits)
