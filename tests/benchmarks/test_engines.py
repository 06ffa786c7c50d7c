"""What is timed is the same work on both sides, between the same two points."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_folder import write_tiny_folder
from tiny_graph import PLAIN, write_model

from benchmarks import engines
from benchmarks.engines import (
    GREEDY,
    BareRun,
    Ours,
    Place,
    PlainLoop,
    measure_memory,
    seconds,
    time_answer,
    time_bare_run,
    time_mask,
    time_plain_loop,
)
from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import Sampling, TopK
from llm_walkthrough.stepper import Stepper

if TYPE_CHECKING:
    from llm_walkthrough.arrays import TokenIds

PROMPT = np.arange(10, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


class FakeEngine:
    """Takes 2 seconds for a prompt, and 0.5 for a step that runs the graph."""

    def __init__(self, _folder: Path, _threads: int) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def decoder(self, prompt: TokenIds, limit: int, _sampling: Sampling) -> FakeEngine:
        self.done.append(f"decoder for {len(prompt)} and {limit}")
        return self

    def read(self) -> None:
        self.done.append("read")
        self.now += 2

    def step(self) -> None:
        self.now += 0.0 if self.done[-1] == "read" else 0.5
        self.done.append("step")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine(Path(), 1)
    monkeypatch.setattr(engines, "now", lambda: engine.now)
    monkeypatch.setattr(engines, "engine_at", lambda _place: engine)
    return engine


def test_first_token_belongs_to_neither_span(fake: FakeEngine) -> None:
    place = Place(FakeEngine, Path(), 1)
    prefill, decode = time_answer(place, PROMPT, 4, GREEDY)
    assert fake.done == ["decoder for 10 and 5", "read", *["step"] * 5]
    assert prefill == 10 / 2
    assert decode == 4 / (4 * 0.5)


def test_seconds_come_from_the_clock_before_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = count(5, 3)
    monkeypatch.setattr(engines, "now", lambda: next(clock))
    assert seconds(lambda: None) == 3


def test_plain_loop_makes_the_tokens_that_the_stepper_makes(folder: Path) -> None:
    ours = Ours(folder, 1)
    stepper = ours.decoder(PROMPT, 12, GREEDY).stepper
    loop = PlainLoop(ours.model, stepper)
    made = [loop.token]
    for _ in range(10):
        loop.step()
        made.append(loop.token)
    assert made == [stepper.step().token for _ in range(11)]


def test_bare_run_leaves_the_cache_as_the_step_made_it(folder: Path) -> None:
    ours = Ours(folder, 1)
    stepper = ours.decoder(PROMPT, 12, GREEDY).stepper
    undisturbed = Stepper(ours.model, PROMPT, processors=[TopK(1)])
    stepper.step()
    bare = BareRun(ours.model, stepper.cache)
    for _ in range(8):
        unseen, shared = stepper.unseen, stepper.cache
        stepper.step()
        bare.prepare(unseen, shared)
        bare.run()
    expected = [undisturbed.step().token for _ in range(9)]
    assert stepper.new_tokens.tolist() == expected


def test_bare_run_computes_the_logits_of_the_step(folder: Path) -> None:
    ours = Ours(folder, 1)
    stepper = ours.decoder(PROMPT, 12, GREEDY).stepper
    stepper.step()
    bare = BareRun(ours.model, stepper.cache)
    bare.prepare(stepper.unseen, stepper.cache)
    bare.run()
    np.testing.assert_array_equal(bare.logits[0, 0], stepper.logits)


def test_every_measurement_is_two_figures_above_zero(folder: Path) -> None:
    place = Place(Ours, folder, 1)
    pairs = [
        time_answer(place, PROMPT, 3, GREEDY),
        time_bare_run(place, PROMPT, 3),
        time_plain_loop(place, tuple(range(10, 20)), 3),
        time_plain_loop(place, tuple(range(10, 20)), 3),  # the prompt is kept
    ]
    assert all(ours > 0 and theirs > 0 for ours, theirs in pairs)


def test_mask_is_timed_with_the_clock_stopped_while_the_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RECORDS", {"enum": ["perhaps", "yes"]})
    clock = count(0, 0.25)
    monkeypatch.setattr(engines, "now", lambda: next(clock))
    place = Place(Ours, write_tiny_folder(tmp_path, quotes=True), 1)
    mask, run = time_mask(place, np.arange(10, 20), 4)
    assert mask == 250
    assert 0 < run < 250


def test_memory_is_told_with_its_kind(folder: Path) -> None:
    kind, loaded, used = measure_memory(Place(Ours, folder, 1), PROMPT)
    assert kind in {"pss", "uss", "rss"}
    assert 1 < loaded < used + 1


def test_graph_that_cannot_share_buffers_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name another model"):
        Ours(write_model(tmp_path, PLAIN), 1)
