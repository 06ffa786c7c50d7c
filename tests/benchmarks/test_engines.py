"""What is timed is the same work on both sides, between the same two points."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_folder import write_tiny_folder
from tiny_graph import PLAIN, write_model

from benchmarks import engines
from benchmarks.engines import (
    GREEDY,
    BareRun,
    Decoder,
    Ours,
    PlainLoop,
    measure_memory,
    time_answer,
    time_bare_run,
    time_mask,
    time_plain_loop,
)
from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import TopK
from llm_walkthrough.stepper import Stepper

PROMPT = np.arange(10, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


def test_first_token_belongs_to_neither_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt takes 2 seconds here, and a step that runs the graph 0.5."""
    clock, done = [0.0], []

    def act(name: str, spent: float) -> None:
        done.append(name)
        clock[0] += spent

    class FakeEngine:
        def decoder(self, prompt: TokenIds, limit: int, _sampling: object) -> Decoder:
            done.append(f"decoder for {len(prompt)} and {limit}")
            return Decoder(
                lambda: act("read", 2),
                lambda: act("step", 0 if done[-1] == "read" else 0.5),
            )

    monkeypatch.setattr(engines, "now", lambda: clock[0])
    fake: Any = FakeEngine()
    prefill, decode = time_answer(fake, PROMPT, 4, GREEDY)
    assert done == ["decoder for 10 and 5", "read", *["step"] * 5]
    assert prefill == 10 / 2
    assert decode == 4 / (4 * 0.5)


def test_plain_loop_makes_the_tokens_that_the_stepper_makes(folder: Path) -> None:
    ours = Ours(folder, 1)
    stepper = ours.stepper(PROMPT, 12, GREEDY)
    loop = PlainLoop(ours.model, stepper)
    made = [loop.token]
    for _ in range(10):
        loop.step()
        made.append(loop.token)
    assert made == [stepper.step().token for _ in range(11)]


def test_bare_run_repeats_the_step_and_leaves_the_cache_as_it_made_it(
    folder: Path,
) -> None:
    ours = Ours(folder, 1)
    stepper = ours.stepper(PROMPT, 12, GREEDY)
    undisturbed = Stepper(ours.model, PROMPT, processors=[TopK(1)])
    stepper.step()
    bare = BareRun(ours.model, stepper.cache)
    for _ in range(8):
        unseen, shared = stepper.unseen, stepper.cache
        stepper.step()
        bare.prepare(unseen, shared)
        logits = undisturbed.step() and undisturbed.logits
        bare.run()
        np.testing.assert_array_equal(bare.logits[0, 0], logits)
    assert stepper.new_tokens[:-1].tolist() == undisturbed.new_tokens.tolist()


def test_every_measurement_is_two_figures_above_zero(folder: Path) -> None:
    ours = Ours(folder, 1)
    pairs = [
        time_answer(ours, PROMPT, 3, GREEDY),
        time_bare_run(ours, PROMPT, 3),
        time_plain_loop(ours, PROMPT, 3),
        time_plain_loop(ours, PROMPT, 3),  # the prompt is kept
        measure_memory(ours, PROMPT),
    ]
    assert all(ours > 0 and theirs > 0 for ours, theirs in pairs)


def test_mask_is_timed_with_the_clock_stopped_while_the_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RECORDS", '{"enum": ["perhaps", "yes"]}')
    clock = count(0, 0.25)
    monkeypatch.setattr(engines, "now", lambda: next(clock))
    ours = Ours(write_tiny_folder(tmp_path, quotes=True), 1)
    mask, run = time_mask(ours, PROMPT, 4)
    assert mask == 250
    assert 0 < run < 250


def test_graph_that_cannot_share_buffers_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name another model"):
        Ours(write_model(tmp_path, PLAIN), 1)
