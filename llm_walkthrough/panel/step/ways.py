"""Which ways through the tokens were gone, where did they part, how likely are they?

Knows nothing of models: it looks at the tokens of each branch, and at what was noted
when they were made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_walkthrough.panel.watched import Score
    from llm_walkthrough.sampling import Sampling

How = Literal["drawn", "own u", "chosen"]
"""By the seed's number, by a number that the learner set, or by the learner."""

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Made:
    """What is known of a token that was appended.

    Attributes:
        score: how likely the model found it.
        share: its probability after all processors, 0 for one that was filtered out.
        how: who chose it.
        u: the number that drew it, None if nothing was drawn.
        sampling: the settings that stood then.
        seed: likewise.
    """

    score: Score
    share: float
    how: How
    u: float | None
    sampling: Sampling
    seed: int


@dataclass
class Memory:
    """What was noted of each token, found by the tokens that lead to it."""

    made: Made | None = None
    after: dict[int, Memory] = field(default_factory=dict)

    def note(self, path: Sequence[int], made: Made) -> None:
        """Remember what is known of the last token of a path."""
        place = self
        for token in path:
            place = place.after.setdefault(token, Memory())
        place.made = made

    def along(self, path: Sequence[int]) -> list[Made | None]:
        """Return what is known of each token of a path; None where nothing is."""
        found: list[Made | None] = []
        place: Memory | None = self
        for token in path:
            place = place.after.get(token) if place else None
            found.append(place.made if place else None)
        return found


@dataclass(frozen=True)
class Way:
    """One branch, as it is drawn.

    Attributes:
        name: "A", "B", …
        tokens: those that were made.
        parent: the number of the row from which it parts, None for the first.
        fork: how many tokens it has in common with that one.
        log_probability: of all its tokens together, natural logarithm; None if one of
            them was made elsewhere.
        is_active: the next step goes on here, or somewhere along it.
    """

    name: str
    tokens: Tokens
    parent: int | None
    fork: int
    log_probability: float | None
    is_active: bool


def is_within(tokens: Tokens, others: Sequence[Tokens]) -> bool:
    """Tell whether the tokens are the beginning of one of the others."""
    return any(other[: len(tokens)] == tokens for other in others)


def ways(
    branches: Mapping[str, Tokens], active: str, left: str, memory: Memory
) -> tuple[Way, ...]:
    """Return the branches as they are drawn, in the order in which they were made.

    An active branch that is no more than the beginning of another one is a place on
    that other's way, and not drawn by itself.

    Args:
        branches: name to tokens, in the order in which they were made.
        active: the name of the one that goes on.
        left: the one that was gone back from; among several it is the one whose
            beginning the active one is said to be.
        memory: what was noted of their tokens.
    """
    here = branches[active]
    others = [n for n, tokens in branches.items() if n != active]
    longer = [n for n in others if is_within(here, [branches[n]])]
    home = left if left in longer else next(iter(longer), active)
    found: list[Way] = []
    for one in others if longer else branches:
        tokens = branches[one]
        shared = [common(way.tokens, tokens) for way in found]
        fork = max(shared, default=0)
        parent = shared.index(fork) if shared else None
        together = _together(memory.along(tokens))
        found.append(Way(one, tokens, parent, fork, together, one == home))
    return tuple(found)


def common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two ways have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def nth_name(number: int) -> str:
    """Name the branches A to Z, then A1 to Z1, and so on."""
    turn, letter = divmod(number, 26)
    return chr(ord("A") + letter) + (str(turn) if turn else "")


def _together(made: Sequence[Made | None]) -> float | None:
    known = [one.score.log_probability for one in made if one is not None]
    return sum(known) if len(known) == len(made) else None
