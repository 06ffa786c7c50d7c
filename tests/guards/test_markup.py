"""Whatever is filled into a template is text, and nothing can be left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

import llm_walkthrough
from llm_walkthrough.guards.markup import TEMPLATES, filled

ROOT = Path(str(llm_walkthrough.__file__)).parent
WHOLE = {"alone.html"}  # a page that nothing is filled into
NAMES = [
    file.relative_to(ROOT).as_posix()
    for ending in ("html", "svg")
    for file in sorted(ROOT.rglob(f"*.{ending}"))
    if file.name not in WHOLE
]
SIZES = {"width": 3, "height": 2, "parts": ()}


def test_what_comes_from_outside_is_text() -> None:
    page = filled("overview.html", words='"><script>', picture="", **SIZES)
    assert 'alt="&#34;&gt;&lt;script&gt;"' in page


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="picture"):
        filled("overview.html", words="", **SIZES)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_broken_into_lines_for_its_reader_alone(name: str) -> None:
    assert TEMPLATES.loader is not None
    source, _, _ = TEMPLATES.loader.get_source(TEMPLATES, name)
    assert "\n" in (ROOT / name).read_text("utf-8")
    assert "\n" not in source.rstrip("\n")
    TEMPLATES.get_template(name)  # it can be read
