"""The panels as widgets: what a learner does on a page becomes a new page.

The only module that knows a widget library. A panel hands each event to the board
behind it, and sends the page and the frame number that it has then in one message.
Beside the live widget stands a picture of it, for a page without a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.exercises.mend_it import Loop
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.frame import SCRIPT, STYLE, export
from llm_walkthrough.panel.small import feeding, race, reshaping, spelling
from llm_walkthrough.panel.small.switchboard import board as switchboard
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.saved_run import written
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.sampling import Processor, Sampling
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.tokenizer import Tokenizer
from llm_walkthrough.views import Vocabulary

if TYPE_CHECKING:
    from llm_walkthrough.model import Model


class Panel(anywidget.AnyWidget):
    """A board that is shown in a notebook."""

    _esm = SCRIPT
    _css = STYLE
    page = traitlets.Unicode().tag(sync=True)  # these three as the board has them
    frame = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Tuple(("", 0)).tag(sync=True)

    def __init__(self, board: Board) -> None:
        self.board = board
        super().__init__(**board.state())
        self.on_msg(self._heard)

    def redraw(self) -> None:
        """Draw the page anew, such as after a cell has used the stepper."""
        with self.board.lock:
            self.board.redraw()
            self._show()

    def _show(self) -> None:
        with self.hold_sync():  # one message, so that no frame is torn
            for name, value in self.board.state().items():
                setattr(self, name, value)

    def _heard(self, _widget: object, event: dict[str, Any], _buffers: object) -> None:
        """Take an event of the page; nobody would see what is raised here."""
        with self.board.lock:
            try:
                file = self.board.hear(event)
            finally:
                self._show()
            if file:  # for the view that asked, and for no other one
                self.send({"file": file, "view": self.heard[0]})

    def _repr_mimebundle_(
        self,
        **settings: Any,  # noqa: ANN401 - as the library has it
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add to the live widget what a page without a kernel shows instead."""
        live, metadata = super()._repr_mimebundle_(**settings) or ({}, {})
        board = self.board
        shown, words = board.picture(board.engine.snapshot(), board.vocabulary)
        return {**live, "text/html": shown, "text/plain": words}, metadata


class StepPanel(Panel):
    """Step through a model token by token, go back, choose differently, look inside.

    Begins with `prompt` [sequence] int64 and the settings `sampling` and `seed`. Before
    their processors come `processors`, such as a grammar. `tour` is the line of the
    tour to begin with, from 0 on; None: none.
    InputError if the prompt is empty or too long, or no token is left to be drawn.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        model: Model,
        tokenizer: Tokenizer,
        prompt: TokenIds,
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        processors: Sequence[Processor] = (),
        tour: int | None = None,
    ) -> None:
        desk = Desk(sampling=sampling or Sampling(), seed=seed, tour=tour)
        begin = partial(Walk, model, tokenizer, prompt, desk, processors=processors)
        title, end_tokens = model.graph.path.parent.name, model.graph.end_tokens
        self.walk = begin(title=title, end_tokens=end_tokens)
        super().__init__(Board(self.walk, page, twin, self.walk.tokenizer))

    @property
    def stepper(self) -> Stepper:
        """The loop behind the panel; after using it in a cell, call `redraw`."""
        return self.walk.stepper

    def save(self, file: str | Path) -> None:
        """Write the active branch to a JSON file; InputError if a cell made a token."""
        Path(file).write_text(written(self.walk.saved()), encoding="utf-8")

    def replay(self, file: str | Path) -> None:
        """Take the tokens of a saved run; the panel says where this machine differs.

        InputError if the file is not a saved run, or one of another model.
        """
        self.walk.do("load", Path(file).read_text(encoding="utf-8"))
        self.redraw()

    def export(self, file: str | Path) -> None:
        """Write the page as it stands to an HTML file."""
        Path(file).write_text(export(self.page, self.walk.title), encoding="utf-8")


# --- the small panels, each for one thing ------------------------------------------
class SamplingPanel(Panel):
    """Knobs that reshape one distribution, and the token that is drawn from it.

    `logits` [vocab] float32 are the model's own, `context` [sequence] int64 is all
    tokens so far; InputError if no distribution comes of these logits.
    """

    def __init__(
        self, tokenizer: Vocabulary, logits: Logits, context: TokenIds
    ) -> None:
        self._knobs = reshaping.Reshaping(logits, context)
        super().__init__(Board(self._knobs, reshaping.page, reshaping.twin, tokenizer))

    @property
    def sampling(self) -> Sampling:
        """The settings at which the knobs stand."""
        return self._knobs.now.sampling

    @property
    def seed(self) -> int:
        """The seed at which its knob stands."""
        return self._knobs.now.seed

    @property
    def u(self) -> float:
        """The number that draws: the seed's, or the one that the learner has set."""
        return self._knobs.now.found.draw.u

    @property
    def chosen(self) -> int:
        """The id of the token that is drawn."""
        return self._knobs.now.found.draw.token


class _SteppedPanel(Panel):
    """A small panel with a Step button."""

    def step(self, times: int = 1) -> None:
        """Press Step so many times; after the last step there is, InputError."""
        try:
            for _ in range(times):
                self.board.engine.do("step")
        finally:
            self.redraw()


class CachePanel(_SteppedPanel):
    """Race greedy decoding with the cache against decoding without it.

    The race begins with `prompt` [sequence] int64; InputError if that is empty.
    """

    def __init__(self, model: Model, tokenizer: Vocabulary, prompt: TokenIds) -> None:
        self._race = race.Race(model, prompt, end_tokens=model.graph.end_tokens)
        super().__init__(Board(self._race, race.page, race.twin, tokenizer))

    @property
    def tokens(self) -> TokenIds:
        """The prompt and all tokens that were made [sequence] int64."""
        return self._race.now.tokens

    @property
    def rounds(self) -> tuple[race.Round, ...]:
        """What was measured in each step."""
        return self._race.now.rounds


class TextPanel(_SteppedPanel):
    """Feed the tokens of a text to a stream one by one, and see which bytes wait.

    InputError if the text has no tokens, or cannot be written in UTF-8.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._spelling = spelling.Spelling(tokenizer, text)
        super().__init__(Board(self._spelling, spelling.page, spelling.twin, tokenizer))

    @property
    def fed(self) -> tuple[spelling.Fed, ...]:
        """What each token did that was fed so far."""
        return self._spelling.now.done


class FeedPanel(_SteppedPanel):
    """Look at the dictionary of the first run, and of each run of one token after it.

    Begins with `prompt` [sequence] int64; InputError if the model cannot run that.
    """

    def __init__(self, model: Model, tokenizer: Vocabulary, prompt: TokenIds) -> None:
        self._feeding = feeding.Feeding(model, prompt)
        super().__init__(Board(self._feeding, feeding.page, feeding.twin, tokenizer))

    @property
    def feed(self) -> dict[str, np.ndarray]:
        """The dictionary of the run that is shown, by the names of the graph."""
        return self._feeding.feed()


class Switchboard(Panel):
    """Switch `faults` of a decode loop on, by name, and see what becomes of its run."""

    def __init__(self, loop: Loop, *faults: str) -> None:
        super().__init__(switchboard(loop, faults))
