"""An attempt at an exercise, what is wrong with it, and when a hint is given.

Knows nothing of the exercises, nor of how an answer is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np


def alike(given: Any, right: Any) -> bool:  # noqa: ANN401 - a learner returns anything
    """Tell whether two answers are the same, but for rounding and the kind of list.

    Arrays in a dictionary are to be fed to a graph, so their dtypes count, too.
    """
    with suppress(Exception):
        if isinstance(right, Mapping):
            is_same = given.keys() == right.keys()
            return is_same and all(_fits(given[name], right[name]) for name in right)
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


def _fits(given: object, right: object) -> bool:
    if isinstance(right, np.ndarray) and getattr(given, "dtype", "") != right.dtype:
        return False
    return alike(given, right)


def first_difference(given: object, right: Mapping[str, Any]) -> dict[str, Any]:
    """Name what differs between a dictionary and the right one.

    These are the names `missing` and `extra`, the `name` of the first value that is not
    right, with `mine`, `wanted` and `its_kind`.
    """
    held = given if isinstance(given, dict) else {}
    off = (n for n in right if n in held and not _fits(held[n], right[n]))
    name = next(off, "")
    mine = held[name] if name else None
    missing = [name for name in right if name not in held]
    extra = [name for name in held if name not in right]
    first = {"name": name, "mine": mine, "its_kind": type(mine).__name__}
    return {"missing": missing, "extra": extra, **first, "wanted": right.get(name)}


class Attempt(SimpleNamespace):
    """What came of one case, with its arguments by the names that `right` gives them.

    The learner's function returned what is `given`, and should have returned what is
    `right`; `has_changed` tells whether an argument is no longer what was handed in.
    This is at `place` in `all` attempts, one for each case. `num_…` is how many there
    are of what is called `…`; of a dictionary there is also `first_difference`.
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


CHANGES_ITS_ARGUMENT = When(lambda t: t.has_changed)
HAS_WRONG_SHAPE = When(lambda t: t.shape != np.shape(t.right))
IS_NO_ARRAY = When(lambda t: not isinstance(t.mine, np.ndarray))
IS_NO_DICTIONARY = When(lambda t: not isinstance(t.given, dict))
MISSES_A_NAME = When(lambda t: t.missing)
HAS_A_FOREIGN_NAME = When(lambda t: t.extra)
HAS_OTHER_NAMES = When(lambda t: t.missing or t.extra)
IS_CONSTANT = When(lambda t: len({type(t.right)(one.given) for one in t.all}) == 1)
