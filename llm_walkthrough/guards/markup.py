"""HTML and SVG out of templates, in which whatever comes from outside is only text.

A template is a jinja2 file of this package. Knows nothing of what is shown.
"""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def _template(name: str) -> str:
    """Read a template in one line: a break beside a tag is nothing, else a space."""
    text = files("llm_walkthrough").joinpath(name).read_text(encoding="utf-8")
    return re.sub(r"\n *", " ", re.sub(r"(?<=[>}])\n *|\n *(?=[<{])", "", text))


TEMPLATES = Environment(
    loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined
)


def filled(template: str, **values: object) -> str:
    """Fill in a template; whatever it does not call safe is escaped."""
    return TEMPLATES.get_template(template).render(values)
