"""How is the tree of the ways drawn?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import attributes
from llm_walkthrough.views import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.step.ways import Way
    from llm_walkthrough.tokenizer import Tokenizer

_WIDTH, _HEIGHT = 80, 24  # of the tree, and of a row of it, in its own units
_TAIL = 80  # characters of a way's text


def ways_section(ways: Sequence[Way], here: int, tokenizer: Tokenizer) -> str:
    """Draw each way from where it parts, with its text and log-probability.

    Args:
        ways: the rows.
        here: how many tokens of the active one are taken.
        tokenizer: spells them.
    """
    rows = "".join(f"<li>{_row(way, tokenizer)}</li>" for way in ways)
    return (
        '<section class="lw-ways"><h4>Branches</h4>'
        '<div class="lw-tree" tabindex="0" role="group" aria-label="Branches">'
        f"{_tree(ways, here)}<ol>{rows}</ol></div></section>"
    )


def _tree(ways: Sequence[Way], here: int) -> str:
    longest = max(*(len(way.tokens) for way in ways), here, 1)
    inner = _WIDTH - 16

    def x(count: int) -> float:
        return round(8 + inner * count / longest, 1)

    drawn = []
    for row, way in enumerate(ways):
        y = _HEIGHT * row + _HEIGHT // 2
        start, end = x(way.fork), x(len(way.tokens))
        style = "lw-on" if way.is_active else "lw-off"
        line = f"M{start} {y}H{end}"
        if way.parent is not None:
            above = _HEIGHT * way.parent + _HEIGHT // 2
            line = f"M{start} {above}V{y}H{end}"
        drawn.append(
            f'<path class="{style}" d="{line}"/><circle class="{style}" cx="{end}" '
            f'cy="{y}" r="3.5"/>'
        )
        if way.is_active:
            drawn.append(f'<circle class="lw-here" cx="{x(here)}" cy="{y}" r="4.5"/>')
    height = _HEIGHT * len(ways)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" style="height:{len(ways) * 1.8:.1f}em" '
        f'aria-hidden="true">{"".join(drawn)}</svg>'
    )


def _row(way: Way, tokenizer: Tokenizer) -> str:
    shown = way.tokens[way.fork : way.fork + _TAIL]  # a token has a character or more
    tail = visible(tokenizer.decode(shown, show_special=True))
    words = tail if len(tail) <= _TAIL else f"{tail[:_TAIL]}…"
    log_p = "not known"
    if way.log_probability is not None:
        log_p = f"{way.log_probability:.2f}"
    named = attributes(
        {
            "class": "lw-way",
            "data-action": "switch",
            "data-value": f'"{way.name}"',
            "aria-pressed": way.is_active,
            "data-tip": f"{len(way.tokens)} tokens, log p {log_p}: {words}",
        }
    )
    return (
        f'<button type="button"{named}><b>{way.name}</b><bdi>{html.escape(words)}</bdi>'
        f"<span>log p {log_p}</span></button>"
    )
