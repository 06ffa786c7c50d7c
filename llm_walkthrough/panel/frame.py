"""What every page of a panel uses: its style and script, chips for tokens, a picture.

All small things are macros in `frame.html`. Knows nothing of what stands between them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from llm_walkthrough.guards.markup import TEMPLATES

STYLE = (Path(__file__).parent / "panel.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")

_TINTS = (0.05, 0.2, 0.5, 0.8)  # from here on a chip is darker, as a probability
SHOWN_OF_PROMPT = 96  # chips that are drawn at most; the earlier ones are counted
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
NEXT_CHIP = '<li><span class="lw-chip lw-next" aria-label="the next token">?</span>'


def export(drawn: str, title: str) -> str:
    """Make a file of a page, to be looked at without a kernel."""
    return part("exported", drawn, title, STYLE)


class View(Protocol):
    """What a page without a kernel can show, such as those of `views`."""

    def _repr_html_(self) -> str: ...


def picture(*views: View, between: str = "\n\n") -> tuple[str, str]:
    """Return views as HTML without scripts or style sheets, and the same in words."""
    drawn = "".join(view._repr_html_() for view in views)
    live = "This is a picture of the panel: run its cell in Jupyter to use it."
    drawn += f'<div style="margin:.3em 0"><i>{live}</i></div>'
    return drawn, between.join(map(repr, views))


# --- tokens as chips, and the text that they make ----------------------------------
@dataclass(frozen=True)
class StreamedText:
    """What the tokens spell so far."""

    certain: str  # text that no later token can change
    held: bytes = b""  # bytes that are not yet a character
    num_held: int = 0  # the last so many tokens carry them


def tint(probability: float) -> str:
    """Return the class of a chip whose token was so likely."""
    return f"lw-t{bisect_right(_TINTS, probability)}"


def earlier(count: int) -> tuple[str, ...]:
    """Count the chips that are not drawn, if there are some."""
    words = f'<li><span class="lw-soft">… {count:,} earlier</span>'
    return (words,) if count else ()


@lru_cache(maxsize=2048)  # from step to step all chips but one are the same
def token_chip(piece: str, style: str, words: str, back_to: int | None = None) -> str:
    """Write one chip that can be reached; a click keeps the tokens to `back_to`."""
    return part("token_chip", piece, style, words, back_to)


def still_chip(piece: str, style: str, behind: str = "", **named: str) -> str:
    """Write one chip that is only looked at, with HTML `behind` the token."""
    return part("still_chip", piece, style, behind, named)


def future_chip(piece: str, why: str = "taken back") -> str:
    """Draw a token that is not there, or not any more."""
    return still_chip(piece, "lw-future", aria_label=f"{piece}, {why}")


def part(name: str, *given: object, **named: object) -> str:
    """Write a macro of `frame.html`."""
    frame: object = TEMPLATES.get_template("panel/frame.html").module
    return str(getattr(frame, name)(*given, **named))
