"""What a check says of an answer, in one line of text or of HTML.

Knows nothing of the exercises, nor of how an answer is tried.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

_SIGNS = {True: "✓ Right.", False: "✗ Not yet.", None: "… Not answered yet."}
_COLOURS = {True: "#1769c4", False: "#c2570c", None: "#808080"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found.

    Attributes:
        is_right: True, False, or None as long as there is no answer.
        message: one or two sentences: what is right, or a hint at the mistake.
    """

    is_right: bool | None
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.is_right]} {self.message}"

    def _repr_html_(self) -> str:
        edge = f"border-left:4px solid {_COLOURS[self.is_right]};padding:.2em .8em"
        sign, message = _SIGNS[self.is_right], html.escape(self.message)
        return f'<div style="{edge}"><b>{sign}</b> {message}</div>'


NOT_ANSWERED = Verdict(None, "Fill in the cell above, then run this one again.")
