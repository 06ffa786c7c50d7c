"""Sampling panel: one row of logits under knobs, and the token that is drawn from it.

The logits are there already, so no knob runs a model. The state knows nothing of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel import candidates, frame
from llm_walkthrough.panel.page_candidates import candidates_section, plots
from llm_walkthrough.sampling import Sampling, uniform
from llm_walkthrough.stepper import Draw
from llm_walkthrough.views import Passage, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Reshaped(candidates.Knobs):
    """Where the knobs stand, and what they make of the logits."""

    logits: Logits = field(repr=False, compare=False)  # the model's own [vocab] float32
    context: TokenIds = field(repr=False, compare=False)  # all tokens so far
    own_u: float | None = None  # the number in [0, 1) that draws, None for the seed's

    @cached_property
    def found(self) -> candidates.Distribution:
        """What the knobs make of the logits; InputError if they leave no token."""
        own, position = self.own_u, len(self.context)
        u = uniform(self.seed, position) if own is None else own
        draw = Draw.of(self.logits, self.context, self.sampling.processors(), u)
        return candidates.distribution(draw, self.looked_at)

    @property
    def is_moved(self) -> bool:
        """Whether a knob stands where it did not stand at first."""
        knobs = (self.sampling, self.seed, self.looked_at, self.own_u)
        return knobs != (Sampling(), 0, None, None)


class Reshaping(candidates.Turning[Reshaped]):
    """One row of logits under knobs; InputError if no token can be drawn from it."""

    def __init__(self, logits: Logits, context: TokenIds) -> None:
        super().__init__(self.possible(Reshaped(logits=logits, context=context)))

    def with_u(self, now: Reshaped, u: float | None) -> Reshaped:
        """Return the moment in which `u` draws, None: the seed's number."""
        return self.possible(replace(now, own_u=u))

    def distribution(self, now: Reshaped) -> candidates.Distribution:
        """Return what the knobs of a moment make of the logits."""
        return now.found


# --- the page ----------------------------------------------------------------------
def page(now: Reshaped, vocabulary: Vocabulary) -> str:
    """Draw the candidates before and after, the bar with `u`, and the knobs."""
    likeliest = now.found.rows[0]
    stages, vocab = now.found.stages, len(now.found.draw.probabilities)
    left = stages[-1].survivors if stages else vocab
    shown = {"now": now, "likeliest": likeliest, "left": left, "vocab": vocab}
    shown |= {"piece": vocabulary.piece(likeliest.token)}
    section = candidates_section(now.found, now, vocabulary)
    return filled("panel/small/reshaping.html", section=section, **shown)


# --- the picture without a kernel --------------------------------------------------
def twin(now: Reshaped, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return settings, candidates and bar as HTML and in words."""
    stages = [*map(candidates.label, now.sampling.processors()), f"seed {now.seed}"]
    settings = Passage(", ".join(stages), "Settings")
    return frame.picture(settings, *plots(now.found, vocabulary))
