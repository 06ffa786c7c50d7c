"""Whether an answer is the right one, and what differs first between dictionaries.

Knows nothing of the exercises, nor of how an answer is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np


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


def first_difference(given: object, right: Mapping[str, Any]) -> dict[str, Any]:
    """Name what differs between a dictionary and the right one.

    Returns:
        `missing` and `extra`: names. `name`: the first whose value is not right,
        `mine` and `wanted`: its values, `its_kind`.
    """
    held = given if isinstance(given, dict) else {}
    pairs = {n: (held[n], right[n]) for n in right if n in held}
    off = [n for n, pair in pairs.items() if not (alike(*pair) and _is_of_type(*pair))]
    name = (*off, "")[0]
    mine, wanted = pairs.get(name, (None, None))
    return {
        "missing": [name for name in right if name not in held],
        "extra": [name for name in held if name not in right],
        "name": name,
        "mine": mine,
        "wanted": wanted,
        "its_kind": type(mine).__name__,
    }
