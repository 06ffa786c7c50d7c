"""What has the learner set, and what is there to say to them?

Values that never change: each action of a learner makes the next desk. Knows nothing of
what the actions do.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import Sampling

DELAYS = {"slow": 1000, "to read along": 250, "fast": 0}
"""Milliseconds between two steps of a run, by the name of the speed."""

LIMITS = {"to the end": None, "5 tokens": 5, "10 tokens": 10, "50 tokens": 50}
"""How far a run goes."""


@dataclass(frozen=True)
class Notice:
    """One sentence for the learner.

    Attributes:
        text: the sentence.
        kind: "problem" if something that was asked for was not done, "hint" for what
            could be done next.
    """

    text: str = ""
    kind: Literal["news", "problem", "hint"] = "news"


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


@dataclass(frozen=True)
class Desk:
    """What the learner has set; never changes, each action makes the next.

    Attributes:
        sampling: how logits become probabilities.
        seed: which luck.
        looked_at: the stage whose probabilities are shown, None for the last.
        speed: a name of `DELAYS`.
        limit: a name of `LIMITS`.
        running: whether steps go on by themselves.
        remaining: the steps that a run has left, None for no limit.
        is_guessing: the learner names a token before the next one is shown.
        guesses: how those went.
        is_large: large type, for a projector.
        notice: what there is to say of the last action.
        step_seconds: how long the last step took in all, without its picture.
    """

    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    looked_at: int | None = None
    speed: str = "to read along"
    limit: str = "to the end"
    running: bool = False
    remaining: int | None = None
    is_guessing: bool = False
    guesses: Guesses = Guesses()
    is_large: bool = False
    notice: Notice = Notice()
    step_seconds: float | None = None


def turned(sampling: Sampling, knob: str, number: float) -> Sampling:
    """Return the settings with one knob turned.

    Raises:
        InputError: there is no such knob, or it does not go that far.
    """
    values = asdict(sampling)
    if knob not in values:
        raise InputError(f"there is no knob {knob!r}; there are {[*values, 'seed']}")
    values[knob] = int(number) if knob == "top_k" else number
    return Sampling(**values)


def below_one(u: float) -> float:
    """Return the end of the bar as the last number that can be drawn."""
    return math.nextafter(1, 0) if u == 1 else u
