"""The drawing of the whole way states a model's own sizes, and leads somewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, expect
from tiny_graph import (
    HEAD_DIM,
    KV_HEADS,
    NUM_HEADS,
    NUM_LAYERS,
    VOCAB,
    Layout,
    hf_config,
    write_config,
    write_model,
)
from wcag import READABLE, contrast, numbers

from benchmarks.lab import Lab
from llm_walkthrough.graph import read_graph
from llm_walkthrough.overview import Overview, Part, overview
from tools.notebooks import KERNEL

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SVG = "{http://www.w3.org/2000/svg}"
PAGES = ("#ffffff", "#111111")  # of JupyterLab, light and dark
GRAPHIC = 3.0  # what an arrow needs, by WCAG's success criterion 1.4.11
BEYOND = """\
() => [...document.querySelectorAll("text")].filter((text) => {
  let around = text;
  while (around.tagName !== "rect") around = around.previousElementSibling;
  const [words, box] = [text.getBBox(), around.getBBox()];
  return words.x < box.x + 1 || words.x + words.width > box.x + box.width - 1 ||
    words.y < box.y || words.y + words.height > box.y + box.height;
}).map((text) => text.textContent)
"""


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    layout = Layout(config="config.json")  # the one that tells the hidden size
    return overview(read_graph(write_model(tmp_path_factory.mktemp("tiny"), layout)))


def picture(drawing: Overview) -> ET.Element:
    return ET.fromstring(drawing.svg)  # noqa: S314 - our own text


def words(drawing: Overview) -> str:
    return " ".join(text.text or "" for text in picture(drawing).iter(f"{SVG}text"))


def test_the_sizes_are_those_of_the_graph(drawing: Overview) -> None:
    for said in (
        f"{NUM_LAYERS} layers",
        f"{NUM_HEADS * HEAD_DIM} numbers",
        f"{KV_HEADS} × {HEAD_DIM} numbers",
        f"{VOCAB} tokens",
    ):
        assert said in words(drawing)
        assert said in repr(drawing)


def test_a_width_that_no_file_tells_is_not_made_up(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    assert "embedding: a row of numbers per token" in repr(overview(read_graph(folder)))


def test_the_text_alternative_holds_every_word_of_the_picture(
    drawing: Overview,
) -> None:
    said = set(re.findall(r"[\w,“”×-]+", repr(drawing)))
    shown = set(re.findall(r"[\w,“”×-]+", words(drawing)))
    assert shown <= {word.rstrip(",") for word in said} | said
    described = picture(drawing).find(f"{SVG}desc")
    assert described is not None
    assert described.text == repr(drawing)


def test_every_part_leads_to_a_notebook_in_the_picture_and_below_it(
    drawing: Overview,
) -> None:
    leads = re.findall(r'<a href="([^"]+)"', drawing._repr_html_())
    assert leads == 2 * [f"{part.notebook}.ipynb" for part in drawing.parts]
    assert all((NOTEBOOKS / lead).is_file() for lead in leads)


def test_no_two_boxes_overlap(drawing: Overview) -> None:
    def overlap(one: Part, other: Part) -> bool:
        beside = max(one.x, other.x) < min(one.x + one.width, other.x + other.width)
        ends = one.y + one.height, other.y + other.height
        return beside and max(one.y, other.y) < min(ends)

    assert [pair for pair in combinations(drawing.parts, 2) if overlap(*pair)] == []


def test_it_reads_on_white_and_on_dark_pages(drawing: Overview) -> None:
    paper = {rect.get("fill", "") for rect in picture(drawing).iter(f"{SVG}rect")}
    assert len(paper) > 2
    white = numbers("#fff")
    assert min(contrast(white, numbers(colour)) for colour in paper) >= READABLE
    (line,) = set(re.findall(r"stroke:(#\w+)", drawing.svg))
    assert min(contrast(numbers(line), numbers(p)) for p in PAGES) >= GRAPHIC


@pytest.mark.browser
def test_no_word_of_a_large_model_runs_out_of_its_box(
    chromium: Browser, tmp_path: Path
) -> None:
    folder = write_model(tmp_path, Layout(config="config.json"))
    write_config(folder / "config.json", {**hf_config(), "hidden_size": 16_384})
    graph = read_graph(folder)
    large = replace(graph, vocab=262_144, kv_heads=16, head_dim=256)
    page = chromium.new_page()
    page.set_content(overview(large).svg)
    assert page.evaluate(BEYOND) == []
    page.close()


@pytest.mark.browser
def test_a_click_on_a_box_opens_its_notebook_without_trust(
    drawing: Overview, lab: Lab, page: Page
) -> None:
    stored = new_output("display_data", {"text/html": drawing._repr_html_()})
    cells = [new_code_cell("overview(graph)", outputs=[stored])]
    book = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(book, lab.root / "notebooks" / "drawing.ipynb")
    page.goto(lab.url("notebooks/drawing.ipynb"))
    seal = page.locator(".jp-StatusItem-trust svg")
    expect(seal).to_have_attribute("data-icon", "ui-components:not-trusted")
    page.get_by_title("KV cache: 04_kv_cache").click()
    tabs = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab")
    expect(tabs).to_have_text(["drawing.ipynb", "04_kv_cache.ipynb"])
