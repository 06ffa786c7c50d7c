"""Picture of the step panel for the README, as a Chromium draws it.

`python -m tools.picture` makes notebooks/step_panel.png anew, from a few steps of the
float32 model. Knows nothing of how the panel is drawn.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.lab import FLAGS, find_chromium
from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.widgets import StepPanel
from tools.notebooks import FOLDER


def main() -> int:
    """Write the picture; returns the exit status."""
    lesson = open_lesson("float32")
    warm = Sampling(temperature=0.7)  # at which several tokens are left to draw from
    panel = StepPanel(
        lesson.model, lesson.tokenizer, lesson.prompt(), seed=6, sampling=warm
    )
    walk = panel.walk
    for _ in range(12):
        walk.act("step")
    walk.act("back", 4)
    second = int(panel.stepper.logits.argsort()[-2])
    walk.act("take", {"token": second, "position": panel.stepper.position})
    for _ in range(6):
        walk.act("step")
    panel.redraw()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "step.html")
        panel.export(file)
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(), args=FLAGS
        )
        page = chromium.new_page(viewport={"width": 864, "height": 800})
        page.goto(file.as_uri())
        # a page that is saved hides its buttons, as nothing would answer them
        page.locator("body").evaluate("body => body.classList.remove('lw-exported')")
        page.locator(".lw-panel").screenshot(path=FOLDER / "step_panel.png")
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
