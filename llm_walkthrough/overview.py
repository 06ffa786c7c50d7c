"""A drawing of the whole way from a text to its next token, with a model's own sizes.

It is an image with links laid over it, since a notebook that is not trusted loses SVG
and style sheets in the page itself. All words stand inside dark boxes, so that it reads
the same on light and on dark pages. Knows which notebook explains what; runs nothing.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass

from llm_walkthrough.graph import Graph
from llm_walkthrough.model_files.model_config import read_model_config

_WIDTH, _HEIGHT = 878, 330
_LINE = "#8a94a0"  # seen on white and on black
_STYLE = (
    "text{font:14px system-ui,'DejaVu Sans',Arial,sans-serif;fill:#fff;"
    "text-anchor:middle}.name{font-size:15.5px;font-weight:700}"
    f"rect,path{{stroke:{_LINE}}}path{{fill:none;stroke-width:2.5;marker-end:url(#tip)}}"
)
_TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="4" '
    f'markerHeight="4" orient="auto"><polygon points="0,0 8,4 0,8" fill="{_LINE}"/>'
    "</marker>"
)
_ARROWS = (
    *(f"M{x} 88h15" for x in (96, 212, 334, 470, 629, 759)),  # from box to box
    *("M400 132v54", "M420 190v-54"),  # attention writes the cache, and reads it
    "M825 132V300H162V138",  # and round again
)
_LAYERS = ((364, 4, 263, 132), (358, 8, 263, 132), (352, 12, 263, 132))  # a pile
# y, height and colour; white reads well on each of the colours
_FLOWS, _COMPUTES = (44, 88, "#3b4a5c"), (44, 88, "#1763b5")
_KEPT, _REPEATED = (190, 66, "#9a4a0b"), (276, 48, "#3b4a5c")


@dataclass(frozen=True)
class Part:
    """A box of the drawing: what it is, and the notebook that explains it."""

    name: str
    lines: str  # separated by "/"
    notebook: str
    x: int
    width: int
    kind: tuple[int, int, str]


@dataclass(frozen=True, repr=False)
class Overview:
    """The drawing, and the same in words."""

    parts: tuple[Part, ...]  # in the order in which a token meets them
    heading: str  # of the layers

    def __repr__(self) -> str:
        told = "; ".join(f"{p.name}: {p.lines.replace('/', ' ')}" for p in self.parts)
        return f"From a text to its next token, through {self.heading}. {told}."

    @property
    def svg(self) -> str:
        """The picture, with its text alternative."""
        pile = "".join(_frame(*place, "#232c37") for place in _LAYERS)
        arrows = "".join(f'<path d="{way}"/>' for way in _ARROWS)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'role="img"><title>From a text to its next token</title><desc>'
            f"{html.escape(repr(self))}</desc><style>{_STYLE}</style>{_TIP}{pile}"
            f'<text x="483" y="33">{self.heading}</text>{arrows}'
            f"{''.join(map(_box, self.parts))}</svg>"
        )

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.svg.encode()).decode()
        named = (f'<a href="{p.notebook}.ipynb">{p.name}</a>' for p in self.parts)
        return (
            f'<div style="position:relative;max-width:{_WIDTH}px">'
            f'<img alt="{html.escape(repr(self))}" style="display:block;width:100%" '
            f'src="data:image/svg+xml;base64,{picture}">'
            f"{''.join(map(_link, self.parts))}</div>"
            f"<p>Each part leads to the notebook about it: {' · '.join(named)}.</p>"
        )


def overview(graph: Graph) -> Overview:
    """Draw the way of a token through this model; the sizes are those of its files."""
    hidden = read_model_config(graph.path).number("hidden_size", "n_embd")
    row = f"{hidden:,}/numbers" if hidden else "a row of/numbers"
    kept = f"a key and a value of {graph.kv_heads} × {graph.head_dim}/numbers"
    kept += " for each layer and token"
    scored = f"a score for/each of/{graph.vocab:,} tokens"
    parts = (
        Part("text", "“Why is the/sky blue?”", "02_tokenizer", 4, 92, _FLOWS),
        Part("token ids", "one number/for each/piece", "02_tokenizer", 114, 98, _FLOWS),
        Part("embedding", f"{row}/per token", "01_graph", 230, 104, _COMPUTES),
        Part(
            "attention", "looks at the/tokens so far", "01_graph", 360, 110, _COMPUTES
        ),
        Part("feed-forward", "each token/on its own", "01_graph", 488, 119, _COMPUTES),
        Part("KV cache", kept, "04_kv_cache", 352, 275, _KEPT),
        Part("logits", scored, "03_prefill", 647, 112, _FLOWS),
        Part("one token", "chosen by/sampling", "05_sampling", 777, 97, _FLOWS),
        Part(
            "the loop", "append it, feed it in", "06_decode_loop", 390, 180, _REPEATED
        ),
    )
    return Overview(parts, f"{graph.num_layers} layers, one after another")


def _frame(x: int, y: int, width: int, height: int, colour: str) -> str:
    size = f'width="{width}" height="{height}" rx="7"'
    return f'<rect x="{x}" y="{y}" {size} fill="{colour}"/>'


def _box(part: Part) -> str:
    y, height, colour = part.kind
    lines = part.lines.split("/")
    middle, first = part.x + part.width / 2, y + height / 2 - 9 * len(lines) + 5
    return (
        _frame(part.x, y, part.width, height, colour)
        + f'<text class="name" x="{middle}" y="{first}">{part.name}</text>'
        + "".join(
            f'<text x="{middle}" y="{first + 18 * row}">{html.escape(line)}</text>'
            for row, line in enumerate(lines, start=1)
        )
    )


def _link(part: Part) -> str:
    y, height, _ = part.kind
    left, width = 100 * part.x / _WIDTH, 100 * part.width / _WIDTH
    top, high = 100 * y / _HEIGHT, 100 * height / _HEIGHT
    return (  # the keyboard has the links below the picture
        f'<a href="{part.notebook}.ipynb" title="{part.name}: {part.notebook}" '
        f'tabindex="-1" style="position:absolute;left:{left:.2f}%;top:{top:.2f}%;'
        f'width:{width:.2f}%;height:{high:.2f}%"></a>'
    )
