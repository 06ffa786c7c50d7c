"""How does one moment look as a page?

Pure: the same snapshot gives the same string, without a clock, a random name, a script
or anything from the network.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import framed, notice
from llm_walkthrough.panel.marks import Button, select
from llm_walkthrough.panel.page_candidates import (
    candidates_section,
    sliders,
    take_button,
)
from llm_walkthrough.panel.step.desk import DELAYS, LIMITS
from llm_walkthrough.panel.step.page_engine import (
    REST,
    cache_section,
    feed_section,
    foot,
)
from llm_walkthrough.panel.step.page_tokens import tokens_section
from llm_walkthrough.panel.step.page_ways import ways_section
from llm_walkthrough.panel.wording import percent, quoted

if TYPE_CHECKING:
    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.desk import Guesses
    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.tokenizer import Tokenizer
    from llm_walkthrough.views import Vocabulary


_OPEN = (
    '<label class="lw-button lw-file">Open run<input type="file" accept=".json" '
    'data-action="load" aria-label="open a saved run"></label>'
)


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


def with_rest(drawn: str, seconds: float) -> str:
    """Write into a page how long everything but the model took."""
    return drawn.replace(REST, f"{1000 * seconds:.1f} ms")


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
    drawn = quoted(tokenizer.piece(found.draw.token))
    share = percent(found.share(found.draw.token))
    how = f"u = {found.draw.u:.3f} picks {drawn} ({share} %)"
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
            f"{sliders(shot.desk)}</section>"
        )
    found = shot.distribution
    instead = ""
    if shot.desk.is_guessing:
        instead = _guess_table(found, shot.desk.guesses, tokenizer)
    return candidates_section(
        found, shot.desk, tokenizer, can_take=True, instead=instead
    )


def _guess_table(found: Distribution, score: Guesses, tokenizer: Vocabulary) -> str:
    """Draw the candidates without their numbers, in the order of the alphabet."""
    pieces = sorted((tokenizer.piece(row.token), row.token) for row in found.rows)
    buttons = [
        take_button(token, piece, found.position, f"guess {piece}", f"id {token}")
        for piece, token in pieces
    ]
    items = "".join(f"<li>{button}</li>" for button in buttons)
    so_far = ""
    if score.made:
        so_far = (
            f" So far you guessed <b>{score.right}</b> of {score.made}, the model’s "
            f"favourite {score.by_the_model}."
        )
    return (
        '<div class="lw-guess"><p>Which one comes? Choose before you see the numbers.'
        f'{so_far}</p><ul aria-label="Candidates">{items}</ul></div>'
    )
