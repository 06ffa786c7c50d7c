"""The figures of two panels become a table with a verdict."""

from __future__ import annotations

import pytest

from benchmarks.panel_report import (
    Frames,
    Memory,
    PanelReport,
    Plan,
    Times,
    times,
)
from llm_walkthrough.errors import InputError


def test_the_model_is_taken_off_step_by_step() -> None:
    painted = [float(60 + step) for step in range(20)]  # milliseconds
    model = [0.010 + step / 1000 for step in range(20)]  # seconds
    found = times(painted, model, [Frames(5, 0, 1, 0), Frames(7, 1, 2, 3)], 19)
    assert found.median == found.most == pytest.approx(50)
    assert found.model == pytest.approx(19.5)
    assert found.frames == Frames(12, 1, 3, 3)
    assert found.kept_focus == 19


def test_a_slow_step_of_ten_shows_in_the_95_percent_and_not_in_the_median() -> None:
    found = times([50.0] * 18 + [500.0] * 2, [0.0] * 20, [], 0)
    assert found.median == 50
    assert found.most == 500


def test_times_of_other_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        times([50.0] * 3, [0.0] * 2, [], 0)


@pytest.mark.parametrize("steps", [0, -10, 5, 15])
def test_steps_that_make_no_whole_blocks_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match=f"got {steps}; 200 are a good number"):
        Plan(steps=steps)


@pytest.mark.parametrize(("ours", "verdict"), [(70, "met"), (71, "MISSED")])
def test_the_table_holds_every_ratio_against_the_bar(ours: float, verdict: str) -> None:
    def side(milliseconds: float) -> Times:
        return Times(milliseconds, milliseconds, 9, Frames(9, 0, 4, 0), 200)

    memory = Memory(32.1, 13_523, 860)
    report = PanelReport("tiny", Plan(), side(ours), side(100), memory, memory)
    table = str(report)
    assert table.count(f"at most 0.7: {verdict}") == 2
    assert f"{ours / 100:.3f}" in table
    assert table.count("13,523") == 2
