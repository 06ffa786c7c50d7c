"""Pictures of measurements that everybody can read, each with the same in words.

Each function takes plain numbers and labels and returns a `Plot`: a matplotlib figure
with its text alternative, which states the key figures. One look for all, kept in
`plots.mplstyle`: a card that is light on light pages and dark on dark ones, labels at
the things themselves instead of a legend, and never colour alone. `title` stands above
the picture; tokens are given as visible pieces. Knows nothing of models.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from typing import Any

import matplotlib.colors
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llm_walkthrough.guards.markup import filled

INK, MUTED, CARD = "#1b1f24", "#5b6673", "#fbfcfd"
ACCENT, HIGHLIGHT = "#1769c4", "#b5500b"
PALE, PALER = "#b3d1f2", "#d7e7f9"
DARK = {  # what each colour of the look becomes on a dark page
    INK: "#e8ebef",
    MUTED: "#a3aebb",
    CARD: "#181c21",
    ACCENT: "#6db1ff",
    HIGHLIGHT: "#f5a35c",
    PALE: "#2c4d70",
    PALER: "#20364f",
    "#00796b": "#4fc3b0",  # these four as the style file has them: two lines,
    "#8e44ad": "#cf9be6",
    "#d5dbe2": "#434c57",  # edge and grid
    "#e3e7ec": "#2b323a",
}
Texts = Sequence[str]
Numbers = Sequence[float]
_WIDTH = 7.2  # inches; 691 pixels on a page
_BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
_styled = matplotlib.style.context("llm_walkthrough.plots")


@dataclass(frozen=True, eq=False, repr=False)
class Plot:
    """A figure and the same in words."""

    figure: Figure
    text: str  # what the figure shows, with the key figures

    @cached_property  # drawing again would move the layout by a hair
    @_styled
    def svg(self) -> str:
        """The picture; equal numbers give equal text."""
        file = io.StringIO()
        unstable = {"Date": None, "Creator": None}  # would differ from run to run
        with warnings.catch_warnings():
            # an emoji is laid out as a box; the reader's own font has its shape
            warnings.filterwarnings("ignore", message=r"Glyph \d+")
            self.figure.savefig(file, format="svg", metadata=unstable)
        return _in_both_schemes(file.getvalue())

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.svg.encode()).decode()
        return filled("plots.html", plot=self, picture=picture)

    def __repr__(self) -> str:
        return self.text


@_styled
def candidate_bars(
    tokens: Texts,
    before: Numbers,
    after: Numbers | None = None,
    *,
    chosen: str | None = None,
    title: str = "What may come next",
) -> Plot:
    """Draw the probabilities of the likeliest tokens, also after processing.

    `tokens` come likeliest first; `before` are their probabilities, 0 to 1, as bars. If
    there are others `after` processing, these are the bars and `before` an empty frame;
    a token that is 0 `after` was filtered out, and says so. The `chosen` one is marked.
    """
    was = [100 * p for p in before]
    now = was if after is None else [100 * p for p in after]
    figure, axes = _card(title, height=1.1 + 0.27 * len(tokens))
    places = range(len(tokens))
    colours = [HIGHLIGHT if token == chosen else ACCENT for token in tokens]
    axes.barh(places, now, height=0.56, color=colours)
    words, note = f"{title}: {_shares(tokens, before)}.", ""
    if after is not None:
        axes.barh(places, was, 0.8, fill=False, edgecolor=MUTED, linewidth=1)
        words += f" After processing: {_shares(tokens, after)}."
        note = "   (frame: before)"
    longest = list(map(max, was, now))  # labels stand beyond bar and frame
    for place, (token, share) in enumerate(zip(tokens, now, strict=True)):
        mark = "  ◀ chosen" if token == chosen else ""
        label = f"{share:.1f}{mark}" if share else "out"
        spot, ink = (longest[place], place), INK if share else MUTED
        axes.annotate(label, spot, (6, 0), color=ink, **_BESIDE)
    _name_rows(axes, tokens, font="monospace")
    axes.set(xlabel=f"probability in %{note}", xlim=(0, 1.2 * max(longest)))
    if axes.viewLim.x1 > 100:  # noqa: PLR2004 - no probability is above
        axes.set_xticks(range(0, 101, 20))
    return Plot(figure, words + (f" Chosen: {chosen}." if chosen else ""))


@_styled
def lines(
    x: Numbers, series: Mapping[str, Numbers], *, title: str, x_label: str, y_label: str
) -> Plot:
    """Draw one line for each series over the same x, each labelled at its end.

    `x` ascends, and each of at most five series, by its name, has as many values. The
    labels say what x and the values are, with their units.
    """
    figure, axes = _card(title, height=3.4)
    for values in series.values():
        axes.plot(x, values)
    if min(map(min, series.values())) >= 0:
        axes.set_ylim(bottom=0)
    _name_lines(axes, series)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:,g}")
    spans = (f"{k} from {v[0]:,.3g} to {v[-1]:,.3g}" for k, v in series.items())
    span = f"{x_label} from {x[0]:,g} to {x[-1]:,g}"
    return Plot(figure, f"{title} — {y_label}, {span}: {'; '.join(spans)}.")


@_styled
def stacked_bar(parts: Mapping[str, float], *, title: str, unit: str) -> Plot:
    """Draw what a whole is made of: each part begins where the one above it ends.

    `parts` are names and amounts in reading order, `unit` is theirs, such as "MB".
    """
    figure, axes = _card(title, height=1.1 + 0.32 * len(parts))
    whole = sum(parts.values())
    end = 0.0
    for place, amount in enumerate(parts.values()):
        # the edge keeps a part of a thousandth in sight
        axes.barh(place, amount, left=end, height=0.6, color=ACCENT, edgecolor=ACCENT)
        end += amount
        share = f"{amount:,.3g} {unit} · {100 * amount / whole:.3g} %"
        axes.annotate(share, (end, place), (6, 0), color=INK, **_BESIDE)
    _name_rows(axes, list(parts))
    axes.set(xlabel=unit, xlim=(0, 1.32 * whole))
    listed = ", ".join(f"{name} {amount:,.3g}" for name, amount in parts.items())
    return Plot(figure, f"{title}: {listed}; together {whole:,.3g} {unit}.")


@_styled
def cumulative_bar(tokens: Texts, probabilities: Numbers, u: float) -> Plot:
    """Draw the bar on which the tokens lie end to end, and where `u` falls.

    `tokens` come likeliest first, each as wide as its probability, 0 to 1. What they
    lack to 1 together stays empty at the right; `u` is in [0, 1).
    """
    title = "Where u falls"
    figure, axes = _card(title, height=1.7)
    hit = "a token that is not named here"
    start = 0.0
    for place, (token, p) in enumerate(zip(tokens, probabilities, strict=True)):
        fill, ink = (PALE, PALER)[place % 2], INK
        if start <= u < start + p:
            fill, ink = HIGHLIGHT, CARD
            hit = f"{token}, which lies from {start:.3f} to {start + p:.3f}"
        axes.barh(0, p, left=start, color=fill, height=0.8)
        if p > 0.014 * (len(token) + 1):  # wide enough for its text
            name = axes.text(start + p / 2, 0, token, color=ink, family="monospace")
            name.set(ha="center", va="center")
        start += p
    axes.plot([u, u], [-0.4, 0.55], color=HIGHLIGHT, marker="")
    axes.text(u, 0.6, f"u = {u:.3f}", color=HIGHLIGHT, weight="bold", ha="center")
    axes.set(xlim=(0, 1), ylim=(-0.4, 1.0), yticks=[], xlabel="cumulative probability")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    return Plot(figure, f"{title}: u = {u:.3f} falls on {hit}.")


@_styled
def token_columns(tokens: Texts, values: Numbers, *, title: str, y_label: str) -> Plot:
    """Draw one column for each token of a text, such as its surprise.

    `values` are at least 0, one for each token; `y_label` says what they are, with
    their unit. The three highest stand out, and their values are written above them.
    """
    highest = sorted(range(len(tokens)), key=lambda place: -values[place])[:3]
    figure, axes = _columns(tokens, values, highest, 0)
    # a label is nearly three columns wide
    is_close = any(b - a in (1, 2) for a, b in pairwise(sorted(highest)))
    upright = {**_BESIDE, "va": "bottom", "rotation": 90 if is_close else 0}
    for place in highest:
        spot = (place, values[place])
        axes.annotate(f"{values[place]:.1f}", spot, (0, 3), ha="center", **upright)
    axes.margins(y=0.15)  # room for them under the title
    axes.set(title=title, ylabel=y_label)
    mean = sum(values) / len(values)
    named = ", ".join(f"{tokens[place]} {values[place]:.1f}" for place in highest)
    words = f"{len(tokens)} tokens, mean {mean:.1f}; highest: {named}"
    return Plot(figure, f"{title} — {y_label}: {words}.")


@_styled
def count_columns(
    tokens: Texts, counts: Sequence[int], *, title: str, y_label: str
) -> Plot:
    """Draw one column for each token of a text, such as how many might have come.

    `counts` are 1 or more, one for each token, on a scale that goes by powers of ten; a
    count of 1 is a stub in another colour. `y_label` says what is counted.
    """
    foot = 0.6  # on this scale a column from 1 to 1 has no height
    alone = [place for place, count in enumerate(counts) if count == 1]
    tall = [count - foot for count in counts]
    figure, axes = _columns(tokens, tall, alone, foot)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set(title=title, ylabel=y_label, ylim=(foot, None))
    axes.yaxis.set_major_formatter("{x:,g}")
    words = f"{len(tokens)} tokens; 1 at {len(alone)} of them, otherwise"
    others = [count for count in counts if count > 1] or [1]
    span = f"{min(others):,} to {max(others):,}"
    return Plot(figure, f"{title} — {y_label}: {words} {span}.")


@_styled
def share_grid(
    rows: Texts, columns: Texts, shares: Sequence[Numbers], *, title: str
) -> Plot:
    """Draw a table of shares as squares, each the darker the larger its share.

    `shares` are 0 to 1, row by row, each row as long as `columns`. The largest are
    written in, in percent: those of a fifth or more, but no more than 60 of them.
    """
    figure, axes = _card(title, height=1.6 + 0.24 * len(rows))
    ink = matplotlib.colors.to_rgb(ACCENT)
    # pale enough for the numbers, on light pages and on dark ones
    pixels = [[(*ink, 0.6 * float(share)) for share in row] for row in shares]
    axes.imshow(pixels, aspect="auto", interpolation="none")
    listed = [(p, r, c) for r, row in enumerate(shares) for c, p in enumerate(row)]
    listed.sort(reverse=True)
    for share, row, column in listed[:60]:
        if share >= 0.2:  # noqa: PLR2004 - a fifth, as said
            label = f"{100 * share:.0f}"
            axes.text(column, row, label, size=9, ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns, rotation=90, size=9, color=INK)
    axes.set_yticks(range(len(rows)), rows, size=9, color=INK)
    axes.grid(visible=False)
    named = (f"{rows[r]} × {columns[c]} {100 * p:.0f}" for p, r, c in listed[:3])
    return Plot(figure, f"{title}, in percent; the largest: {', '.join(named)}.")


def _in_both_schemes(svg: str) -> str:
    """Give each colour a name that means another one where the page is dark."""
    light = "".join(f"--{colour[1:]}:{colour};" for colour in DARK)
    dark = "".join(f"--{colour[1:]}:{other};" for colour, other in DARK.items())
    rules = f"svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    named = re.sub(r"(fill|stroke): #(\w{6})", r"\1: var(--\2)", svg)
    return re.sub("<svg [^>]*>", rf"\g<0><style>{rules}</style>", named, count=1)


def _card(title: str, height: float, width: float = _WIDTH) -> tuple[Figure, Axes]:
    """Return an empty picture, height and width in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _columns(
    tokens: Texts, heights: Numbers, marked: Sequence[int], foot: float
) -> tuple[Figure, Axes]:
    """Return a picture with a column above each token; `foot` is where they begin."""
    wide_enough = 0.8 + 0.142 * len(tokens)  # for names of 9 points side by side
    figure, axes = _card("", height=3.4, width=max(_WIDTH, wide_enough))
    places = range(len(tokens))
    colours = [HIGHLIGHT if place in marked else ACCENT for place in places]
    axes.bar(places, heights, bottom=foot, color=colours, width=0.72)
    axes.set_xticks(places, tokens, rotation=90, family="monospace", size=9, color=INK)
    axes.set_xlim(-0.7, len(tokens) - 0.3)
    axes.grid(visible=False, axis="x")
    return figure, axes


def _name_rows(axes: Axes, names: Texts, font: str = "sans-serif") -> None:
    """Name rows that are read from top to bottom."""
    axes.set_yticks(range(len(names)), names, color=INK, family=font)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()


def _name_lines(axes: Axes, series: Mapping[str, Numbers]) -> None:
    """Write each name at the end of its line, moved apart where they would touch."""
    low, high = axes.get_ylim()
    ends = [values[-1] for values in series.values()]
    free = low  # the lowest height at which there is room for the next name
    lines = zip(ends, series, axes.lines, strict=True)
    for end, name, line in sorted(lines, key=itemgetter(0)):
        height = max(end, free)
        spot = (1.0, (height - low) / (high - low))  # as shares of the axes
        style = {"xycoords": "axes fraction", "weight": "bold", **_BESIDE}
        axes.annotate(name, spot, (4, 0), color=line.get_color(), **style)
        free = height + 0.075 * (high - low)


def _shares(tokens: Texts, probabilities: Numbers) -> str:
    pairs = zip(tokens, probabilities, strict=True)
    return ", ".join(f"{token} {100 * p:.1f} %" for token, p in pairs if p)
