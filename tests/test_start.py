"""What the start page says is so: its minutes, its buttons, its figures."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import walking

from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.panel.step.page import page
from llm_walkthrough.sampling import softmax

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9]*.ipynb"))


def sources(file: Path) -> list[str]:
    return [str(cell.source) for cell in nbformat.read(file, as_version=4).cells]


def minutes(text: str) -> int:
    found = re.search(r"\b(\d+) minutes\b", text)
    assert found is not None, text
    return int(found[1])


START = sources(FOLDER / "start.ipynb")
TOUR = START[2]


def test_the_first_two_cells_say_what_to_press_and_show_the_panel_alone() -> None:
    title, panel = nbformat.read(FOLDER / "start.ipynb", as_version=4).cells[:2]
    assert "Press" in title.source
    assert minutes(title.source) == 10
    assert len(title.source.splitlines()) == 1
    assert panel.metadata.jupyter.source_hidden
    assert "StepPanel" in panel.source


def test_the_map_tells_the_minutes_that_each_notebook_tells_and_their_sum() -> None:
    told = {f.name: minutes(sources(f)[0]) for f in LESSONS}
    mapped = re.findall(
        r"^\| \[.*\]\((\S+)\) \|.*\| (\d+) \|$", START[-1], re.MULTILINE
    )
    assert [(name, int(number)) for name, number in mapped] == [*told.items()]
    whole = re.search(
        r"^\| all of it \| about (\d+) hours \| (\d+) \|$", START[-1], re.MULTILINE
    )
    assert whole is not None
    assert whole.groups() == (f"{sum(told.values()) / 60:.0f}", str(sum(told.values())))


def test_what_the_tour_names_in_bold_stands_in_the_panel() -> None:
    named = set(re.findall(r"\*\*(\w+)\*\*", "\n".join(START[2:4])))
    assert {"Step", "Reset", "Run", "temperature", "Cache", "Branches"} <= named
    shot = walking.walk(tour=0).snapshot()  # as the start page begins it
    assert "tour=0" in START[1]
    drawn = re.sub(r"<[^>]+>", " ", page(shot, walking.tokenizer()))
    assert named - set(re.findall(r"\w+", drawn)) == set()


@pytest.mark.model
def test_the_figures_of_the_tour_are_those_of_the_model() -> None:
    (request,) = re.findall(r'lesson\.prompt\("(.+)"\)', START[1])
    assert f"“{request}”" in TOUR
    lesson = open_lesson("float32")
    first, the = lesson.tokenizer.encode("The")[0], lesson.prompt(request)
    rows, cache = lesson.model.run(the, lesson.model.new_cache())
    assert told("The") == pytest.approx(100 * softmax(rows[-1])[first], abs=0.5)
    rows, _ = lesson.model.run(lesson.tokenizer.encode("The"), cache)
    probabilities = softmax(rows[-1])
    likeliest = probabilities.argsort()[::-1]
    assert [lesson.tokenizer.piece(int(token)) for token in likeliest[:3]] == [
        "␣sea",
        "␣ocean",
        "␣majestic",
    ]
    for piece, token in zip(("␣sea", "␣ocean"), likeliest, strict=False):
        assert told(piece) == pytest.approx(100 * probabilities[token], abs=0.5)


def told(piece: str) -> int:
    """Return the percentage that the tour tells of a token."""
    found = re.search(rf"`{piece}`\D*?(\d+) %", TOUR)
    assert found is not None, piece
    return int(found[1])
