"""Tokens as chips, and the text that they make with the bytes that still wait."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import attributes
from llm_walkthrough.panel.wording import shortened

if TYPE_CHECKING:
    from llm_walkthrough.views import Vocabulary

SHOWN_OF_PROMPT = 96
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
"""Chips that are drawn at most; the earlier ones are counted."""


@dataclass(frozen=True)
class StreamedText:
    """What the tokens spell so far.

    Attributes:
        certain: text that no later token can change.
        held: bytes that are not yet a character.
        num_held: the last so many tokens carry them.
    """

    certain: str
    held: bytes
    num_held: int


def bytes_written(data: bytes) -> str:
    """Write bytes as "<0xF0>", escaped."""
    return html.escape("".join(f"<0x{byte:02X}>" for byte in data))


def text_box(text: StreamedText, label: str = "Text so far") -> str:
    """Write what the tokens spell, and behind it the bytes that wait."""
    held = ""
    if text.held:
        held = (
            f' <span class="lw-held">{bytes_written(text.held)} held back: not yet a '
            "character</span>"
        )
    words = html.escape(text.certain) or '<span class="lw-soft">no text yet</span>'
    return (
        '<div class="lw-text" data-follow tabindex="0" role="group" '
        f'aria-label="{label}"><bdi>{words}</bdi>{held}</div>'
    )


def earlier(count: int) -> str:
    """Count the chips that are not drawn."""
    return f'<li><span class="lw-soft">… {count:,} earlier</span>'


@lru_cache(maxsize=2048)  # from step to step all chips but one are the same
def token_chip(
    piece: str, style: str, words: str, back_to: int | None = None, width: int = 0
) -> str:
    """Write one chip.

    Args:
        piece: the visible token.
        style: classes.
        words: what is known of it.
        back_to: how many tokens are kept when it is clicked, None if it cannot be.
        width: of the line below it, in percent.
    """
    can_go = back_to is not None
    named = attributes(
        {
            "class": f"lw-chip {style}",
            "tabindex": "-1",
            "data-item": "chips",
            "data-tip": "",  # shows the name
            "aria-label": f"{piece}, {words}",
            "data-action": "back_to" if can_go else None,
            "data-value": back_to,
            "aria-disabled": None if can_go else True,
        }
    )
    line = f'<i style="width:{width}%"></i>' if can_go else ""
    inside = f"<bdi>{shortened(piece)}</bdi>{line}"
    return f'<li><button type="button"{named}>{inside}</button>'


def future_chip(token: int, vocabulary: Vocabulary, why: str = "taken back") -> str:
    """Draw a token that is not there, or not any more."""
    piece = vocabulary.piece(token)
    named = attributes({"class": "lw-chip lw-future", "aria-label": f"{piece}, {why}"})
    return f"<li><span{named}><bdi>{shortened(piece)}</bdi></span>"
