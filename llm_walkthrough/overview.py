"""A drawing of the whole way from a text to its next token, with a model's own sizes.

It is an image with links laid over it, since a notebook that is not trusted loses SVG
and style sheets in the page itself. The boxes are listed in `overview.toml`, which
knows which notebook explains what, and drawn by `overview.svg`; runs nothing.
"""

from __future__ import annotations

import base64
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_walkthrough.graph import Graph
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.model_files.model_config import read_model_config

_SIZE: dict[str, Any] = {"width": 878, "height": 330}  # of the drawing, in pixels


@dataclass(frozen=True)
class Part:
    """A box of the drawing: what it is, and the notebook that explains it."""

    name: str
    lines: tuple[str, ...]
    notebook: str
    x: int  # of its left upper corner, as y
    y: int
    width: int
    height: int
    colour: str


@dataclass(frozen=True, repr=False)
class Overview:
    """The drawing, and the same in words."""

    parts: tuple[Part, ...]  # in the order in which a token meets them
    heading: str  # of the layers

    def __repr__(self) -> str:
        told = "; ".join(f"{p.name}: {' '.join(p.lines)}" for p in self.parts)
        return f"From a text to its next token, through {self.heading}. {told}."

    @property
    def svg(self) -> str:
        """The picture, with its text alternative."""
        return filled("overview.svg", words=repr(self), **vars(self), **_SIZE)

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.svg.encode()).decode()
        shown = {"words": repr(self), "picture": image, "parts": self.parts}
        return filled("overview.html", **shown, **_SIZE)


def overview(graph: Graph) -> Overview:
    """Draw the way of a token through this model; the sizes are those of its files."""
    hidden = read_model_config(graph.path).number("hidden_size", "n_embd")
    sizes = {name: getattr(graph, name) for name in ("kv_heads", "head_dim", "vocab")}
    sizes["row"] = f"{hidden:,}" if hidden else "a row of"
    file = Path(__file__).with_suffix(".toml")
    parts = (
        Part(**{**part, "lines": tuple(line.format(**sizes) for line in part["lines"])})
        for part in tomllib.loads(file.read_text(encoding="utf-8"))["parts"]
    )
    return Overview(tuple(parts), f"{graph.num_layers} layers, one after another")
