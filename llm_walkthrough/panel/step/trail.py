"""How is a way kept when the learner goes back and chooses differently?

A stepper with names for its branches and a memory of what was made. Going back makes
a branch that is no more than the beginning of the old one; when it becomes the same as
the old one again it is dropped, and when it parts from it both stay. Knows nothing of
what a learner has set.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.step.ways import Memory, is_within, nth_name, ways

if TYPE_CHECKING:
    from llm_walkthrough.panel.step.ways import Made, Tokens, Way
    from llm_walkthrough.stepper import Stepper


class Sight(NamedTuple):
    """What is to be seen of the ways.

    Attributes:
        made: what is known of each token that was made on the active one; None for one
            that was made elsewhere.
        future: tokens that were taken back and not yet replaced by others.
        ways: the branches, as they are drawn.
    """

    made: tuple[Made | None, ...]
    future: Tokens
    ways: tuple[Way, ...]


class Trail:
    """The ways that were gone with one stepper.

    Attributes:
        stepper: may also be used by others; new branches get a name when they are seen.
    """

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self._memory = Memory()
        self._names: list[str] = []
        self._left = ""

    @property
    def active(self) -> str:
        """The name of the branch that goes on."""
        return [*self.branches()][self.stepper.active]

    @property
    def here(self) -> Tokens:
        """The tokens after the prompt on it, those included that a cell appended."""
        return self.branches()[self.active]

    def look(self) -> Sight:
        """Return all that is to be seen of the ways."""
        branches = self.branches()
        active = [*branches][self.stepper.active]
        here = branches[active]
        shown = ways(branches, active, self._left, self._memory)
        home = next(way.tokens for way in shown if way.is_active)
        return Sight(tuple(self._memory.along(here)), home[len(here) :], shown)

    def branches(self) -> dict[str, Tokens]:
        """Return the tokens after the prompt of each branch by its name."""
        branches, start = self.stepper.branch_tokens, self.stepper.prompt_length
        del self._names[len(branches) :]
        while len(self._names) < len(branches):
            free = (n for n in map(nth_name, count()) if n not in self._names)
            self._names.append(next(free))
        after = (tuple(tokens[start:].tolist()) for tokens in branches)
        return dict(zip(self._names, after, strict=True))

    def append(self, token: int | None, made: Made) -> None:
        """Append a token, drawn if it is None, and see what may follow: both or none.

        Raises:
            InputError: as `Stepper.step`.
        """
        stepper = self.stepper
        stepper.step(token)
        try:
            _ = stepper.logits
        except BaseException:
            stepper.undo(1)
            raise
        self._memory.note(self.here, made)
        self._join_the_same_way()

    def back(self, steps: int) -> None:
        """Go back some steps; the way that is left stays.

        Raises:
            InputError: there are not that many, or no step at all.
        """
        made = len(self.stepper.steps)
        if made == 0:
            raise InputError("there is no step to take back: this is the prompt")
        if not 1 <= steps <= made:
            raise InputError(
                f"between 1 and {made} steps can be taken back, not {steps}"
            )
        if not self._is_beginning(self.active):  # else there is a branch that keeps it
            self._left = self.active
            self.stepper.fork()
        self.stepper.undo(steps)

    def back_to(self, kept: int) -> None:
        """Go back to the first `kept` tokens, or to the step before a cell's.

        Raises:
            InputError: as `back`.
        """
        place = self.stepper.prompt_length + kept
        beyond = sum(step.position > place for step in self.stepper.steps)
        self.back(beyond + 1 if place < self.stepper.position else 0)

    def switch(self, way: str) -> None:
        """Go on at the end of another way.

        Raises:
            InputError: there is no such way, or the model cannot be run there.
        """
        names, left = [*self.branches()], self.active
        if way not in names:
            raise InputError(f"there is no way {way!r}; there are {', '.join(names)}")
        number = self.stepper.active
        self.stepper.switch(names.index(way))
        try:
            _ = self.stepper.logits
        except BaseException:
            self.stepper.switch(number)
            raise
        if way != left and self._is_beginning(left):
            self._drop(left)

    def reset(self) -> None:
        """Go back to the prompt and forget every way."""
        self.stepper.reset()
        self._memory, self._names, self._left = Memory(), [], ""

    def _join_the_same_way(self) -> None:
        """Go on with the branch that is the same again, and drop its double."""
        branches, double = self.branches(), self.active
        here = branches[double]
        same = [n for n, tokens in branches.items() if tokens == here and n != double]
        if same:
            self.stepper.switch(self._names.index(same[0]))
            self._drop(double)

    def _is_beginning(self, way: str) -> bool:
        """Tell whether another branch begins as this one, and so has all of it."""
        branches = self.branches()
        return is_within(branches.pop(way), [*branches.values()])

    def _drop(self, way: str) -> None:
        number = self._names.index(way)
        self.stepper.drop(number)
        del self._names[number]
