"""The frame of every panel: its head with buttons, its notice, its style and script.

What stands in the frame is drawn elsewhere; so is the picture for a page without a
kernel, under which this file writes the footnote.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.marks import attributes, button

_LONG = 110
"""Characters of a sentence that may have to be scrolled, and so takes the focus."""

_LIVE = "Run this notebook in a kernel to step through it; this is a picture of it."

STYLE = (Path(__file__).parent / "panel.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")


class View(Protocol):
    """What a page without a kernel can show, such as those of `views`."""

    def _repr_html_(self) -> str: ...


def framed(
    inside: str,
    *,
    title: str,  # what the panel is, for whoever does not see it
    is_large: bool = False,
    tick: int | None = None,  # milliseconds until the page asks for the next step
) -> str:
    """Put the parts of a panel into its frame."""
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


def notice(said: Notice) -> str:
    """Write the sentence about the last action; its place is kept without one."""
    sign = "✗ " if said.kind == "problem" else ""
    style = f"lw-notice lw-{said.kind}" if said.text else "lw-notice"
    words = html.escape(f"{sign}{said.text}")
    scrolled = ' tabindex="0"' if len(words) > _LONG else ""
    return f'<div class="{style}" role="status"{scrolled}><bdi>{words}</bdi></div>'


def head(buttons: Iterable[str], where: str, others: Iterable[str] = ()) -> str:
    """Draw one or two groups of buttons, and beside them where the learner stands."""
    groups = [f"<div>{''.join(group)}</div>" for group in (buttons, others)]
    drawn = "".join(groups if others else groups[:1])
    return f'<div class="lw-head">{drawn}<p class="lw-where">{where}</p></div>'


def back(name: str, *, can_go: bool) -> str:
    """Write the button that goes one step back."""
    return button("back", "◀ Back", name, key="ArrowLeft", is_off=not can_go)


def step(name: str, *, can_go: bool) -> str:
    """Write the button that makes one step."""
    return button(
        "step", "Step ▶", name, key="ArrowRight", style="lw-main", is_off=not can_go
    )


def run_or_stop(name: str, *, is_running: bool, can_go: bool) -> str:
    """Write the button that begins a run, or ends the one that is under way."""
    if is_running:
        return button("stop", "Stop", "end after the step in flight", style="lw-stop")
    return button("run", "Run", name, is_off=not can_go)


def reset(name: str, *, can_go: bool) -> str:
    """Write the button that begins anew."""
    return button("reset", "Reset", name, is_off=not can_go)


def export(drawn: str, title: str) -> str:
    """Make a file of a page, to be looked at without a kernel."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f'<body class="lw-exported">{drawn}</body></html>'
    )


def picture(*views: View) -> tuple[str, str]:
    """Return views as HTML without scripts or style sheets, and the same in words."""
    drawn = "".join(view._repr_html_() for view in views)
    return f"{drawn}{footnote()}", "\n\n".join(map(repr, views))


def footnote() -> str:
    """Say that this is a picture, and how to get the live panel."""
    return f'<div style="margin:.3em 0"><i>{html.escape(_LIVE)}</i></div>'
