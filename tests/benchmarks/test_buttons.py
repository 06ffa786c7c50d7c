"""The panel to compare with steps as ours does, and model times are the model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_folder import write_tiny_folder

from benchmarks.buttons import ButtonPanel, Timed, memory, open_both

if TYPE_CHECKING:
    from pathlib import Path

    from llm_walkthrough.stepper import Stepper
    from llm_walkthrough.widgets import StepPanel

    Both = tuple[StepPanel, ButtonPanel, Timed, Timed]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return open_both(write_tiny_folder(tmp_path / "tiny"))


def test_both_panels_make_the_same_tokens_and_each_run_is_timed(both: Both) -> None:
    panel, buttons, ours, theirs = both
    for _ in range(5):
        panel.walk.act("step")
        buttons.step(None)
    made = panel.stepper.new_tokens
    assert len(made) == 5
    assert np.array_equal(made, buttons.stepper.new_tokens)
    assert len(ours.seconds) == len(theirs.seconds) == 6
    assert min(ours.seconds) > 0


def test_a_candidate_is_taken_by_its_button(both: Both) -> None:
    buttons = both[1]
    rows = buttons.children[2:]
    position = buttons.stepper.position
    button = rows[3].children[0]
    place, token = button.tooltip.split(": id ")
    assert int(place) == position
    button.click()
    assert buttons.stepper.new_tokens.tolist() == [int(token)]
    shown = {row.children[0].tooltip.split(":")[0] for row in rows}
    assert shown == {str(position + 1)}


def test_the_buttons_stand_for_what_the_stepper_would_draw(both: Both) -> None:
    buttons = both[1]
    (drawn,) = (
        row.children[0].tooltip.split(": id ")[1]
        for row in buttons.children[2:]
        if row.children[0].button_style == "warning"
    )
    stepper: Stepper = buttons.stepper
    assert stepper.step().token == int(drawn)


def test_memory_is_told_in_megabytes() -> None:
    assert 10 < memory() < 100_000
