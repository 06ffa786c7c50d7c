"""The state of the step panel: a stepper, a desk, the actions on both, and a snapshot.

Every action either succeeds or leaves all as it was. The engine, `acting`, does them
one at a time and says why one fails; `candidates` has those that turn a knob. Knows
nothing of HTML or of widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.errors import InputError
from llm_walkthrough.panel import watched
from llm_walkthrough.panel.acting import Notice, Stepping
from llm_walkthrough.panel.candidates import Distribution, Knobs, Turning, distribution
from llm_walkthrough.panel.step.branches import Branches, How, Made, NamedBranch
from llm_walkthrough.panel.step.looking import Look, Looking
from llm_walkthrough.panel.step.saved_run import SavedRun, SavedStep, read, written
from llm_walkthrough.panel.wording import replayed, verdict
from llm_walkthrough.sampling import Processor, Sampling, uniform
from llm_walkthrough.speculation import NGrams
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.tokenizer import Tokenizer

DELAYS = {"slow": 1000, "reading speed": 250, "fast": 0}  # milliseconds between steps
LIMITS = {"to the end": None, "5 tokens": 5, "10 tokens": 10, "50 tokens": 50}
ASKS = ("a question", "a text to continue")  # put into the chat template, or as it is
_PAGE = {"name": "step.html", "type": "text/html"}
_RUN = {"name": "run.json", "type": "application/json"}


@dataclass(frozen=True)
class Guesses:
    """How the guesses went."""

    made: int = 0  # how many were made
    right: int = 0  # how often the guessed token was the one that came
    by_the_model: int = 0  # how often the model's likeliest one came


@dataclass(frozen=True, kw_only=True)
class Desk(Knobs):
    """What the learner has set; never changes, each action makes the next."""

    speed: str = "reading speed"  # a name of `DELAYS`
    limit: str = "to the end"  # a name of `LIMITS`
    remaining: int | None = None  # the steps that a run has left, None for no limit
    asks: str = ASKS[0]  # one of them
    is_guessing: bool = False  # the learner names a token before the next one is shown
    guesses: Guesses = Guesses()  # how those went
    is_speculating: bool = False  # a run of the graph checks guesses of what comes
    is_large: bool = False  # large type, for a projector
    tour: int | None = None  # the number of its line that is shown, None without a tour
    side: str = ""  # the tab that is open, by its name; so it outlives a reload
    layer: str = "all layers"  # whose look is shown, a name of `Look.names`
    head: str = "all heads"  # likewise


@dataclass(frozen=True)
class Snapshot:
    """Everything that a picture of one moment needs, taken in one go."""

    title: str  # the model, as the panel calls it
    desk: Desk  # what the learner has set
    tokens: tuple[int, ...]  # all of the active branch, the prompt first
    prompt_length: int  # how many of them are the prompt
    read: Mapping[int, watched.Score]  # position to score, for tokens of the prompt
    made: tuple[Made | None, ...]  # what is known of each token after the prompt
    future: tuple[int, ...]  # was taken back, and not yet replaced by other tokens
    branches: tuple[NamedBranch, ...]  # as they are drawn
    distribution: Distribution | None  # what may come next; None if nothing can
    why_none: str  # the reason for that
    cache: watched.CacheFacts  # its size
    feeds: tuple[watched.Feed, ...]  # of the last two of `runs`, the newer one last
    runs: tuple[Run, ...]  # of the graph, on the active branch
    look: Look | Exception | None  # if its tab is open: what was found, or why nothing
    step_run: Run | None  # of the last step; None before one, and after going elsewhere
    rest: Callable[[], float | None]  # asked last: the seconds that it took beside that


class Walk(Turning[Desk], Stepping[Desk]):
    """A stepper, what a learner has set beside it, and all that can be done with both.

    InputError as `Stepper`, if the tokenizer is another model's, or no token is left.
    """

    def __init__(  # noqa: PLR0913 - all but four have a default
        self,
        model: watched.FedModel,  # runs tokens against a cache, and tells what it feeds
        tokenizer: Tokenizer,  # the one that belongs to the model
        prompt: TokenIds,  # ids [sequence] int64 to begin with
        desk: Desk,  # the settings to begin with
        *,
        title: str = "",  # what the model is called
        end_tokens: Sequence[int] = (),  # a run ends after one of these
        processors: Sequence[Processor] = (),  # before the settings' own: a grammar
    ) -> None:
        # ids for which only the graph has a place have no text
        self.tokenizer = tokenizer.for_vocab(model.vocab)
        self.title = title
        self._is_end = EndTokens(tuple(end_tokens))
        self._first_processors = tuple(processors)
        self._model = watched.Watched(model)
        self._looking = Looking(model)
        self._branches = Branches(Stepper(self._model, prompt))
        self._step: tuple[float, Run] | None = None  # the last: when it began, its run
        self._step_rest: float | None = None  # seconds to its page, without its run
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
        """Return all that is shown; runs unseen tokens, InputError if that fails."""
        with self.lock:
            stepper, found, why_none = self.stepper, None, ""
            try:
                found = self.distribution(self.now)
            except InputError as error:
                why_none = str(error)
            runs = stepper.runs
            tokens = tuple(stepper.tokens.tolist()), stepper.prompt_length
            branches = self._model.scores, *self._branches.look()
            feeds = tuple(map(self._model.feed_of, runs[-2:]))
            graph = watched.cache_facts(stepper.cache), feeds, runs
            is_seen = not self.is_hurried  # long enough for a look
            look = self._looking.look(stepper, self.now.side) if is_seen else None
            step = self._step[1] if self._step else None, self._rest_of_step
            shown = *tokens, *branches, found, why_none, *graph, look, *step
            return Snapshot(self.title, self.now, *shown)

    def saved(self) -> SavedRun:
        """Return the active branch for a file; InputError if a cell made some of it."""
        with self.lock:
            here, (known, _, _) = self._branches.here, self._branches.look()
            steps = []
            for token, made in zip(here, known, strict=True):
                if made is None:
                    what = "some tokens were made outside this panel"
                    why = "so it is not known how they were drawn"
                    raise InputError(f"{what}, {why}; press Reset and step here")
                steps.append(SavedStep(token, made.u, made.sampling, made.seed))
            prompt = self._prompt()
            return SavedRun(self.title, prompt, tuple(steps), self._text(prompt, here))

    # --- the actions: each returns the next desk, or raises and has done nothing ---

    def actions(self) -> Mapping[str, Callable[[Desk, Any], Desk]]:
        """Return what can be done, beside what every panel with knobs and steps can."""
        return {
            **super().actions(),
            "run": _begun,
            "take": self._taken,
            # by way of `str`, so that 2.5 steps are refused and not cut to 2
            "back": lambda now, n: self._go(now, "back", int(str(n or 1))),
            "back_to": lambda now, n: self._go(now, "back_to", int(str(n))),
            "switch": lambda now, name: self._go(now, "switch", name),
            # forgets every branch, and the learner's own numbers
            "reset": lambda now, _: replace(self._go(now, "reset"), guesses=Guesses()),
            "ask": lambda now, text: self._asked(now, str(text)),
            "ask_as": lambda now, name: replace(now, asks=_one_of(ASKS, name)),
            "save": lambda now, _: replace(
                now, file=_RUN | {"text": written(self.saved())}
            ),
            "export": lambda now, _: replace(now, file=_PAGE | {"title": self.title}),
            "load": lambda now, text: self._replayed(now, read(str(text))),
            "speed": lambda now, name: replace(now, speed=_one_of(DELAYS, name)),
            "limit": lambda now, name: replace(now, limit=_one_of(LIMITS, name)),
            "guessing": lambda now, _: _toggled(now, "is_guessing", running=False),
            "speculate": lambda now, _: _toggled(now, "is_speculating"),
            "large": lambda now, _: _toggled(now, "is_large"),
            "tour": lambda now, n: replace(now, tour=n if n is None else int(str(n))),
            "side": lambda now, name: replace(now, side=str(name)),
            "layer": lambda now, name: replace(now, layer=str(name)),
            "head": lambda now, name: replace(now, head=str(name)),
        }

    def stepped(self, now: Desk) -> Desk:
        """Return the desk with the drawn token appended; InputError if none fits in."""
        draw = self.distribution(now).draw
        own = draw.u != uniform(now.seed, len(draw.context))
        return self._appended(now, draw.token, "own u" if own else "drawn")

    def ticked(self, now: Desk) -> Desk:
        """Return the desk after one step of a run, which may be the last one."""
        if self.stepper.position >= self.stepper.cache.capacity:
            full = "The context is full: the model cannot read another token."
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
        """Return what may come next as the desk is set: the draw that a step takes."""
        self._settings_to_stepper(now)
        return distribution(self.stepper.draw, now.looked_at)

    def settle(self) -> None:
        """Let a cell that steps find the settings of the desk."""
        self._settings_to_stepper(self.now)

    def _taken(self, now: Desk, value: Mapping[str, Any]) -> Desk:
        """Take the token that was clicked, or guess it."""
        token, position = int(value["token"]), int(value["position"])
        if position != self.stepper.position:
            what = "that candidate belonged to the step before, so nothing was taken"
            raise InputError(f"{what}; choose among those that are shown now")
        if not now.is_guessing:
            return self._appended(now, token, "chosen")
        found, so_far = self.distribution(now), now.guesses
        drawn, favourite = found.draw.token, found.rows[0].token
        came, said = ((one, self._score(one, found)) for one in (drawn, token))
        right = so_far.right + (token == drawn)
        by_the_model = so_far.by_the_model + (favourite == drawn)
        guesses = Guesses(so_far.made + 1, right, by_the_model)
        words = verdict(came, said, self.tokenizer)
        return replace(self.stepped(now), guesses=guesses, notice=Notice(words))

    def _go(self, now: Desk, how: str, *where: object) -> Desk:
        """Go elsewhere by a method of the branches, which ends a run."""
        getattr(self._branches, how)(*where)
        self._step = self._step_rest = None
        return replace(now, running=False)

    def _asked(self, now: Desk, text: str) -> Desk:
        """Begin with another prompt, at the same settings; forgets every branch."""
        if not text.strip():
            raise InputError("nothing has been asked yet: write something in the box")
        if now.asks == ASKS[0]:
            if self.tokenizer.template is None:
                what = f"{self.title} has no chat template, so it takes no questions"
                raise InputError(f"{what}; choose “{ASKS[1]}”")
            text = self.tokenizer.chat([{"role": "user", "content": text}])
        prompt = tuple(self.tokenizer.encode(text).tolist())
        run = SavedRun(self.title, prompt, (), self._text(prompt))
        return replace(self._replayed(now, run), notice=Notice(), guesses=Guesses())

    def _replayed(self, now: Desk, run: SavedRun) -> Desk:
        """Take the tokens of a saved run, and say where this machine draws others."""
        tokens = [step.token for step in run.steps]
        if self._text(run.prompt, tokens) != run.text:
            what = f"this run was saved with the model {run.model!r}"
            why = f"whose tokens are not those of {self.title!r}"
            raise InputError(f"{what}, {why}; open it with that model")
        if self._first_processors and run.prompt != self._prompt():
            what = "the grammar or processor of this panel belongs to its own prompt"
            raise InputError(f"{what}; for another prompt, make a panel without it")
        before = self._branches, self._model.scores, self._step, self._step_rest
        try:
            stepper = Stepper(self._model, np.array(run.prompt, np.int64))
            stepper.lock = self.lock  # whoever waits for it waits for the new one, too
            self._branches, self._model.scores = Branches(stepper), {}
            self._step = self._step_rest = None
            _ = stepper.logits  # if it fails then in here
            now, differences = self._steps_again(now, run.steps)
        except BaseException:
            self._branches, self._model.scores, self._step, self._step_rest = before
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
        began = self._looking.clock()
        found = self.distribution(now)
        u = None if how == "chosen" else found.draw.u
        made = Made(self._score(token, found), how, u, now.sampling, now.seed)
        run = self._branches.append(token if how == "chosen" else None, made)
        self._step, self._step_rest = (began, run), None
        return now

    def _rest_of_step(self) -> float | None:
        """Return `rest` of a snapshot; what the first page after a step gets stays."""
        if self._step and self._step_rest is None:
            began, run = self._step
            own = 0 if run.kept else run.seconds  # a kept guess needs no run of its own
            self._step_rest = self._looking.clock() - began - own
        return self._step_rest

    def _settings_to_stepper(self, desk: Desk) -> None:
        usual = _processors(desk.sampling, self.stepper.prompt_length)
        self.stepper.processors = (*self._first_processors, *usual)
        self.stepper.seed = desk.seed
        self.stepper.guesser = NGrams() if desk.is_speculating else None

    def _score(self, token: int, found: Distribution) -> watched.Score:
        listed = {row.token: row.score for row in found.rows}
        return listed.get(token) or watched.scores(found.draw.rows[0], [token])[0]

    def _prompt(self) -> tuple[int, ...]:
        return tuple(self.stepper.tokens[: self.stepper.prompt_length].tolist())

    def _text(self, *parts: Sequence[int]) -> str:
        ids = [token for part in parts for token in part]
        return self.tokenizer.decode(ids, show_special=True)


@lru_cache(maxsize=1)  # asked for several times in each step
def _processors(sampling: Sampling, start: int) -> tuple[Processor, ...]:
    return sampling.processors(start)


def _begun(now: Desk, _value: object) -> Desk:
    return replace(now, running=True, remaining=LIMITS[now.limit])


def _toggled(now: Desk, name: str, **others: Any) -> Desk:  # noqa: ANN401 - of its fields
    others[name] = not getattr(now, name)
    return replace(now, **others)


def _one_of(known: Iterable[str], wanted: object) -> str:
    names = [*known]
    if wanted not in names:
        raise InputError(f"{wanted!r} is not one of {', '.join(names)}")
    return str(wanted)
