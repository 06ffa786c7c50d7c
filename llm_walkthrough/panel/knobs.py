"""The knobs of sampling that a learner turns, and what each of them does.

Settings, seed, the number that draws, the stage that is looked at: the same in every
panel that has them. `sampling.KNOBS` says which settings there are. Knows nothing of
models: no knob ever runs one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from llm_walkthrough.panel.acting import Acting, Moment
from llm_walkthrough.panel.candidates import Distribution
from llm_walkthrough.sampling import Sampling, uniform

_BELOW_ONE = math.nextafter(1, 0)  # the right end of the bar can be drawn, too


@dataclass(frozen=True, kw_only=True)
class Knobs(Moment):
    """Where the knobs stand."""

    # how logits become probabilities
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0  # which luck
    # the stage whose probabilities are shown, None for the last
    looked_at: int | None = None


Turned = TypeVar("Turned", bound=Knobs)


class Turning(Acting[Turned]):
    """A moment with knobs; settings that leave no token to be drawn are refused."""

    def actions(self) -> Mapping[str, Callable[[Turned, Any], Turned]]:
        """Return what can be done."""
        return {
            **super().actions(),
            "knob": lambda now, value: self.possible(turned(now, value)),
            "stage": lambda now, number: replace(now, looked_at=int(number)),
            "u": lambda now, u: self.with_u(now, _BELOW_ONE if u == 1 else float(u)),
            "roll": lambda now, _value: self.with_u(now, random.random()),  # noqa: S311 - luck, not secrecy
            "unroll": lambda now, _value: self.with_u(now, None),
        }

    def with_u(self, now: Turned, u: float | None) -> Turned:
        """Return the moment in which `u` draws, None: the seed's number.

        Raises:
            InputError: `u` is not at least 0 and below 1.
        """
        raise NotImplementedError

    def distribution(self, now: Turned) -> Distribution:
        """Return what may come next.

        Raises:
            InputError: the knobs leave no token.
        """
        raise NotImplementedError

    def possible(self, now: Turned) -> Turned:
        """Return the moment as it is.

        Raises:
            InputError: its knobs leave no token.
        """
        self.distribution(now)
        return now


def turned(now: Turned, value: Mapping[str, Any]) -> Turned:
    """Return the moment with one knob turned, by its "name" to a "value".

    Raises:
        InputError: there is no such knob, or it does not go that far.
    """
    name, number = str(value["name"]), float(value["value"])
    if name == "seed":
        uniform(int(number), 0)  # refuses a seed that cannot be used
        return replace(now, seed=int(number))
    return replace(now, sampling=now.sampling.turned(name, number), looked_at=None)
