"""An attempt at an exercise, and the conditions on it under which a hint is given.

Knows nothing of the exercises, nor of how an answer is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np


class Attempt(SimpleNamespace):
    """What came of one case, with its arguments by the names that `right` gives them.

    Of a dictionary there is also what differs first; see `comparing`.

    Attributes:
        given: what the learner's function returned.
        right: what it should have returned.
        has_changed: whether an argument is no longer what was handed in.
        all: every attempt at the exercise, in the order of the cases.
        place: where this one is among them.
        num_…: how many there are of what is called `…`, such as `num_given`.
    """

    def __getattr__(self, name: str) -> int:
        if not name.startswith("num_"):
            raise AttributeError(name)
        return len(getattr(self, name.removeprefix("num_")))

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


ALWAYS = When(lambda _: True)
CHANGES_ITS_ARGUMENT = When(lambda t: t.has_changed)
HAS_WRONG_SHAPE = When(lambda t: t.shape != np.shape(t.right))
IS_NO_ARRAY = When(lambda t: not isinstance(t.mine, np.ndarray))
IS_NO_DICTIONARY = When(lambda t: not isinstance(t.given, dict))
MISSES_A_NAME = When(lambda t: t.missing)
HAS_A_FOREIGN_NAME = When(lambda t: t.extra)
HAS_OTHER_NAMES = When(lambda t: t.missing or t.extra)
IS_CONSTANT = When(lambda t: len({type(t.right)(one.given) for one in t.all}) == 1)
