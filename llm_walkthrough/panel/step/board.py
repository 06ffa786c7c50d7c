"""The step panel as a board: a walk on a model, its page, the files that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.frame import export
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.saved_run import written
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.sampling import Processor, Sampling
from llm_walkthrough.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llm_walkthrough.model import Model


class StepBoard(Board):
    """The step panel, for whatever shows it; arguments and errors as `StepPanel`."""

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        model: Model,
        tokenizer: Tokenizer,
        prompt: TokenIds,
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        processors: Sequence[Processor] = (),
        title: str | None = None,
    ) -> None:
        self.walk = Walk(
            model,
            tokenizer,
            prompt,
            Desk(sampling=sampling or Sampling(), seed=seed),
            title=model.graph.path.parent.name if title is None else title,
            end_tokens=model.graph.end_tokens,
            processors=processors,
        )
        super().__init__(self.walk, page, twin, self.walk.tokenizer)

    def file(self, action: str) -> dict[str, str] | None:
        """Return the page as it stands, or the run that was checked for saving."""
        if action == "export":
            text = export(self.drawn(), self.walk.title)
            return {"name": "step.html", "text": text, "type": "text/html"}
        if action == "save" and self.walk.now.notice.kind == "news":
            text = written(self.walk.saved())
            return {"name": "run.json", "text": text, "type": "application/json"}
        return None
