"""What can a learner do, and what does each action change?

One `Walk` is the state behind one panel: a stepper, and what the learner has set beside
it. Every action either succeeds or leaves all as it was and says why. Knows nothing of
HTML or of widgets.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Notice, sentence
from llm_walkthrough.panel.candidates import distribution
from llm_walkthrough.panel.knobs import below_one, turned
from llm_walkthrough.panel.step.desk import DELAYS, LIMITS, Desk, Guesses
from llm_walkthrough.panel.step.saved_run import SavedRun, SavedStep, read
from llm_walkthrough.panel.step.snapshot import Snapshot
from llm_walkthrough.panel.step.trail import Trail
from llm_walkthrough.panel.step.ways import Made
from llm_walkthrough.panel.watched import Feed, Watched, cache_facts, scores
from llm_walkthrough.panel.wording import replayed, verdict
from llm_walkthrough.sampling import Sampling, uniform
from llm_walkthrough.stepper import EndTokens, Stepper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.branch import Run
    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.ways import How
    from llm_walkthrough.panel.watched import FedModel, Score
    from llm_walkthrough.sampling import Processor
    from llm_walkthrough.stepper import Draw
    from llm_walkthrough.tokenizer import Tokenizer


class Walk:
    """A stepper, what a learner has set beside it, and all that can be done with both.

    Args:
        model: runs tokens against a cache, and tells what it feeds.
        tokenizer: the one that belongs to the model.
        prompt: token ids [sequence] int64 to begin with.
        title: what the model is called.
        end_tokens: a run ends after one of these.
        sampling: the settings to begin with.
        seed: likewise.
        processors: what comes before those of the settings, such as a grammar.

    Attributes:
        tokenizer: as given; ids for which only the graph has a place have no text.
        title: as given.

    Raises:
        InputError: as `Stepper`, the tokenizer does not belong to the model, or no
            token is left to be drawn.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        model: FedModel,
        tokenizer: Tokenizer,
        prompt: TokenIds,
        *,
        title: str = "",
        end_tokens: Sequence[int] = (),
        sampling: Sampling | None = None,
        seed: int = 0,
        processors: Sequence[Processor] = (),
    ) -> None:
        self.tokenizer = tokenizer.for_vocab(model.vocab)
        self.title = title
        self._is_end = EndTokens(tuple(end_tokens))
        self._first = tuple(processors)
        self._lock = threading.RLock()
        self._model = Watched(model)
        self._desk = Desk(sampling=sampling or Sampling(), seed=seed)
        self._found: tuple[Draw, int | None, Distribution] | None = None
        self._trail = self._new_trail(prompt)
        self._set_up()
        self._distribution()

    @property
    def stepper(self) -> Stepper:
        """The loop; a cell may use it, and the panel shows it at its next action."""
        return self._trail.stepper

    @property
    def num_runs(self) -> int:
        """How often the graph was run for this panel."""
        return self._model.num_runs

    @property
    def desk(self) -> Desk:
        """What the learner has set."""
        return self._desk

    def act(self, action: str, value: object = None) -> None:
        """Do what the learner asks for; what goes wrong is said in the notice.

        Args:
            action: the name of an action.
            value: what belongs to it.
        """
        with self._alone():
            before = self._desk
            try:
                self._do(action, value)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no other place
                notice = Notice(sentence(error), "problem")
                self._desk = replace(
                    before, notice=notice, running=False, remaining=None
                )
                self._set_up()

    def snapshot(self) -> Snapshot:
        """Return everything that is to be shown; runs the model on unseen tokens.

        Raises:
            InputError: no token is left to be drawn, or the model cannot be run.
        """
        with self._alone():
            stepper, found, why_none = self.stepper, None, ""
            try:
                found = self._distribution()
            except InputError as error:
                why_none = str(error)
            seen = self._trail.look()
            return Snapshot(
                self.title,
                self._desk,
                tuple(stepper.tokens.tolist()),
                stepper.prompt_length,
                self._model.scores,
                seen.made,
                seen.future,
                found,
                why_none,
                seen.ways,
                cache_facts(stepper.cache),
                tuple(map(self._feed, stepper.runs[-2:])),
                stepper.runs,
            )

    def saved(self) -> SavedRun:
        """Return the active way, to be written to a file.

        Raises:
            InputError: a cell has made one of the tokens, so that it is not known how.
        """
        with self._alone():
            here, steps = self._trail.here, []
            for token, made in zip(here, self._trail.look().made, strict=True):
                if made is None:
                    raise InputError(
                        "some tokens were made outside this panel, so it is not known "
                        "how they were drawn; press Reset and step here"
                    )
                steps.append(SavedStep(token, made.u, made.sampling, made.seed))
            prompt = self._prompt()
            return SavedRun(self.title, prompt, tuple(steps), self._text(prompt, here))

    def replay(self, run: SavedRun) -> None:
        """Take the tokens of a saved run, and say where this machine draws others.

        Raises:
            InputError: the run belongs to another vocabulary, or to another prompt than
                the processors of this panel; or as `Stepper`.
        """
        with self._alone():
            tokens = tuple(step.token for step in run.steps)
            if self._text(run.prompt, tokens) != run.text:
                raise InputError(
                    f"this run was saved with the model {run.model!r}, whose tokens "
                    f"are not those of {self.title!r}; open it with that model"
                )
            if self._first and run.prompt != self._prompt():
                raise InputError(
                    "this run begins with another prompt, and the grammar or processor "
                    "of this panel belongs to its own; open the run in a panel without"
                )
            before = self._desk, self._trail, self._model.scores
            try:
                self._trail = self._new_trail(np.array(run.prompt, np.int64))
                differences = [*self._replayed(run)]
                self._stop()
            except BaseException:
                self._desk, self._trail, self._model.scores = before
                raise
            self._say(replayed(differences, len(tokens), self.tokenizer))

    # --- the actions: each raises, or has done the whole of it ---------------------

    def _do(self, action: str, value: object) -> None:
        actions: dict[str, Callable[[Any], object]] = {
            "step": self._step,
            "take": self._take,
            "back": self._back,
            "back_to": self._back_to,
            "run": self._run,
            "tick": self._tick,
            "stop": self._stop,
            "reset": self._reset,
            "switch": self._switch,
            "knob": self._turn,
            "u": self._set_u,
            "roll": self._roll,
            "unroll": lambda _: self.stepper.set_u(None),
            "stage": lambda number: self._set(looked_at=int(number)),
            "save": lambda _: self.saved(),  # says if it cannot be saved
            "load": lambda text: self.replay(read(str(text))),
            "speed": lambda speed: self._set(speed=_one_of(DELAYS, speed)),
            "limit": lambda limit: self._set(limit=_one_of(LIMITS, limit)),
            "guessing": lambda _: self._set(is_guessing=not self._desk.is_guessing),
            "large": lambda _: self._set(is_large=not self._desk.is_large),
        }
        if action not in actions:
            raise InputError(f"there is no action {action!r}; run the cell again")
        if action != "tick":
            self._set(notice=Notice())
        actions[action](value)
        self._set_up()
        if action == "knob":
            self._distribution()  # settings that leave no token are refused here

    def _step(self, _value: object = None) -> None:
        drawn = self._distribution().draw.token
        own = self.stepper.u != uniform(self._desk.seed, self.stepper.position)
        self._append(drawn, "own u" if own else "drawn")

    def _take(self, value: Mapping[str, Any]) -> None:
        """Take the token that was clicked, or guess it."""
        token, position = int(value["token"]), int(value["position"])
        if position != self.stepper.position:
            raise InputError(
                "that candidate belonged to the step before, so nothing was taken; "
                "choose among those that are shown now"
            )
        if self._desk.is_guessing:
            self._guess(token)
        else:
            self._append(token, "chosen")

    def _guess(self, token: int) -> None:
        found, so_far = self._distribution(), self._desk.guesses
        came, said = ((t, self._score(t, found)) for t in (found.draw.token, token))
        self._step()
        guesses = Guesses(
            so_far.made + 1,
            so_far.right + (token == found.draw.token),
            so_far.by_the_model + (found.rows[0].token == found.draw.token),
        )
        self._set(guesses=guesses)
        self._say(verdict(came, said, self.tokenizer))

    def _back(self, steps: object = None) -> None:
        self._trail.back(int(str(steps or 1)))
        self._stop()

    def _back_to(self, kept: object) -> None:
        self._trail.back_to(int(str(kept)))
        self._stop()

    def _run(self, _value: object = None) -> None:
        limit = LIMITS[self._desk.limit]
        self._set(running=True, remaining=limit)

    def _tick(self, _value: object = None) -> None:
        """Make one step of a run; a tick that comes after Stop does nothing."""
        if not self._desk.running:
            return
        if self.stepper.position >= self.stepper.cache.capacity:
            self._set(running=False, remaining=None)
            self._say("The context is full: the model can read no further token.")
            return
        self._step()
        left = self._desk.remaining
        left = None if left is None else left - 1
        has_ended = self._is_end(self.stepper.new_tokens)
        self._set(running=left != 0 and not has_ended, remaining=left)
        if has_ended:
            self._say("The model has ended its answer with the end token.")

    def _stop(self, _value: object = None) -> None:
        self._set(running=False, remaining=None)

    def _reset(self, _value: object = None) -> None:
        """Go back to the prompt; forget every way, and the learner's own numbers."""
        self._trail.reset()
        self._stop()
        self._set(guesses=Guesses())

    def _switch(self, way: object) -> None:
        self._trail.switch(str(way))
        self._stop()

    def _turn(self, value: Mapping[str, Any]) -> None:
        """Set one knob; the model is not run."""
        self._desk = turned(self._desk, value)

    def _set_u(self, value: object) -> None:
        self.stepper.set_u(below_one(float(str(value))))

    def _roll(self, _value: object = None) -> None:
        self.stepper.set_u(random.random())  # noqa: S311 - luck, not secrecy

    # --- how it is done ------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other thread come between, of a page or of a cell."""
        with self._lock, self.stepper.lock:
            yield

    def _append(self, token: int, how: How) -> None:
        began = time.perf_counter()
        found, desk = self._distribution(), self._desk
        u = None if how == "chosen" else self.stepper.u
        made = Made(
            self._score(token, found),
            found.share(token),
            how,
            u,
            desk.sampling,
            desk.seed,
        )
        self._trail.append(token if how == "chosen" else None, made)
        self._set(step_seconds=time.perf_counter() - began)

    def _new_trail(self, prompt: TokenIds) -> Trail:
        stepper = Stepper(self._model, prompt)
        self._model.scores = {}
        return Trail(stepper)

    def _replayed(self, run: SavedRun) -> Iterator[tuple[int, int, int]]:
        """Take the saved tokens; yields (step, drawn here, saved) where they differ."""
        for number, step in enumerate(run.steps, start=1):
            self._set(sampling=step.sampling, seed=step.seed)
            self._set_up()
            if step.u is None:
                self._append(step.token, "chosen")
                continue
            own = step.u != uniform(step.seed, self.stepper.position)
            self.stepper.set_u(step.u if own else None)
            drawn = self._distribution().draw.token
            if drawn == step.token:
                self._append(drawn, "own u" if own else "drawn")
            else:
                yield number, drawn, step.token
                self._append(step.token, "chosen")

    def _distribution(self) -> Distribution:
        """Return what may come next; made once, however often it is asked for."""
        stepper, desk = self.stepper, self._desk
        draw = stepper.draw
        if (
            self._found is None
            or self._found.draw is not draw
            or self._looked_at != desk.looked_at
        ):
            self._found = distribution(draw, desk.looked_at)
            self._looked_at = desk.looked_at
        return self._found

    def _feed(self, run: Run) -> Feed:
        arrays = self._model.feeds[run.start, len(run.tokens)]
        return Feed(tuple(run.tokens.tolist()), arrays)

    def _score(self, token: int, found: Distribution) -> Score:
        listed = {row.token: row.score for row in found.rows}
        return listed.get(token) or scores(self.stepper.logits, [token])[0]

    def _prompt(self) -> tuple[int, ...]:
        return tuple(self.stepper.tokens[: self.stepper.prompt_length].tolist())

    def _text(self, *parts: Sequence[int]) -> str:
        ids = [token for part in parts for token in part]
        return self.tokenizer.decode(ids, show_special=True)

    def _set(self, **changes: Any) -> None:  # noqa: ANN401 - any field of Desk
        self._desk = replace(self._desk, **changes)

    def _say(self, text: str) -> None:
        self._set(notice=Notice(text))

    def _set_up(self) -> None:
        """Hand the settings to the stepper."""
        desk = self._desk
        self.stepper.processors = (*self._first, *desk.sampling.processors())
        self.stepper.seed = desk.seed


def _one_of(known: Iterable[str], wanted: object) -> str:
    names = [*known]
    if wanted not in names:
        raise InputError(f"{wanted!r} is not one of {', '.join(names)}")
    return str(wanted)
