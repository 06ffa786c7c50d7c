from __future__ import annotations

import copy
import itertools
import sys
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import toy_model
from toy_model import TOYS, GrownToy, SharedToy, ToyModel, replayed

from llm_walkthrough import branch as branch_module
from llm_walkthrough import kv_cache as cache_module
from llm_walkthrough import stepper as stepper_module
from llm_walkthrough.branch import Step
from llm_walkthrough.errors import InputError, StaleCacheError
from llm_walkthrough.sampling import (
    Processor,
    Temperature,
    TopK,
    TopP,
    pick,
    process,
    softmax,
    uniform,
)
from llm_walkthrough.stepper import EndTokens, Stepper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from _typeshed import TraceFunction

    from llm_walkthrough.arrays import Logits, TokenIds

VOCAB = 23
PROMPT = np.array([3, 1, 4, 1, 5])
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

    def step(self, token: int | None = None) -> None:
        self._require_room(1)
        context, u = np.array(self.told.tokens), None
        if token is None and self.processors == (Stretches(),):
            token = Stretches().forced(context)
            logits = None if token is not None else self.logits
        else:
            logits = self.logits
        if token is None:
            assert logits is not None
            u = self.u
            token = pick(softmax(process(logits, context, self.processors)), u)
        assert token is not None
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
        else:
            getattr(target, name)(*args)
    except InputError:
        return "refused"
    return "done"


def assert_same_place(stepper: Stepper, oracle: Oracle) -> None:
    told = oracle.told
    assert stepper.active == oracle.active
    assert stepper.tokens.tolist() == told.tokens
    assert [(s.position, s.token, s.u) for s in stepper.steps] == told.steps
    assert stepper.u == oracle.u


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


def random_call(chance: np.random.Generator, oracle: Oracle) -> Call:
    forced = int(chance.integers(VOCAB))
    own_u = None if chance.random() < 0.3 else float(chance.random())
    branch = int(chance.integers(len(oracle.branches)))
    calls: list[tuple[int, Call]] = [
        (24, ("step", ())),
        (6, ("step", (forced,))),
        (16, ("undo", (int(chance.choice([0, 1, 1, 1, 2, 5, 9, 20])),))),
        (6, ("extend", (chance.integers(VOCAB, size=chance.integers(1, 12)),))),
        (6, ("set_u", (own_u,))),
        (4 if len(oracle.branches) < 9 else 0, ("fork", ())),
        (16, ("switch", (branch,))),
        (2, ("drop", (branch,))),
        (20, ("look", ())),
    ]
    weights = np.array([weight for weight, _ in calls])
    return calls[chance.choice(len(calls), p=weights / weights.sum())][1]


def play(model: ToyModel, seed: int, num_calls: int) -> None:
    """Make random calls on a stepper and on the oracle, and compare after each."""
    chance = np.random.default_rng(seed)
    stepper, oracle = Stepper(model, PROMPT), Oracle(PROMPT, model.capacity)
    settings: list[tuple[Processor, ...]] = [(), (TopK(1),), (TopP(0.7),)]
    settings.append((Stretches(),))
    for _ in range(num_calls):
        if chance.random() < 0.05:
            stepper.processors = oracle.processors = settings[chance.integers(4)]
            stepper.seed = oracle.seed = int(chance.integers(3))
        name, args = random_call(chance, oracle)
        assert call(stepper, name, *args) == call(oracle, name, *args)
        assert_same_place(stepper, oracle)
        if name in ("look", "switch", "undo") and chance.random() < 0.6:
            assert_same_logits(stepper, oracle)
    assert_same_everywhere(stepper, oracle)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("small")
def test_any_sequence_of_calls_gives_the_logits_of_a_cacheless_replay_to_the_bit(
    toy: ToyModel, seed: int
) -> None:
    toy.capacity = 70
    play(toy, seed, 350)


def test_the_same_holds_with_chunks_and_memory_of_full_size(toy: ToyModel) -> None:
    play(toy, 99, 400)


# --- one step after the other -----------------------------------------------------


def test_the_cache_gives_the_logits_of_a_run_without_one(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    for _ in range(9):
        stepper.step()
    cacheless = Stepper(toy, stepper.tokens)
    np.testing.assert_allclose(stepper.logits, cacheless.logits, atol=1e-3)


def test_both_caches_give_the_same_bits() -> None:
    grown, shared = Stepper(GrownToy(), PROMPT), Stepper(SharedToy(), PROMPT)
    for _ in range(30):
        assert grown.step() == shared.step()
    np.testing.assert_array_equal(grown.logits, shared.logits)


def test_a_step_tells_place_token_and_luck(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT, processors=[Temperature(0.5)], seed=7)
    processed = stepper.probabilities
    step = stepper.step()
    assert (step.position, step.u) == (5, uniform(7, 5))
    assert step.token == pick(processed, uniform(7, 5))
    assert stepper.tokens.tolist() == [*PROMPT, step.token]


def test_prefill_is_one_run_and_each_step_one_more(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    assert toy.num_runs == 0
    for _ in range(3):
        stepper.step()
    assert [run.tokens.tolist() for run in stepper.runs[:2]] == [
        PROMPT.tolist(),
        [stepper.steps[0].token],
    ]
    assert [run.start for run in stepper.runs] == [0, 5, 6]
    assert toy.num_runs == 3


def test_a_prompt_longer_than_a_chunk_runs_in_chunks(toy: ToyModel) -> None:
    toy.capacity = 700
    prompt = np.arange(600) % VOCAB
    stepper = Stepper(toy, prompt)
    expected = replayed(tuple(prompt.tolist()), (256, 512, 600), VOCAB)
    np.testing.assert_array_equal(stepper.logits, expected)
    assert [len(run.tokens) for run in stepper.runs] == [256, 256, 88]


def test_a_second_turn_is_run_on_the_same_cache(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.extend(np.array([9, 8]))
    np.testing.assert_array_equal(
        stepper.logits, replayed(tuple(stepper.tokens.tolist()), (5, 8), VOCAB)
    )


def test_a_forced_token_is_taken_and_nothing_drew_it(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT, processors=[TopK(1)])
    unlikely = int(stepper.logits.argmin())
    step = stepper.step(unlikely)
    assert (step.token, step.u) == (unlikely, None)
    assert stepper.tokens[-1] == unlikely


def test_tokens_without_a_choice_are_taken_without_a_run_and_then_run_together(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, np.arange(9), processors=[Stretches()])
    steps = [stepper.step() for _ in range(4)]
    assert [step.u is None for step in steps] == [True, True, True, False]
    assert [(run.start, run.stop) for run in stepper.runs] == [(0, 12)]
    assert [step.token for step in steps[:3]] == [9 * 5 % 23, 10 * 5 % 23, 11 * 5 % 23]


def test_looking_at_the_logits_on_the_way_changes_no_token(toy: ToyModel) -> None:
    blind, looking = (Stepper(toy, PROMPT, processors=[Stretches()]) for _ in "ab")
    for _ in range(5):  # up to the first choice: then the runs were split differently
        _ = looking.probabilities
        assert blind.step().token == looking.step().token
    assert toy.num_runs > 2


def test_undo_into_a_stretch_makes_its_rest_unseen_and_runs_it_anew(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, np.arange(9), processors=[Stretches()])
    for _ in range(5):
        stepper.step()
    stepper.undo(3)
    assert (stepper.position, len(stepper.unseen)) == (11, 11)
    expected = replayed(tuple(stepper.tokens.tolist()), (11,), VOCAB)
    np.testing.assert_array_equal(stepper.logits, expected)


def test_a_token_may_be_forced_by_hand_where_another_must_come(toy: ToyModel) -> None:
    stepper = Stepper(toy, np.arange(9), processors=[Stretches()])
    assert stepper.step(3) == Step(9, 3, None)
    assert stepper.step().token == 10 * 5 % VOCAB


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


def test_processors_are_told_all_tokens_and_not_only_the_new(toy: ToyModel) -> None:
    contexts = []

    def spy(logits: Logits, context: TokenIds) -> Logits:
        contexts.append(context.tolist())
        return logits

    stepper = Stepper(toy, PROMPT, processors=[spy])
    first = stepper.step().token
    stepper.step()
    assert contexts == [[3, 1, 4, 1, 5], [3, 1, 4, 1, 5, first]]


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


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("u", lambda stepper: stepper.set_u(0.999)),
        ("seed", lambda stepper: setattr(stepper, "seed", 9)),
        ("processors", lambda stepper: setattr(stepper, "processors", (TopK(1),))),
        ("a list", lambda stepper: setattr(stepper, "processors", [TopK(1)])),
        ("a token more", lambda stepper: stepper.extend([1])),
        ("a step", lambda stepper: stepper.step(1)),
        ("a step less", lambda stepper: stepper.undo()),
        ("another branch", lambda stepper: stepper.switch(0)),
    ],
)
def test_a_draw_is_made_anew_and_never_taken_once_something_has_changed(
    toy: ToyModel, name: str, change: Callable[[Stepper], None]
) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.fork()
    stepper.step(7)
    shown = stepper.draw
    change(stepper)
    context, u = stepper.tokens, stepper.u
    expected = pick(stepper.probabilities, u)
    assert stepper.step() == Step(len(context), expected, u), name
    stepper.undo()
    fresh = stepper.draw
    assert fresh is not shown
    assert (fresh.context.tolist(), fresh.u) == (context.tolist(), u)
    assert fresh.token == expected


# --- going back -------------------------------------------------------------------


def test_undo_and_step_again_meet_the_same_luck_and_the_same_bits(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT, seed=3)
    first = [(stepper.logits, stepper.step()) for _ in range(50)]
    stepper.undo(50)
    second = [(stepper.logits, stepper.step()) for _ in range(50)]
    assert [step for _, step in first] == [step for _, step in second]
    for (old, _), (new, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(old, new)


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


def test_the_memory_for_undo_is_bounded(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    rows = []
    for _ in range(150):
        rows.append(weakref.ref(stepper.logits))
        stepper.step()
    assert sum(row() is not None for row in rows) <= 65


def test_the_memory_for_undo_is_bounded_over_all_branches(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    rows = []
    for _ in range(4):
        stepper.fork()
        for _ in range(40):
            rows.append(weakref.ref(stepper.logits))
            stepper.step()
    assert sum(row() is not None for row in rows) <= 65


def test_each_branch_repeats_a_run_whose_row_is_gone_to_the_bit(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    row = stepper.logits
    stepper.fork()
    for _ in range(90):
        stepper.step()
    for branch in (0, 1):
        stepper.switch(branch)
        stepper.undo(len(stepper.steps) - 1)
        np.testing.assert_array_equal(stepper.logits, row)
        assert [run.start for run in stepper.runs] == [0, 5]


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


def test_undo_of_a_step_takes_what_was_appended_after_it(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.step()
    stepper.extend(np.array([9, 8, 7]))
    stepper.undo()
    assert len(stepper.tokens) == 6
    stepper.undo(0)
    assert len(stepper.tokens) == 6


def test_a_number_set_by_hand_survives_undo_at_its_position_alone(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.set_u(0.875)
    stepper.step()
    assert stepper.u == uniform(0, 7)
    stepper.undo(2)
    assert stepper.u == uniform(0, 5)
    stepper.step()
    assert stepper.u == 0.875
    assert stepper.step().u == 0.875


# --- branches ---------------------------------------------------------------------


def test_two_branches_of_one_prefix_do_not_disturb_each_other(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    left, right = 0, stepper.fork()
    alone = {
        branch: [Stepper(type(toy)(), PROMPT, seed=branch)] for branch in (left, right)
    }
    for _, branch in itertools.product(range(5), (left, right)):
        stepper.switch(branch)
        stepper.seed = branch
        assert stepper.step() == alone[branch][0].step()
        np.testing.assert_array_equal(stepper.logits, alone[branch][0].logits)
    assert stepper.branches == (alone[left][0].steps, alone[right][0].steps)


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


def test_a_fork_begins_as_its_branch_is_and_leaves_it_alone(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    stepper.step()
    stepper.set_u(0.5)
    steps = stepper.steps
    assert stepper.fork() == stepper.active == 1
    assert (stepper.steps, stepper.u) == (steps, 0.5)
    stepper.set_u(0.75)
    stepper.undo()
    assert stepper.branches == (steps, ())
    stepper.switch(0)
    assert (stepper.steps, stepper.u) == (steps, 0.5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_tree_of_branches_is_the_same_in_any_order_of_visits(
    toy: ToyModel, order: tuple[int, ...]
) -> None:
    stepper, oracle = Stepper(toy, PROMPT), Oracle(PROMPT)
    deep: list[Call] = [("step", (7,)), ("step", ()), ("look", ()), ("fork", ())]
    for name, args in [*deep, ("undo", (1,)), *deep, ("undo", (2,)), *deep]:
        call(stepper, name, *args)
        call(oracle, name, *args)
    for branch, name in itertools.product(order, ("look", "step", "look", "undo")):
        for target in (stepper, oracle):
            call(target, "switch", branch)
            call(
                target,
                name,
                *([3] if name == "step" else [1] if name == "undo" else []),
            )
        assert_same_logits(stepper, oracle)
    assert_same_everywhere(stepper, oracle)


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


def test_a_handle_of_the_shared_buffer_is_stale_once_another_way_is_gone() -> None:
    stepper = Stepper(SharedToy(), PROMPT)
    stepper.step()
    assert len(stepper.logits) == VOCAB
    handle = stepper.cache
    stepper.undo()
    handle.arrays()
    stepper.step(2)
    assert len(stepper.logits) == VOCAB
    with pytest.raises(StaleCacheError, match="row 5 was overwritten"):
        handle.arrays()


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


def test_rules_are_told_the_tokens_after_the_prompt(toy: ToyModel) -> None:
    told = []

    def three(new_tokens: TokenIds) -> bool:
        told.append(len(new_tokens))
        return len(new_tokens) == 3

    stepper = Stepper(toy, PROMPT)
    assert len(list(stepper.run(9, {"three": three}))) == 3
    assert (stepper.stop_reason, told) == ("three", [1, 2, 3])


def test_a_rule_that_stops_at_the_limit_is_the_reason(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    list(stepper.run(2, {"two": lambda new: len(new) == 2}))
    assert stepper.stop_reason == "two"


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


def test_a_run_that_is_left_has_no_stop_reason_and_can_go_on(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    list(stepper.run(1))
    for _ in stepper.run(9):
        break
    assert stepper.stop_reason is None
    assert len(list(stepper.run(2))) == 2
    assert len(stepper.new_tokens) == 4


def test_no_end_token_among_no_tokens() -> None:
    assert not EndTokens((2,))(np.array([], np.int64))
    assert EndTokens((2, 7))(np.array([1, 7]))
    assert not EndTokens((2, 7))(np.array([7, 1]))


# --- snapshots --------------------------------------------------------------------


def test_what_is_returned_can_neither_be_written_to_nor_changes_later(
    toy: ToyModel,
) -> None:
    prompt = PROMPT.copy()
    stepper = Stepper(toy, prompt)
    prompt[:] = 0
    tokens, logits, steps, runs = (
        stepper.tokens,
        stepper.logits,
        stepper.steps,
        stepper.runs,
    )
    copies = (tokens.copy(), logits.copy())
    stepper.step()
    stepper.undo()
    stepper.step(4)
    assert (len(steps), len(runs)) == (0, 1)
    np.testing.assert_array_equal(tokens, PROMPT)
    np.testing.assert_array_equal(logits, copies[1])
    for array in (tokens, logits, stepper.new_tokens, runs[0].tokens):
        assert not array.flags.writeable


def test_a_dropped_branch_is_gone_and_the_others_move_up(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    for _ in range(3):
        stepper.step()
        stepper.fork()
    ways = stepper.branches
    stepper.switch(2)
    stepper.drop(0)
    assert stepper.branches == ways[1:]
    assert stepper.active == 1
    stepper.drop(2)
    assert stepper.branches == ways[1:3]
    assert stepper.active == 1


# --- threads and interrupts -------------------------------------------------------


def test_reset_leaves_the_prompt_alone_and_the_logits_after_it(toy: ToyModel) -> None:
    stepper = Stepper(toy, PROMPT)
    first = stepper.logits
    number = stepper.u
    stepper.set_u(0.5)
    stepper.step()
    stepper.fork()
    stepper.extend(np.array([2, 8]))
    assert [tokens.tolist()[6:] for tokens in stepper.branch_tokens] == [[], [2, 8]]
    stepper.reset()
    assert stepper.tokens.tolist() == PROMPT.tolist()
    assert (stepper.branches, stepper.active, stepper.u) == (((),), 0, number)
    before = toy.num_runs
    np.testing.assert_array_equal(stepper.logits, first)
    assert toy.num_runs == before


def test_threads_may_step_go_back_switch_and_look_at_the_same_time(
    toy: ToyModel,
) -> None:
    stepper, failures = Stepper(toy, PROMPT), list[BaseException]()
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
        logits, stops = stepper.logits, tuple(run.stop for run in stepper.runs)
        np.testing.assert_array_equal(
            logits, replayed(tuple(stepper.tokens.tolist()), stops, VOCAB)
        )


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
}  # fmt: skip
"""They change nothing: a stop in them is a stop at the line that calls them."""


def interrupted_at_line(act: Callable[[], object], line: int) -> bool:
    """Press stop before the `line`-th line that `act` runs; was there such a line?"""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction | None:
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
    "step": [("step", ()), ("step", (4,))],
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
        (
            [1, 23],
            "token id 23 is not in 0 … 22; encode the text with the token",
        ),
        ([-1], "token id -1 is not in 0 … 22; encode the text"),
        ([1.5], r"token ids must be whole numbers in one row, got \[1.5\]; encode"),
        ([[1]], r"token ids must be whole numbers in one row, got \[\[1\]\]; encode"),
        ("Hello", "token ids must be whole numbers in one row, got 'Hello'; encode"),
        ([2**70], "token ids must be whole numbers in one row, got"),
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
        ("step", (-1,), "token id -1 is not in 0 … 22"),
        ("step", (1.5,), "whole numbers in one row, got"),
        ("step", ("the",), "whole numbers in one row, got"),
        ("extend", ([],), "there are no tokens; give a text that is not empty"),
        ("extend", ([4, 99],), "token id 99 is not in 0 … 22"),
        (
            "extend",
            ([4] * 99,),
            "6 of 20 places in the context are taken: no room for 100 more",
        ),
        ("undo", (2,), "undo takes back 0 … 1 steps here, got 2; the prompt stays"),
        ("undo", (-1,), "undo takes back 0 … 1 steps here, got -1; the prompt stays"),
        ("undo", (0.5,), "undo takes back 0 … 1 steps here, got 0.5"),
        ("switch", (2,), r"branch must be 0 … 1, got 2; fork\(\) makes another"),
        ("switch", (-1,), "branch must be 0 … 1, got -1"),
        ("switch", (0.5,), "branch must be 0 … 1, got 0.5"),
        ("drop", (1,), r"can be dropped are \[0\], got 1; switch\(\) away from"),
        ("drop", (2,), r"can be dropped are \[0\], got 2"),
        ("set_u", (1.0,), "at least 0 and below 1, got 1.0; None gives the seed's"),
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


def test_a_negative_seed_is_refused_at_the_step_and_nothing_is_lost(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT, seed=-1)
    with pytest.raises(InputError, match="seed must be 0 or more, got -1"):
        stepper.step()
    stepper.seed = 1
    assert stepper.step() == Stepper(toy, PROMPT, seed=1).step()


def test_logits_that_leave_no_token_stop_the_step_and_nothing_is_lost(
    toy: ToyModel,
) -> None:
    stepper = Stepper(toy, PROMPT, processors=[lambda row, _: row - np.float32(np.inf)])
    with pytest.raises(InputError, match="no token is left to choose from"):
        stepper.step()
    stepper.processors = ()
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
