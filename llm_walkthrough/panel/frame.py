"""The frame of every panel and the small things in it: buttons, sliders, token chips.

Everything that comes from outside goes through `html.escape` here. An element with
`data-action` tells the panel's script what to send when it is clicked, moved or chosen.
Knows nothing of what a panel shows between its head and its foot.
"""

from __future__ import annotations

import html
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from llm_walkthrough.panel.acting import Moment, Notice
from llm_walkthrough.panel.wording import shortened

_LONG = 110  # characters of a sentence that may be scrolled, and so takes the focus
_LIVE = "Run this notebook in a kernel to step through it; this is a picture of it."
_KEYS = {"ArrowRight": "→", "ArrowLeft": "←", "Enter": "↵"}

_CONTROLS = {  # by the action: text, key, further classes
    "back": ("◀ Back", "ArrowLeft", ""),
    "step": ("Step ▶", "ArrowRight", "lw-main"),
    "run": ("Run", "", ""),
    "reset": ("Reset", "", ""),
}

STYLE = (Path(__file__).parent / "panel.css").read_text(encoding="utf-8")
SCRIPT = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")

_TINTS = (0.05, 0.2, 0.5, 0.8)
"""Where the tint of a chip becomes darker, as a probability."""

SHOWN_OF_PROMPT = 96
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
"""Chips that are drawn at most; the earlier ones are counted."""

NEXT_CHIP = '<li><span class="lw-chip lw-next" aria-label="the next token">?</span>'


# --- the frame ---------------------------------------------------------------------
def framed(  # noqa: PLR0913 - all but two have a default
    now: Moment,  # its notice is shown
    *,
    title: str,  # what the panel is, for whoever does not see it
    where: str = "",  # HTML: where the learner stands; without it there is no head
    buttons: Sequence[str] = (),
    more: Sequence[str] = (),  # what is seldom pressed, behind one more button
    above: str = "",  # HTML: between head and notice, such as a `text_field`
    hint: Notice | str = "",  # stands there if nothing is to be said of the action
    is_large: bool = False,
    tick: int | None = None,  # milliseconds until a run asks for the next step
    inside: str = "",  # HTML; written last, so that it can tell the time until then
) -> str:
    """Put the parts of a panel into its frame."""
    menu = (
        '<details class="lw-more"><summary class="lw-button">More ▾</summary>'
        f"<div>{''.join(more)}</div></details>"
    )
    head = (
        f'<div class="lw-head"><div>{"".join(buttons)}{menu if more else ""}</div>'
        f'<p class="lw-where">{where}</p></div>'
    )
    said = now.notice if now.notice.text else hint
    if isinstance(said, str):
        said = Notice(said, "hint")
    return element(
        "div",
        f"{head if where else ''}{above}{_notice(said)}{inside}",
        class_="lw-panel lw-large" if is_large else "lw-panel",
        role="group",
        aria_label=title,
        tabindex=-1,
        data_tick=tick if now.running else None,
    )


def _notice(said: Notice) -> str:
    """Write the sentence about the last action; its place is kept without one."""
    sign = "✗ " if said.kind == "problem" else ""
    style = f"lw-notice lw-{said.kind}" if said.text else "lw-notice"
    words = html.escape(f"{sign}{said.text}")
    scrolled = ' tabindex="0"' if len(words) > _LONG else ""
    return f'<div class="{style}" role="status"{scrolled}><bdi>{words}</bdi></div>'


def control(action: str, name: str, *, is_on: bool = True) -> str:
    """Write the button of an action that stands in the heads of several panels."""
    text, key, style = _CONTROLS[action]
    return button(action, text, name, key=key, style=style, is_off=not is_on)


def run_or_stop(now: Moment, name: str, *, is_on: bool = True) -> str:
    """Write the button that begins a run, or ends the one that is under way."""
    if now.running:
        return button("stop", "Stop", "stop after the current step", style="lw-stop")
    return control("run", name, is_on=is_on)


def export(drawn: str, title: str) -> str:
    """Make a file of a page, to be looked at without a kernel."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f'<body class="lw-exported">{drawn}</body></html>'
    )


class View(Protocol):
    """What a page without a kernel can show, such as those of `views`."""

    def _repr_html_(self) -> str: ...


def picture(*views: View, between: str = "\n\n") -> tuple[str, str]:
    """Return views as HTML without scripts or style sheets, and the same in words.

    Below them stands that this is a picture, and how to get the live panel.
    """
    drawn = "".join(view._repr_html_() for view in views)
    live = f'<div style="margin:.3em 0"><i>{html.escape(_LIVE)}</i></div>'
    return f"{drawn}{live}", between.join(map(repr, views))


# --- what can be pressed or moved --------------------------------------------------
def attributes(**named: object) -> str:
    """Write attributes: `class_` is "class", `data_tip` is "data-tip".

    None leaves one out, booleans become "true" and "false".
    """
    written = []
    for name, value in named.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            hyphened = name.rstrip("_").replace("_", "-")
            written.append(f' {hyphened}="{html.escape(text)}"')
    return "".join(written)


def element(tag: str, inside: str, **named: object) -> str:
    """Write an element with its attributes, as `attributes` takes them."""
    return f"<{tag}{attributes(**named)}>{inside}</{tag}>"


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
    shown = f"<kbd>{_KEYS[key]}</kbd>" if key else ""
    return element(
        "button",
        f"{html.escape(text)}{shown}",
        type="button",
        class_=f"lw-button {style}".strip(),
        data_action=action,
        data_key=key or None,
        title=name,
        aria_pressed=is_pressed,
        aria_disabled=is_off or None,
    )


def text_field(
    action: str,  # what is sent with the text, by Enter and by the button
    text: str,  # what stands on the button
    name: str,  # what it does, likewise
    placeholder: str,  # what can be written
    beside: str = "",  # HTML between the field and the button
) -> str:
    """Write a field for a text of one's own; what is typed in it survives a redraw."""
    named = {"data_action": action, "aria_label": placeholder}
    field = element("textarea", "", rows=1, placeholder=placeholder, **named)
    sends = button(action, text, name, key="Enter")
    return f'<div class="lw-ask">{field}{beside}{sends}</div>'


def slider(  # noqa: PLR0913 - likewise
    name: str,  # of the knob, as the action wants it
    label: str,  # as it is shown
    value: float,  # where it stands
    scale: tuple[float, float, float | str],  # least, most and step, as HTML writes it
    shown: str,  # the value in words
    *,
    action: str = "knob",  # what is sent; another one has a look of its own
) -> str:
    """Write a number that can be moved."""
    low, high, step = scale
    style = "" if action == "knob" else f"lw-{action}-slider"
    named = attributes(
        class_=f"lw-slider {style}".strip(),
        data_action=action,
        data_name=name,
        min=low,
        max=high,
        step=step,
        value=f"{value:.6g}",
        aria_label=label,
        aria_valuetext=shown,
    )
    return f'<input type="range"{named}>'


def select(action: str, label: str, options: Iterable[str], chosen: str) -> str:
    """Write a list of which one is chosen."""
    listed = "".join(
        element("option", html.escape(option), selected=option == chosen or None)
        for option in options
    )
    named = {"data_action": action, "aria_label": label, "title": label}
    return element("select", listed, class_="lw-select", **named)


def tabs(action: str, labels: Mapping[str, str], chosen: str, inside: str) -> str:
    """Write a row of tabs, by name, and what the chosen one shows."""
    listed = "".join(
        element(
            "button",
            html.escape(label),
            type="button",
            role="tab",
            class_="lw-tab",
            tabindex=-1,
            data_item="tabs",
            data_action=action,
            data_value=f'"{name}"',
            aria_selected=name == chosen,
        )
        for name, label in labels.items()
    )
    shown = {"role": "tabpanel", "aria_label": chosen, "tabindex": 0}
    return (
        f'<div class="lw-tabs" role="tablist">{listed}</div>'
        f"{element('div', inside, class_='lw-tab-panel', **shown)}"
    )


# --- tokens as chips, and the text that they make ----------------------------------
@dataclass(frozen=True)
class StreamedText:
    """What the tokens spell so far."""

    certain: str  # text that no later token can change
    held: bytes = b""  # bytes that are not yet a character
    num_held: int = 0  # the last so many tokens carry them


def text_box(text: StreamedText, label: str = "Text so far") -> str:
    """Write what the tokens spell, and behind it the bytes that wait."""
    held = ""
    if text.held:
        numbers = html.escape("".join(f"<0x{byte:02X}>" for byte in text.held))
        held = f' <span class="lw-held">{numbers} held back: not yet a character</span>'
    words = html.escape(text.certain) or '<span class="lw-soft">no text yet</span>'
    return (
        '<div class="lw-text" data-follow tabindex="0" role="group" '
        f'aria-label="{label}"><bdi>{words}</bdi>{held}</div>'
    )


def tint(probability: float) -> str:
    """Return the class of a chip whose token was so likely."""
    return f"lw-t{bisect_right(_TINTS, probability)}"


def chip(piece: str) -> str:
    """Write a token in its frame; its direction stays its own."""
    return f'<bdi class="lw-chip">{shortened(piece)}</bdi>'


def chip_list(label: str, chips: Iterable[str], *, is_short: bool = False) -> str:
    """Write chips in a row; a short list is scrolled, and so takes the focus."""
    short = (" lw-short", ' tabindex="0"') if is_short else ("", "")
    return (
        f'<ol class="lw-chips{short[0]}" data-follow{short[1]} aria-label="{label}">'
        f"{'</li>'.join(chips)}</li></ol>"
    )


def earlier(count: int) -> tuple[str, ...]:
    """Count the chips that are not drawn, if there are some."""
    words = f'<li><span class="lw-soft">… {count:,} earlier</span>'
    return (words,) if count else ()


@lru_cache(maxsize=2048)  # from step to step all chips but one are the same
def token_chip(
    piece: str,  # the visible token
    style: str,  # classes
    words: str,  # what is known of it
    back_to: int | None = None,  # tokens that are kept at a click, None: no click
) -> str:
    """Write one chip that can be reached, and clicked if a click goes back to it."""
    can_go = back_to is not None
    return "<li>" + element(
        "button",
        f"<bdi>{shortened(piece)}</bdi>",
        type="button",
        class_=f"lw-chip {style}",
        tabindex=-1,
        data_item="chips",
        data_tip="",  # shows the name
        aria_label=f"{piece} · {words}",
        data_action="back_to" if can_go else None,
        data_value=back_to,
        aria_disabled=None if can_go else True,
    )


def still_chip(piece: str, style: str, behind: str = "", **named: object) -> str:
    """Write one chip that is only looked at, with HTML `behind` the token."""
    inside = f"<bdi>{shortened(piece)}</bdi>{behind}"
    return "<li>" + element("span", inside, class_=f"lw-chip {style}", **named)


def future_chip(piece: str, why: str = "taken back") -> str:
    """Draw a token that is not there, or not any more."""
    return still_chip(piece, "lw-future", aria_label=f"{piece}, {why}")
