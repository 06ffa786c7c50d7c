"""What do the knobs make of one row of logits?

The state behind the sampling panel: settings, a seed, and the number that draws. The
logits are there already, so no knob ever runs a model. Knows ids only, and nothing of
HTML.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llm_walkthrough.panel.acting import Acting, Moment
from llm_walkthrough.panel.candidates import distribution
from llm_walkthrough.panel.step.desk import below_one, turned
from llm_walkthrough.sampling import Sampling, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.panel.candidates import Distribution


@dataclass(frozen=True, kw_only=True)
class Settings(Moment):
    """Where the knobs stand.

    Attributes:
        sampling: how logits become probabilities.
        seed: which luck.
        own_u: the number in [0, 1) that draws, None for the seed's.
        looked_at: the stage whose probabilities are shown, None for the last.
    """

    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    own_u: float | None = None
    looked_at: int | None = None


@dataclass(frozen=True)
class Reshaped:
    """Everything that a picture of the knobs needs.

    Attributes:
        settings: where they stand.
        found: what they make of the logits.
    """

    settings: Settings
    found: Distribution


class Reshaping(Acting[Settings]):
    """One row of logits under knobs.

    Args:
        logits: the model's own [vocab] float32; they stay as they are.
        context: all tokens so far [sequence] int64, for the repetition penalty; the
            token that is drawn stands behind them.

    Raises:
        InputError: no distribution comes of these logits.
    """

    def __init__(self, logits: Logits, context: TokenIds) -> None:
        self._logits, self._context = logits, context
        super().__init__(Settings())
        self.found()

    @property
    def u(self) -> float:
        """The number in [0, 1) that draws."""
        return self._u(self.now)

    def found(self) -> Distribution:
        """Return what the knobs make of the logits."""
        return self._found(self.now)

    def snapshot(self) -> Reshaped:
        """Return everything that is to be shown."""
        with self._lock:
            return Reshaped(self.now, self.found())

    def actions(self) -> Mapping[str, Callable[[Settings, Any], Settings]]:
        """Return what can be done; each refuses settings that leave no token."""
        return {
            **super().actions(),
            "knob": lambda now, value: self._checked(_set(now, value)),
            "stage": lambda now, number: replace(now, looked_at=int(number)),
            "u": lambda now, u: self._checked(replace(now, own_u=below_one(float(u)))),
            "roll": lambda now, _value: replace(now, own_u=_luck()),
            "unroll": lambda now, _value: replace(now, own_u=None),
        }

    def _checked(self, settings: Settings) -> Settings:
        self._found(settings)
        return settings

    def _found(self, settings: Settings) -> Distribution:
        processors, u = settings.sampling.processors(), self._u(settings)
        return distribution(
            self._logits, self._context, processors, u, looked_at=settings.looked_at
        )

    def _u(self, settings: Settings) -> float:
        own = settings.own_u
        return uniform(settings.seed, len(self._context)) if own is None else own


def _set(now: Settings, value: Mapping[str, Any]) -> Settings:
    """Set one knob."""
    knob, number = str(value["name"]), float(value["value"])
    if knob == "seed":
        return replace(now, seed=int(number))
    sampling = turned(now.sampling, knob, number)
    return replace(now, sampling=sampling, looked_at=None)


def _luck() -> float:
    return random.random()  # noqa: S311 - luck, not secrecy
