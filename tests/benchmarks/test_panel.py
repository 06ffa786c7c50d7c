"""Both panels are pressed in a real JupyterLab, and every figure is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny_folder import write_tiny_folder

from benchmarks import lab, panel
from benchmarks.panel import measure
from benchmarks.panel_report import Plan
from llm_walkthrough.command_line import cli
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.browser
@pytest.mark.usefixtures("path_of_chromium")
def test_both_panels_are_pressed_in_turn_and_everything_is_measured(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    plan = Plan(steps=4, block=2, warm_up=1, redraws=10)
    tiny = write_tiny_folder(tmp_path / "tiny")
    report = measure(tiny, plan, lambda activity, _share: told.append(activity))
    assert report.model == "tiny"
    for side in (report.panel, report.buttons):
        assert 0 < side.median <= side.most
        assert side.model > 0
        assert side.kept_focus == plan.steps
        assert side.frames.all >= plan.steps
    assert (report.panel.frames.empty, report.panel.frames.torn) == (0, 0)
    assert report.panel.frames.jumped == 0
    assert report.after.nodes <= report.before.nodes + 50
    assert {*told} == {"opening JupyterLab", "stepping", "redrawing"}


def test_no_browser_is_told_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> str:
        raise InputError("no browser")

    monkeypatch.setattr(panel, "find_chromium", missing)
    monkeypatch.setattr(lab, "Lab", None)
    with pytest.raises(InputError, match="no browser"):
        measure(tmp_path, Plan(), lambda *_: None)


def test_the_command_measures_as_it_is_told_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    plans: list[Plan] = []

    def refuse(_path: Path, plan: Plan, _show: object) -> None:
        plans.append(plan)
        raise InputError("no browser")

    monkeypatch.setattr(panel, "measure", refuse)
    tiny = str(write_tiny_folder(tmp_path / "tiny"))
    words = ["bench-panel", "--model", tiny, "--steps", "20", "--json"]
    assert cli.main(words) == 2
    assert plans == [Plan(steps=20)]
    assert json.dumps("no browser")[1:-1] in capsys.readouterr().err


def test_steps_that_cannot_be_used_are_refused_by_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["bench-panel", "--steps", "7"]) == 2
    assert "got 7; 200 are a good number" in capsys.readouterr().err
