"""The tab "Inside": the text shaded by where its newest token looks, and the lens."""

from __future__ import annotations

import html

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel.step.looking import Look
from llm_walkthrough.panel.step.walk import Snapshot
from llm_walkthrough.panel.wording import cut, percent
from llm_walkthrough.tokenizer import Tokenizer
from llm_walkthrough.views import Code, Table

_SHOWN = 512  # chips at most, the newest ones
_TINTS = 5
_LISTED = 10  # tokens in the picture without a kernel
_LOOKS, _SAYS = "Where the newest token looks", "Next token after … layers"


def inside_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what a look has found, or say why there is nothing."""
    look, desk = shot.look, shot.desk
    if not isinstance(look, Look):
        why = str(look or "") if isinstance(look, InputError | None) else repr(look)
        later = "" if look else " data-later"  # the page keeps what stands there
        return f'<section class="lw-why"{later}>{html.escape(why)}</section>'
    shares = look.shares(desk.layer, desk.head)
    most, place = max((share if i else 0.0, i) for i, share in enumerate(shares))
    start = max(0, len(shares) - _SHOWN)  # from here on there are chips
    shown = {"shot": shot, "tokenizer": tokenizer, "shares": shares, "start": start}
    highest = {"most": most, "place": place}  # but for the first, 0 without others
    fixed = {"tints": _TINTS, "looks": _LOOKS, "says": _SAYS}
    return filled("panel/step/inside.html", **shown, **highest, **fixed)


def tables(shot: Snapshot, tokenizer: Tokenizer) -> tuple[Table, ...]:
    """Return the same for a page without a kernel, if somebody looks."""
    look, desk = shot.look, shot.desk
    if not isinstance(look, Look):
        return ()

    def row(number: int, token: int, share: float) -> tuple[int, Code, str]:
        return number, Code(cut(tokenizer.piece(token))), f"{percent(share)} %"

    shares = enumerate(look.shares(desk.layer, desk.head))
    strongest = sorted(shares, key=lambda one: -one[1])[:_LISTED]
    looks = [row(i, shot.tokens[i], share) for i, share in strongest]
    says = [row(i, *said) for i, said in enumerate(look.lens)]
    chosen = f"{_LOOKS}: {desk.layer}, {desk.head}"
    return (
        Table(("position", "token", "share"), looks, chosen),
        Table(("layers", "likeliest token", "share"), says, _SAYS),
    )
