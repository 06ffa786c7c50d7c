"""What does a check say of an answer, and how is a learner's function called safely?

A check never raises for a wrong answer and never gives the solution away: it says what
is right, what is not, and hints at the likely mistake. Knows nothing of the exercises.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")

_SIGNS = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not answered yet."}
_COLOURS = {True: "#1769c4", False: "#c2570c", None: "#808080"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found.

    Attributes:
        is_right: True, False, or None as long as there is no answer.
        message: one or two sentences: what is right, or a hint at the mistake.
    """

    is_right: bool | None
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.is_right]} {self.message}"

    def _repr_html_(self) -> str:
        edge = f"border-left:4px solid {_COLOURS[self.is_right]};padding:.2em .8em"
        sign, message = _SIGNS[self.is_right], html.escape(self.message)
        return f'<div style="{edge}"><b>{sign}</b> {message}</div>'


NOT_ANSWERED = Verdict(None, "Fill in the cell above, then run this one again.")


def right(message: str) -> Verdict:
    """Return the verdict on a right answer."""
    return Verdict(is_right=True, message=message)


def wrong(hint: str) -> Verdict:
    """Return the verdict on a wrong answer, with a hint at the likely mistake."""
    return Verdict(is_right=False, message=hint)


def first_failing(
    answer: object, tests: Iterable[Callable[[Any], str | None]], praise: str
) -> Verdict:
    """Judge an answer by one test after the other.

    Args:
        answer: what the learner handed in: a value, or a function to be tried.
        tests: each is called with the answer, and returns a hint if it finds a mistake,
            else None. A test may call the learner's function: what that raises becomes
            the verdict, and so does an answer of `...` or None. Put the tests for
            typical mistakes first, the general comparison last.
        praise: what a right answer shows.
    """
    if is_unanswered(answer):
        return NOT_ANSWERED
    try:
        for test in tests:
            hint = test(answer)
            if hint is not None:
                return wrong(hint)
    except UnansweredError:
        return NOT_ANSWERED
    except Exception as error:  # noqa: BLE001 - a learner's code may raise anything
        return wrong(f"It stopped with {type(error).__name__}: {error}")
    return right(praise)


class UnansweredError(Exception):
    """The learner's function returned nothing yet."""


def is_unanswered(answer: object) -> bool:
    """Tell whether an exercise is still as it was handed out."""
    return answer is None or answer is ...


def called(function: Callable[..., Result], *arguments: object) -> Result:
    """Return what the learner's function gives.

    Raises:
        UnansweredError: it gives `...` or None, as the stub does; `first_failing`
            turns this into "not answered yet".
    """
    result = function(*arguments)
    if is_unanswered(result):
        raise UnansweredError
    return result
