"""The page in a real browser: the real model, the real parts, no notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.browsers import Browser, opened
from benchmarks.page import BARE, HERE, MODEL, Folder, is_inside, native, same, walked
from llm_walkthrough.catalogue import find
from tools.build_site.panel import write_panel, write_parts

WAY = (
    ("knob", "temperature", 0.9),
    ("knob", "seed", 3),
    ("step", 6),
    ("back", 2),
    ("take", 1),
    ("step", 5),
)


SHOWN = """Object.fromEntries(["bytes", "python"].map((stage) =>
  [stage, document.querySelector(`[data-fill=${stage}]`).textContent]))"""


@pytest.mark.model
@pytest.mark.browser
def test_the_page_walks_as_the_package_does(
    path_of_chromium: str, tmp_path: Path
) -> None:
    assert path_of_chromium
    write_parts(tmp_path)
    write_panel(tmp_path / "panel")
    (tmp_path / "index.html").write_text(BARE, "utf-8")
    folder = Folder(tmp_path)
    with opened("chromium", (HERE / "page.js").read_text("utf-8")) as page:
        with folder.served() as address:
            page.go(address)
            page.ask("page.start()")
        assert folder.num_sent < 135e6
        sizes = json.loads((tmp_path / "panel/parts.json").read_text())["sizes"]
        shown = page.ask(SHOWN)
        for stage, size in sizes.items():  # what came is what was said before
            megabytes = round(size / 1e6)
            assert shown[stage] == f"{megabytes} of {megabytes} MB"
        # what follows is done without a server
        saved = walked(page, WAY)
        assert same(saved, native(find(MODEL), WAY))
        look_inside(page)
        page.ask("page.act([['ask', 'Name a planet.'], ['step', 1]])")
        assert page.ask(f"page.load({json.dumps(saved)}, 10)") < 10
        assert same(saved, page.ask("page.save()"))
        assert page.said == []
        assert [address for address in page.asked if not is_inside(address)] == []


def look_inside(page: Browser) -> None:
    """The one tab that the page cannot show says so."""
    page.ask("document.querySelector('[data-action=side][data-value*=Inside]').click()")
    page.ask("page.act([['step', 1], ['back', 1]])")
    assert "notebook 06" in page.ask("document.querySelector('.lw-why').textContent")
