"""The candidates as a table, the bar on which `u` falls, and the knobs as sliders.

A new number of each candidate is a field of `candidates.Candidate`, and a cell in
`_row` under a heading in `_table`. Stages follow `sampling.KNOBS`; sliders, too, in the
order of the fields of `Sampling`.
"""

from __future__ import annotations

import html
from functools import lru_cache

import numpy as np

from llm_walkthrough.panel.candidates import SHOWN, Candidate, Distribution, Knobs
from llm_walkthrough.panel.frame import button, chip, element, slider
from llm_walkthrough.panel.wording import cut, percent, shortened
from llm_walkthrough.plots import Plot, candidate_bars, cumulative_bar
from llm_walkthrough.sampling import KNOBS, uniform
from llm_walkthrough.views import Vocabulary

_PLOTTED_ON_BAR = 60  # candidates in the picture without a kernel
_WIDE_ENOUGH = 0.09  # of the bar, for a token to be written on it
_PENALTY, _TEMPERATURE = "RepetitionPenalty", "Temperature"
_HIDDEN_BAR = '<div class="lw-u-row lw-invisible"></div><div class="lw-line"></div>'


def candidates_section(
    found: Distribution | None,
    knobs: Knobs,
    vocabulary: Vocabulary,
    *,
    can_take: bool = False,  # a click on a candidate appends it
    instead: str = "",  # what is drawn where there are no numbers, or they are hidden
) -> str:
    """Draw what may come next, the bar on which `u` falls, and the knobs."""
    drawn = instead
    if found and instead:
        drawn = f"{_stages(found, is_hidden=True)}{instead}{_HIDDEN_BAR}"
    elif found:
        own_u = found.draw.u != uniform(knobs.seed, found.position)
        drawn = (
            f"{_stages(found)}{_table(found, vocabulary, can_take=can_take)}"
            f"{_bar(found, vocabulary, own_u=own_u)}"
        )
    return (
        '<section class="lw-candidates" aria-label="What may come next">'
        f"{drawn}{sliders(knobs)}</section>"
    )


def sliders(knobs: Knobs) -> str:
    """Draw a slider for each setting, in the order of `Sampling`, and for the seed."""
    known = {knob.name: knob for knob in KNOBS}
    cells = []
    for name, number in vars(knobs.sampling).items():
        knob = known[name]
        words = knob.mark if knob.mark.isalpha() else knob.label  # there is little room
        cells.append(_knob(name, words, number, knob.slider, knob.shown(number)))
    cells.append(_knob("seed", "seed", knobs.seed, (0, 99, 1), str(knobs.seed)))
    return f'<div class="lw-knobs">{"".join(cells)}</div>'


@lru_cache(maxsize=64)  # from page to page most knobs stand still
def _knob(
    name: str, words: str, at: float, scale: tuple[float, float, float], shown: str
) -> str:
    moved = slider(name, words, at, scale, shown)
    return f'<label class="lw-knob"><span>{words} <b>{shown}</b></span>{moved}</label>'


def take_button(token: int, piece: str, position: int, name: str, tip: str) -> str:
    """Write a candidate that is taken by a click, as long as this is its position."""
    return element(
        "button",
        chip(piece),
        type="button",
        class_="lw-take",
        tabindex=-1,
        data_item="candidates",
        data_action="take",
        data_value=f'{{"token": {token}, "position": {position}}}',
        aria_label=name,
        data_tip=tip,
    )


# --- the processors ----------------------------------------------------------------
def _stages(found: Distribution, *, is_hidden: bool = False) -> str:
    """Draw the row of processors, each with the number of tokens that it leaves."""
    model = ("model", len(found.draw.probabilities))
    stages = [model, *((stage.label, stage.survivors) for stage in found.stages)]
    items = []
    for number, (words, left) in enumerate(stages, start=-1):
        stage = element(
            "button",
            f"<span>{html.escape(words)}</span> <b>{left:,}</b>",
            type="button",
            class_="lw-stage",
            data_action="stage",
            data_value=number,
            aria_pressed=number == found.looked_at,
            title=f"{words} leaves {left:,} tokens; show the probabilities after it",
        )
        items.append(f"<li>{stage}</li>")
    style = "lw-stages lw-invisible" if is_hidden else "lw-stages"
    return f'<ol class="{style}" aria-label="Processors">{"".join(items)}</ol>'


# --- the table ---------------------------------------------------------------------
def _table(found: Distribution, vocabulary: Vocabulary, *, can_take: bool) -> str:
    """Draw a row for each candidate; rows that are not needed are kept empty."""
    widest = max(max(row.score.probability, row.now) for row in found.rows)
    rows = [
        _row(found, row, widest, _piece(found, row, vocabulary, can_take=can_take))
        for row in found.rows
    ]
    empty = '<tr class="lw-none"><td colspan="9">&nbsp;</td></tr>'
    rows += [empty] * (SHOWN - len(rows))
    seen, shown = found.looked_at, "now"
    if seen < len(found.stages) - 1:
        shown = "model" if seen < 0 else f"after {found.stages[seen].label}"
    return (
        '<table class="lw-table"><thead><tr>'
        '<th class="lw-rank"><span class="lw-sr">rank</span></th>'
        '<th class="lw-token">token</th>'
        '<th class="lw-num">logit</th><th class="lw-num lw-seldom">penalty</th>'
        '<th class="lw-num lw-opt">÷ T</th>'
        f'<th class="lw-bars">▭ model ▬ {html.escape(shown)}</th>'
        '<th class="lw-num lw-share">% model</th><th class="lw-num">% now</th>'
        '<th class="lw-fate"><span class="lw-sr">what becomes of it</span></th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(found: Distribution, row: Candidate, widest: float, piece: str) -> str:
    """Write one candidate; bars are drawn in shares of the widest one."""
    is_out = row.out_at is not None and row.out_at <= found.looked_at
    style = "lw-out" if is_out else ""
    if row.token == found.draw.token:
        style = "lw-drawn"
    ghost = 100 * row.score.probability / widest
    solid = 100 * row.now / widest
    now = "–" if is_out else percent(row.now)
    return (
        f'<tr class="{style}"><td class="lw-rank">{row.score.rank:,}</td>'
        f"<td>{piece}</td>"
        f'<td class="lw-num">{row.logit:.2f}</td>'
        f'<td class="lw-num lw-seldom">{_logit_after(found, row, _PENALTY)}</td>'
        f'<td class="lw-num lw-opt">{_logit_after(found, row, _TEMPERATURE)}</td>'
        f'<td class="lw-bars"><span class="lw-ghost" style="width:{ghost:.1f}%"></span>'
        f'<span class="lw-solid" style="width:{solid:.1f}%"></span></td>'
        f'<td class="lw-num">{percent(row.score.probability)}</td>'
        f'<td class="lw-num"><b>{now}</b></td>'
        f'<td class="lw-fate">{_outcome(found, row)}</td></tr>'
    )


def _logit_after(found: Distribution, row: Candidate, kind: str) -> str:
    """Write the logit after a processor that changes it; nothing if it did not."""
    kinds = [stage.kind for stage in found.stages]
    if kind not in kinds:
        return ""
    before, after = (row.logit, *row.after)[(place := kinds.index(kind)) : place + 2]
    return "" if after in (before, float("-inf")) else f"{after:.2f}"


def _outcome(found: Distribution, row: Candidate) -> str:
    """Say what becomes of a candidate, if it is drawn or removed."""
    if row.token == found.draw.token:
        word = "likeliest" if found.is_greedy else "u picks it"
        return f'<span class="lw-flag lw-flag-drawn">{word}</span>'
    if row.out_at is None:
        return ""
    stage = found.stages[row.out_at]
    reason = (
        row.reason or f"{stage.label} leaves {stage.survivors:,} tokens, but not this"
    )
    words = html.escape(stage.label)
    return element("span", words, class_="lw-flag", data_tip=reason, title=reason)


def _piece(
    found: Distribution, row: Candidate, vocabulary: Vocabulary, *, can_take: bool
) -> str:
    """Write the token of a candidate, as a button if it can be taken."""
    piece = vocabulary.piece(row.token)
    penalized = _logit_after(found, row, _PENALTY)
    tip = (
        f"id {row.token} · {percent(row.score.probability)} % by the model · rank "
        f"{row.score.rank:,}"
        + (f" · logit {penalized} after the penalty" if penalized else "")
        + (f" · {row.reason}" if row.reason else "")
    )
    if can_take:
        name = f"take {piece}, {tip}"
        return take_button(row.token, piece, found.position, name, tip)
    inside = f'{chip(piece)}<span class="lw-sr">, {html.escape(tip)}</span>'
    return element("span", inside, tabindex=-1, data_item="candidates", data_tip=tip)


# --- the bar -----------------------------------------------------------------------
def _bar(found: Distribution, vocabulary: Vocabulary, *, own_u: bool) -> str:
    """Draw the tokens end to end, and `u` on them."""
    u, drawn = found.draw.u, cut(vocabulary.piece(found.draw.token))
    pieces = [(vocabulary.piece(token), share) for token, share in found.bar]
    segments = ""
    for (token, _), (piece, share) in zip(found.bar, pieces, strict=True):
        text = shortened(piece) if share >= _WIDE_ENOUGH else ""
        style = "lw-seg lw-hit" if token == found.draw.token else "lw-seg"
        tip = f"{piece} {percent(share)} %"
        segments += _segment(style, tip, share, f"<bdi>{text}</bdi>")
    if found.rest > 0:
        others = np.count_nonzero(found.draw.probabilities) - len(pieces)
        segments += _segment("lw-seg lw-rest", f"{others:,} other tokens", found.rest)
    words = ", ".join(f"{piece} {percent(share)} %" for piece, share in pieces[:5])
    says, below = f"u = {u:.3f} picks {drawn}", "drag u, or"
    if found.is_greedy:
        says = below = f"greedy: {drawn} is the likeliest; u is not used"
    moved = slider("u", "u, the random number", u, (0, 1, "any"), says, action="u")
    roll = button("roll", "Roll u", "draw another random number")
    of_seed = "the number that belongs to this seed and position"
    unroll = button("unroll", "Seed’s u", of_seed, is_off=not own_u)
    return (
        '<div class="lw-u-row">'
        f'<span class="lw-u" style="--at:{u:.4f}">u = {u:.3f}</span></div>'
        f'<div class="lw-line"><div class="lw-segs" role="img" aria-label="'
        f'{html.escape(f"The tokens end to end: {words}. {says}.")}">{segments}</div>'
        f'<span class="lw-mark" style="left:{100 * u:.2f}%"></span>{moved}</div>'
        f'<div class="lw-under"><span class="lw-says">{html.escape(below)}</span>'
        f"{roll}{unroll}</div>"
    )


def _segment(style: str, tip: str, share: float, inside: str = "") -> str:
    width = f"width:{100 * share:.3f}%"
    return element("span", inside, class_=style, data_tip=tip, style=width)


# --- the picture without a kernel --------------------------------------------------
def plots(found: Distribution, vocabulary: Vocabulary) -> tuple[Plot, Plot]:
    """Draw the candidates before and after, and the bar on which `u` falls."""

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
    lined_up = found.bar[:_PLOTTED_ON_BAR]
    pieces, shares = [piece(token) for token, _ in lined_up], [p for _, p in lined_up]
    return bars, cumulative_bar(pieces, shares, draw.u)
