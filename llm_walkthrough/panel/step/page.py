"""How does one moment look as a page?

Pure: the same snapshot gives the same string, without a clock, a random name, a script
or anything from the network.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import Button, attributes, percent, quoted, select
from llm_walkthrough.panel.page_candidates import candidates_section, knobs
from llm_walkthrough.panel.step.desk import DELAYS, LIMITS, Notice
from llm_walkthrough.panel.step.page_engine import (
    REST,
    cache_section,
    feed_section,
    foot,
)
from llm_walkthrough.panel.step.page_tokens import tokens_section
from llm_walkthrough.panel.step.page_ways import ways_section
from llm_walkthrough.sampling import uniform

if TYPE_CHECKING:
    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.tokenizer import Tokenizer

_LONG = 110
"""Characters of a sentence that may have to be scrolled, and so takes the focus."""

_OPEN = (
    '<label class="lw-button lw-file">Open run<input type="file" accept=".json" '
    'data-action="load" aria-label="open a saved run"></label>'
)

STYLE = (Path(__file__).parents[1] / "panel.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parents[1] / "panel.js").read_text(encoding="utf-8")


def page(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw the whole panel."""
    here = len(shot.made)
    left = f"{_candidates(shot, tokenizer)}"
    right = (
        cache_section(shot)
        + feed_section(shot, tokenizer)
        + ways_section(shot.ways, here, tokenizer)
    )
    return framed(
        f"{_head(shot)}{notice(_said(shot, tokenizer))}"
        f"{tokens_section(shot, tokenizer)}"
        f'<div class="lw-grid"><div>{left}</div><div>{right}</div></div>{foot(shot)}',
        title=f"Step through {shot.title}",
        is_large=shot.desk.is_large,
        tick=DELAYS[shot.desk.speed] if shot.desk.running else None,
    )


def framed(
    inside: str, *, title: str, is_large: bool = False, tick: int | None = None
) -> str:
    """Put the parts of a panel into its frame.

    Args:
        inside: the parts.
        title: what the panel is, for whoever does not see it.
        is_large: large type.
        tick: milliseconds after which the page asks for the next step, None if not.
    """
    named = attributes(
        {
            "class": "lw-panel lw-large" if is_large else "lw-panel",
            "role": "group",
            "aria-label": title,
            "tabindex": "-1",
            "data-tick": tick,
        }
    )
    return f"<div{named}>{inside}</div>"


def with_rest(drawn: str, seconds: float) -> str:
    """Write into a page how long everything but the model took."""
    return drawn.replace(REST, f"{1000 * seconds:.1f} ms")


def notice(said: Notice) -> str:
    """Write the sentence about the last action; its place is kept without one."""
    sign = "✗ " if said.kind == "problem" else ""
    style = f"lw-notice lw-{said.kind}" if said.text else "lw-notice"
    words = html.escape(f"{sign}{said.text}")
    scrolled = ' tabindex="0"' if len(words) > _LONG else ""
    return f'<div class="{style}" role="status"{scrolled}><bdi>{words}</bdi></div>'


def export(drawn: str, title: str) -> str:
    """Make a file of a page, to be looked at without a kernel."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f'<body class="lw-exported">{drawn}</body></html>'
    )


def _head(shot: Snapshot) -> str:
    desk = shot.desk
    can_go_back = len(shot.made) > 0
    run = Button("run", "Run", "make steps until the end or the limit")
    if desk.running:
        run = Button("stop", "Stop", "end after the token in flight", style="lw-stop")
    buttons = (
        Button(
            "back",
            "◀ Back",
            "take the last step back",
            key="ArrowLeft",
            is_off=not can_go_back,
        ),
        Button(
            "step",
            "Step ▶",
            "take the token that is drawn",
            key="ArrowRight",
            style="lw-main",
        ),
        run,
        select("limit", "how far a run goes", tuple(LIMITS), desk.limit),
        select("speed", "how fast a run goes", tuple(DELAYS), desk.speed),
        Button(
            "reset",
            "Reset",
            "back to the prompt; forgets all branches",
            is_off=not can_go_back,
        ),
    )
    others = (
        Button(
            "guessing",
            "Guess first",
            "name the token before you see the numbers",
            is_pressed=desk.is_guessing,
        ),
        Button("large", "Large type", "for a projector", is_pressed=desk.is_large),
        Button("save", "Save run", "write this run to a small file"),
        _OPEN,
        Button("export", "Picture", "write this page to an HTML file"),
    )
    return (
        f'<div class="lw-head"><div>{"".join(map(str, buttons))}</div>'
        f"<div>{''.join(map(str, others))}</div>{_where(shot)}</div>"
    )


def _where(shot: Snapshot) -> str:
    return (
        f'<p class="lw-where">step <b>{len(shot.made)}</b> · context '
        f"<b>{len(shot.tokens):,}</b> of {shot.cache.capacity:,} · "
        f"{html.escape(shot.title)}</p>"
    )


def _said(shot: Snapshot, tokenizer: Tokenizer) -> Notice:
    """Return what there is to say, and else what the next step would do."""
    desk, found = shot.desk, shot.distribution
    if desk.notice.text or found is None:
        return desk.notice
    if len(shot.tokens) >= shot.cache.capacity:
        return Notice("The context is full: Back takes steps back.", "hint")
    if desk.is_guessing:
        return Notice("Guess first: choose the token that you expect to come.", "hint")
    drawn = quoted(tokenizer.piece(found.drawn))
    share = percent(found.share(found.drawn))
    how = f"u = {found.u:.3f} picks {drawn} ({share} %)"
    if found.is_greedy:
        how = f"{drawn} is the likeliest"
    return Notice(
        f"Next: {how}. Step appends it, runs the graph on it, and the cache grows by "
        "one slot.",
        "hint",
    )


def _candidates(shot: Snapshot, tokenizer: Tokenizer) -> str:
    if shot.distribution is None:
        return (
            '<section class="lw-candidates"><h4>What may come next</h4>'
            f'<p class="lw-nothing">Nothing: {html.escape(shot.why_none)}</p>'
            f"{knobs(shot.desk)}</section>"
        )
    found, position = shot.distribution, len(shot.tokens)
    own_u = found.u != uniform(shot.desk.seed, position)
    return candidates_section(
        found, shot.desk, tokenizer, position=position, own_u=own_u
    )
