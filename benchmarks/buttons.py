"""Which panel would one make of ipywidgets, and how long does the model take in it?

The ordinary way to show candidates: a row of widgets for each, made once and set anew
after each step; all chips are one piece of HTML. It shows less than the step panel
does. What is measured with it: `bench_panel`.
"""

from __future__ import annotations

import gc
import html
import time
from typing import TYPE_CHECKING, Any

import ipywidgets
import psutil

from benchmarks.engines import MEMORY_KINDS
from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.panel.candidates import (
    SHOWN,
    Candidate,
    Distribution,
    distribution,
)
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.widgets import StepPanel

if TYPE_CHECKING:
    from pathlib import Path

    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache
    from llm_walkthrough.model import Model
    from llm_walkthrough.tokenizer import Tokenizer

REQUEST = "Name a yoga pose."


class Timed:
    """A model that notes how long each of its runs takes, and is else as it was.

    Attributes:
        seconds: of each run.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the model has
        return getattr(self._model, name)

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        """Run as the model does."""
        began = time.perf_counter()
        try:
            return self._model.run(unseen, cache)
        finally:
            self.seconds.append(time.perf_counter() - began)


class ButtonPanel(ipywidgets.VBox):  # type: ignore[misc]
    """Step, the tokens so far, and the candidates, one of which can be clicked.

    Args:
        model: runs tokens against a cache.
        tokenizer: the one that belongs to the model.
        prompt: token ids [sequence] int64 to begin with.

    Attributes:
        stepper: the loop behind it.
    """

    def __init__(self, model: Timed, tokenizer: Tokenizer, prompt: TokenIds) -> None:
        self.stepper = Stepper(model, prompt, processors=Sampling().processors())
        self._piece = tokenizer.piece
        self._step = ipywidgets.Button(description="Step", button_style="primary")
        self._step.on_click(lambda _button: self.step(None))
        self._head, self._chips = ipywidgets.HTML(), ipywidgets.HTML()
        self._rows = [_Row(self) for _ in range(SHOWN)]
        top = ipywidgets.HBox([self._step, self._head])
        super().__init__([top, self._chips, *self._rows])
        self.add_class("bench-buttons")
        self.draw()

    def step(self, token: int | None) -> None:
        """Take a token, the drawn one if it is None, and show what may follow."""
        self.stepper.step(token)
        self.draw()

    def draw(self) -> None:
        """Set every widget to what the stepper holds."""
        stepper = self.stepper
        found = distribution(
            stepper.logits, stepper.tokens, stepper.processors, stepper.u
        )
        made = [self._piece(int(token)) for token in stepper.new_tokens]
        self._head.value = f"step <b>{len(made)}</b>, u = {found.u:.3f}"
        chips = "".join(f"<code>{html.escape(piece)}</code> " for piece in made)
        box = "height:9em;overflow-y:auto;line-height:1.6"
        self._chips.value = f'<div style="{box}">{chips}</div>'
        for row, candidate in zip(self._rows, found.rows, strict=False):
            row.show(candidate, found, self._piece(candidate.token))


class _Row(ipywidgets.HBox):  # type: ignore[misc]
    """One candidate: a button to take it, a bar and the numbers."""

    def __init__(self, panel: ButtonPanel) -> None:
        self._panel = panel
        self._token = 0
        self._button = ipywidgets.Button()
        self._button.on_click(lambda _button: panel.step(self._token))
        self._bar = ipywidgets.FloatProgress(min=0, max=1)
        self._numbers = ipywidgets.HTML()
        super().__init__([self._button, self._bar, self._numbers])

    def show(self, candidate: Candidate, found: Distribution, piece: str) -> None:
        """Set the three widgets, each with one message."""
        self._token = candidate.token
        is_drawn = candidate.token == found.drawn
        position = self._panel.stepper.position
        with self._button.hold_sync():
            self._button.description = piece
            self._button.tooltip = f"{position}: id {candidate.token}"
            self._button.button_style = "warning" if is_drawn else ""
        self._bar.value = candidate.now
        self._numbers.value = (
            f"{candidate.logit:.2f} · {100 * candidate.score.probability:.1f} % · "
            f"{100 * candidate.now:.1f} %"
        )


def open_both(path: Path) -> tuple[StepPanel, ButtonPanel, Timed, Timed]:
    """Open our panel and the other one on the same prompt, each with its times."""
    model, tokenizer = load(path)
    ours, theirs = Timed(model), Timed(model)
    prompt = tokenizer.encode(chat_prompt(tokenizer, REQUEST))
    panel: Any = ours
    return (
        StepPanel(panel, tokenizer, prompt),
        ButtonPanel(theirs, tokenizer, prompt),
        ours,
        theirs,
    )


def memory() -> float:
    """Return the memory of this process in MB, after what is not used is gone."""
    gc.collect()
    used = psutil.Process().memory_full_info()._asdict()
    return float(next(used[kind] for kind in MEMORY_KINDS if kind in used) / 1e6)
