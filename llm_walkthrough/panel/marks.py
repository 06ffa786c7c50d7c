"""The small things of a panel as HTML: buttons, sliders, lists, chips of tokens.

Everything that comes from outside goes through `html.escape` here. An element with
`data-action` tells the panel's script what to send when it is clicked, moved or chosen.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_walkthrough.panel.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_walkthrough.views import Vocabulary

ARROWS = {"ArrowRight": "→", "ArrowLeft": "←"}


SHOWN_OF_PROMPT = 96
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
"""Chips that are drawn at most; the earlier ones are counted."""


@dataclass(frozen=True)
class Button:
    """A button, or a key that is pressed for it.

    Attributes:
        action: what is sent.
        text: what stands on it.
        name: what it does, for whoever does not see it or does not know it.
        value: what is sent along.
        key: a key that presses it, as browsers name it.
        is_pressed: for a button that stays in; None for one that does not.
        is_off: it does nothing now; it can still be reached and read.
        style: further classes.
    """

    action: str
    text: str
    name: str = ""
    value: object = None
    key: str = ""
    is_pressed: bool | None = None
    is_off: bool = False
    style: str = ""

    def __str__(self) -> str:
        named = attributes(
            {
                "class": f"lw-button {self.style}".strip(),
                "data-action": self.action,
                "data-value": None if self.value is None else json.dumps(self.value),
                "data-key": self.key or None,
                "title": self.name or None,
                "aria-pressed": None if self.is_pressed is None else self.is_pressed,
                "aria-disabled": self.is_off or None,
            }
        )
        key = f"<kbd>{ARROWS.get(self.key, self.key)}</kbd>" if self.key else ""
        return f'<button type="button"{named}>{html.escape(self.text)}{key}</button>'


@dataclass(frozen=True)
class Slider:
    """A number that can be moved.

    Attributes:
        name: of the knob, as the action wants it.
        label: as it is shown.
        value: where it stands.
        low: the least.
        high: the most.
        step: from one place to the next, as HTML writes it.
        shown: the value in words.
        action: what is sent.
        style: further classes.
    """

    name: str
    label: str
    value: float
    low: float
    high: float
    step: float | str
    shown: str
    action: str = "knob"
    style: str = ""

    def __str__(self) -> str:
        named = attributes(
            {
                "class": f"lw-slider {self.style}".strip(),
                "data-action": self.action,
                "data-name": self.name,
                "min": self.low,
                "max": self.high,
                "step": self.step,
                "value": f"{self.value:.6g}",
                "aria-label": self.label,
                "aria-valuetext": self.shown,
            }
        )
        return f'<input type="range"{named}>'


def attributes(named: Mapping[str, object]) -> str:
    """Write attributes; None leaves one out, booleans become "true" and "false"."""
    shown = {
        k: str(v).lower() if v in (True, False) and isinstance(v, bool) else str(v)
        for k, v in named.items()
        if v is not None
    }
    return "".join(f' {name}="{html.escape(text)}"' for name, text in shown.items())


def chip(piece: str, style: str = "") -> str:
    """Write a token in its frame; its direction stays its own."""
    classes = f"lw-chip {style}".strip()
    return f'<bdi class="{classes}">{shortened(piece)}</bdi>'


def select(action: str, label: str, options: tuple[str, ...], chosen: str) -> str:
    """Write a list of which one is chosen."""
    listed = "".join(
        f"<option{attributes({'selected': option == chosen or None})}>"
        f"{html.escape(option)}</option>"
        for option in options
    )
    named = attributes({"data-action": action, "aria-label": label, "title": label})
    return f'<select class="lw-select"{named}>{listed}</select>'


# --- tokens as chips, and the text that they make ---


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
