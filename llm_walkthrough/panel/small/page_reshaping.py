"""How are the knobs drawn, and what they make of the logits?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import framed, head, notice, picture, reset
from llm_walkthrough.panel.page_candidates import candidates_section, plots, settings
from llm_walkthrough.panel.small.reshaping import Settings
from llm_walkthrough.panel.wording import percent, quoted
from llm_walkthrough.views import Passage

if TYPE_CHECKING:
    from llm_walkthrough.panel.small.reshaping import Reshaped
    from llm_walkthrough.views import Vocabulary


def page(shot: Reshaped, vocabulary: Vocabulary) -> str:
    """Draw the candidates before and after, the bar with `u`, and the knobs."""
    now, found = shot.settings, shot.found
    vocab = len(found.draw.probabilities)
    left = found.stages[-1].survivors if found.stages else vocab
    where = f"<b>{left:,}</b> of {vocab:,} tokens can be drawn"
    section = candidates_section(
        found,
        now,
        vocabulary,
        can_take=False,
    )
    is_moved = now != Settings(notice=now.notice)
    again = reset("the usual settings, seed 0 and its u", can_go=is_moved)
    return framed(
        f"{head([again], where)}{notice(_said(shot, vocabulary))}"
        f'<div class="lw-alone">{section}</div>',
        title="The knobs of sampling",
    )


def twin(shot: Reshaped, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    now = shot.settings
    where = Passage(settings(now.sampling.processors(), now.seed), "Settings")
    return picture(where, *plots(shot.found, vocabulary))


def _said(shot: Reshaped, vocabulary: Vocabulary) -> Notice:
    """Return what there is to say, and else what the picture shows."""
    found = shot.found
    if shot.settings.notice.text:
        return shot.settings.notice
    likeliest = found.rows[0]
    before, after = likeliest.score.probability, found.share(likeliest.token)
    piece = quoted(vocabulary.piece(likeliest.token))
    return Notice(
        f"{piece} has {percent(before)} % in the model and {percent(after)} % after "
        "all processors. Click a processor to see the probabilities right after it.",
        "hint",
    )
