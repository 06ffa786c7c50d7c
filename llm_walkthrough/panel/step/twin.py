"""What does a page without a kernel show in place of the panel?

A rendering of its own: such a page strips style sheets and scripts, so this has tables,
inline styles and pictures only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_walkthrough.panel.frame import footnote
from llm_walkthrough.panel.page_candidates import plots
from llm_walkthrough.views import Chips

if TYPE_CHECKING:
    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.tokenizer import Tokenizer

_LAST = 60  # tokens that are shown


def twin(shot: Snapshot, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture of one moment as HTML, and the same in words."""
    pieces = [tokenizer.piece(token) for token in shot.tokens[-_LAST:]]
    made = len(shot.tokens) - shot.prompt_length
    title = (
        f"Step panel: {shot.title}, step {made}, context {len(shot.tokens)} of "
        f"{shot.cache.capacity:,}"
    )
    chips = Chips(pieces, title)
    pictures = plots(shot.distribution, tokenizer) if shot.distribution else ()
    drawn = "".join(picture._repr_html_() for picture in pictures)
    words = [repr(chips), *(picture.text for picture in pictures)]
    return f"{chips._repr_html_()}{drawn}{footnote()}", "\n".join(words)
