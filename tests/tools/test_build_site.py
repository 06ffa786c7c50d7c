"""The pages lead to each other, say in words what they show, and load from nobody."""

from __future__ import annotations

import json
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, Page

from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError
from tools.build_site import panel
from tools.build_site.pages import Page as ReadPage
from tools.build_site.pages import write_page, write_pages
from tools.build_site.panel import HERE, PARTS, npm_packages, write_panel, write_parts
from tools.notebooks import find_notebooks
from tools.serve_site import ROOT, Files, sources
from tools.worksheets import SOURCES

SHEETS = sorted(SOURCES.glob("*.md"))
ENDINGS = ("", "_solution")
LESSONS = [file for file in find_notebooks() if file.parent.name == "notebooks"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, without the parts and the model of the panel."""
    site = tmp_path_factory.mktemp("site")
    (site / "panel").mkdir()
    for name in ("page.js", "page.css"):  # which have tests of their own
        (site / "panel" / name).touch()
    walk = ReadPage("panel/walk.html", "A stored walk")
    write_page(site, walk, "walk.html", pictures=["<p>one</p><div></div>"] * 2)
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    (site / "search").mkdir()
    shutil.copy(npm_packages() / "minisearch/dist/umd/index.js", site / "search")
    (site / "docs/worksheets").mkdir(parents=True)
    for sheet in SHEETS:  # a run of the model makes them
        for end in ENDINGS:
            (site / f"docs/worksheets/{sheet.stem}{end}.html").touch()
    write_pages(site)
    return site


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, BeautifulSoup]:
    files = [f for f in site.rglob("*.html") if f.parent.name != "worksheets"]
    return {f: BeautifulSoup(f.read_text("utf-8"), "html.parser") for f in files}


def addresses(page: BeautifulSoup) -> Iterator[tuple[Tag, str]]:
    for tag in page.find_all(["a", "img", "link", "script"]):
        address = tag.get("href") or tag.get("src")
        if address:
            yield tag, unquote(str(address))


def ids(page: BeautifulSoup) -> set[str]:
    return {str(tag["id"]) for tag in page.find_all(id=True)}


def test_every_link_leads_to_a_page_and_to_a_place_on_it(
    pages: dict[Path, BeautifulSoup], site: Path
) -> None:
    places = {file: ids(page) for file, page in pages.items()}
    dead, followed = [], 0
    for file, page in pages.items():
        for _, address in addresses(page):
            if re.match(r"[a-z]+:", address):
                continue
            path, _, anchor = address.partition("#")
            target = (file.parent / path).resolve() if path else file
            is_there = target.is_file() and (not anchor or anchor in places[target])
            followed += 1
            if not is_there:
                dead.append((file.relative_to(site).as_posix(), address))
    assert dead == [], dead
    assert followed > 1_000


def test_nothing_that_a_page_loads_comes_from_elsewhere(
    pages: dict[Path, BeautifulSoup],
) -> None:
    loaded = [
        address
        for page in pages.values()
        for tag, address in addresses(page)
        if tag.name != "a" and not address.startswith("data:")
    ]
    assert loaded
    assert not [one for one in loaded if ":" in one or one.startswith("//")]


def test_every_picture_is_told_in_words(pages: dict[Path, BeautifulSoup]) -> None:
    pictures = [tag for page in pages.values() for tag in page.find_all("img")]
    assert len(pictures) > len(LESSONS)
    assert all(str(tag.get("alt", "")).strip() for tag in pictures)


def test_every_output_that_a_notebook_stores_is_on_its_page(
    pages: dict[Path, BeautifulSoup], site: Path
) -> None:
    for lesson in LESSONS[1:]:
        cells = nbformat.read(lesson, as_version=4).cells
        stored = sum(bool(cell.get("outputs")) for cell in cells)
        page = pages[site / f"notebooks/{lesson.stem}.html"]
        shown = [tag for tag in page.select(".output") if tag.find()]
        assert len(shown) == stored, lesson.stem


def test_the_notebooks_lead_from_the_first_to_the_last_and_back(
    pages: dict[Path, BeautifulSoup], site: Path
) -> None:
    at = site / f"notebooks/{LESSONS[1].stem}.html"
    read = [at.stem]
    while link := pages[at].select_one("a[rel=next]"):
        before, at = at, (at.parent / str(link["href"])).resolve()
        back = pages[at].select_one("a[rel=prev]")
        assert back is not None
        assert (at.parent / str(back["href"])).resolve() == before
        read.append(at.stem)
    assert read == [lesson.stem for lesson in LESSONS[1:]]


def test_each_worksheet_and_its_solution_can_be_reached_from_the_teaching_page(
    pages: dict[Path, BeautifulSoup], site: Path
) -> None:
    teaching = pages[site / "docs/teaching.html"]
    assert teaching.select_one('main a[href="worksheets.html"]')
    page = pages[site / "docs/worksheets.html"]
    names = {str(link["href"]) for link in page.select("main li a")}
    stems = [sheet.stem for sheet in SHEETS]
    assert names == {f"worksheets/{s}{end}.html" for s in stems for end in ENDINGS}


def test_every_page_has_a_source_whose_change_makes_the_site_old(site: Path) -> None:
    found = {file.relative_to(ROOT).as_posix() for file in sources(site)}
    assert {"README.md", "LICENSE", "CONTRIBUTING.md", "benchmarks/README.md"} <= found
    made = {file.relative_to(site).with_suffix("") for file in site.rglob("*.html")}
    known = {Path(name) for name in found}
    known |= {name.with_suffix("") for name in known}
    without = {name.as_posix() for name in made - known}
    solutions = {f"docs/worksheets/{sheet.stem}_solution" for sheet in SHEETS}
    assert without == solutions | {"index", "docs/worksheets", "panel/walk"}


def test_the_start_page_shows_the_panel_the_tour_and_the_map(
    pages: dict[Path, BeautifulSoup], site: Path
) -> None:
    page = pages[site / "index.html"]
    place = page.select_one("#panel")
    assert place is not None
    assert "What may come next" in str(place)
    assert "Run this notebook" not in str(place)
    tour = page.select_one(".tour")
    assert tour is not None
    assert "1. Press Step" in tour.text
    rows = [row.text for row in page.select("table tr")]
    for lesson in LESSONS[1:]:
        first = nbformat.read(lesson, as_version=4).cells[0].source
        minutes = re.findall(r"(\d+) minutes", first)[0]
        assert any(lesson.stem[:2] in row and minutes in row for row in rows)


# --- in a browser ------------------------------------------------------------------
@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = partial(Files, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page that may ask nobody but the site, and has nothing to complain about."""
    said: list[str] = []
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    page.close()
    assert said == []
    assert not [one for one in asked if not one.startswith((address, "data:"))]


THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
READ = [
    *(f"notebooks/{lesson.stem}.html" for lesson in LESSONS[1:]),
    "notebooks/glossary.html",
    "notebooks/solutions/10_mend_it.html",
    "llm_walkthrough/overview.py.html",
    "docs/platforms.html",
    "README.html",
]


@pytest.mark.browser
def test_axe_finds_no_fault_in_any_kind_of_page_in_both_themes(
    page: Page, address: str
) -> None:
    faults = []
    for number, name in enumerate(["index.html", "panel/walk.html", *READ]):
        # contrast is slow to judge, and all pages share one style sheet
        judges_contrast = number % 4 == 0
        rules = {"color-contrast": {"enabled": judges_contrast}}
        options = {"rules": rules, "resultTypes": ["violations"]}
        for theme in THEMES[: 1 + judges_contrast]:
            page.emulate_media(color_scheme=theme)
            page.goto(address + name)
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            found = Axe().run(page, options=options)
            faults += [
                (name, theme, one["id"], one["nodes"][0]["html"][:90])
                for one in found.response["violations"]
            ]
    assert faults == []


@pytest.mark.browser
def test_a_phone_scrolls_no_page_sideways(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    wide = []
    for name in ["index.html", "panel/walk.html", *READ]:
        page.goto(address + name)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)
    assert wide == []


@pytest.mark.browser
def test_the_search_finds_a_heading_and_leads_there(page: Page, address: str) -> None:
    page.goto(address + "notebooks/solutions/10_mend_it.html")
    page.get_by_role("searchbox").press_sequentially("residual str")
    first = page.locator("header li a").first
    assert first.inner_text().startswith("Residual stream")
    page.keyboard.press("Enter")
    page.wait_for_url("**/notebooks/glossary.html#*")
    assert page.locator(":target").is_visible()


@pytest.mark.browser
def test_the_button_changes_the_theme_of_this_and_the_next_page(
    page: Page, address: str
) -> None:
    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    page.get_by_role("button", name="Light or dark theme").click()
    dark = paper()
    page.goto(address + READ[0])
    assert dark == paper() != light


# --- what others wrote, and the model ----------------------------------------------
def test_a_package_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in panel.NPM:
        text = (HERE / name).read_text("utf-8")
        (home / name).write_text(text.replace("sha512-", "sha512-AAAA"), "utf-8")
    monkeypatch.setattr(panel, "HERE", home)
    with pytest.raises(InputError, match="npm could not get what the page is made of"):
        npm_packages(tmp_path / "kept")
    assert not [*(tmp_path / "kept").glob("npm-*")]


def test_the_lock_of_npm_names_no_registry() -> None:
    for name in panel.NPM:
        assert "://" not in (HERE / name).read_text("utf-8"), name


def test_a_part_that_npm_cannot_get_is_named_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"npm could not get .*; install Node.js"):
        write_parts(tmp_path / "site", tmp_path / "kept")


@pytest.mark.model
def test_the_panel_lists_what_is_checked_and_packs_no_compiled_file(
    tmp_path: Path,
) -> None:
    write_parts(tmp_path)
    folder = tmp_path / "panel"
    write_panel(folder)
    listed = json.loads((folder / "parts.json").read_text("utf-8"))
    assert [one["name"] for one in listed["parts"]] == PARTS["model"]["checked"]
    for one in listed["parts"]:
        assert one["sha256"] == sha256(folder / one["name"])
        assert one["bytes"] == (folder / one["name"]).stat().st_size
    names = zipfile.ZipFile(folder / "package.zip").namelist()
    kinds = {Path(name).suffix for name in names}
    assert {".so", ".pyd", ".pyc"}.isdisjoint(kinds)
    for name in ("jinja2", "markupsafe", "llm_walkthrough"):
        assert f"{name}/__init__.py" in names
