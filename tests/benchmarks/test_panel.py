"""The panel is pressed in a real JupyterLab, and every figure is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_folder import write_tiny_folder

from benchmarks import panel
from benchmarks.panel import measure, summed_up

GOOD = {"all": 20, "empty": 0, "torn": 0, "jumped": 0}


@pytest.mark.browser
@pytest.mark.usefixtures("path_of_chromium")
def test_the_panel_is_pressed_and_everything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "PRESSES", 4)
    tiny = write_tiny_folder(tmp_path / "tiny")
    report = measure(tiny, lambda _what, _share: None, rounds=1)
    assert report.title == "tiny, presses of Step: 4"
    median, most, model, frames, *wrong = [row.ours for row in report.rows]
    assert 0 < median <= most
    assert model > 0
    assert frames >= 4
    assert wrong == [0, 0, 0]


def test_the_model_is_taken_off_press_by_press() -> None:
    painted = [float(60 + press) for press in range(20)]  # milliseconds
    model = [0.010 + press / 1000 for press in range(20)]  # seconds
    median, most, own, *_ = [row.ours for row in summed_up(painted, model, GOOD)]
    assert median == most == pytest.approx(50)
    assert own == pytest.approx(19.5)
    with pytest.raises(ValueError, match="zip"):
        summed_up(painted, model[1:], GOOD)


def test_a_slow_press_of_ten_shows_in_the_95_percent_and_misses_the_bar() -> None:
    median, most, *_ = summed_up([50.0] * 18 + [500.0] * 2, [0.0] * 20, GOOD)
    assert (median.ours, most.ours) == (50, 500)
    assert most.is_met is False
