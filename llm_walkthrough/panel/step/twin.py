"""What does a page without a kernel show in place of the panel?

A rendering of its own: such a page strips style sheets and scripts, so this has tables,
inline styles and pictures only.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.candidates import label
from llm_walkthrough.panel.marks import cut
from llm_walkthrough.plots import candidate_bars, cumulative_bar
from llm_walkthrough.views import Chips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.plots import Plot
    from llm_walkthrough.sampling import Processor
    from llm_walkthrough.tokenizer import Tokenizer
    from llm_walkthrough.views import Vocabulary

_LAST = 60  # tokens that are shown
_LIVE = "Run this notebook in a kernel to step through it; this is a picture of it."
_ROWS = 10
_BARS = 60


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


def settings(processors: Sequence[Processor], seed: int) -> str:
    """Name the settings that a picture was drawn with."""
    return ", ".join([*map(label, processors), f"seed {seed}"])


def plots(found: Distribution, vocabulary: Vocabulary) -> tuple[Plot, Plot]:
    """Draw the candidates before and after, and the bar on which `u` falls."""
    rows = found.rows[:_ROWS]

    def piece(token: int) -> str:
        return cut(vocabulary.piece(token))

    bars = candidate_bars(
        [piece(row.token) for row in rows],
        [row.score.probability for row in rows],
        [found.share(row.token) for row in rows],
        chosen=piece(found.drawn),
        title=f"What may come next; u = {found.u:.3f} picks {piece(found.drawn)}",
    )
    lined_up = found.bar[:_BARS]
    shares = [p for _, p in lined_up]
    return bars, cumulative_bar([piece(t) for t, _ in lined_up], shares, found.u)


def footnote() -> str:
    """Say that this is a picture, and how to get the live panel."""
    return f'<div style="margin:.3em 0"><i>{html.escape(_LIVE)}</i></div>'
