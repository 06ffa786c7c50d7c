"""The frame of every panel and the small things in it: buttons, sliders, token chips.

Most of the HTML stands in `frame.html`; everything that comes from outside is escaped,
there or here. An element with `data-action` tells the panel's script what to send when
it is clicked, moved or chosen. Knows nothing of what a panel shows between its head and
its foot.
"""

from __future__ import annotations

import html
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from llm_walkthrough.guards.markup import TEMPLATES
from llm_walkthrough.panel.acting import Moment, Notice
from llm_walkthrough.panel.wording import cut, in_tokens, percent, quoted
from llm_walkthrough.views import byte_count

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
    said = now.notice if now.notice.text else hint
    said = Notice(said, "hint") if isinstance(said, str) else said
    parts = (title, where, buttons, more, above, said, is_large, tick, inside)
    return part("framed", now, *parts)


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
    return part("exported", drawn, title, STYLE)


class View(Protocol):
    """What a page without a kernel can show, such as those of `views`."""

    def _repr_html_(self) -> str: ...


def picture(*views: View, between: str = "\n\n") -> tuple[str, str]:
    """Return views as HTML without scripts or style sheets, and the same in words.

    Below them stands that this is a picture, and how to get the live panel.
    """
    drawn = "".join(view._repr_html_() for view in views)
    live = "Run this notebook in a kernel to step through it; this is a picture of it."
    drawn += f'<div style="margin:.3em 0"><i>{live}</i></div>'
    return drawn, between.join(map(repr, views))


# --- what can be pressed or moved --------------------------------------------------
def element(tag: str, inside: str, **named: object) -> str:
    """Write an element; `class_` is its "class", `data_tip` its "data-tip".

    None leaves an attribute out, booleans become "true" and "false".
    """
    written = ""
    for name, value in named.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            hyphened = name.rstrip("_").replace("_", "-")
            written += f' {hyphened}="{html.escape(text)}"'
    return f"<{tag}{written}>{inside}</{tag}>"


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
    return part("button", action, text, name, key, is_pressed, is_off, style)


def text_field(
    action: str,  # what is sent with the text, by Enter and by the button
    text: str,  # what stands on the button
    name: str,  # what it does, likewise
    placeholder: str,  # what can be written
    beside: str = "",  # HTML between the field and the button
) -> str:
    """Write a field for a text of one's own; what is typed in it survives a redraw."""
    sends = button(action, text, name, key="Enter")
    return part("text_field", action, placeholder, beside, sends)


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
    return part("slider", name, label, value, scale, shown, action)


def select(action: str, label: str, options: Iterable[str], chosen: str) -> str:
    """Write a list of which one is chosen."""
    return part("select", action, label, [*options], chosen)


def tabs(action: str, labels: Mapping[str, str], chosen: str, inside: str) -> str:
    """Write a row of tabs, by name, and what the chosen one shows."""
    return part("tabs", action, labels, chosen, inside)


# --- tokens as chips, and the text that they make ----------------------------------
@dataclass(frozen=True)
class StreamedText:
    """What the tokens spell so far."""

    certain: str  # text that no later token can change
    held: bytes = b""  # bytes that are not yet a character
    num_held: int = 0  # the last so many tokens carry them


def text_box(text: StreamedText, label: str = "Text so far") -> str:
    """Write what the tokens spell, and behind it the bytes that wait."""
    return part("text_box", text, label)


def tint(probability: float) -> str:
    """Return the class of a chip whose token was so likely."""
    return f"lw-t{bisect_right(_TINTS, probability)}"


def chip(piece: str) -> str:
    """Write a token in its frame; its direction stays its own."""
    return part("chip", piece)


def chip_list(label: str, chips: Iterable[str], *, is_short: bool = False) -> str:
    """Write chips in a row; a short list is scrolled, and so takes the focus."""
    return part("chip_list", label, chips, is_short)


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
    item: str = "chips",  # the list in which the arrow keys go from one to the next
) -> str:
    """Write one chip that can be reached, and clicked if a click goes back to it."""
    return part("token_chip", piece, style, words, back_to, item)


def still_chip(piece: str, style: str, behind: str = "", **named: str) -> str:
    """Write one chip that is only looked at, with HTML `behind` the token."""
    return part("still_chip", piece, style, behind, named)


def future_chip(piece: str, why: str = "taken back") -> str:
    """Draw a token that is not there, or not any more."""
    return still_chip(piece, "lw-future", aria_label=f"{piece}, {why}")


def part(name: str, *given: object) -> str:
    """Write a macro of `frame.html`."""
    frame: object = TEMPLATES.get_template("panel/frame.html").module
    return str(getattr(frame, name)(*given))


_IN_TEMPLATES = (
    *(framed, control, run_or_stop, button, text_field, slider),
    *(text_box, chip, chip_list),
    *(byte_count, cut, in_tokens, percent, quoted),
)
TEMPLATES.globals |= {function.__name__: function for function in _IN_TEMPLATES}
