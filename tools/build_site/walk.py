"""The stored walk: some steps of a real run, as pictures of the panel.

For machines that the model is too large for. Knows nothing of the panel's inside.
"""

from __future__ import annotations

from pathlib import Path

from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.widgets import StepPanel
from tools.build_site.pages import Page, write_page

STEPS = 12


def write_walk(site: Path) -> None:
    """Run the model as the start page does, and write a picture of each step."""
    lesson = open_lesson("float32")
    prompt = lesson.prompt("Write one sentence about the sea.")
    board = StepPanel(lesson.model, lesson.tokenizer, prompt).board
    pictures = []
    for number in range(STEPS + 1):
        pictures.append(board.picture(board.engine.snapshot(), board.vocabulary)[0])
        board.engine.act("step")
    write_page(site, Page("panel/walk.html", "A stored walk"), "walk.html", steps=pictures)
