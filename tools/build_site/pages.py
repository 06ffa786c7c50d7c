"""The pages that are read: notebooks with their stored outputs, texts, source files.

A page lies where its source lies in the repository, so a link between two sources is
a link between two pages; what is linked becomes a page. Runs no notebook.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from os.path import relpath
from pathlib import Path
from typing import NamedTuple

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook
from pygments.formatters import HtmlFormatter

from tools.build_site.panel import PARTS, ROOT
from tools.notebooks import FOLDER, find_notebooks

HERE = Path(__file__).parent
FRAMES = Environment(loader=FileSystemLoader(HERE), autoescape=True)
CELLS = HTMLExporter(template_file=str(HERE / "cells.html.j2"))
MARKED = re.compile(r"<!--(text|output)-->(.*?)<!--end-->", re.DOTALL)
SECTION = re.compile(
    r'<h([1-3]) id="([^"]+)">(.*?)</h\1>(.*?)(?=<h[1-3] id=|\Z)', re.DOTALL
)
HEADING = re.compile(r'(?<=<h\d id=")[^"]+')
ANCHOR = re.compile(r'<a class="anchor-link".*?</a>')
LINK = re.compile(r'(href|src)="([^":#]+)(#[^"]*)?"')
START = "index.html"
SHEETS = ROOT / "docs" / "worksheets"
IMAGES = {".png", ".svg"}


class Page(NamedTuple):
    """A page without the frame around it."""

    url: str  # below the site
    title: str
    body: str = ""


def write_pages(site: Path) -> None:
    """Write every page that can be reached from the course, the start page last."""
    notebooks = find_notebooks()
    docs = sorted(ROOT.glob("docs/*.md"))
    groups = {
        "Notebooks": [one for one in notebooks if one.parent == FOLDER],
        "Reference": [FOLDER / "glossary.md", *docs, SHEETS, ROOT / "README.md"],
        "Solutions": [one for one in notebooks if one.parent != FOLDER],
    }
    sources, pages = [one for group in groups.values() for one in group], {}
    for source in sources:  # which grows while links are found
        pages[source] = _page(source, sources)
    course = {name: [pages[one] for one in group] for name, group in groups.items()}
    found = [one for group in course.values() for page in group for one in _found(page)]
    (site / "found.js").write_text(f"const found = {json.dumps(found)};", "utf-8")
    style = (HERE / "course.css").read_text("utf-8")
    for theme, colours in (("", "default"), ("[data-theme=dark] ", "github-dark")):
        style += HtmlFormatter(style=colours).get_style_defs(f"{theme}.highlight")
    (site / "course.css").write_text(style, "utf-8")
    shutil.copy(HERE / "course.js", site)
    for source, page in reversed(pages.items()):
        (site / page.url).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in IMAGES:
            shutil.copy(source, site / page.url)
        elif page.url != START:
            write_page(site, page, course=course)
        else:
            _, (_, picture), (_, tour), *rest = MARKED.findall(page.body)
            told = {"tour": tour, "rest": "".join(part for _, part in rest), **PARTS}
            write_page(site, page, "start.html", picture=picture, **told)


def write_page(
    site: Path, page: Page, frame: str = "page.html", **told: object
) -> None:
    """Put a frame around a page, and write it into the site."""
    (site / page.url).parent.mkdir(parents=True, exist_ok=True)
    told["root"] = "../" * page.url.count("/")
    told["headings"] = [part[1:3] for part in SECTION.findall(page.body)]
    text = FRAMES.get_template(frame).render(page._asdict(), **told)
    (site / page.url).write_text(text, "utf-8")


def _page(source: Path, sources: list[Path]) -> Page:
    """Make a page of a file; what it links to is added to `sources`."""

    def led(link: re.Match[str]) -> str:
        target = (source.parent / link[2]).resolve()
        if (target / "README.md").is_file():
            target /= "README.md"
        if target not in sources:
            sources.append(target)
        address = relpath(_url(target), Path(_url(source)).parent)
        return f'{link[1]}="{Path(address).as_posix()}{link[3] or ""}"'

    if source.suffix in IMAGES:
        return Page(_url(source), source.name)
    if source == SHEETS:
        sheets = [
            (sheet.stem, sheet.read_text("utf-8").partition("\n")[0].strip("# "))
            for sheet in sorted(SHEETS.glob("*.md"))
        ]
        body = FRAMES.get_template("sheets.html").render(sheets=sheets)
        return Page(_url(source), "Worksheets", body)
    if source.suffix == ".ipynb":
        notebook = nbformat.read(source, 4)
    else:
        text = source.read_text("utf-8")
        if source.suffix != ".md":
            text = f"~~~~~~{source.suffix[1:]}\n{text}\n~~~~~~"
        notebook = new_notebook(cells=[new_markdown_cell(text)])
    body = LINK.sub(led, ANCHOR.sub("", CELLS.from_notebook_node(notebook)[0]))
    # links in a text name a heading as GitHub does; the glossary has its own names
    if source.suffix == ".md" and '<a id="' not in body:
        body = HEADING.sub(lambda m: re.sub(r"[^\w-]", "", m[0].lower()), body)
    body = re.sub(r"<th([^>]*)></th>", r"<td\1></td>", body)  # a corner heads nothing
    heading = SECTION.search(body)
    title = _plain(heading[3]) if heading else source.relative_to(ROOT).as_posix()
    return Page(_url(source), "Start" if _url(source) == START else title, body)


def _url(source: Path) -> str:
    """Name the page of a file: the start page is a notebook, too."""
    name = source.relative_to(ROOT)
    if name == Path("notebooks/start.ipynb"):
        return START
    if name.suffix in IMAGES:
        return name.as_posix()
    is_text = name.suffix in {".ipynb", ".md"}
    return (name.with_suffix("") if is_text else name).as_posix() + ".html"


def _found(page: Page) -> list[dict[str, str]]:
    """Return what the search can find on a page: each heading, and the text below."""
    text = "".join(part for kind, part in MARKED.findall(page.body) if kind == "text")
    return [
        {"id": f"{page.url}#{anchor}", "page": page.title}
        | {"heading": _plain(heading), "text": _plain(below)}
        for _, anchor, heading, below in SECTION.findall(text)
    ]


def _plain(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", text))
