"""How does what a learner does on a page become a new page?

The only module that knows a widget library. A panel hands each event to the state
behind it, draws that once, and sends page and frame number in one message. Beside the
live widget each panel stores a picture of it, so that a page without a kernel shows one
too.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anywidget
import traitlets

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import SCRIPT, STYLE, export, framed, notice
from llm_walkthrough.panel.small import feeding, race, reshaping, spelling
from llm_walkthrough.panel.small.feeding import Feeding
from llm_walkthrough.panel.small.race import Race
from llm_walkthrough.panel.small.reshaping import Reshaping
from llm_walkthrough.panel.small.spelling import Spelling
from llm_walkthrough.panel.step.page import page, with_rest
from llm_walkthrough.panel.step.saved_run import read, written
from llm_walkthrough.panel.step.twin import twin
from llm_walkthrough.panel.step.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.model import Model
    from llm_walkthrough.panel.small.race import Round
    from llm_walkthrough.panel.small.spelling import Fed
    from llm_walkthrough.sampling import Processor, Sampling
    from llm_walkthrough.stepper import Stepper
    from llm_walkthrough.tokenizer import Tokenizer
    from llm_walkthrough.views import Vocabulary


class State(Protocol):
    """What is behind a panel; each has its own actions and its own page."""

    def act(self, action: str, value: object) -> None:
        """Do what the learner asks for, or keep the sentence that says why not."""
        ...

    def page(self) -> str:
        """Draw how it stands."""
        ...

    def twin(self) -> tuple[str, str]:
        """Draw it for a page without a kernel: as HTML, and in words."""
        ...


class Board(anywidget.AnyWidget):
    """A page that is drawn in the kernel, and redrawn after each event.

    Attributes:
        page: HTML, as the state draws itself.
        frame: how many times it was drawn.
        heard: which view sent the last event that was dealt with, and its number there.
    """

    _esm = SCRIPT
    _css = STYLE
    page = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Tuple(("", 0)).tag(sync=True)

    def __init__(self, state: State) -> None:
        self._state = state
        self._one_at_a_time = threading.RLock()
        super().__init__(page=state.page())
        self.on_msg(self._heard)

    def redraw(self) -> None:
        """Draw the page anew, such as after a cell has used the stepper."""
        with self._one_at_a_time, self.hold_sync():
            self.page = self._drawn()
            self.frame += 1

    def _heard(self, _widget: object, event: dict[str, Any], _buffers: object) -> None:
        """Take an event of the page; nobody would see what is raised here."""
        with self._one_at_a_time, self.hold_sync():
            self.heard = (event.get("view", ""), event.get("number", 0))
            action = str(event.get("action"))
            if action == "tick" and event.get("frame") != self.frame:
                return  # asked for by a page that is not shown any more
            try:
                self._state.act(action, event.get("value"))
                self.redraw()
            except BaseException:  # an unanswered page would wait for ever
                self._state.act("stop", None)
                self.redraw()
                raise

    def _drawn(self) -> str:
        try:
            return self._state.page()
        except Exception as error:  # noqa: BLE001 - nobody would see it
            sentence = f"{type(error).__name__}: {error}; run the cell again"
            return framed(notice(Notice(sentence, "problem")), title="a panel")

    def _repr_mimebundle_(
        self,
        **settings: Any,  # noqa: ANN401 - as the library has it
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add to the live widget what a page without a kernel shows instead."""
        live, metadata = super()._repr_mimebundle_(**settings) or ({}, {})
        shown, words = self._state.twin()
        return {**live, "text/html": shown, "text/plain": words}, metadata


class StepPanel(Board):
    """Step through a model token by token, go back, choose differently, look inside.

    Args:
        model: the graph in its session.
        tokenizer: the one that belongs to the model.
        prompt: token ids [sequence] int64 to begin with.
        sampling: the settings to begin with (default: the usual ones).
        seed: decides, together with the position, the number that draws a token.
        processors: what comes before those of the settings, such as a grammar.
        title: what the model is called (default: the name of its folder).

    Raises:
        InputError: the prompt is empty or too long, or no token is left to be drawn.
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
        title: str | None = None,
    ) -> None:
        self.walk = Walk(
            model,
            tokenizer,
            prompt,
            title=model.graph.path.parent.name if title is None else title,
            end_tokens=model.graph.end_tokens,
            sampling=sampling,
            seed=seed,
            processors=processors,
        )
        super().__init__(_Steps(self.walk, self._hand_over))

    @property
    def stepper(self) -> Stepper:
        """The loop behind the panel; after using it in a cell, call `redraw`."""
        return self.walk.stepper

    def save(self, file: str | Path) -> None:
        """Write the active way to a small JSON file.

        Raises:
            InputError: a cell has made one of the tokens.
            OSError: the file cannot be written.
        """
        Path(file).write_text(written(self.walk.saved()), encoding="utf-8")

    def replay(self, file: str | Path) -> None:
        """Take the tokens of a saved run; the panel says where this machine differs.

        Raises:
            InputError: it is not a saved run, or one of another model.
            OSError: the file cannot be read.
        """
        self.walk.replay(read(Path(file).read_text(encoding="utf-8")))
        self.redraw()

    def export(self, file: str | Path) -> None:
        """Write the page as it stands to an HTML file.

        Raises:
            OSError: the file cannot be written.
        """
        Path(file).write_text(export(self.page, self.walk.title), encoding="utf-8")

    def _hand_over(self, file: dict[str, str]) -> None:
        """Give a file to the view that asked for it, and to no other one."""
        self.send({"file": file, "view": self.heard[0]})


class _Steps:
    """The state behind a step panel: a walk, its files and its times."""

    def __init__(self, walk: Walk, hand_over: Callable[[dict[str, str]], None]) -> None:
        self._walk = walk
        self._hand_over = hand_over
        self._timed: float | None = None
        self._rest = 0.0

    def act(self, action: str, value: object) -> None:
        walk = self._walk
        if action == "export":
            text = export(self.page(), walk.title)
            self._hand_over(_file("step.html", text, "text/html"))
        elif action == "save":
            walk.act("save")
            if walk.desk.notice.kind == "news":
                text = written(walk.saved())
                self._hand_over(_file("run.json", text, "application/json"))
        else:
            walk.act(action, value)

    def page(self) -> str:
        began = time.perf_counter()
        shot = self._walk.snapshot()
        drawn = page(shot, self._walk.tokenizer)
        step = shot.desk.step_seconds
        if step is not None and step != self._timed:  # a step was made: its own time
            drawing = time.perf_counter() - began
            self._timed, self._rest = step, step + drawing - shot.runs[-1].seconds
        return with_rest(drawn, self._rest)

    def twin(self) -> tuple[str, str]:
        return twin(self._walk.snapshot(), self._walk.tokenizer)


def _file(name: str, text: str, kind: str) -> dict[str, str]:
    return {"name": name, "text": text, "type": kind}


# --- the small panels, each for one thing ------------------------------------------
Now_co = TypeVar("Now_co", covariant=True)


class Small(Protocol[Now_co]):
    """What is behind a small panel: actions, and what is to be drawn."""

    def do(self, action: str, value: object = None) -> None:
        """Do one thing, or raise."""
        ...

    def act(self, action: str, value: object = None) -> None:
        """Do one thing, or keep the sentence that says why not."""
        ...

    @property
    def now(self) -> Now_co:
        """Everything that is to be shown."""
        ...


Shown = TypeVar("Shown")
Words = TypeVar("Words")


@dataclass(frozen=True)
class _Drawn(Generic[Shown, Words]):
    """A state with the two functions that draw it, and what shows its tokens."""

    small: Small[Shown]
    draw: Callable[[Shown, Words], str]
    picture: Callable[[Shown, Words], tuple[str, str]]
    vocabulary: Words

    def act(self, action: str, value: object) -> None:
        self.small.act(action, value)

    def page(self) -> str:
        return self.draw(self.small.now, self.vocabulary)

    def twin(self) -> tuple[str, str]:
        return self.picture(self.small.now, self.vocabulary)


class SamplingPanel(Board):
    """Knobs that reshape one distribution, and the token that is drawn from it.

    Args:
        tokenizer: shows the tokens.
        logits: the model's own [vocab] float32; they stay as they are.
        context: all tokens so far [sequence] int64, for the repetition penalty; the
            token that is drawn stands behind them.

    Raises:
        InputError: no distribution comes of these logits.
    """

    def __init__(
        self, tokenizer: Vocabulary, logits: Logits, context: TokenIds
    ) -> None:
        self._knobs = Reshaping(logits, context)
        super().__init__(_Drawn(self._knobs, reshaping.page, reshaping.twin, tokenizer))

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


class _SteppedPanel(Board):
    """A small panel with a Step button."""

    def __init__(self, drawn: _Drawn[Any, Any]) -> None:
        self._small = drawn.small
        super().__init__(drawn)

    def step(self, times: int = 1) -> None:
        """Do what the Step button does, so many times.

        Raises:
            InputError: there is no further step; those before it are made.
        """
        try:
            for _ in range(times):
                self._small.do("step")
        finally:
            self.redraw()


class CachePanel(_SteppedPanel):
    """Race greedy decoding with the cache against decoding without it.

    Args:
        model: the graph in its session.
        tokenizer: shows the tokens.
        prompt: token ids [sequence] int64 to begin with.

    Raises:
        InputError: the prompt is empty.
    """

    def __init__(self, model: Model, tokenizer: Vocabulary, prompt: TokenIds) -> None:
        self._race = Race(model, prompt, end_tokens=model.graph.end_tokens)
        super().__init__(_Drawn(self._race, race.page, race.twin, tokenizer))

    @property
    def tokens(self) -> TokenIds:
        """The prompt and all tokens that were made [sequence] int64."""
        return self._race.now.tokens

    @property
    def rounds(self) -> tuple[Round, ...]:
        """What was measured in each step."""
        return self._race.now.rounds


class TextPanel(_SteppedPanel):
    """Feed the tokens of a text to a stream one by one, and see which bytes wait.

    Args:
        tokenizer: splits the text, and spells its tokens.
        text: what is to be spelled.

    Raises:
        InputError: the text has no tokens, or cannot be written in UTF-8.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._spelling = Spelling(tokenizer, text)
        super().__init__(
            _Drawn(self._spelling, spelling.page, spelling.twin, tokenizer)
        )

    @property
    def fed(self) -> tuple[Fed, ...]:
        """What each token did that was fed so far."""
        return self._spelling.now.done


class FeedPanel(_SteppedPanel):
    """Look at the dictionary of the first run, and of each run of one token after it.

    Args:
        model: the graph in its session.
        tokenizer: shows the tokens.
        prompt: token ids [sequence] int64 to begin with.

    Raises:
        InputError: the prompt is empty, or the model cannot run it.
    """

    def __init__(self, model: Model, tokenizer: Vocabulary, prompt: TokenIds) -> None:
        self._feeding = Feeding(model, prompt)
        super().__init__(_Drawn(self._feeding, feeding.page, feeding.twin, tokenizer))

    @property
    def feed(self) -> dict[str, np.ndarray]:
        """The dictionary of the run that is shown, by the names of the graph."""
        return self._feeding.feed()
