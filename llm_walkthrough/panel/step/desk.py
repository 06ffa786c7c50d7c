"""What the step panel holds and what it shows: values that never change.

Knows nothing of what the actions do, nor of how anything is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llm_walkthrough.branch import Run
from llm_walkthrough.panel.candidates import Distribution
from llm_walkthrough.panel.knobs import Knobs
from llm_walkthrough.panel.step.branches import Made, NamedBranch
from llm_walkthrough.panel.watched import CacheFacts, Feed, Score

DELAYS = {"slow": 1000, "to read along": 250, "fast": 0}
"""Milliseconds between two steps of a run, by the name of the speed."""

LIMITS = {"to the end": None, "5 tokens": 5, "10 tokens": 10, "50 tokens": 50}
"""How far a run goes."""


@dataclass(frozen=True)
class Guesses:
    """How the guesses went."""

    made: int = 0  # how many were made
    right: int = 0  # how often the guessed token was the one that came
    by_the_model: int = 0  # how often the model's likeliest one came


@dataclass(frozen=True, kw_only=True)
class Desk(Knobs):
    """What the learner has set; never changes, each action makes the next."""

    speed: str = "to read along"  # a name of `DELAYS`
    limit: str = "to the end"  # a name of `LIMITS`
    remaining: int | None = None  # the steps that a run has left, None for no limit
    is_guessing: bool = False  # the learner names a token before the next one is shown
    guesses: Guesses = Guesses()  # how those went
    is_large: bool = False  # large type, for a projector


@dataclass(frozen=True)
class Snapshot:
    """Everything that a picture of one moment needs, taken in one go."""

    title: str  # the model, as the panel calls it
    desk: Desk  # what the learner has set
    tokens: tuple[int, ...]  # all of the active branch, the prompt first
    prompt_length: int  # how many of them are the prompt
    read: Mapping[int, Score]  # position to score, for tokens of the prompt
    made: tuple[Made | None, ...]  # what is known of each token after the prompt
    # tokens that were taken back and not yet replaced by others
    future: tuple[int, ...]
    branches: tuple[NamedBranch, ...]  # as they are drawn
    distribution: Distribution | None  # what may come next; None if nothing can
    why_none: str  # the reason for that
    cache: CacheFacts  # its size
    # what the last two runs of `runs` were fed, the newer one last
    feeds: tuple[Feed, ...]
    runs: tuple[Run, ...]  # of the graph, on the active branch
    # asked when all but the times is drawn: the seconds of the last step until then,
    # those of the model left out; None if no step was made
    rest: Callable[[], float | None]
