"""`python -m tools.build_site` writes the whole site anew, into site/."""

from __future__ import annotations

import shutil
from pathlib import Path

from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.widgets import StepPanel
from tools.build_site.pages import Page, write_page, write_pages
from tools.build_site.panel import ROOT, write_panel, write_parts
from tools.worksheets import write_all

STEPS = 12  # of the stored walk


def build(site: Path = ROOT / "site") -> None:
    """Write the site; the start page comes last, so where it is, all is.

    Raises:
        InputError: the model is not there, or a part cannot be had.
    """
    shutil.rmtree(site, ignore_errors=True)
    write_parts(site)
    write_panel(site / "panel")
    walk = Page("panel/walk.html", "A stored walk")
    write_page(site, walk, "walk.html", pictures=walked())
    write_all(site / "docs/worksheets", above="../worksheets.html")
    write_pages(site)


def walked() -> list[str]:
    """Return the panel's picture before the first step and after each, of a real run.

    It is the run that the start page shows, for machines too small for the model.
    """
    lesson, pictures = open_lesson("float32"), []
    prompt = lesson.prompt("Write one sentence about the sea.")
    panel = StepPanel(lesson.model, lesson.tokenizer, prompt).board
    for _ in range(STEPS + 1):
        pictures.append(panel.picture(panel.engine.snapshot(), panel.vocabulary)[0])
        panel.engine.act("step")
    return pictures


if __name__ == "__main__":
    build()
