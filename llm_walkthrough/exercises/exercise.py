"""An exercise as data, and the one loop that tries an answer on it.

An `Exercise` holds the right answer, the cases it is tried on, and a table of hints.
`check(answer)` tries the answer on one case after the other. The first that goes wrong
is told by the first row of the table that knows it:

    hints={
        "It is added, not taken away.": lambda number, step: number - step,
        "The result is {given}, below 0.": When(lambda t: t.given < 0),
    }

To add a hint, write its text and a *wrong answer* that deserves it (or a list of them):
whoever gives the same results as that one, wherever it is wrong, gets the hint. What no
wrong answer can show is a condition on the `Attempt`; give an example of it in
`tests/exercises/test_exercise.py`. A text may name in braces what an attempt holds. Put
rows that know more above rows that know less, and `OTHERWISE` last. To add an exercise,
write `check_… = Exercise(…)` into the file of its notebook: the tests find it.

A check never raises for a wrong answer and never gives the solution away. Knows nothing
of the exercises.
"""

from __future__ import annotations

import inspect
import string
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from llm_walkthrough.exercises.verdict import NOT_ANSWERED, Verdict


class Attempt(SimpleNamespace):
    """What came of one case, with its arguments by the names that `right` gives them.

    Attributes:
        given: what the learner's function returned.
        right: what it should have returned.
        has_changed: whether an argument is no longer what was handed in.
        all: every attempt at the exercise, in the order of the cases.
        place: where this one is among them.
    """

    @property
    def kind(self) -> str:
        """Name the type of what was given."""
        return type(self.given).__name__

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what was given, which may be a list."""
        return np.shape(self.given)


@dataclass(frozen=True)
class When:
    """A condition on the attempt that went wrong. Where it raises, it does not hold."""

    holds: Callable[[Attempt], object]


OTHERWISE = When(lambda _: True)
CHANGES_ITS_ARGUMENT = When(lambda t: t.has_changed)
HAS_WRONG_SHAPE = When(lambda t: t.shape != np.shape(t.right))
IS_NO_ARRAY = When(lambda t: not isinstance(t.mine, np.ndarray))
IS_NO_DICTIONARY = When(lambda t: not isinstance(t.given, dict))


def alike(given: Any, right: Any) -> bool:  # noqa: ANN401 - a learner returns anything
    """Tell whether two answers are the same, but for rounding and the kind of list."""
    with suppress(Exception):
        if isinstance(right, Mapping):
            is_same = given.keys() == right.keys()
            return is_same and all(alike(given[name], right[name]) for name in right)
        if isinstance(right, list | tuple):
            is_list = isinstance(given, list | tuple | np.ndarray)
            is_as_long = is_list and len(given) == len(right)
            return is_as_long and all(map(alike, given, right))
        if isinstance(right, bool):
            return bool(given) == right
        if isinstance(right, str):
            return isinstance(given, str) and given == right
        mine, wanted = np.asarray(given), np.asarray(right)
        relative = 1e-5 if wanted.dtype.kind == "f" else 0  # a count is exact
        return mine.shape == wanted.shape and np.allclose(mine, wanted, relative, 1e-4)
    return False


def identical(given: Any, right: Any) -> bool:  # noqa: ANN401 - as for `alike`
    """Tell whether two dictionaries hold the same arrays, of the same dtypes."""
    return alike(given, right) and all(_is_of_type(given[n], right[n]) for n in right)


def _is_of_type(mine: object, wanted: object) -> bool:
    if not isinstance(wanted, np.ndarray):
        return True
    return isinstance(mine, np.ndarray) and mine.dtype == wanted.dtype


def first_difference(t: Attempt) -> dict[str, Any]:
    """Name what differs between two dictionaries.

    Returns:
        `missing` and `extra`: names, `num_missing` of `num_right` of them. `name`: the
        first whose value is not right, `mine` and `wanted`: its values, `its_kind`.
    """
    given = t.given if isinstance(t.given, dict) else {}
    pairs = {n: (given[n], t.right[n]) for n in t.right if n in given}
    off = [n for n, pair in pairs.items() if not (alike(*pair) and _is_of_type(*pair))]
    name = (*off, "")[0]
    mine, wanted = pairs.get(name, (None, None))
    return {
        "missing": [name for name in t.right if name not in given],
        "num_missing": len(t.right) - len(pairs),
        "num_right": len(t.right),
        "extra": [name for name in given if name not in t.right],
        "name": name,
        "mine": mine,
        "wanted": wanted,
        "its_kind": type(mine).__name__,
    }


def _call(function: Callable[..., object], *arguments: object) -> object:
    return function(*arguments)


@dataclass(frozen=True, repr=False, eq=False)
class Exercise:
    """A question with its right answer, the cases and the hints.

    Attributes:
        task: what is asked for, as a noun phrase.
        right: the right answer: a function, or a value.
        cases: the arguments of each call; arrays, lists and dictionaries are copied.
        hints: text of a hint to the wrong answers that it is for, or to a condition.
        praise: what a right answer shows.
        ask: how a function and a case become an answer, if not by one plain call.
        same: whether what was given will do for what is right.
        case: what stands before every hint, such as the sizes of the case.
        also: more names for the attempt that went wrong.
    """

    task: str
    right: Any
    cases: Sequence[tuple[object, ...]]
    hints: Mapping[str, Any]
    praise: str
    ask: Callable[..., object] = _call
    same: Callable[[Any, Any], object] = alike
    case: str = ""
    also: Callable[[Attempt], Mapping[str, Any]] = lambda _: {}

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", f"Judge {self.task}.")  # for `check_…?`

    def __call__(self, answer: object) -> Verdict:
        """Judge a learner's answer."""
        if _is_unanswered(answer):
            return NOT_ANSWERED
        if callable(self.right) and not callable(answer):
            return _wrong(f"Wanted is {self.task}, and this is {answer!r}.")
        attempts, end = self._try(answer)
        hints = (self._hint_at(attempt) for attempt in attempts)
        hint = next((hint for hint in hints if hint is not None), None)
        if hint is not None:
            return _wrong(hint)
        return end or Verdict(is_right=True, message=self.praise)

    def _try(self, answer: object) -> tuple[list[Attempt], Verdict | None]:
        """Try the cases, up to one in which the learner's function ends it all."""
        attempts: list[Attempt] = []
        asked = _watched(answer) if callable(self.right) else answer
        names = [*inspect.signature(self.ask).parameters][1:]  # the first: the answer
        if self.ask is _call:
            names = [*inspect.signature(self.right).parameters]
        for case in self.cases:
            handed = _copied(case)
            try:
                given = self.ask(asked, *handed)
            except _UnansweredError:
                return attempts, NOT_ANSWERED
            except _StoppedError as error:
                return attempts, _wrong(str(error))
            except Exception as error:  # noqa: BLE001 - an odd answer may raise any
                return attempts, _wrong(f"What it gives cannot be used here: {error}")
            attempt = Attempt(**dict(zip(names, case, strict=False)), given=given)
            attempt.right = self.ask(self.right, *_copied(case))
            attempt.has_changed = not alike(handed, case)
            attempt.all, attempt.place = attempts, len(attempts)
            attempts.append(attempt)
        return attempts, None

    def _hint_at(self, attempt: Attempt) -> str | None:
        """Return the hint for an attempt, or None if nothing is wrong with it."""
        may_change = CHANGES_ITS_ARGUMENT not in self.hints.values()
        with suppress(Exception):  # an odd answer may be nothing that can be compared
            will_do = self.same(attempt.given, attempt.right)
            if will_do and (may_change or not attempt.has_changed):
                return None
        with suppress(Exception):  # nor have what shall be named
            vars(attempt).update(self.also(attempt))
        for text, row in self.hints.items():
            if any(self._knows(one, attempt) for one in _listed(row)):
                with suppress(Exception):
                    return _Text(attempt).format(self.case + text)
        return f"It gives {attempt.given!r}."

    def _knows(self, row: object, attempt: Attempt) -> bool:
        """Tell whether a condition holds, or a wrong answer is wrong alike."""
        if isinstance(row, When):
            with suppress(Exception):
                return bool(row.holds(attempt))
            return False
        with np.errstate(all="ignore"):  # no warning of what the learner did not write
            wrong = self._try(row)[0]
        pairs = zip(attempt.all, wrong, strict=False)
        off = [pair for pair in pairs if not alike(pair[1].given, pair[1].right)]
        is_here = any(mine is attempt for mine, _ in off)  # or it is another mistake
        return is_here and all(alike(mine.given, its.given) for mine, its in off)


class ExerciseOn:
    """An exercise whose cases come from a model, a graph or a tokenizer.

    Decorates the function that makes it, and is called as `check(answer, model)`.
    """

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


class _UnansweredError(Exception):
    """The learner's function returned nothing yet."""


class _StoppedError(Exception):
    """The learner's function raised; the text says what, and in which line."""


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
            raise _StoppedError(_told(error)) from error
        if result is None or result is ...:
            raise _UnansweredError
        return result

    return watched


def _told(error: Exception) -> str:
    """Tell of an error, with the line of the learner's own code it comes from."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is our call
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    line = f" at line {own[-1].lineno}, `{own[-1].line}`," if own else ""
    return f"It stopped{line} with {type(error).__name__}: {error}"


def _listed(row: object) -> list[object]:
    return row if isinstance(row, list) else [row]


def _copied(value: Any) -> Any:  # noqa: ANN401 - the arguments of an exercise
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    return value
