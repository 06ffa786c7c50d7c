"""A worksheet hides its answers, its solution shows them, and both fit on one page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from jinja2 import UndefinedError
from playwright.sync_api import Browser, ViewportSize

from tools.worksheets import ROOT, SOURCES, write_all, written

SHEETS = sorted(SOURCES.glob("*.md"))
MARKS = '# A sheet\n{% from "marks.html" import blank, lines, tick %}\n'
NUMBER = re.compile(r"(?<!\w)\d")
PAGE = re.compile(rb"/Type\s*/Page\b(?!s)")
TOO_WIDE = """\
[...document.querySelectorAll("main > *")].filter(
  (one) => one.scrollWidth > one.clientWidth || one.offsetWidth > innerWidth
).map((one) => one.textContent)
"""
NARROWEST = round(182 * 96 / 25.4)  # A4 without its margins, in pixels of CSS
LEAST_ROOM = 0.02  # of a page, since another system's letters are a little larger


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    """A made-up sheet and its solution."""
    source = tmp_path / "13_made_up.md"
    source.write_text(
        f"""{MARKS}
## Count
It has {{{{ blank(count, 5) }}}} legs, {{{{ tick(count == 8) }}}} like a spider.
{{% call lines(2) %}}
Because of its {{{{ count }}}} *joints*.
{{% endcall %}}

| | piece | {{{{ "a_long_token" | code }}}} | {{{{ "another_long_one" | code }}}} |
|---|---|---|---|
| one | {{{{ piece | code }}}} | | |
""",
        "utf-8",
    )
    asked = {"count": 8, "piece": "<|a*b*c|>", "source": "toy"}
    return {
        name: written(source, asked, is_solved=is_solved)
        for name, is_solved in (("sheet", False), ("solution", True))
    }


def test_a_sheet_has_room_where_its_solution_has_answers(
    pages: dict[str, str],
) -> None:
    for answer in (">8</span>", ">✓</span>", "Because of its 8 <em>joints</em>."):
        assert answer in pages["solution"]
        assert answer not in pages["sheet"]
    for room in ("--width: 5", "--lines: 2", 'class="box"'):
        assert all(room in page for page in pages.values())


def test_a_token_is_shown_as_it_is_whatever_it_would_mean(
    pages: dict[str, str],
) -> None:
    assert "<td><code>&lt;|a*b*c|&gt;</code></td>" in pages["sheet"]


def test_what_a_sheet_asks_and_nobody_knows_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "sheet.md"
    source.write_text(f"{MARKS}{{{{ blank(nobody_knows) }}}}", "utf-8")
    with pytest.raises(UndefinedError, match="nobody_knows"):
        written(source, {"source": "toy"}, is_solved=True)


def test_each_notebook_has_a_sheet() -> None:
    notebooks = {file.stem for file in ROOT.glob("notebooks/[0-9]*.ipynb")}
    assert notebooks <= {sheet.stem for sheet in SHEETS}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_a_sheet_has_four_to_six_tasks(sheet: Path) -> None:
    assert 4 <= len(re.findall("^## ", sheet.read_text("utf-8"), re.MULTILINE)) <= 6


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_no_number_in_an_answer_is_typed_by_hand(sheet: Path) -> None:
    text = sheet.read_text("utf-8")
    typed = re.findall(r'blank\(("[^"%]*"|[\d.]+) *[,)]', text)
    for inside in re.findall(r"{% call.*?%}(.*?){% endcall %}", text, re.DOTALL):
        typed.append(re.sub(r"{{.*?}}|{%.*?%}", "", inside))
    assert [words for words in typed if NUMBER.search(words)] == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_sheet_can_be_read_in_both_themes_and_on_a_phone(
    scheme: Literal["light", "dark"],
    width: int,
    chromium: Browser,
    pages: dict[str, str],
    tmp_path: Path,
) -> None:
    size: ViewportSize = {"width": width, "height": 800}
    page = chromium.new_page(color_scheme=scheme, viewport=size)
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
        page.goto((tmp_path / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert Axe().run(page).response["violations"] == []
    page.close()


@pytest.mark.model
@pytest.mark.browser
def test_each_sheet_and_each_solution_prints_on_one_page(
    chromium: Browser, tmp_path: Path
) -> None:
    page, requested = chromium.new_page(), []
    page.on("request", lambda request: requested.append(request.url))
    page.emulate_media(media="print")
    files = write_all(tmp_path)
    assert len(files) == 2 * len(SHEETS)
    page.set_viewport_size({"width": NARROWEST, "height": 900})
    for file in files:
        page.goto(file.as_uri())
        assert page.evaluate(TOO_WIDE) == [], file.name
        for paper in ("A4", "Letter"):
            printed = page.pdf(format=paper, scale=1 + LEAST_ROOM)
            assert len(PAGE.findall(printed)) == 1, f"{file.name} on {paper}"
    assert {url.partition(":")[0] for url in requested} == {"file"}
    page.close()
