"""The candidates as a table, the bar on which `u` falls, and the knobs as sliders.

A new number is a field of `candidates.Candidate`, and a cell in `candidates.html`.
Stages follow `sampling.KNOBS`; sliders, too, in the order of the fields of `Sampling`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel.candidates import SHOWN, Candidate, Distribution, Knobs
from llm_walkthrough.panel.wording import cut, percent
from llm_walkthrough.sampling import KNOBS, Sampling, uniform
from llm_walkthrough.views import Vocabulary

if TYPE_CHECKING:
    from llm_walkthrough.plots import Plot

_WIDE_ENOUGH = 0.09  # of the bar, for a token to be written on it
_WIDE = 100  # a logit from here on has room for one digit after the point


def candidates_section(
    found: Distribution | None,
    knobs: Knobs,
    vocabulary: Vocabulary,
    *,
    can_take: bool = False,  # a click on a candidate appends it
    instead: str = "",  # what is drawn where there are no numbers, or they are hidden
) -> str:
    """Draw what may come next, the bar on which `u` falls, and the knobs."""
    drawn = sliders(knobs.sampling, knobs.seed)
    parts: dict[str, object] = {"instead": instead, "knobs": drawn}
    if found:
        bar = [_segment(found, token, share, vocabulary) for token, share in found.bar]
        vocab = len(found.draw.probabilities)
        leave = ((stage.label, stage.survivors) for stage in found.stages)
        parts |= {"stages": [("model", vocab), *leave], "vocabulary": vocabulary}
        parts |= {"can_take": can_take, "most_rows": SHOWN, "bar": bar}
        parts |= {
            "tip_of": partial(_tip, found),
            "logit_after": partial(_logit_after, found),
            "widest": max(max(row.score.probability, row.now) for row in found.rows),
            "is_own_u": found.draw.u != uniform(knobs.seed, found.position),
            "likeliest": ", ".join(tip for _, tip, *_ in bar[:5]),
            "possible": np.count_nonzero(found.draw.probabilities),
        }
    return filled("panel/candidates.html", found=found, **parts)


@lru_cache(maxsize=8)  # from page to page the knobs stand still
def sliders(sampling: Sampling, seed: int) -> str:
    """Draw a slider for each setting, in the order of `Sampling`, and for the seed."""
    cells: list[tuple[object, ...]] = []
    known = {knob.name: knob for knob in KNOBS}
    for name, number in vars(sampling).items():
        knob = known[name]
        words = knob.mark if knob.mark.isalpha() else knob.label  # there is little room
        cells.append((name, words, number, knob.slider, knob.shown(number)))
    cells.append(("seed", "seed", seed, (0, 99, 1), str(seed)))
    return filled("panel/knobs.html", knobs=cells)


def _segment(
    found: Distribution, token: int, share: float, vocabulary: Vocabulary
) -> tuple[float, str, str, bool]:
    """Return the width of a token on the bar in %, its tip, and what stands on it."""
    piece = vocabulary.piece(token)
    words = cut(piece) if share >= _WIDE_ENOUGH else ""
    tip = f"{piece} {percent(share)} %"
    return 100 * share, tip, words, token == found.draw.token


def _logit_after(found: Distribution, row: Candidate, kind: str) -> str:
    """Write the logit after a processor that changes it; nothing if it did not."""
    kinds = [stage.kind for stage in found.stages]
    if kind not in kinds:
        return ""
    before, after = (row.logit, *row.after)[(place := kinds.index(kind)) : place + 2]
    digits = 1 if abs(after) >= _WIDE else 2
    return "" if after in (before, float("-inf")) else f"{after:.{digits}f}"


def _tip(found: Distribution, row: Candidate) -> str:
    """Say what is known of a candidate."""
    penalized = _logit_after(found, row, "RepetitionPenalty")
    words = f"id {row.token} · {percent(row.score.probability)} % by the model"
    words += f" · rank {row.score.rank:,}"
    words += f" · logit {penalized} after the penalty" if penalized else ""
    return words + (f" · {row.reason}" if row.reason else "")


# --- the picture without a kernel --------------------------------------------------
def plots(found: Distribution, vocabulary: Vocabulary) -> tuple[Plot, Plot]:
    """Draw the candidates before and after, and the bar on which `u` falls."""
    from llm_walkthrough.plots import candidate_bars, cumulative_bar  # noqa: PLC0415 - a live panel draws none

    def piece(token: int) -> str:
        return cut(vocabulary.piece(token))

    draw, rows = found.draw, found.rows
    bars = candidate_bars(
        [piece(row.token) for row in rows],
        [row.score.probability for row in rows],
        [found.share(row.token) for row in rows],
        chosen=piece(draw.token),
        title=f"What may come next; u = {draw.u:.3f} picks {piece(draw.token)}",
    )
    tokens, shares = zip(*found.bar, strict=True)
    return bars, cumulative_bar([*map(piece, tokens)], shares, draw.u)
