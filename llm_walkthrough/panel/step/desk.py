"""What has the learner set, and what is there to say to them?

Values that never change: each action of a learner makes the next desk. Knows nothing of
what the actions do.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_walkthrough.panel.knobs import Knobs

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
        step_seconds: how long the last step took in all, without its picture.
    """

    speed: str = "to read along"
    limit: str = "to the end"
    remaining: int | None = None
    is_guessing: bool = False
    guesses: Guesses = Guesses()
    is_large: bool = False
    step_seconds: float | None = None
