"""How are the candidates drawn, with their bars, the line of `u`, and the knobs?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.panel.candidates import SHOWN, label
from llm_walkthrough.panel.marks import Button, Slider, attributes, chip
from llm_walkthrough.panel.wording import cut, percent, shortened
from llm_walkthrough.plots import candidate_bars, cumulative_bar
from llm_walkthrough.sampling import uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.candidates import Candidate, Distribution, Stage
    from llm_walkthrough.panel.knobs import Knobs
    from llm_walkthrough.plots import Plot
    from llm_walkthrough.sampling import Processor, Sampling
    from llm_walkthrough.views import Vocabulary

_ROWS = 10
_BARS = 60
_WIDE_ENOUGH = 0.09  # of the bar, for a token to be written on it
_PENALTY, _TEMPERATURE = "RepetitionPenalty", "Temperature"


def candidates_section(
    found: Distribution,
    knobs: Knobs,
    tokenizer: Vocabulary,
    *,
    can_take: bool,
    instead: str = "",
) -> str:
    """Draw what may come next, the bar on which `u` falls, and the knobs.

    Args:
        found: the candidates.
        knobs: where they stand.
        tokenizer: shows the tokens.
        can_take: a click on a candidate appends it.
        instead: what is drawn while the numbers are hidden.
    """
    own_u = found.draw.u != uniform(knobs.seed, found.position)
    table = instead or _table(found, tokenizer, found.position if can_take else None)
    bar = _hidden_bar() if instead else _bar(found, tokenizer, own_u=own_u)
    return (
        '<section class="lw-candidates"><h4>What may come next</h4>'
        f"{_stages(found, is_hidden=bool(instead))}{table}{bar}{sliders(knobs)}"
        "</section>"
    )


def sliders(knobs: Knobs) -> str:
    """Draw the sliders of the settings and the seed."""
    row = (*_sliders(knobs.sampling), _seed(knobs.seed))
    cells = "".join(
        f'<label class="lw-knob"><span>{slider.label} <b>{slider.shown}</b></span>'
        f"{slider}</label>"
        for slider in row
    )
    return f'<div class="lw-knobs">{cells}</div>'


def _sliders(sampling: Sampling) -> tuple[Slider, ...]:
    t, k, p, m = sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p
    penalty = sampling.repetition_penalty
    return (
        Slider(
            "temperature", "temperature", t, 0, 2, "0.05", f"{t:.2f}" if t else "greedy"
        ),
        Slider("top_k", "top-k", k, 0, 100, "1", str(k) if k else "off"),
        Slider("top_p", "top-p", p, 0.05, 1, "0.05", f"{p:.2f}" if p < 1 else "off"),
        Slider("min_p", "min-p", m, 0, 0.5, "0.01", f"{m:.2f}" if m else "off"),
        Slider(
            "repetition_penalty",
            "penalty",
            penalty,
            1,
            2,
            "0.05",
            f"{penalty:.2f}" if penalty != 1 else "off",
        ),
    )


def _seed(seed: int) -> Slider:
    return Slider("seed", "seed", seed, 0, 99, "1", str(seed))


def _stages(found: Distribution, *, is_hidden: bool) -> str:
    """Draw the row of processors, each with the number of tokens that it leaves."""
    vocab = len(found.draw.probabilities)
    stages = [("the model", vocab), *((s.label, s.survivors) for s in found.stages)]
    items = "".join(
        f"<li>{_stage(number, label, left, found.looked_at)}</li>"
        for number, (label, left) in enumerate(stages, start=-1)
    )
    hidden = " lw-invisible" if is_hidden else ""
    return f'<ol class="lw-stages{hidden}" aria-label="Processors">{items}</ol>'


def _stage(number: int, label: str, left: int, looked_at: int) -> str:
    named = attributes(
        {
            "class": "lw-stage",
            "data-action": "stage",
            "data-value": number,
            "aria-pressed": number == looked_at,
            "title": "show the probabilities after this",
        }
    )
    words = f"{html.escape(label)} <b>{left:,}</b>"
    return f'<button type="button"{named}>{words}</button>'


def _table(found: Distribution, tokenizer: Vocabulary, position: int | None) -> str:
    widest = max(max(row.score.probability, row.now) for row in found.rows)
    kinds = [stage.kind for stage in found.stages]
    rows = [
        _row(found, row, (kinds, widest), tokenizer, position) for row in found.rows
    ]
    rows += ['<tr class="lw-none"><td colspan="9">&nbsp;</td></tr>'] * (
        SHOWN - len(rows)
    )
    shown = _shown_stage(found)
    return (
        '<table class="lw-table"><thead><tr>'
        '<th class="lw-rank"><span class="lw-sr">rank</span></th>'
        '<th class="lw-token">token</th>'
        '<th class="lw-num">logit</th><th class="lw-num lw-opt">penalty</th>'
        '<th class="lw-num lw-opt">÷ T</th>'
        f'<th class="lw-bars">▭ model ▬ {html.escape(shown)}</th>'
        '<th class="lw-num">% model</th><th class="lw-num">% now</th>'
        '<th class="lw-fate"><span class="lw-sr">what becomes of it</span></th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _shown_stage(found: Distribution) -> str:
    if found.looked_at == len(found.stages) - 1:
        return "now"
    if found.looked_at < 0:
        return "model"
    return f"after {found.stages[found.looked_at].label}"


def _row(
    found: Distribution,
    row: Candidate,
    scale: tuple[list[str], float],
    tokenizer: Vocabulary,
    position: int | None,
) -> str:
    kinds, widest = scale
    is_out = row.out_at is not None and row.out_at <= found.looked_at
    is_drawn = row.token == found.draw.token
    style = "lw-drawn" if is_drawn else "lw-out" if is_out else ""
    ghost = 100 * row.score.probability / widest
    solid = 100 * row.now / widest
    bars = (
        f'<span class="lw-ghost" style="width:{ghost:.1f}%"></span>'
        f'<span class="lw-solid" style="width:{solid:.1f}%"></span>'
    )
    now = "–" if is_out else percent(row.now)
    return (
        f'<tr class="{style}"><td class="lw-rank">{row.score.rank:,}</td>'
        f"<td>{_take(row, tokenizer, position)}</td>"
        f'<td class="lw-num">{row.logit:.2f}</td>'
        f'<td class="lw-num lw-opt">{_changed(row, kinds, _PENALTY)}</td>'
        f'<td class="lw-num lw-opt">{_changed(row, kinds, _TEMPERATURE)}</td>'
        f'<td class="lw-bars">{bars}</td>'
        f'<td class="lw-num">{percent(row.score.probability)}</td>'
        f'<td class="lw-num"><b>{now}</b></td>'
        f'<td class="lw-fate">{_fate(found, row, is_drawn=is_drawn)}</td></tr>'
    )


def _changed(row: Candidate, kinds: Sequence[str], kind: str) -> str:
    """Write the logit after a processor that changes it; nothing if it did not."""
    if kind not in kinds:
        return ""
    place = kinds.index(kind)
    before = row.after[place - 1] if place else row.logit
    after = row.after[place]
    return "" if after in (before, float("-inf")) else f"{after:.2f}"


def _fate(found: Distribution, row: Candidate, *, is_drawn: bool) -> str:
    if is_drawn:
        word = "likeliest" if found.is_greedy else "u picks it"
        return f'<span class="lw-flag lw-flag-drawn">{word}</span>'
    if row.out_at is None:
        return ""
    stage: Stage = found.stages[row.out_at]
    reason = (
        row.reason or f"{stage.label} leaves {stage.survivors:,} tokens, not this one"
    )
    named = attributes({"class": "lw-flag", "data-tip": reason, "title": reason})
    return f"<span{named}>{html.escape(stage.label)}</span>"


def _take(row: Candidate, tokenizer: Vocabulary, position: int | None) -> str:
    piece = tokenizer.piece(row.token)
    words = (
        f"id {row.token} · {percent(row.score.probability)} % by the model · rank "
        f"{row.score.rank:,}" + (f" · {row.reason}" if row.reason else "")
    )
    if position is None:
        return _no_button(piece, words)
    return take_button(row.token, piece, position, f"take {piece}, {words}", words)


def _no_button(piece: str, tip: str) -> str:
    """Write a candidate that can be looked at and not be taken."""
    named = attributes({"tabindex": "-1", "data-item": "candidates", "data-tip": tip})
    hidden = f'<span class="lw-sr">, {html.escape(tip)}</span>'
    return f"<span{named}>{chip(piece)}{hidden}</span>"


def take_button(token: int, piece: str, position: int, name: str, tip: str) -> str:
    """Write a candidate that is taken by a click, as long as this is its position."""
    named = attributes(
        {
            "class": "lw-take",
            "tabindex": "-1",
            "data-item": "candidates",
            "data-action": "take",
            "data-value": f'{{"token": {token}, "position": {position}}}',
            "aria-label": name,
            "data-tip": tip,
        }
    )
    return f'<button type="button"{named}>{chip(piece)}</button>'


def _hidden_bar() -> str:
    return '<div class="lw-u-row lw-invisible"></div><div class="lw-line"></div>'


def _bar(found: Distribution, tokenizer: Vocabulary, *, own_u: bool) -> str:
    """Draw the tokens end to end, and `u` on them."""
    draw = found.draw
    pieces = [(token, tokenizer.piece(token), p) for token, p in found.bar]
    segments = "".join(
        _segment(piece, p, is_drawn=token == draw.token) for token, piece, p in pieces
    )
    if found.rest > 0:
        width = f"width:{100 * found.rest:.3f}%"
        tip = f"{np.count_nonzero(draw.probabilities) - len(pieces):,} other tokens"
        named = attributes({"class": "lw-seg lw-rest", "data-tip": tip})
        segments += f'<span{named} style="{width}"></span>'
    words = ", ".join(f"{piece} {percent(p)} %" for _, piece, p in pieces[:5])
    drawn = cut(tokenizer.piece(draw.token))
    says = f"u = {draw.u:.3f} picks {drawn}"
    if found.is_greedy:
        says = f"greedy: {drawn} is the likeliest, u is not looked at"
    slider = Slider(
        "u", "u, the random number", draw.u, 0, 1, "any", says, "u", "lw-u-slider"
    )
    left = f"left:{100 * draw.u:.2f}%"
    mark = f'<span class="lw-mark" style="{left}"></span>'
    label = f'<span class="lw-u" style="--at:{draw.u:.4f}">u = {draw.u:.3f}</span>'
    of_seed = "the number that belongs to seed and position"
    roll = Button("roll", "Roll u", "draw another random number")
    unroll = Button("unroll", "Seed’s u", of_seed, is_off=not own_u)
    return (
        f'<div class="lw-u-row">{label}</div>'
        f'<div class="lw-line"><div class="lw-segs" role="img" aria-label="'
        f'{html.escape(f"The tokens end to end: {words}. {says}.")}">{segments}</div>'
        f"{mark}{slider}</div>"
        f'<div class="lw-under"><span class="lw-says">{html.escape(says)}</span>'
        f"{roll}{unroll}</div>"
    )


def _segment(piece: str, p: float, *, is_drawn: bool) -> str:
    text = shortened(piece) if p >= _WIDE_ENOUGH else ""
    style = "lw-seg lw-hit" if is_drawn else "lw-seg"
    named = attributes({"class": style, "data-tip": f"{piece} {percent(p)} %"})
    return f'<span{named} style="width:{100 * p:.3f}%"><bdi>{text}</bdi></span>'


def settings(processors: Sequence[Processor], seed: int) -> str:
    """Name the settings that a picture was drawn with."""
    return ", ".join([*map(label, processors), f"seed {seed}"])


def plots(found: Distribution, vocabulary: Vocabulary) -> tuple[Plot, Plot]:
    """Draw the candidates before and after, and the bar on which `u` falls."""
    draw, rows = found.draw, found.rows[:_ROWS]

    def piece(token: int) -> str:
        return cut(vocabulary.piece(token))

    bars = candidate_bars(
        [piece(row.token) for row in rows],
        [row.score.probability for row in rows],
        [found.share(row.token) for row in rows],
        chosen=piece(draw.token),
        title=f"What may come next; u = {draw.u:.3f} picks {piece(draw.token)}",
    )
    lined_up = found.bar[:_BARS]
    shares = [p for _, p in lined_up]
    return bars, cumulative_bar([piece(t) for t, _ in lined_up], shares, found.draw.u)
