"""What does a picture of one moment need?

Values that never change, taken in one go, so that a picture shows one moment only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_walkthrough.branch import Run
    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.desk import Desk
    from llm_walkthrough.panel.step.ways import Made, Way
    from llm_walkthrough.panel.watched import CacheFacts, Feed, Score


@dataclass(frozen=True)
class Snapshot:
    """Everything that a picture of one moment needs.

    Attributes:
        title: the model, as the panel calls it.
        desk: what the learner has set.
        tokens: all of the active branch, the prompt first.
        prompt_length: how many of them are the prompt.
        read: position to score, for tokens of the prompt.
        made: what is known of each token after the prompt.
        future: tokens that were taken back and not yet replaced by others.
        distribution: what may come next; None if nothing can.
        why_none: the reason for that.
        ways: the branches.
        cache: its size.
        feeds: what the last two runs of `runs` were fed, the newer one last.
        runs: of the graph, on the active branch.
    """

    title: str
    desk: Desk
    tokens: tuple[int, ...]
    prompt_length: int
    read: Mapping[int, Score]
    made: tuple[Made | None, ...]
    future: tuple[int, ...]
    distribution: Distribution | None
    why_none: str
    ways: tuple[Way, ...]
    cache: CacheFacts
    feeds: tuple[Feed, ...]
    runs: tuple[Run, ...]
