"""The state behind the step panel: a stepper, a desk, and the actions on both.

Every action either succeeds or leaves all as it was. The engine, `acting`, does them
one at a time and says why one fails; `knobs` has those that turn a knob. Knows nothing
of HTML or of widgets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Notice, Stepping
from llm_walkthrough.panel.candidates import Distribution, distribution
from llm_walkthrough.panel.knobs import Turning
from llm_walkthrough.panel.step.branches import Branches, How, Made
from llm_walkthrough.panel.step.desk import DELAYS, LIMITS, Desk, Guesses, Snapshot
from llm_walkthrough.panel.step.saved_run import SavedRun, SavedStep, read
from llm_walkthrough.panel.watched import FedModel, Score, Watched, cache_facts, scores
from llm_walkthrough.panel.wording import replayed, verdict
from llm_walkthrough.sampling import Processor, Sampling, uniform
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.tokenizer import Tokenizer


class Walk(Turning[Desk], Stepping[Desk]):
    """A stepper, what a learner has set beside it, and all that can be done with both.

    Args:
        model: runs tokens against a cache, and tells what it feeds.
        tokenizer: the one that belongs to the model.
        prompt: token ids [sequence] int64 to begin with.
        desk: the settings to begin with.
        title: what the model is called.
        end_tokens: a run ends after one of these.
        processors: what comes before those of the settings, such as a grammar.

    Attributes:
        tokenizer: as given; ids for which only the graph has a place have no text.

    Raises:
        InputError: as `Stepper`, the tokenizer does not belong to the model, or no
            token is left to be drawn.
    """

    def __init__(  # noqa: PLR0913 - all but four have a default
        self,
        model: FedModel,
        tokenizer: Tokenizer,
        prompt: TokenIds,
        desk: Desk,
        *,
        title: str = "",
        end_tokens: Sequence[int] = (),
        processors: Sequence[Processor] = (),
    ) -> None:
        self.tokenizer = tokenizer.for_vocab(model.vocab)
        self.title = title
        self._is_end = EndTokens(tuple(end_tokens))
        self._first_processors = tuple(processors)
        self._model = Watched(model)
        self._branches = Branches(Stepper(self._model, prompt))
        self._step_seconds: float | None = None  # of the last step, without its page
        self._step_rest: float | None = None  # of both, without the model
        super().__init__(desk, self.stepper.lock)
        self.possible(desk)

    @property
    def stepper(self) -> Stepper:
        """The loop; a cell may use it, and the panel shows it at its next action."""
        return self._branches.stepper

    @property
    def num_runs(self) -> int:
        """How often the graph was run for this panel."""
        return self._model.num_runs

    def snapshot(self) -> Snapshot:
        """Return everything that is to be shown; runs the model on unseen tokens.

        Raises:
            InputError: the model cannot be run.
        """
        began = time.perf_counter()
        with self.lock:
            stepper, found, why_none = self.stepper, None, ""
            try:
                found = self.distribution(self.now)
            except InputError as error:
                why_none = str(error)
            runs = stepper.runs
            return Snapshot(
                self.title,
                self.now,
                tuple(stepper.tokens.tolist()),
                stepper.prompt_length,
                self._model.scores,
                *self._branches.look(),
                found,
                why_none,
                cache_facts(stepper.cache),
                tuple(map(self._model.feed_of, runs[-2:])),
                runs,
                lambda: self._rest_of_step(began),
            )

    def saved(self) -> SavedRun:
        """Return the active branch, to be written to a file.

        Raises:
            InputError: a cell has made one of the tokens, so that it is not known how.
        """
        with self.lock:
            here, (known, _, _) = self._branches.here, self._branches.look()
            steps = []
            for token, made in zip(here, known, strict=True):
                if made is None:
                    raise InputError(
                        "some tokens were made outside this panel, so it is not known "
                        "how they were drawn; press Reset and step here"
                    )
                steps.append(SavedStep(token, made.u, made.sampling, made.seed))
            prompt = self._prompt()
            return SavedRun(self.title, prompt, tuple(steps), self._text(prompt, here))

    # --- the actions: each returns the next desk, or raises and has done nothing ---

    def actions(self) -> Mapping[str, Callable[[Desk, Any], Desk]]:
        """Return what can be done, beside what every panel with knobs and steps can."""
        return {
            **super().actions(),
            "run": lambda now, _value: replace(
                now, running=True, remaining=LIMITS[now.limit]
            ),
            "take": self._taken,
            "back": self._back,
            "back_to": self._back_to,
            "switch": self._switch,
            "reset": self._reset,
            "save": self._checked_for_saving,
            "export": lambda now, _value: now,  # the widget hands the page over
            "load": lambda now, text: self._replayed(now, read(str(text))),
            "speed": lambda now, name: replace(now, speed=_one_of(DELAYS, name)),
            "limit": lambda now, name: replace(now, limit=_one_of(LIMITS, name)),
            "guessing": lambda now, _value: replace(
                now, is_guessing=not now.is_guessing
            ),
            "large": lambda now, _value: replace(now, is_large=not now.is_large),
        }

    def stepped(self, now: Desk) -> Desk:
        """Return the desk after the drawn token was appended.

        Raises:
            InputError: the context is full, or no token can be drawn.
        """
        draw = self.distribution(now).draw
        own = draw.u != uniform(now.seed, len(draw.context))
        return self._appended(now, draw.token, "own u" if own else "drawn")

    def ticked(self, now: Desk) -> Desk:
        """Return the desk after one step of a run, which may be the last one."""
        if self.stepper.position >= self.stepper.cache.capacity:
            full = "The context is full: the model can read no further token."
            return replace(now, running=False, notice=Notice(full))
        further = self.stepped(now)
        if self._is_end(self.stepper.new_tokens):
            ended = "The model has ended its answer with the end token."
            return replace(further, running=False, notice=Notice(ended))
        left = None if now.remaining is None else now.remaining - 1
        return replace(further, running=left != 0, remaining=left)

    def with_u(self, now: Desk, u: float | None) -> Desk:
        """Hand a number to the stepper, which keeps it for branch and position."""
        self.stepper.set_u(u)
        return now

    def distribution(self, now: Desk) -> Distribution:
        """Return what may come next with the settings of the desk.

        The stepper takes this very draw if a step comes next.
        """
        self._hand_over(now)
        return distribution(self.stepper.draw, now.looked_at)

    def settle(self) -> None:
        """Let a cell that steps find the settings of the desk."""
        self._hand_over(self.now)

    def _taken(self, now: Desk, value: Mapping[str, Any]) -> Desk:
        """Take the token that was clicked, or guess it."""
        token, position = int(value["token"]), int(value["position"])
        if position != self.stepper.position:
            raise InputError(
                "that candidate belonged to the step before, so nothing was taken; "
                "choose among those that are shown now"
            )
        if not now.is_guessing:
            return self._appended(now, token, "chosen")
        found, so_far = self.distribution(now), now.guesses
        drawn, favourite = found.draw.token, found.rows[0].token
        words = verdict(
            (drawn, self._score(drawn, found)),
            (token, self._score(token, found)),
            self.tokenizer,
        )
        guesses = Guesses(
            so_far.made + 1,
            so_far.right + (token == drawn),
            so_far.by_the_model + (favourite == drawn),
        )
        return replace(self.stepped(now), guesses=guesses, notice=Notice(words))

    def _back(self, now: Desk, steps: object) -> Desk:
        self._branches.back(int(str(steps or 1)))
        return replace(now, running=False)

    def _back_to(self, now: Desk, kept: object) -> Desk:
        self._branches.back_to(int(str(kept)))
        return replace(now, running=False)

    def _switch(self, now: Desk, name: object) -> Desk:
        self._branches.switch(str(name))
        return replace(now, running=False)

    def _reset(self, now: Desk, _value: object) -> Desk:
        """Go back to the prompt; forget every branch, and the learner's own numbers."""
        self._branches.reset()
        return replace(now, running=False, guesses=Guesses())

    def _checked_for_saving(self, now: Desk, _value: object) -> Desk:
        self.saved()  # says why it cannot be saved; the widget hands it over
        return now

    def _replayed(self, now: Desk, run: SavedRun) -> Desk:
        """Take the tokens of a saved run, and say where this machine draws others."""
        tokens = [step.token for step in run.steps]
        if self._text(run.prompt, tokens) != run.text:
            raise InputError(
                f"this run was saved with the model {run.model!r}, whose tokens are "
                f"not those of {self.title!r}; open it with that model"
            )
        if self._first_processors and run.prompt != self._prompt():
            raise InputError(
                "this run begins with another prompt, and the grammar or processor of "
                "this panel belongs to its own; open the run in a panel without"
            )
        before = self._branches, self._model.scores
        try:
            stepper = Stepper(self._model, np.array(run.prompt, np.int64))
            stepper.lock = self.lock  # whoever waits for it waits for the new one, too
            self._branches, self._model.scores = Branches(stepper), {}
            now, differences = self._steps_again(now, run.steps)
        except BaseException:
            self._branches, self._model.scores = before
            raise
        words = replayed(differences, len(tokens), self.tokenizer)
        return replace(now, running=False, notice=Notice(words))

    def _steps_again(
        self, now: Desk, steps: Sequence[SavedStep]
    ) -> tuple[Desk, list[tuple[int, int, int]]]:
        """Return the last desk, and (step, drawn here, saved) where the two differ."""
        differences = []
        for number, step in enumerate(steps, start=1):
            now, drawn = replace(now, sampling=step.sampling, seed=step.seed), None
            if step.u is not None:
                own = step.u != uniform(step.seed, self.stepper.position)
                self.stepper.set_u(step.u if own else None)
                drawn = self.distribution(now).draw.token
                if drawn != step.token:
                    differences.append((number, drawn, step.token))
            if drawn == step.token:
                now = self.stepped(now)
            else:
                now = self._appended(now, step.token, "chosen")
        return now, differences

    # --- how it is done ------------------------------------------------------------

    def _appended(self, now: Desk, token: int, how: How) -> Desk:
        began = time.perf_counter()
        found = self.distribution(now)
        made = Made(
            self._score(token, found),
            how,
            None if how == "chosen" else found.draw.u,
            now.sampling,
            now.seed,
        )
        self._branches.append(token if how == "chosen" else None, made)
        self._step_seconds, self._step_rest = time.perf_counter() - began, None
        return now

    def _rest_of_step(self, began: float) -> float | None:
        """Return `rest` of a snapshot; what the first page after a step gets stays."""
        if self._step_rest is None and self._step_seconds is not None:
            whole = self._step_seconds + time.perf_counter() - began
            self._step_rest = whole - self.stepper.runs[-1].seconds
        return self._step_rest

    def _hand_over(self, desk: Desk) -> None:
        processors = _processors(desk.sampling)
        self.stepper.processors = (*self._first_processors, *processors)
        self.stepper.seed = desk.seed

    def _score(self, token: int, found: Distribution) -> Score:
        listed = {row.token: row.score for row in found.rows}
        return listed.get(token) or scores(found.draw.rows[0], [token])[0]

    def _prompt(self) -> tuple[int, ...]:
        return tuple(self.stepper.tokens[: self.stepper.prompt_length].tolist())

    def _text(self, *parts: Sequence[int]) -> str:
        ids = [token for part in parts for token in part]
        return self.tokenizer.decode(ids, show_special=True)


@lru_cache(maxsize=1)  # asked for several times in each step
def _processors(sampling: Sampling) -> tuple[Processor, ...]:
    return sampling.processors()


def _one_of(known: Iterable[str], wanted: object) -> str:
    names = [*known]
    if wanted not in names:
        raise InputError(f"{wanted!r} is not one of {', '.join(names)}")
    return str(wanted)
