"""An exercise as data, and the one loop that tries an answer on it.

`check(answer)` tries an answer on one case after the other. The first that goes wrong
is told by the first row of the table of hints that knows it:

    hints={
        "takes_away": lambda number, step: number - step,
        "is_below_0": When(lambda t: t.given < 0),
    }

A *wrong answer* (or a list of them) knows whoever gives the same results as it does,
wherever it is wrong. What none can show is a condition on the `Attempt`; give an
example of it in `tests/exercises/test_exercise.py`. Rows that know more stand above
those that know less. The words stand under the same names in the TOML file beside the
exercises, and name in braces what the attempt holds; `otherwise` has words only.

A check never raises for a wrong answer and never gives the solution away. Knows nothing
of the exercises: they are the `check_…` in the file of their notebook.
"""

from __future__ import annotations

import inspect
import string
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.when import Attempt, When, alike, first_difference
from llm_walkthrough.guards.markup import filled

_SIGNS = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not answered yet."}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found, in one line of text or of HTML."""

    is_right: bool | None  # None as long as there is no answer
    message: str  # one or two sentences: what is right, or a hint at the mistake

    def __repr__(self) -> str:
        return f"{_SIGNS[self.is_right]} {self.message}"

    def _repr_html_(self) -> str:
        sign = _SIGNS[self.is_right]
        return filled("exercises/verdict.html", verdict=self, sign=sign)


NOT_ANSWERED = Verdict(None, "Fill in the cell above, then run this one again.")


@dataclass(frozen=True)
class Texts:
    """What an exercise says."""

    task: str  # what is asked for, as a noun phrase
    praise: str  # what a right answer shows
    hints: Mapping[str, str]  # by their names
    case: str | Sequence[str] = ""  # before each hint: its sizes; or one for each case
    fault: str = ""  # of the answer that is handed out, if it has one


def texts_of(name: str) -> Texts:
    """Read what an exercise says: "graph.unpack" is the table unpack in graph.toml."""
    file, _, table = name.partition(".")
    return Texts(**_tables(file)[table])


@cache
def _tables(file: str) -> dict[str, Any]:
    path = Path(__file__).with_name(f"{file}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _call(answer: Any, *arguments: object) -> object:  # noqa: ANN401 - as `right`
    return answer(*arguments) if callable(answer) else answer


@dataclass(frozen=True, repr=False, eq=False)
class Exercise:
    """A question with its right answer, the cases and the hints."""

    texts: Texts  # what it says
    right: Any  # the right answer: a function, or a value
    cases: Sequence[tuple[object, ...]] = ((),)  # the arguments of each call, copied
    # name of a hint to the wrong answers that it is for, or to a condition
    hints: Mapping[str, Any] = field(default_factory=dict)
    ask: Callable[..., object] = _call  # how a function and a case become an answer
    same: Callable[[Any, Any], object] = alike  # what was given, and right: will it do?
    also: Callable[[Attempt], Mapping[str, Any]] = lambda _: {}  # more of its names

    def __post_init__(self) -> None:
        task = self.texts.task
        object.__setattr__(self, "__doc__", f"Judge {task}.")  # for `check_…?`

    @np.errstate(all="ignore")  # the hint says it; a warning above would hide it
    def __call__(self, answer: object) -> Verdict:
        """Judge a learner's answer."""
        if _is_unanswered(answer):
            return NOT_ANSWERED
        if callable(self.right) and not callable(answer):
            return _wrong(f"Wanted is {self.texts.task}, and this is {answer!r}.")
        attempts, end = self._try(answer)
        for attempt in attempts:
            hint = self._hint_at(attempt)
            if hint is not None:
                return _wrong(hint)
        praise = "" if end else _Text(attempts[-1]).format(self.texts.praise)
        return end or Verdict(is_right=True, message=praise)

    def _try(self, answer: object) -> tuple[list[Attempt], Verdict | None]:
        """Try the cases, up to one in which the learner's function ends it all."""
        attempts: list[Attempt] = []
        asked = _watched(answer) if callable(self.right) else answer
        names = [*inspect.signature(self.ask).parameters][1:]  # the first: the answer
        if self.ask is _call and callable(self.right):
            names = [*inspect.signature(self.right).parameters]
        for case in self.cases:
            handed = _copied(case)
            try:
                given = self.ask(asked, *handed)
            except _EndError as end:
                return attempts, end.verdict
            except Exception as error:  # noqa: BLE001 - an odd answer may raise any
                why = str(error) or repr(error)
                return attempts, _wrong(f"What it gives cannot be used here: {why}")
            attempt = Attempt(**dict(zip(names, case, strict=False)), given=given)
            attempt.right = self.ask(self.right, *_copied(case))
            attempt.has_changed = not alike(handed, case)
            attempt.all, attempt.place = attempts, len(attempts)
            attempts.append(attempt)
        return attempts, None

    def _hint_at(self, attempt: Attempt) -> str | None:
        """Return the hint for an attempt, or None if nothing is wrong with it."""
        with suppress(Exception):  # an odd answer may have nothing that can be named
            if isinstance(attempt.right, Mapping):
                vars(attempt).update(first_difference(attempt.given, attempt.right))
            vars(attempt).update(self.also(attempt))
        may_change = when.CHANGES_ITS_ARGUMENT not in self.hints.values()
        with suppress(Exception):  # nor be anything that can be compared
            will_do = self.same(attempt.given, attempt.right)
            if will_do and (may_change or not attempt.has_changed):
                return None
        case = self.texts.case
        before = case if isinstance(case, str) else case[attempt.place]
        for name, row in {**self.hints, "otherwise": When(lambda _: True)}.items():
            rows = row if isinstance(row, list) else [row]
            if any(self._knows(one, attempt) for one in rows):
                with suppress(Exception):
                    return _Text(attempt).format(before + self.texts.hints[name])
        return f"It gives {attempt.given!r}."

    def _knows(self, row: object, attempt: Attempt) -> bool:
        """Tell whether a condition holds, or a wrong answer is wrong alike."""
        if isinstance(row, When):
            with suppress(Exception):
                return bool(row.holds(attempt))
            return False
        wrong = self._try(row)[0]
        pairs = zip(attempt.all, wrong, strict=False)
        off = [pair for pair in pairs if not alike(pair[1].given, pair[1].right)]
        is_here = any(mine is attempt for mine, _ in off)  # or it is another mistake
        return is_here and all(alike(mine.given, its.given) for mine, its in off)


class ExerciseOn:
    """An exercise on a model or a tokenizer, called as `check(answer, model)`."""

    def __init__(self, make: Callable[[Any], Exercise]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __call__(self, answer: object, given: object) -> Verdict:
        """Judge a learner's answer."""
        return self.make(given)(answer)


class _Text(string.Formatter):
    """Fills in what an attempt holds; writes an array as a list, with commas."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def get_value(self, key: int | str, *_: object) -> object:
        return getattr(self._attempt, str(key))

    def format_field(self, value: object, spec: str) -> str:
        shown = value.tolist() if isinstance(value, np.ndarray) else value
        return str(super().format_field(shown, spec))


class _EndError(Exception):
    """The learner's function returned nothing yet, or raised; the verdict says what."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


def _wrong(hint: str) -> Verdict:
    return Verdict(is_right=False, message=hint)


def _is_unanswered(answer: object) -> bool:
    """Tell whether an exercise is still as it was handed out, in all or in part."""
    if isinstance(answer, dict):
        return any(map(_is_unanswered, answer.values()))
    return answer is None or answer is ...


def _watched(function: Any) -> Callable[..., object]:  # noqa: ANN401 - a learner's
    """Return a function that says where it stopped, or that it gave nothing."""

    def watched(*arguments: object) -> object:
        try:
            result = function(*arguments)
            if isinstance(result, Iterator):  # a generator, which has not run yet
                result = list(result)
        except Exception as error:
            raise _EndError(_wrong(told(error))) from error
        if result is None or result is ...:
            raise _EndError(NOT_ANSWERED)
        return result

    return watched


def told(error: BaseException) -> str:
    """Tell of an error, with the line of the learner's own code it comes from."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is our call
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    line = f" at line {own[-1].lineno}, `{own[-1].line}`," if own else ""
    return f"It stopped{line} with {type(error).__name__}: {error}"


def _copied(value: Any) -> Any:  # noqa: ANN401 - the arguments of an exercise
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    return value
