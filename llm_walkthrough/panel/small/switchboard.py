"""Switchboard: two runs of one loop side by side, right and with the chosen faults.

The state makes a run for each set of faults; it knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises.mend_it import TEXTS, Loop
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.mending import WRONG, Decoded, parts
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.acting import Acting, Moment
from llm_walkthrough.panel.board import Board
from llm_walkthrough.views import Passage


@dataclass(frozen=True, kw_only=True)
class Switched(Moment):
    """Which faults are on, and what comes of it."""

    right: Decoded = field(repr=False, compare=False)
    mine: Decoded = field(repr=False, compare=False)  # with the faults
    faults: frozenset[str] = frozenset()  # the parts that are wrong


class Switching(Acting[Switched]):
    """A loop, run anew for each set of faults; InputError if one is unknown."""

    def __init__(self, loop: Loop, faults: Iterable[str]) -> None:
        self._loop, right = loop, loop(parts())
        super().__init__(Switched(right=right, mine=right))
        for name in faults:
            self.do("switch", name)

    def actions(self) -> Mapping[str, Callable[[Switched, Any], Switched]]:
        """Return what can be done."""
        return {**super().actions(), "switch": self._switched}

    def _switched(self, now: Switched, name: str) -> Switched:
        if name not in WRONG:
            raise InputError(f"there is no part {name!r}; there are {[*WRONG]}")
        faults = now.faults ^ {name}
        mine = self._loop(parts(**{part: WRONG[part] for part in faults}))
        return replace(now, faults=faults, mine=mine)


def board(loop: Loop, faults: Iterable[str]) -> Board:
    """Return the panel without its library."""
    return Board(Switching(loop, faults), page, twin, None)


# --- the page ----------------------------------------------------------------------
def page(now: Switched, _vocabulary: object) -> str:
    """Draw the switches, both runs, and how far the logits moved."""
    faults = {name: TEXTS[name].fault for name in WRONG}
    right, mine = _chips(now.right, now), _chips(now.mine, now)
    shown = {"now": now, "right": right, "mine": mine, "faults": faults}
    shown |= {"moves": now.mine.moves(now.right), "listed": _listed(now)}
    return filled("panel/small/switchboard.html", hint=_hint(now), **shown)


def _chips(run: Decoded, now: Switched) -> Iterable[str]:
    """Draw a chip for each token, those marked that are not as in the right run."""
    same = now.mine.num_right(now.right)
    styles = ["lw-prompt"] * same + ["lw-held"] * (len(run.pieces) - same)
    return map(frame.still_chip, run.pieces, styles)


def _hint(now: Switched) -> str:
    if not now.faults:
        return "No fault is on, and both runs are the same. Switch one on."
    return now.mine.effect(now.right)


# --- the picture without a kernel --------------------------------------------------
def twin(now: Switched, _vocabulary: object) -> tuple[str, str]:
    """Return both texts, and what the faults have done, as HTML and in words."""
    faults = ", ".join(TEXTS[name].fault for name in WRONG if name in now.faults)
    return frame.picture(
        Passage(now.right.text, "Right"),
        Passage(now.mine.text, f"Faults: {faults or 'none'}"),
        Passage(_hint(now), f"How far a logit moved: {_listed(now)}"),
    )


def _listed(now: Switched) -> str:
    return ", ".join(f"{move:.1f}" for move in now.mine.moves(now.right))
