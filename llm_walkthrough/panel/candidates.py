"""The candidates for the next token, and the knobs that reshape them.

How each candidate fares from processor to processor is pure numpy on a draw that is
made already, so no knob ever runs a model; `sampling.KNOBS` says which settings have
one. Knows ids only, and nothing of how a candidate is shown.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from llm_walkthrough.arrays import Logits, Probabilities
from llm_walkthrough.panel.acting import Acting, Moment
from llm_walkthrough.panel.watched import Score, scores
from llm_walkthrough.sampling import Processor, Sampling, TopK, softmax, uniform
from llm_walkthrough.stepper import Draw

SHOWN = 8  # candidates that are listed
SURVIVORS = 4  # of these, so many are the likeliest in the end
ON_THE_BAR = 40  # tokens that are laid end to end; all others share the rest
_BELOW_ONE = math.nextafter(1, 0)  # the right end of the bar can be drawn, too


@dataclass(frozen=True)
class Stage:
    """What one processor leaves."""

    kind: str  # the name of the processor's class
    label: str  # the processor in a word or two, with its setting
    survivors: int  # how many tokens it leaves


@dataclass(frozen=True)
class Candidate:
    """One token that may come next."""

    token: int  # its id
    score: Score  # how likely the model finds it
    logit: float  # the model's own
    after: tuple[float, ...]  # its logit after each stage, -inf where it is out
    now: float  # its probability after the stage that is looked at
    out_at: int | None  # the number of the stage that removes it, None if it stays
    reason: str | None = None  # why it was removed, where the processor can tell


@dataclass(frozen=True, eq=False)
class Distribution:
    """What may come next, and what is drawn."""

    draw: Draw  # the token, and all that led to it
    looked_at: int  # the stage of `Candidate.now`; -1: the model's own, before all
    stages: tuple[Stage, ...]  # what each processor leaves, in order
    rows: tuple[Candidate, ...]  # the likeliest by the model; some by the last stage
    bar: tuple[tuple[int, float], ...]  # ids and shares in the end, likeliest first

    @property
    def rest(self) -> float:
        """The probability of all tokens that are not on the bar."""
        return max(0.0, 1 - sum(probability for _, probability in self.bar))

    @property
    def position(self) -> int:
        """Where the token will stand that comes next."""
        return len(self.draw.context)

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn, and the likeliest token is taken."""
        return self.draw.processors[-1:] == (TopK(1),)

    def share(self, token: int) -> float:
        """Return the probability of a token after all stages."""
        return float(self.draw.probabilities[token])


@lru_cache(maxsize=2)  # a draw is asked for again by its step, its page, its picture
def distribution(draw: Draw, looked_at: int | None = None) -> Distribution:
    """Follow the likeliest candidates through all processors; None: the last stage."""
    last = len(draw.processors) - 1
    seen = last if looked_at is None else max(-1, min(looked_at, last))
    final = draw.probabilities
    now = final if seen == last else softmax(draw.rows[seen + 1])
    possible = np.flatnonzero(final)  # sorting these few is quicker
    lined_up = possible[highest(final[possible], ON_THE_BAR)].tolist()
    listed = _listed(draw, lined_up)
    scored = zip(listed, scores(draw.rows[0], listed), strict=True)
    rows = tuple(_candidate(token, score, draw, now) for token, score in scored)
    stages = tuple(map(_stage, draw.processors, draw.rows[1:]))
    bar = tuple((token, float(final[token])) for token in lined_up)
    return Distribution(draw, seen, stages, rows, bar)


def label(processor: Processor) -> str:
    """Name a processor with its setting, as "top-k 40"."""
    return str(getattr(processor, "label", type(processor).__name__))


def highest(values: Logits | Probabilities, count: int) -> list[int]:
    """Return the places of the highest values, highest first, ties by place."""
    if count < len(values):
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    else:
        places = np.arange(len(values))
    order = np.argsort(-values[places], kind="stable")[:count]
    return [int(place) for place in places[order]]


def _listed(draw: Draw, lined_up: Sequence[int]) -> list[int]:
    """Return the likeliest by the model, and those likeliest in the end among them."""
    logits = draw.rows[0]
    wanted = [draw.token, *lined_up[:SURVIVORS], *highest(logits, SHOWN)]
    listed = [*dict.fromkeys(wanted)][:SHOWN]  # each once
    return sorted(listed, key=lambda token: (-logits[token], token))


def _candidate(token: int, score: Score, draw: Draw, now: Probabilities) -> Candidate:
    logit, *after = (float(row[token]) for row in draw.rows)
    out_at = after.index(-np.inf) if -np.inf in after else None
    reason = None
    if out_at is not None:  # a processor that can say why has a method for it
        explain = getattr(draw.processors[out_at], "reason", None)
        reason = explain(token, draw.context) if explain else None
    share = float(now[token])
    return Candidate(token, score, logit, tuple(after), share, out_at, reason)


def _stage(processor: Processor, row: Logits) -> Stage:
    kind = type(processor).__name__
    return Stage(kind, label(processor), int(np.count_nonzero(row > -np.inf)))


# --- the knobs --------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Knobs(Moment):
    """Where the knobs stand."""

    sampling: Sampling = field(default_factory=Sampling)  # logits to probabilities
    seed: int = 0  # which luck
    looked_at: int | None = None  # the stage that is shown, None for the last


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
            "roll": lambda now, _: self.with_u(now, random.random()),  # noqa: S311 - luck, not secrecy
            "unroll": lambda now, _: self.with_u(now, None),
        }

    def with_u(self, now: Turned, u: float | None) -> Turned:
        """Let `u` draw, None for the seed's number; InputError if not in [0, 1)."""
        raise NotImplementedError

    def distribution(self, now: Turned) -> Distribution:
        """Return what may come next; InputError if the knobs leave no token."""
        raise NotImplementedError

    def possible(self, now: Turned) -> Turned:
        """Return the moment as it is; InputError if its knobs leave no token."""
        self.distribution(now)
        return now


def turned(now: Turned, value: Mapping[str, Any]) -> Turned:
    """Turn one knob, by its "name", to a "value"; InputError if it cannot go there."""
    name, number = str(value["name"]), float(value["value"])
    if name == "seed":
        uniform(int(number), 0)  # refuses a seed that cannot be used
        return replace(now, seed=int(number))
    return replace(now, sampling=now.sampling.turned(name, number), looked_at=None)
