"""The teacher's page fits the notebooks, its plans add up, its figures are measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools import teaching

ROOT = Path(__file__).resolve().parent.parent
PAGE = teaching.PAGE.read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST = 365
MEETING = 90
NAMED = r"[(/`](start|\d\d_\w+)\.ipynb[)`]"  # linked or not


def part(title: str) -> str:
    """Return what stands below a heading, up to the next one."""
    found = re.search(
        rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"the page has no heading “{title}”"
    return found[1]


def head(notebook: Path) -> tuple[str, int]:
    """Return a notebook's title and minutes, as it says itself."""
    first = "".join(json.loads(notebook.read_text("utf-8"))["cells"][0]["source"])
    title = re.search(r"^# (.+)$", first, re.MULTILINE)
    minutes = re.search(r"(\d+) minutes", first)
    assert minutes is not None
    return title[1] if title else notebook.stem, int(minutes[1])


MINUTES = {notebook.stem: head(notebook)[1] for notebook in NOTEBOOKS}


def rows(title: str) -> list[tuple[int, str]]:
    """Return the minutes of each row of a plan, and the rest of it."""
    found = re.findall(r"^\| (\d+) \| (.*)$", part(title), re.MULTILINE)
    return [(int(first), rest) for first, rest in found]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda one: one.stem)
def test_each_notebook_has_a_section_with_its_minutes(notebook: Path) -> None:
    title, minutes = head(notebook)
    section = part(f"{title} ({minutes} minutes)")
    assert re.findall(NAMED, section) == [notebook.stem]
    for label in ("They get wrong", "Ask", "Show"):
        assert section.count(f"- **{label}") == 1


@pytest.mark.parametrize("title", ["90 minutes", "One day"])
def test_the_minutes_of_a_plan_add_up(title: str) -> None:
    *parts, (in_all, rest) = rows(title)
    assert sum(minutes for minutes, _ in parts) == in_all
    assert rest.startswith("all of it")


def test_the_day_has_time_for_each_of_its_notebooks() -> None:
    planned = {
        found[1]: minutes
        for minutes, rest in rows("One day")
        if (found := re.search(NAMED, rest))
    }
    assert planned
    for name, minutes in planned.items():
        assert minutes >= MINUTES[name]


def test_the_eight_weeks_have_each_notebook_once_and_with_its_minutes() -> None:
    text, planned = part("Eight weeks"), []
    for week, rest in rows("Eight weeks"):
        in_class, _, _ = rest.partition(" | ")
        found = re.findall(NAMED + r" (\d+)", in_class)
        assert sum(int(minutes) for _, minutes in found) <= MEETING, week
    for name, minutes in re.findall(NAMED + r" (\d+)", text):
        assert int(minutes) == MINUTES.get(name, int(minutes)), name
        planned.append(name)
    assert len(planned) == len(set(planned))
    assert set(planned) >= MINUTES.keys()


def test_the_figures_are_those_that_were_measured() -> None:
    if not all(file.is_file() for file in teaching.MEASURED):
        pytest.skip("no class was measured: `python -m benchmarks classroom` and `hub`")
    wanted = teaching.written(PAGE, teaching.measured())
    assert wanted == PAGE, "`python -m tools.teaching` writes them anew"


def test_other_figures_give_other_tables() -> None:
    before = {what: (10.0, "MB") for what, _ in teaching.SHOWN}
    after = {what: (2000.0, "MB") for what, _ in teaching.SHOWN}
    changed = teaching.written(PAGE, after)
    assert changed != teaching.written(PAGE, before)
    assert teaching.written(changed, before) == teaching.written(PAGE, before)
    # two machines with 2 + 2,000 GB each; 30 learners with 2 + 2 GB each, so 15 fit
    assert "\n| 30 | 2 | 8 | 4,124 GB | 124 GB |\n" in changed


def test_the_page_is_read_in_one_sitting() -> None:
    assert len(PAGE.splitlines()) <= LONGEST
