"""How does each candidate for the next token fare, from one processor to the next?

Pure numpy on logits that are there already: moving a knob never runs a model. Knows
ids only, and nothing of how a candidate is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeGuard

import numpy as np

from llm_walkthrough.panel.watched import Score, scores
from llm_walkthrough.sampling import (
    MinP,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    pick,
    softmax,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
    from llm_walkthrough.sampling import Processor

SHOWN = 12
"""Candidates that are listed."""

SURVIVORS = 6
"""Of these, so many are the likeliest in the end, however unlikely before."""

ON_THE_BAR = 40
"""Tokens that are laid end to end; those after them share the rest of the bar."""


class Explains(Protocol):
    """A processor that can say why it lets a token not come."""

    @property
    def label(self) -> str:
        """Its name, in a word or two."""
        ...

    def reason(self, token: int, context: TokenIds, /) -> str | None:
        """Say in one sentence why the token may not come, None if it may."""
        ...


@dataclass(frozen=True)
class Stage:
    """What one processor leaves.

    Attributes:
        kind: the name of the processor's class.
        label: the processor in a word or two, with its setting.
        survivors: how many tokens it leaves.
    """

    kind: str
    label: str
    survivors: int


@dataclass(frozen=True)
class Candidate:
    """One token that may come next.

    Attributes:
        token: its id.
        score: how likely the model finds it.
        logit: the model's own.
        after: its logit after each stage, -inf where it is out.
        now: its probability after the stage that is looked at.
        out_at: the number of the stage that removes it, None if it stays.
        reason: why it was removed, where the processor can tell.
    """

    token: int
    score: Score
    logit: float
    after: tuple[float, ...]
    now: float
    out_at: int | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Distribution:
    """What may come next, and what is drawn.

    Attributes:
        stages: what each processor leaves, in order.
        looked_at: the stage whose probabilities `now` are; -1 stands for the model's
            own, before the first.
        rows: the likeliest candidates by the model; where the drawn one, or one of the
            likeliest after all stages, is not among them, it takes a place at the end.
        bar: ids and probabilities after all stages, laid end to end from the likeliest.
        rest: the probability of all tokens that are not on the bar.
        final: all probabilities after all stages, [vocab] float64.
        u: the number that draws.
        drawn: the token that it draws.
        is_greedy: nothing is drawn, the likeliest token is taken.
        position: where the token will stand that comes next.
    """

    stages: tuple[Stage, ...]
    looked_at: int
    rows: tuple[Candidate, ...]
    bar: tuple[tuple[int, float], ...]
    rest: float
    final: Probabilities
    u: float
    drawn: int
    is_greedy: bool
    position: int

    def share(self, token: int) -> float:
        """Return the probability of a token after all stages."""
        return float(self.final[token])


def distribution(
    logits: Logits,
    context: TokenIds,
    processors: Sequence[Processor],
    u: float,
    *,
    looked_at: int | None = None,
) -> Distribution:
    """Follow the likeliest candidates through all processors.

    Args:
        logits: the model's own [vocab] float32.
        context: all tokens so far [sequence] int64.
        processors: in their order.
        u: the number in [0, 1) that draws.
        looked_at: as in `Distribution`; None means the last stage.

    Raises:
        InputError: no token is left, or a logit is NaN or infinite.
    """
    if not logits.max() < np.inf:  # a filter would make -inf of NaN
        softmax(logits)  # says what is wrong
    row, rows = logits, []
    for processor in processors:
        row = processor(row, context)
        rows.append(row)
    last = len(processors) - 1
    seen = last if looked_at is None else max(-1, min(looked_at, last))
    final = softmax(row)
    now = final if seen == last else softmax(([logits, *rows])[seen + 1])
    possible = np.flatnonzero(final)
    drawn = int(possible[pick(final[possible], u)])  # as `choose`, without a second run
    lined_up = possible[highest(final[possible], ON_THE_BAR)]
    listed = _listed(logits, lined_up.tolist(), drawn)
    bar = tuple((int(token), float(final[token])) for token in lined_up)
    known = scores(logits, listed)
    candidates = [
        _candidate(token, at, (logits, *rows), now)
        for token, at in zip(listed, known, strict=True)
    ]
    return Distribution(
        tuple(map(_stage, processors, rows)),
        seen,
        tuple(_with_reason(one, processors, context) for one in candidates),
        bar,
        max(0.0, 1 - sum(p for _, p in bar)),
        final,
        u,
        drawn,
        bool(processors) and processors[-1] == TopK(1),
        len(context),
    )


def label(processor: Processor) -> str:
    """Name a processor with its setting, as "top-k 40"."""
    match processor:
        case RepetitionPenalty(penalty):
            found = f"penalty {penalty:.2f}"
        case Temperature(temperature):
            found = f"÷ T {temperature:.2f}"
        case TopK(1):
            found = "likeliest"
        case TopK(k):
            found = f"top-k {k}"
        case TopP(p):
            found = f"top-p {p:.2f}"
        case MinP(p):
            found = f"min-p {p:.2f}"
        case _ if can_explain(processor):
            found = processor.label
        case _:
            found = type(processor).__name__
    return found


def can_explain(processor: object) -> TypeGuard[Explains]:
    """Tell whether a processor has a name and reasons of its own."""
    return hasattr(processor, "label") and hasattr(processor, "reason")


def highest(values: Logits | Probabilities, count: int) -> list[int]:
    """Return the places of the highest values, highest first, ties by place."""
    if count < len(values):
        least = np.partition(values, -count)[-count]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    order = np.argsort(-values[places], kind="stable")[:count]
    return [int(place) for place in places[order]]


def _listed(logits: Logits, lined_up: Sequence[int], drawn: int) -> list[int]:
    """Return the likeliest by the model, and those likeliest in the end among them."""
    likeliest = highest(logits, SHOWN)
    wanted = [drawn, *lined_up[:SURVIVORS]]
    others = [token for token in wanted if token not in likeliest]
    others = list(dict.fromkeys(others))
    kept = [t for t in likeliest if t in wanted]
    room = SHOWN - len(others) - len(kept)
    kept += [t for t in likeliest if t not in wanted][:room]
    return sorted([*kept, *others], key=lambda token: (-logits[token], token))


def _candidate(
    token: int, known: Score, rows: Sequence[Logits], now: Probabilities
) -> Candidate:
    logit, *after = (float(row[token]) for row in rows)
    out_at = next((i for i, value in enumerate(after) if value == -np.inf), None)
    return Candidate(token, known, logit, tuple(after), float(now[token]), out_at)


def _with_reason(
    candidate: Candidate, processors: Sequence[Processor], context: TokenIds
) -> Candidate:
    if candidate.out_at is None:
        return candidate
    processor = processors[candidate.out_at]
    if not can_explain(processor):
        return candidate
    return replace(candidate, reason=processor.reason(candidate.token, context))


def _stage(processor: Processor, row: Logits) -> Stage:
    kind = type(processor).__name__
    return Stage(kind, label(processor), int(np.count_nonzero(row > -np.inf)))
