"""What a learner sees: a real JupyterLab in a real Chromium.

Whatever a page does, it may not ask another machine for anything, write an error to its
console, leave a traceback in the server's log, or cover itself with a message.
"""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect
from real_lab import NOTEBOOKS, both_themes
from wcag import READABLE, contrast, numbers

from benchmarks.lab import Lab, run_all_cells
from llm_walkthrough.sampling import KNOBS

pytestmark = pytest.mark.browser

OPEN_PANEL = """\
from llm_walkthrough.classroom import open_lesson
from llm_walkthrough.widgets import SamplingPanel

lesson = open_lesson()
prompt = lesson.prompt()
rows, _ = lesson.model.run(prompt, lesson.model.new_cache())
SamplingPanel(lesson.tokenizer, rows[-1], prompt)
"""
LOAD_GRAPH = """\
from llm_walkthrough.catalogue import find
from llm_walkthrough.netron_view import open_netron, part_of
from llm_walkthrough.model_files.onnx_file import load_structure

int4 = load_structure(find("smollm2-135m-instruct-int4") / "model.onnx")
"""
COLOURS = """\
(element) => {
  const isClear = (colour) => colour === "rgba(0, 0, 0, 0)";
  let behind = element;
  while (isClear(getComputedStyle(behind).backgroundColor)) {
    behind = behind.parentElement;
  }
  const styles = [getComputedStyle(element), getComputedStyle(behind)];
  return [styles[0].color, styles[1].backgroundColor];
}
"""


def stands_out(text: Locator) -> float:
    """The contrast of a text, 1 to 21; ink may be a little transparent."""
    ink, paper = map(numbers, text.evaluate(COLOURS))
    opacity = ink[3] if len(ink) > 3 else 1.0
    pairs = zip(ink[:3], paper[:3], strict=True)
    seen = [opacity * i + (1 - opacity) * p for i, p in pairs]
    return contrast(seen, paper[:3])


def test_lab_shows_the_folder_that_it_is_given(lab: Lab, page: Page) -> None:
    page.goto(lab.address)
    listed = page.locator(".jp-DirListing-item")
    expect(listed.filter(has_text="notebooks")).to_be_visible()


@pytest.mark.model
def test_sampling_panel_follows_the_keys_and_is_readable_in_light_and_dark(
    lab: Lab, page: Page
) -> None:
    lab.write("panel.ipynb", OPEN_PANEL)
    page.goto(lab.url("panel.ipynb"))
    run_all_cells(page)
    panel = page.locator(".lw-panel")
    knobs = panel.locator("input[data-action=knob]")
    expect(knobs).to_have_count(len(KNOBS) + 1)  # the seed
    before = panel.locator(".lw-table").inner_text()
    temperature = panel.get_by_role("slider", name="temperature")
    temperature.focus()
    temperature.press("ArrowRight")
    expect(panel.locator(".lw-table")).not_to_have_text(before, use_inner_text=True)
    expect(temperature).to_be_focused()
    for _ in both_themes(page):
        texts = panel.locator(".lw-knob span, .lw-knob b, .lw-table th").all()
        assert len(texts) >= 12
        for text in texts:
            text.click(trial=True)  # nothing lies over it
        assert min(map(stands_out, texts)) >= READABLE


@pytest.mark.model
def test_netron_draws_the_graph_beside_the_cell_that_opens_it(
    lab: Lab, page: Page
) -> None:
    lab.write("netron.ipynb", LOAD_GRAPH, cell_that_opens_netron())
    page.goto(lab.url("netron.ipynb"))
    run_all_cells(page)
    drawn = page.frame_locator("iframe[title=netron]")
    drawn.locator(".node").first.wait_for()


def cell_that_opens_netron() -> str:
    book: Any = nbformat.read(NOTEBOOKS / "01_graph.ipynb", as_version=4)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    (source,) = (source for source in sources if source.startswith("open_netron("))
    return str(source)
