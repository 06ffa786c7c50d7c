"""What the step panel holds and what it shows: values that never change.

Knows nothing of what the actions do, nor of how anything is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_walkthrough.panel.knobs import Knobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_walkthrough.branch import Run
    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.branches import Made, NamedBranch
    from llm_walkthrough.panel.watched import CacheFacts, Feed, Score

DELAYS = {"slow": 1000, "to read along": 250, "fast": 0}
"""Milliseconds between two steps of a run, by the name of the speed."""

LIMITS = {"to the end": None, "5 tokens": 5, "10 tokens": 10, "50 tokens": 50}
"""How far a run goes."""


@dataclass(frozen=True)
class Guesses:
    """How the guesses went.

    Attributes:
        made: how many were made.
        right: how often the guessed token was the one that came.
        by_the_model: how often the model's likeliest one came.
    """

    made: int = 0
    right: int = 0
    by_the_model: int = 0


@dataclass(frozen=True, kw_only=True)
class Desk(Knobs):
    """What the learner has set; never changes, each action makes the next.

    Attributes:
        speed: a name of `DELAYS`.
        limit: a name of `LIMITS`.
        remaining: the steps that a run has left, None for no limit.
        is_guessing: the learner names a token before the next one is shown.
        guesses: how those went.
        is_large: large type, for a projector.
    """

    speed: str = "to read along"
    limit: str = "to the end"
    remaining: int | None = None
    is_guessing: bool = False
    guesses: Guesses = Guesses()
    is_large: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Everything that a picture of one moment needs, taken in one go.

    Attributes:
        title: the model, as the panel calls it.
        desk: what the learner has set.
        tokens: all of the active branch, the prompt first.
        prompt_length: how many of them are the prompt.
        read: position to score, for tokens of the prompt.
        made: what is known of each token after the prompt.
        future: tokens that were taken back and not yet replaced by others.
        branches: as they are drawn.
        distribution: what may come next; None if nothing can.
        why_none: the reason for that.
        cache: its size.
        feeds: what the last two runs of `runs` were fed, the newer one last.
        runs: of the graph, on the active branch.
        rest: asked when all but the times is drawn: the seconds of the last step until
            then, those of the model left out; None if no step was made.
    """

    title: str
    desk: Desk
    tokens: tuple[int, ...]
    prompt_length: int
    read: Mapping[int, Score]
    made: tuple[Made | None, ...]
    future: tuple[int, ...]
    branches: tuple[NamedBranch, ...]
    distribution: Distribution | None
    why_none: str
    cache: CacheFacts
    feeds: tuple[Feed, ...]
    runs: tuple[Run, ...]
    rest: Callable[[], float | None]
