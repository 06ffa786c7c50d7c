"""The small things of a panel as HTML: buttons, sliders, lists, chips of tokens.

Everything that comes from outside goes through `html.escape` here. An element with
`data-action` tells the panel's script what to send when it is clicked, moved or chosen.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from llm_walkthrough.panel.wording import shortened
from llm_walkthrough.views import Vocabulary

_ARROWS = {"ArrowRight": "→", "ArrowLeft": "←"}


SHOWN_OF_PROMPT = 96
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
"""Chips that are drawn at most; the earlier ones are counted."""


def button(  # noqa: PLR0913 - all but three have a default
    action: str,  # what is sent
    text: str,  # what stands on it
    name: str,  # what it does, for whoever does not see it or does not know it
    *,
    key: str = "",  # that presses it, as browsers name it
    is_pressed: bool | None = None,  # for a button that stays in, else None
    is_off: bool = False,  # it does nothing now; it can still be reached and read
    style: str = "",  # further classes
) -> str:
    """Write a button."""
    named = attributes(
        {
            "class": f"lw-button {style}".strip(),
            "data-action": action,
            "data-key": key or None,
            "title": name,
            "aria-pressed": is_pressed,
            "aria-disabled": is_off or None,
        }
    )
    shown = f"<kbd>{_ARROWS[key]}</kbd>" if key else ""
    return f'<button type="button"{named}>{html.escape(text)}{shown}</button>'


def slider(  # noqa: PLR0913 - likewise
    name: str,  # of the knob, as the action wants it
    label: str,  # as it is shown
    value: float,  # where it stands
    scale: tuple[float, float, float | str],  # least, most and step, as HTML writes it
    shown: str,  # the value in words
    *,
    action: str = "knob",  # what is sent
    style: str = "",  # further classes
) -> str:
    """Write a number that can be moved."""
    low, high, step = scale
    named = attributes(
        {
            "class": f"lw-slider {style}".strip(),
            "data-action": action,
            "data-name": name,
            "min": low,
            "max": high,
            "step": step,
            "value": f"{value:.6g}",
            "aria-label": label,
            "aria-valuetext": shown,
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
    """What the tokens spell so far."""

    certain: str  # text that no later token can change
    held: bytes  # bytes that are not yet a character
    num_held: int  # the last so many tokens carry them


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
    piece: str,  # the visible token
    style: str,  # classes
    words: str,  # what is known of it
    back_to: int | None = None,  # tokens that are kept at a click, None: no click
    width: int = 0,  # of the line below it, in percent
) -> str:
    """Write one chip."""
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
