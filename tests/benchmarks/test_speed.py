"""Everything is measured in turn, and every row is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import speed
from benchmarks.engines import Ours, Pair, time_answer
from benchmarks.speed import EngineProcess, Sizes, measure
from llm_walkthrough.catalogue import find

ROWS = [
    "greedy decode",
    "prefill",
    "sampled decode",
    "one step",
    "mask of a grammar",
    "decode after 8 tokens",
    "memory after load",
    "memory after 12 tokens",
]
SIZES = Sizes(
    prompt=8,
    new=2,
    before_steps=8,
    contexts=(8, 9_000),  # the second does not fit and is left out
    turns=2,
    in_memory=12,
)


@pytest.mark.model
def test_tiny_run_takes_turns_and_has_every_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, real = [], EngineProcess.measure

    def noted(one: EngineProcess, work: Callable[..., Pair], *what: object) -> Pair:
        if work is time_answer:
            turns.append(one.engine[0])
        return real(one, work, *what)

    monkeypatch.setattr(EngineProcess, "measure", noted)
    monkeypatch.setattr(speed, "REST_SECONDS", 0)
    shares: list[float] = []
    report = measure(find(), lambda _, share: shares.append(share), 1, 1, SIZES)
    assert [kind is Ours for kind in turns] == [True, False] * 4
    assert shares == [0, 0.5, 1]
    assert [row.what for row in report.rows] == ROWS
    for row in report.rows:
        assert row.theirs
        assert row.ratio == pytest.approx(row.ours / row.theirs)
