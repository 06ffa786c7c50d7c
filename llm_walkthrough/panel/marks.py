"""How are the small things of a panel written as HTML: a button, a knob, a number?

Everything that comes from outside goes through `html.escape` here. An element with
`data-action` tells the panel's script what to send when it is clicked, moved or chosen.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_walkthrough.panel.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

ARROWS = {"ArrowRight": "→", "ArrowLeft": "←"}


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
    step: str
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
