"""The tab "Inside": the text shaded by where its newest token looks, and the lens."""

from __future__ import annotations

import html

from llm_walkthrough.panel import frame
from llm_walkthrough.panel.step.filled import filled
from llm_walkthrough.panel.step.looking import Look
from llm_walkthrough.panel.step.walk import Snapshot
from llm_walkthrough.panel.wording import cut, percent
from llm_walkthrough.tokenizer import Tokenizer
from llm_walkthrough.views import Code, Table

_SHOWN = 512  # chips at most, the newest ones
_TINTS = 5
_LISTED = 10  # tokens in the picture without a kernel
_LOOKS, _SAYS = "Where the newest token looks", "What each layer would say next"


def inside_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what a look has found, or say why there is nothing.

    Tints go up to the strongest look but that at the first token: most heads rest on
    it, and it would leave all others pale.
    """
    look, desk = shot.look, shot.desk
    if not isinstance(look, Look):
        return f'<section class="lw-why">{html.escape(str(look or ""))}</section>'
    shares = look.shares(desk.layer, desk.head)
    most, place = max((share if i else 0.0, i) for i, share in enumerate(shares))
    start, chips = max(0, len(shares) - _SHOWN), []
    for i in range(start, len(shares)):
        tint = min(_TINTS - 1, int(_TINTS * shares[i] / (most or 1)))
        style = f"lw-t{tint}" if i else "lw-special"
        words = f"position {i} · {percent(shares[i])} %"
        piece = tokenizer.piece(shot.tokens[i])
        chips.append(frame.token_chip(piece, style, words, item="looks"))
    return filled(
        "inside.html",
        frame=frame,
        shot=shot,
        first=shares[0],
        most=most,  # of the shares but the first
        place=place,  # where it is, 0 if there are no others
        chips=frame.chip_list(_LOOKS, (*frame.earlier(start), *chips)),
        tints=_TINTS,
        looks=_LOOKS,
        says=_SAYS,
        piece=tokenizer.piece,
        percent=percent,
    )


def tables(shot: Snapshot, tokenizer: Tokenizer) -> tuple[Table, ...]:
    """Return the same for a page without a kernel, if somebody looks."""
    look, desk = shot.look, shot.desk
    if not isinstance(look, Look):
        return ()

    def row(name: object, token: int, share: float) -> tuple[str, Code, str]:
        return str(name), Code(cut(tokenizer.piece(token))), f"{percent(share)} %"

    shares = enumerate(look.shares(desk.layer, desk.head))
    strongest = sorted(shares, key=lambda one: -one[1])[:_LISTED]
    looks = [row(i, shot.tokens[i], share) for i, share in strongest]
    says = [row(i - 1 if i else "–", *said) for i, said in enumerate(look.lens)]
    chosen = f"{_LOOKS}: {desk.layer}, {desk.head}"
    return (
        Table(("position", "token", "share"), looks, chosen),
        Table(("after layer", "likeliest token", "share"), says, _SAYS),
    )
