"""The HTML files of this folder, filled in."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
)


def filled(name: str, **values: object) -> str:
    """Fill in a file; whatever it does not call safe is escaped."""
    return _PAGES.get_template(name).render(values)
