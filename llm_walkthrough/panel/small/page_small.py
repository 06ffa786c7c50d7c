"""What do the small panels share: their head, and the picture without a kernel?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from llm_walkthrough.panel.marks import Button
from llm_walkthrough.panel.step.twin import footnote

if TYPE_CHECKING:
    from collections.abc import Iterable


class View(Protocol):
    """What a page without a kernel can show, such as those of `views`."""

    def _repr_html_(self) -> str: ...


def head(buttons: Iterable[Button], where: str) -> str:
    """Draw the buttons, and beside them where the learner stands.

    Args:
        buttons: in their order.
        where: HTML.
    """
    row = "".join(map(str, buttons))
    return f'<div class="lw-head"><div>{row}</div><p class="lw-where">{where}</p></div>'


def back(name: str, *, can_go: bool) -> Button:
    """Return the button that goes one step back."""
    return Button("back", "◀ Back", name, key="ArrowLeft", is_off=not can_go)


def step(name: str, *, can_go: bool) -> Button:
    """Return the button that makes one step."""
    return Button(
        "step", "Step ▶", name, key="ArrowRight", style="lw-main", is_off=not can_go
    )


def run_or_stop(name: str, *, is_running: bool, can_go: bool) -> Button:
    """Return the button that begins a run, or ends the one that is under way."""
    if is_running:
        return Button("stop", "Stop", "end after the step in flight", style="lw-stop")
    return Button("run", "Run", name, is_off=not can_go)


def reset(name: str, *, can_go: bool) -> Button:
    """Return the button that begins anew."""
    return Button("reset", "Reset", name, is_off=not can_go)


def picture(*views: View) -> tuple[str, str]:
    """Return views as HTML without scripts or style sheets, and the same in words."""
    drawn = "".join(view._repr_html_() for view in views)
    return f"{drawn}{footnote()}", "\n\n".join(map(repr, views))
