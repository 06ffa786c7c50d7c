"""What is timed with guesses is the work that is timed without them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_folder import write_tiny_folder

from benchmarks import engines, speculation
from benchmarks.report import Bar, compared
from benchmarks.speculation import BARS, PLAIN, TASKS, time_guesses, time_run
from llm_walkthrough.arrays import TokenIds

PROMPT: TokenIds = np.array([4, 5, 6, 4, 5])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> engines.Ours:
    return engines.Ours(write_tiny_folder(tmp_path_factory.mktemp("tiny")), 1)


def test_every_bar_is_for_something_that_is_measured() -> None:
    for bars in BARS.values():
        assert {*bars} <= {*TASKS, "JSON, grammar"}
    row = compared("JSON", "", PLAIN, [(3.0, 2.0)], Bar("at least", 1.5))
    assert row.is_met


def test_texts_with_and_without_guesses_are_timed(ours: engines.Ours) -> None:
    assert all(rate > 0 for rate in time_guesses(ours, PROMPT, 12, ""))


def test_a_grammar_is_followed_by_each_of_the_loops(
    ours: engines.Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation, "SCHEMA", '{"type": "boolean"}')
    for against in (PLAIN, speculation.TOGETHER):
        assert all(rate > 0 for rate in time_guesses(ours, PROMPT, 12, against))


def test_a_run_of_many_tokens_is_timed_beside_a_run_of_one(
    ours: engines.Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation, "PAST", 8)
    many, one = time_run(ours, PROMPT, 3)
    assert min(many, one) > 0
