"""The branches of the step panel: where they part, and what is known of their tokens.

Going back makes a branch that is no more than the beginning of the old one. When it
becomes the same as the old one again it is dropped; when it parts from it both stay.
Knows nothing of what a learner has set, nor of how a branch is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Literal

from llm_walkthrough.branch import Run
from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.stepper import Stepper

How = Literal["drawn", "own u", "chosen"]  # by the seed, by a learner's u, or by hand
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Made:
    """What is known of a token that was appended."""

    score: Score  # how likely the model found it
    how: How  # who chose it
    u: float | None  # the number that drew it, None if nothing was drawn
    sampling: Sampling  # the settings that stood then
    seed: int  # likewise


@dataclass
class Notes:
    """What was noted of each token, found by the tokens that lead to it."""

    made: Made | None = None
    after: dict[int, Notes] = field(default_factory=dict)

    def note(self, path: Sequence[int], made: Made) -> None:
        """Remember what is known of the last token of a path."""
        here = self
        for token in path:
            here = here.after.setdefault(token, Notes())
        here.made = made

    def along(self, path: Sequence[int]) -> tuple[Made | None, ...]:
        """Return what is known of each token of a path; None where nothing is."""
        found: list[Made | None] = []
        here: Notes | None = self
        for token in path:
            here = here.after.get(token) if here else None
            found.append(here.made if here else None)
        return tuple(found)


@dataclass(frozen=True)
class NamedBranch:
    """One branch, as it is drawn."""

    name: str  # "A", "B", …
    tokens: Tokens  # those that were made
    parent: int | None  # the number of the one from which it parts, None for the first
    fork: int  # how many tokens it has in common with that one
    log_probability: float | None  # of all its tokens; None if one is not known
    is_active: bool  # the next step goes on here, or somewhere along it


class Branches:
    """The branches of one stepper, of which new ones get a name when they are seen."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper  # may also be used by others
        self._notes = Notes()
        self._names: list[str] = []
        self._left = ""  # the name of the one that was gone back from

    @property
    def active(self) -> str:
        """The name of the branch that goes on."""
        return [*self.tokens()][self.stepper.active]

    @property
    def here(self) -> Tokens:
        """The tokens after the prompt on it, those included that a cell appended."""
        return self.tokens()[self.active]

    def tokens(self) -> dict[str, Tokens]:
        """Return the tokens after the prompt of each branch by its name."""
        branches, start = self.stepper.branch_tokens, self.stepper.prompt_length
        del self._names[len(branches) :]
        while len(self._names) < len(branches):
            free = (n for n in map(nth_name, count()) if n not in self._names)
            self._names.append(next(free))
        after = (tuple(tokens[start:].tolist()) for tokens in branches)
        return dict(zip(self._names, after, strict=True))

    def look(self) -> tuple[tuple[Made | None, ...], Tokens, tuple[NamedBranch, ...]]:
        """Return `made`, `future` and `branches` of a snapshot."""
        branches, active = self.tokens(), self.active
        here = branches[active]
        shown = named_branches(branches, active, self._left, self._notes)
        home = next(branch.tokens for branch in shown if branch.is_active)
        return self._notes.along(here), home[len(here) :], shown

    def append(self, token: int | None, made: Made) -> Run:
        """Append a token, drawn if it is None, and see what may follow: both or none.

        Returns the run of the graph that read it; raises as `Stepper.step`.
        """
        self.stepper.step(token)
        try:
            _ = self.stepper.logits
        except BaseException:
            self.stepper.undo(1)
            raise
        run = self.stepper.runs[-1]  # a branch that is the same has an older one
        self._notes.note(self.here, made)
        self._join_the_same()
        return run

    def back(self, steps: int) -> None:
        """Go back so many steps, the branch staying; InputError if there are fewer."""
        made = len(self.stepper.steps)
        if made == 0:
            raise InputError("there is no step to take back: this is the prompt")
        if not 1 <= steps <= made:
            what = f"between 1 and {made} steps can be taken back"
            raise InputError(f"{what}, not {steps}")
        if not self._is_beginning(self.active):  # else there is a branch that keeps it
            self._left = self.active
            self.stepper.fork()
        self.stepper.undo(steps)

    def back_to(self, kept: int) -> None:
        """Go back to `kept` tokens, or before a cell's step; raises as `back`."""
        position = self.stepper.prompt_length + kept
        beyond = sum(step.position > position for step in self.stepper.steps)
        self.back(beyond + 1 if position < self.stepper.position else 0)

    def switch(self, name: str) -> None:
        """Go on at the end of another branch; InputError if it is unknown or fails."""
        names, left = [*self.tokens()], self.active
        if name not in names:
            known = ", ".join(names)
            raise InputError(f"there is no branch {name!r}; there are {known}")
        number = self.stepper.active
        self.stepper.switch(names.index(name))
        try:
            _ = self.stepper.logits
        except BaseException:
            self.stepper.switch(number)
            raise
        if name != left and self._is_beginning(left):
            self._drop(left)

    def reset(self) -> None:
        """Go back to the prompt and forget every branch."""
        self.stepper.reset()
        self._notes, self._names, self._left = Notes(), [], ""

    def _join_the_same(self) -> None:
        """Go on with the branch that is the same again, and drop its double."""
        branches, double = self.tokens(), self.active
        here = branches[double]
        same = [n for n, tokens in branches.items() if tokens == here and n != double]
        if same:
            self.stepper.switch(self._names.index(same[0]))
            self._drop(double)

    def _is_beginning(self, name: str) -> bool:
        """Tell whether another branch begins as this one, and so has all of it."""
        branches = self.tokens()
        return is_within(branches.pop(name), [*branches.values()])

    def _drop(self, name: str) -> None:
        number = self._names.index(name)
        self.stepper.drop(number)
        del self._names[number]


def named_branches(
    branches: Mapping[str, Tokens], active: str, left: str, notes: Notes
) -> tuple[NamedBranch, ...]:
    """Return the branches as they are drawn, in the order in which they were made.

    A branch that is no more than the beginning of another is a point along that one,
    not drawn by itself. If it can be, `active` is along the one that was `left`.
    """
    here, ends = branches[active], list[str]()
    for name, tokens in sorted(branches.items(), key=lambda one: -len(one[1])):
        if not is_within(tokens, [branches[end] for end in ends]):
            ends.append(name)
    ends = [name for name in branches if name in ends]  # in the order that was given
    along = [name for name in ends if is_within(here, [branches[name]])]
    home = next((name for name in (active, left) if name in along), along[0])
    found: list[NamedBranch] = []
    for name in ends:
        tokens = branches[name]
        shared = [common(branch.tokens, tokens) for branch in found]
        fork = max(shared, default=0)
        parent = shared.index(fork) if shared else None
        known = [one.score.log_probability for one in notes.along(tokens) if one]
        together = sum(known) if len(known) == len(tokens) else None
        found.append(NamedBranch(name, tokens, parent, fork, together, name == home))
    return tuple(found)


def is_within(tokens: Tokens, others: Sequence[Tokens]) -> bool:
    """Tell whether the tokens are the beginning of one of the others."""
    return any(other[: len(tokens)] == tokens for other in others)


def common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two branches have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def nth_name(number: int) -> str:
    """Name the branches A to Z, then A1 to Z1, and so on."""
    turn, letter = divmod(number, 26)
    return chr(ord("A") + letter) + (str(turn) if turn else "")
