"""What do the knobs make of one row of logits?

The state behind the sampling panel: settings, a seed, and the number that draws. The
logits are there already, so no knob ever runs a model. Knows ids only, and nothing of
HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_walkthrough.panel.knobs import Knobs, Turning
from llm_walkthrough.sampling import uniform
from llm_walkthrough.stepper import Draw

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.panel.candidates import Distribution


@dataclass(frozen=True, kw_only=True)
class Settings(Knobs):
    """Where the knobs stand.

    Attributes:
        own_u: the number in [0, 1) that draws, None for the seed's.
    """

    own_u: float | None = None


@dataclass(frozen=True)
class Reshaped:
    """Everything that a picture of the knobs needs.

    Attributes:
        settings: where they stand.
        found: what they make of the logits.
    """

    settings: Settings
    found: Distribution


class Reshaping(Turning[Settings]):
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
        return self.distribution(self.now)

    def snapshot(self) -> Reshaped:
        """Return everything that is to be shown."""
        with self._lock:
            return Reshaped(self.now, self.found())

    def with_u(self, now: Settings, u: float | None) -> Settings:
        """Return the moment in which `u` draws, None: the seed's number."""
        return self.possible(replace(now, own_u=u))

    def draw(self, now: Settings) -> Draw:
        """Return what the knobs of a moment draw from the logits.

        Raises:
            InputError: they leave no token.
        """
        processors = now.sampling.processors()
        return Draw.of(self._logits, self._context, processors, self._u(now))

    def _u(self, settings: Settings) -> float:
        own = settings.own_u
        return uniform(settings.seed, len(self._context)) if own is None else own
