from __future__ import annotations

import copy
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import toy_model
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from toy_model import TOYS, GrownToy, SharedToy, ToyModel, rebuilt, replayed

from llm_walkthrough import branch as branch_module
from llm_walkthrough import kv_cache as cache_module
from llm_walkthrough import speculation as speculation_module
from llm_walkthrough import stepper as stepper_module
from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.branch import Step
from llm_walkthrough.errors import InputError, StaleCacheError
from llm_walkthrough.sampling import (
    Processor,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    pick,
    process,
    softmax,
    uniform,
)
from llm_walkthrough.speculation import Guesser
from llm_walkthrough.stepper import EndTokens, Stepper

VOCAB = 23
PROMPT = np.array([3, 1, 4, 1, 5])
STEADY = settings(  # the same examples on every machine, and none on disk
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
Call = tuple[str, tuple[Any, ...]]  # the name of a method and its arguments


@pytest.fixture(params=TOYS)
def toy(request: pytest.FixtureRequest) -> ToyModel:
    model: ToyModel = request.param()
    return model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks and the memory for undo so small that a short test meets both."""
    monkeypatch.setattr(stepper_module, "CHUNK", 4)
    monkeypatch.setattr(branch_module, "KEPT_LOGITS", 2)


@dataclass(frozen=True)
class Stretches:
    """Leaves one token alone at some places in a row, and says so beforehand."""

    def forced(self, context: TokenIds) -> int | None:
        position = len(context)
        return position * 5 % VOCAB if position % 7 in (2, 3, 4) else None

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        token = self.forced(context)
        if token is None:
            return logits
        alone = np.full_like(logits, -np.inf)
        alone[token] = logits[token]
        return alone


SETTINGS: tuple[tuple[Processor, ...], ...] = (
    (), (TopK(1),), (TopP(0.7),), (RepetitionPenalty(1.5), TopP(0.9)), (Stretches(),),
)  # fmt: skip


# --- an oracle --------------------------------------------------------------------


@dataclass
class Told:
    """One branch as lists: no cache, and logits computed anew from the first token."""

    tokens: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    steps: list[tuple[int, int, float | None]] = field(default_factory=list)
    own_u: dict[int, float] = field(default_factory=dict)

    def logits(self) -> Logits:
        while (seen := max(self.stops, default=0)) < len(self.tokens):
            self.stops.append(min(len(self.tokens), seen + stepper_module.CHUNK))
        return replayed(tuple(self.tokens), tuple(self.stops), VOCAB)


class Oracle:
    """What a stepper must do, with the same calls."""

    def __init__(self, prompt: TokenIds, capacity: int = 400) -> None:
        self.branches = [Told([int(token) for token in prompt])]
        self.active = 0
        self.capacity = capacity
        self.processors: tuple[Processor, ...] = ()
        self.seed = 0

    @property
    def told(self) -> Told:
        return self.branches[self.active]

    @property
    def logits(self) -> Logits:
        return self.told.logits()

    @property
    def u(self) -> float:
        position = len(self.told.tokens)
        return self.told.own_u.get(position, uniform(self.seed, position))

    @property
    def drawn(self) -> int:
        context = np.array(self.told.tokens)
        return pick(softmax(process(self.logits, context, self.processors)), self.u)

    def step(self, token: int | None = None) -> None:
        self._require_room(1)
        forced, u = None, None
        if token is None and self.processors == (Stretches(),):
            forced = token = Stretches().forced(np.array(self.told.tokens))
        if forced is None:
            _ = self.logits  # all other tokens are chosen after a look
        if token is None:
            token, u = self.drawn, self.u
        self.told.steps.append((len(self.told.tokens), token, u))
        self.told.tokens.append(token)

    def extend(self, tokens: TokenIds) -> None:
        self._require_room(len(tokens) + 1)
        self.told.tokens += [int(token) for token in tokens]

    def undo(self, count: int) -> None:
        if count > len(self.told.steps):
            raise InputError
        length = self.told.steps[-count][0] if count else len(self.told.tokens)
        del self.told.tokens[length:]
        del self.told.steps[len(self.told.steps) - count :]
        self.told.stops = [stop for stop in self.told.stops if stop <= length]

    def set_u(self, u: float | None) -> None:
        self.told.own_u.pop(len(self.told.tokens), None)
        if u is not None:
            self.told.own_u[len(self.told.tokens)] = u

    def fork(self) -> None:
        _ = self.logits  # what is unseen is run before
        self.branches.append(copy.deepcopy(self.told))
        self.active = len(self.branches) - 1

    def switch(self, branch: int) -> None:
        self.active = branch

    def drop(self, branch: int) -> None:
        if branch == self.active:
            raise InputError
        del self.branches[branch]
        self.active -= branch < self.active

    def reset(self) -> None:
        length = len(PROMPT)
        kept = [stop for stop in self.told.stops if stop <= length]
        self.branches = [Told(self.told.tokens[:length], stops=kept)]
        self.active = 0

    def _require_room(self, count: int) -> None:
        if len(self.told.tokens) + count > self.capacity:
            raise InputError


def call(target: Stepper | Oracle, name: str, *args: object) -> str:
    """Call a method of either, or look at its logits; tell if the input was refused."""
    try:
        if name == "look":
            _ = target.logits
        elif name == "show":
            _ = target.draw if isinstance(target, Stepper) else target.drawn
        else:
            getattr(target, name)(*args)
    except InputError:
        return "refused"
    return "done"


def assert_same_place(stepper: Stepper, oracle: Oracle) -> None:
    assert (stepper.active, stepper.u) == (oracle.active, oracle.u)
    steps = [[(s.position, s.token, s.u) for s in each] for each in stepper.branches]
    assert steps == [told.steps for told in oracle.branches]
    tokens = [tokens.tolist() for tokens in stepper.branch_tokens]
    assert tokens == [told.tokens for told in oracle.branches]


def assert_same_logits(stepper: Stepper, oracle: Oracle) -> None:
    np.testing.assert_array_equal(stepper.logits, oracle.logits)
    assert [run.stop for run in stepper.runs] == oracle.told.stops


def assert_same_everywhere(stepper: Stepper, oracle: Oracle) -> None:
    assert len(stepper.branches) == len(oracle.branches)
    order = list(range(len(oracle.branches)))
    for branch in order + order[::-1]:
        stepper.switch(branch)
        oracle.switch(branch)
        assert_same_place(stepper, oracle)
        assert_same_logits(stepper, oracle)


# --- any sequence of calls ------------------------------------------------------------


class RandomCalls(RuleBasedStateMachine):
    """The same calls on a stepper and on the oracle, which are compared after each."""

    kind: type[ToyModel]
    capacity: int

    def __init__(self) -> None:
        super().__init__()
        self.stepper = Stepper(self.kind(capacity=self.capacity), PROMPT)
        self.oracle = Oracle(PROMPT, self.capacity)

    @classmethod
    def play(cls, kind: type[ToyModel], capacity: int, steady: settings) -> None:
        this = type(cls.__name__, (cls,), {"kind": kind, "capacity": capacity})
        run_state_machine_as_test(this, settings=steady)

    def both(self, name: str, *args: object) -> None:
        assert call(self.stepper, name, *args) == call(self.oracle, name, *args)

    @rule(token=st.integers(0, VOCAB - 1))
    def step_by_hand(self, token: int) -> None:
        self.both("step", token)

    @rule(count=st.sampled_from([1, 1, 1, 2, 9]))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.both("step")

    @rule(count=st.integers(0, 20))
    def undo(self, count: int) -> None:
        self.both("undo", count)

    @rule(tokens=st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12))
    def extend(self, tokens: list[int]) -> None:
        self.both("extend", tokens)

    @rule(u=st.none() | st.floats(0, 1, exclude_max=True))
    def set_u(self, u: float | None) -> None:
        self.both("set_u", u)

    @rule(processors=st.sampled_from(SETTINGS), seed=st.integers(0, 2))
    def set_processors(self, processors: tuple[Processor, ...], seed: int) -> None:
        for one in (self.stepper, self.oracle):
            one.processors, one.seed = processors, seed

    @precondition(lambda self: len(self.oracle.branches) < 6)
    @rule()
    def fork(self) -> None:
        self.both("fork")

    @rule(number=st.integers(0, 5))
    def switch(self, number: int) -> None:
        self.both("switch", number % len(self.oracle.branches))

    @rule(number=st.integers(0, 5))
    def drop(self, number: int) -> None:
        self.both("drop", number % len(self.oracle.branches))

    @rule()
    def reset(self) -> None:
        self.both("reset")

    @rule()
    def look(self) -> None:
        assert_same_logits(self.stepper, self.oracle)

    @rule()
    def show_draw(self) -> None:
        assert self.stepper.draw.token == self.oracle.drawn

    @invariant()
    def compare(self) -> None:
        assert_same_place(self.stepper, self.oracle)

    def teardown(self) -> None:
        assert_same_everywhere(self.stepper, self.oracle)


class RandomGuesses(RandomCalls):
    """The same with guesses, of which some are right; then runs are split otherwise.

    So the last bits of the logits differ from the oracle's, and no token does.
    """

    wrong_every = 3

    def __init__(self) -> None:
        super().__init__()
        self.stepper.guesser = self.guess

    def guess(self, tokens: TokenIds, most: int) -> list[int]:
        knowing = Oracle(tokens, self.capacity)
        knowing.processors, knowing.seed = self.oracle.processors, self.oracle.seed
        for _ in range(min(most, self.capacity - len(tokens))):
            knowing.step()
        places = enumerate(knowing.told.tokens[len(tokens) :], len(tokens))
        return [(t + (place % self.wrong_every == 0)) % VOCAB for place, t in places]

    @rule(wrong_every=st.sampled_from([1, 2, 3, 4, 99]))
    def turn(self, wrong_every: int) -> None:
        self.wrong_every = wrong_every

    @rule()
    def look(self) -> None:
        assert_logits_of_the_runs(self.stepper)

    def teardown(self) -> None:
        for branch in (*range(len(self.oracle.branches)), 0):
            self.stepper.switch(branch)
            self.oracle.switch(branch)
            assert_same_place(self.stepper, self.oracle)
            assert_logits_of_the_runs(self.stepper)


def assert_logits_of_the_runs(stepper: Stepper) -> None:
    logits = stepper.logits
    assert stepper.cache.length == stepper.position
    np.testing.assert_array_equal(logits, rebuilt(stepper.runs, VOCAB))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", TOYS)
def test_with_guesses_any_sequence_of_calls_takes_the_steps_of_the_plain_loop(
    kind: type[ToyModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation_module, "how_many", lambda _unseen, _runs: 5)
    monkeypatch.setattr(branch_module, "KEPT_LOGITS", 7)
    RandomGuesses.play(kind, 70, STEADY)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", TOYS)
def test_any_sequence_of_calls_gives_the_logits_of_a_cacheless_replay_to_the_bit(
    kind: type[ToyModel],
) -> None:
    RandomCalls.play(kind, 70, STEADY)


@pytest.mark.parametrize("kind", TOYS)
def test_the_same_holds_with_chunks_and_memory_of_full_size(
    kind: type[ToyModel],
) -> None:
    RandomCalls.play(
        kind, 400, settings(STEADY, max_examples=9, stateful_step_count=90)
    )


# --- one step after the other -----------------------------------------------------


def test_prefill_is_one_run_and_each_step_one_more(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    assert toy.num_runs == 0
    for _ in range(3):
        stepper.step()
    prefill, decode, _ = stepper.runs
    assert prefill.tokens.tolist() == PROMPT.tolist()
    assert decode.tokens.tolist() == [stepper.steps[0].token]
    assert [run.start for run in stepper.runs] == [0, 5, 6]
    assert toy.num_runs == 3


def test_tokens_without_a_choice_are_taken_without_a_run_and_then_run_together(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, np.arange(9), processors=[Stretches()])
    steps = [stepper.step() for _ in range(4)]
    assert [step.u is None for step in steps] == [True, True, True, False]
    assert [(run.start, run.stop) for run in stepper.runs] == [(0, 12)]
    assert [step.token for step in steps[:3]] == [9 * 5 % 23, 10 * 5 % 23, 11 * 5 % 23]


def test_changing_how_a_token_is_drawn_runs_nothing(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    before = stepper.probabilities
    stepper.processors = (TopK(3),)
    stepper.seed = 5
    stepper.set_u(0.25)
    assert np.count_nonzero(stepper.probabilities) == 3 < np.count_nonzero(before)
    assert stepper.u == 0.25
    stepper.set_u(None)
    assert stepper.u == uniform(5, 5)
    assert toy.num_runs == 1


def test_a_step_takes_the_draw_that_was_shown_and_computes_nothing_again(
    toy: ToyModel,
) -> None:
    calls = []

    def spy(logits: Logits, _context: TokenIds) -> Logits:
        calls.append(1)
        return logits

    stepper = Stepper(toy, PROMPT, processors=[spy, Temperature(0.5), TopP(0.9)])
    shown = stepper.draw
    assert stepper.draw is shown
    assert stepper.step() == Step(5, shown.token, shown.u)
    assert len(calls) == 1
    np.testing.assert_array_equal(shown.context, PROMPT)
    np.testing.assert_array_equal(shown.probabilities, softmax(shown.rows[-1]))
    assert [np.count_nonzero(row > -np.inf) for row in shown.rows[:3]] == [VOCAB] * 3
    assert not shown.probabilities.flags.writeable


# --- going back -------------------------------------------------------------------


def test_undo_within_the_kept_rows_runs_nothing(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    rows = [stepper.logits]
    for _ in range(100):
        stepper.step()
        rows.append(stepper.logits)
    runs = toy.num_runs
    stepper.undo(63)
    np.testing.assert_array_equal(stepper.logits, rows[37])
    assert toy.num_runs == runs


def test_undo_past_the_kept_rows_repeats_one_run_to_the_bit(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.extend(np.array([9, 8, 7]))  # these four will have run together
    row = stepper.logits
    for _ in range(90):
        stepper.step()
    runs = toy.num_runs
    stepper.undo(90)
    assert toy.num_runs == runs
    np.testing.assert_array_equal(stepper.logits, row)
    np.testing.assert_array_equal(stepper.logits, row)
    assert toy.num_runs == runs + 1


def test_the_logits_of_the_prompt_are_kept_for_good(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    row = stepper.logits
    for _ in range(150):
        stepper.step()
    runs = toy.num_runs
    stepper.undo(150)
    np.testing.assert_array_equal(stepper.logits, row)
    assert toy.num_runs == runs


def test_the_memory_for_undo_is_bounded_over_all_branches(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    rows = []
    for _ in range(4):
        stepper.fork()
        for _ in range(40):
            rows.append(weakref.ref(stepper.logits))
            stepper.step()
    assert sum(row() is not None for row in rows) <= 65


def test_the_history_of_runs_grows_with_the_tokens_and_not_with_their_square(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT)
    for _ in range(100):
        stepper.step()
    held = [
        run.tokens if run.tokens.base is None else run.tokens.base
        for run in stepper.runs
    ]
    assert sum(array.nbytes for array in held) == stepper.tokens[:-1].nbytes


# --- branches ---------------------------------------------------------------------


def test_a_fork_runs_what_is_unseen_so_that_both_branches_share_it(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.fork()
    assert toy.num_runs == 1
    rows = []
    for branch in (0, 1, 0):
        stepper.switch(branch)
        rows.append(stepper.logits)
    assert rows[0] is rows[1] is rows[2]
    stepper.step()
    stepper.fork()
    assert stepper.logits is stepper.logits
    assert toy.num_runs == 2


def test_going_back_to_a_branch_runs_nothing(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.fork()
    stepper.step()
    row = stepper.logits
    stepper.switch(0)
    stepper.step(2)
    assert stepper.logits is not row
    runs = toy.num_runs
    stepper.switch(1)
    np.testing.assert_array_equal(stepper.logits, row)
    assert stepper.cache.length == len(stepper.tokens)
    assert toy.num_runs == runs


# --- run --------------------------------------------------------------------------


def test_run_makes_the_steps_that_stepping_makes(toy: ToyModel) -> None:
    by_hand = Stepper(toy, PROMPT, seed=1)
    expected = [by_hand.step() for _ in range(6)]
    stepper = Stepper(toy, PROMPT, seed=1)
    assert list(stepper.run(6)) == expected
    assert stepper.stop_reason == "limit"


def test_a_rule_stops_the_run_and_its_name_is_told_with_the_last_step(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT)
    third = Stepper(toy, PROMPT)
    wanted = [third.step().token for _ in range(3)][-1]
    rules = {"never": EndTokens(()), "end token": EndTokens((wanted,))}
    reasons = [stepper.stop_reason for _ in stepper.run(20, rules)]
    assert reasons[-1] == "end token"
    assert set(reasons[:-1]) == {None}
    assert stepper.tokens[-1] == wanted


def test_a_run_that_was_left_goes_on_and_a_rule_goes_before_the_limit(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT)
    next(stepper.run(9))
    reasons = [stepper.stop_reason]
    list(stepper.run(2, {"three": lambda new_tokens: len(new_tokens) == 3}))
    reasons.append(stepper.stop_reason)
    assert (reasons, len(stepper.new_tokens)) == ([None, "three"], 3)


def test_a_run_ends_where_the_context_is_full(toy: ToyModel) -> None:
    toy.capacity = 8
    stepper = Stepper(toy, PROMPT)
    assert len(list(stepper.run(9))) == 3
    assert stepper.stop_reason == "context full"
    assert len(stepper.logits) == VOCAB
    with pytest.raises(InputError, match="8 of 8 places in the context are taken"):
        stepper.step()
    with pytest.raises(InputError, match="8 of 8 places"):
        next(stepper.run(1))
    assert stepper.stop_reason is None
    stepper.undo()
    stepper.step()
    assert len(stepper.tokens) == 8


# --- snapshots --------------------------------------------------------------------


def test_what_is_returned_can_neither_be_written_to_nor_changes_later(
    toy: ToyModel,
) -> None:
    prompt = PROMPT.copy()
    stepper = Stepper(toy, prompt)
    prompt[:] = 0
    tokens, logits = stepper.tokens, stepper.logits
    steps, runs = stepper.steps, stepper.runs
    copies = (tokens.copy(), logits.copy())
    stepper.step()
    stepper.undo()
    stepper.step(4)
    assert (len(steps), len(runs)) == (0, 1)
    np.testing.assert_array_equal(tokens, PROMPT)
    np.testing.assert_array_equal(logits, copies[1])
    for array in (tokens, logits, stepper.new_tokens, runs[0].tokens):
        assert not array.flags.writeable


# --- threads and interrupts -------------------------------------------------------


@pytest.mark.parametrize("guesser", [None, lambda tokens, most: tokens[-most:]])
def test_threads_may_step_go_back_switch_and_look_at_the_same_time(
    toy: ToyModel, guesser: Guesser | None
) -> None:
    stepper, failures = Stepper(toy, PROMPT, guesser=guesser), list[BaseException]()
    for _ in range(70):
        stepper.step()
    stepper.fork()

    def often(act: Callable[[], object]) -> None:
        try:
            for _ in range(60):
                act()
        except BaseException as error:  # noqa: BLE001 - a thread has no other way
            failures.append(error)

    other = itertools.cycle([0, 1])
    acts: list[Callable[[], object]] = [
        stepper.step,
        stepper.undo,
        lambda: stepper.switch(next(other)),
        lambda: (stepper.probabilities, stepper.u, stepper.unseen),
    ]
    threads = [threading.Thread(target=often, args=[act]) for act in acts]
    with switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert sum(len(steps) for steps in stepper.branches) == 140
    for branch in (0, 1):
        stepper.switch(branch)
        assert_logits_of_the_runs(stepper)


@contextmanager
def switching_often() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


SOURCES = {
    str(Path(str(module.__file__)).resolve())
    for module in (stepper_module, branch_module, cache_module, toy_model)
}
PURE = {
    "new_rows", "logits_after", "joined", "_row", "_digest", "<listcomp>",
    "tokens", "position", "unseen", "steps", "length", "capacity", "arrays",
    "require_fresh", "_length", "_cut", "_require_within", "read_only",
    "checked_tokens", "_require_room", "u", "_u_of", "after", "last", "stop", "entries",
    "seen", "runs",
}  # fmt: skip
"""They change nothing: a stop in them is a stop at the line that calls them."""


def interrupted_at_line(act: Callable[[], object], line: int) -> bool:
    """Press stop before the `line`-th line that `act` runs; was there such a line?"""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 - as sys wants it
        code = frame.f_code
        if code.co_filename not in SOURCES or code.co_name in PURE:
            return None
        if event == "line" and next(lines) == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


TREE: list[Call] = [
    ("step", ()), ("step", (6,)), ("look", ()), ("fork", ()),
    ("undo", (1,)), ("step", (9,)), ("step", ()), ("fork", ()),
    ("undo", (1,)), ("extend", (np.array([2, 8]),)), ("step", ()),
]  # fmt: skip
INTERRUPTED: dict[str, list[Call]] = {
    "step": [("step", ()), ("show", ()), ("step", ()), ("step", (4,))],
    "undo": [("undo", (1,)), ("undo", (2,)), ("look", ())],
    "long turn": [("extend", (np.arange(6),)), ("look", ())],
    "switch": [("switch", (0,)), ("look", ()), ("switch", (1,)), ("look", ())],
    "number": [("set_u", (0.5,)), ("set_u", (None,))],
    "fork": [("fork", ()), ("look", ())],
    "reset": [("set_u", (0.5,)), ("reset", ()), ("look", ())],
    "drop": [("drop", (0,)), ("look", ()), ("drop", (0,)), ("step", ())],
}


@pytest.mark.parametrize("name", INTERRUPTED)
@pytest.mark.usefixtures("small")
def test_a_call_that_is_interrupted_at_any_line_is_done_wholly_or_not_at_all(
    name: str,
) -> None:
    calls = INTERRUPTED[name]
    allowed = states(calls)
    for line in itertools.count():
        stepper = Stepper(SharedToy(), PROMPT)
        call_all(stepper, TREE)
        was_interrupted = interrupted_at_line(partial(call_all, stepper, calls), line)
        assert_same_everywhere(stepper, the_one_reached(stepper, allowed))
        if not was_interrupted:
            break
    assert line > 9


@pytest.mark.parametrize("name", ["step", "undo", "switch"])
@pytest.mark.usefixtures("small")
def test_an_interrupt_in_the_middle_of_guesses_does_no_harm_either(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation_module, "how_many", lambda _unseen, _runs: 3)
    calls = INTERRUPTED[name]
    allowed = states(calls)
    for line in itertools.count():
        stepper = Stepper(SharedToy(), PROMPT, guesser=guess_from(states([])[0]))
        call_all(stepper, TREE)
        was_interrupted = interrupted_at_line(partial(call_all, stepper, calls), line)
        the_one_reached(stepper, allowed)
        for branch in range(len(stepper.branches)):
            stepper.switch(branch)
            assert_logits_of_the_runs(stepper)
        if not was_interrupted:
            break
    assert line > 9


def guess_from(oracle: Oracle) -> Callable[[TokenIds, int], list[int]]:
    """Guess that a text goes on as on the branch where it is, or as it likes."""
    known = [told.tokens for told in oracle.branches]

    def guess(tokens: TokenIds, most: int) -> list[int]:
        size = len(tokens)
        same = [t for t in known if t[:size] == tokens.tolist() and t[size:]]
        return (same[0] if same else [1] * (size + most))[size : size + most]

    return guess


def call_all(stepper: Stepper, calls: list[Call]) -> None:
    for name, args in calls:
        call(stepper, name, *args)


def states(calls: list[Call]) -> list[Oracle]:
    """Give the oracle before the calls and after each of them."""
    oracle = Oracle(PROMPT)
    for name, args in TREE:
        call(oracle, name, *args)
    allowed = [copy.deepcopy(oracle)]
    for name, args in calls:
        call(oracle, name, *args)
        allowed.append(copy.deepcopy(oracle))
    return allowed


def the_one_reached(stepper: Stepper, allowed: list[Oracle]) -> Oracle:
    steps = [[(s.position, s.token, s.u) for s in each] for each in stepper.branches]
    place = (steps, stepper.active, stepper.tokens.tolist(), stepper.u)
    for oracle in allowed:
        told = [branch.steps for branch in oracle.branches]
        if place == (told, oracle.active, oracle.told.tokens, oracle.u):
            return copy.deepcopy(oracle)
    raise AssertionError(f"half of a call was done: {place}")


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "there are no tokens; give a text that is not empty"),
        ([1, 23], "token id 23 is not in 0 … 22; encode the text with the token"),
        ("Hello", "token ids must be whole numbers in one row, got 'Hello'; encode"),
        ([1] * 400, "0 of 400 places in the context are taken: no room for 401 more"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(
    prompt: TokenIds, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Stepper(GrownToy(), prompt)


def test_a_cache_that_is_not_empty_is_refused() -> None:
    model = SharedToy()
    used = Stepper(model, PROMPT)
    used.step()
    with pytest.raises(InputError, match="must be empty, got one with 5 tokens; give"):
        Stepper(model, PROMPT, cache=used.cache)
    begun_anew = Stepper(model, PROMPT, cache=used.cache.truncated(0))
    assert begun_anew.step() == used.steps[0]


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("step", (23,), "token id 23 is not in 0 … 22; encode the text"),
        ("step", ("the",), "whole numbers in one row, got"),
        ("extend", ([],), "there are no tokens; give a text that is not empty"),
        ("extend", ([4, 99],), "token id 99 is not in 0 … 22"),
        ("extend", ([4] * 99,), "6 of 20 places in the context are taken: no room for"),
        ("undo", (2,), "undo takes back 0 … 1 steps here, got 2; the prompt stays"),
        ("undo", (0.5,), "undo takes back 0 … 1 steps here, got 0.5"),
        ("switch", (2,), r"branch must be 0 … 1, got 2; fork\(\) makes another"),
        ("switch", (0.5,), "branch must be 0 … 1, got 0.5"),
        ("drop", (1,), r"can be dropped are \[0\], got 1; switch\(\) away from"),
        ("set_u", (1.0,), "at least 0 and below 1, got 1.0; draw another"),
        ("set_u", (-0.1,), "u must be at least 0 and below 1, got -0.1"),
        ("set_u", (float("nan"),), "u must be at least 0 and below 1, got nan"),
        ("run", (0,), "max_new_tokens must be at least 1, got 0; each step makes one"),
    ],
)
def test_bad_input_is_refused_with_a_clear_sentence_and_nothing_is_lost(
    toy: ToyModel, name: str, args: tuple[Any, ...], message: str
) -> None:
    toy.capacity = 20
    stepper, oracle = Stepper(toy, PROMPT), Oracle(PROMPT)
    for target in (stepper, oracle):
        call(target, "step", 4)
        call(target, "fork")
    with pytest.raises(InputError, match=message):
        getattr(stepper, name)(*args)
    assert_same_everywhere(stepper, oracle)


@pytest.mark.parametrize(
    ("name", "usual", "wrong", "message"),
    [
        ("seed", 0, -1, "seed must be 0 or more, got -1"),
        ("processors", (), [lambda row, _: row - np.inf], "no token is left to choose"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_step_and_nothing_is_lost(
    toy: ToyModel, name: str, usual: object, wrong: object, message: str
) -> None:
    stepper = Stepper(toy, PROMPT)
    setattr(stepper, name, wrong)
    with pytest.raises(InputError, match=message):
        stepper.step()
    setattr(stepper, name, usual)
    assert stepper.step() == Stepper(toy, PROMPT).step()


def test_a_buffer_that_another_stepper_writes_to_is_noticed() -> None:
    model = SharedToy()
    buffer = model.new_cache()
    first = Stepper(model, PROMPT, cache=buffer)
    first.step()
    second = Stepper(model, PROMPT, cache=buffer)
    second.step()
    with pytest.raises(StaleCacheError, match="row 0 was overwritten by another run"):
        first.step()
