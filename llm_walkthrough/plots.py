"""How do measurements become a picture that everybody can read?

Each function takes plain numbers and labels and returns a `Plot`: a matplotlib figure
with its text alternative, which states the key figures in words. One look for all, kept
in `plots.mplstyle`: a light card that reads on white and on dark pages, labels at the
things themselves instead of a legend, and never colour alone. Knows nothing of models
or of how the numbers came about.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import matplotlib.style
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

INK, MUTED, CARD = "#1b1f24", "#5b6673", "#fbfcfd"
ACCENT, HIGHLIGHT = "#1769c4", "#b5500b"
PALE, PALER = "#b3d1f2", "#d7e7f9"
SERIES = (  # colours that colour-blind readers can tell apart, and a sign for each
    (ACCENT, "o", "-"),
    (HIGHLIGHT, "s", "--"),
    ("#00796b", "^", "-."),
    ("#8e44ad", "D", ":"),
    (MUTED, "v", "-"),
)
_WIDTH = 7.2  # inches; 518 pixels on a page
_styled = matplotlib.style.context("llm_walkthrough.plots")


@dataclass(frozen=True, eq=False, repr=False)
class Plot:
    """A figure and the same in words.

    Attributes:
        figure: as matplotlib made it.
        text: what the figure shows, with the key figures.
    """

    figure: Figure
    text: str

    @cached_property  # drawing again would move the layout by a hair
    @_styled
    def svg(self) -> str:
        """The picture; equal numbers give equal text."""
        file = io.StringIO()
        unstable = {"Date": None, "Creator": None}
        with warnings.catch_warnings():
            # an emoji is laid out as a box; the reader's own font has its shape
            warnings.filterwarnings("ignore", message=r"Glyph \d+")
            self.figure.savefig(file, format="svg", metadata=unstable)
        return file.getvalue()

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.svg.encode()).decode()
        source = f"data:image/svg+xml;base64,{picture}"
        alt = html.escape(self.text)
        image = (
            f'<img alt="{alt}" style="max-width:100%;border-radius:6px" src="{source}">'
        )
        return f'<figure style="margin:.5em 0">{image}</figure>'

    def __repr__(self) -> str:
        return self.text


@_styled
def candidate_bars(
    tokens: Sequence[str],
    before: Sequence[float],
    after: Sequence[float] | None = None,
    *,
    chosen: str | None = None,
    title: str = "What may come next",
) -> Plot:
    """Draw the probabilities of the likeliest tokens, also after processing.

    Args:
        tokens: visible pieces, likeliest first.
        before: their probabilities, 0 to 1.
        after: the same after temperature and filters, 0 for a token that is out; then
            `before` is drawn as an empty frame.
        chosen: the token that was drawn, if it is to be marked.
        title: stands above the picture.
    """
    now = before if after is None else after
    figure, axes = _card(title, height=1.1 + 0.27 * len(tokens))
    colours = [HIGHLIGHT if token == chosen else ACCENT for token in tokens]
    axes.barh(range(len(tokens)), [100 * p for p in now], height=0.56, color=colours)
    if after is not None:
        _frames(axes, [100 * p for p in before])
    longest = [100 * max(pair) for pair in zip(before, now, strict=True)]
    for place, (token, end, p) in enumerate(zip(tokens, longest, now, strict=True)):
        mark = "  ◀ chosen" if token == chosen else ""
        label = f"{100 * p:.1f}{mark}" if p else "out"
        _label(axes, label, (end, place), colour=INK if p else MUTED)
    _token_ticks(axes, tokens)
    frame = "" if after is None else "   (frame: before)"
    axes.set(xlabel=f"probability in %{frame}", xlim=(0, 1.2 * max(longest)))
    words = f"{title}: {_shares(tokens, before)}."
    if after is not None:
        words += f" After processing: {_shares(tokens, after)}."
    return Plot(figure, words + (f" Chosen: {chosen}." if chosen else ""))


@_styled
def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> Plot:
    """Draw one line for each series over the same x, each labelled at its end.

    Args:
        x: ascending.
        series: name to as many values as `x` has; at most five series.
        title: stands above the picture.
        x_label: what x is, with its unit.
        y_label: what the values are, with their unit.
    """
    figure, axes = _card(title, height=3.4)
    for (colour, marker, dashes), values in zip(SERIES, series.values(), strict=False):
        axes.plot(x, values, dashes, color=colour, marker=marker, lw=2, ms=5)
    if min(map(min, series.values())) >= 0:
        axes.set_ylim(bottom=0)
    _name_lines(axes, series)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:,g}")
    ends = "; ".join(
        f"{name} from {values[0]:,.3g} to {values[-1]:,.3g}"
        for name, values in series.items()
    )
    span = f"{x_label} from {x[0]:,g} to {x[-1]:,g}"
    return Plot(figure, f"{title} — {y_label}, {span}: {ends}.")


@_styled
def stacked_bar(parts: Mapping[str, float], *, title: str, unit: str) -> Plot:
    """Draw what a whole is made of: each part begins where the one above it ends.

    Args:
        parts: name to amount, in reading order.
        title: stands above the picture.
        unit: of the amounts, such as "MB".
    """
    figure, axes = _card(title, height=1.1 + 0.32 * len(parts))
    whole = sum(parts.values())
    end = 0.0
    for place, amount in enumerate(parts.values()):
        # the edge keeps a part of a thousandth in sight
        axes.barh(place, amount, left=end, height=0.6, color=ACCENT, edgecolor=ACCENT)
        end += amount
        share = f"{amount:,.3g} {unit} · {100 * amount / whole:.3g} %"
        _label(axes, share, (end, place))
    axes.set_yticks(range(len(parts)), list(parts), color=INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel=unit, xlim=(0, 1.28 * whole))
    listed = ", ".join(f"{name} {amount:,.3g}" for name, amount in parts.items())
    return Plot(figure, f"{title}: {listed}; together {whole:,.3g} {unit}.")


@_styled
def cumulative_bar(
    tokens: Sequence[str],
    probabilities: Sequence[float],
    u: float,
    *,
    title: str = "Where u falls",
) -> Plot:
    """Draw the bar on which the tokens lie end to end, and where `u` falls.

    Args:
        tokens: visible pieces, likeliest first.
        probabilities: 0 to 1; what is missing to 1 is left empty.
        u: in [0, 1).
        title: stands above the picture.
    """
    figure, axes = _card(title, height=1.7)
    words = f"{title}: u = {u:.3f} falls on a token that is not named here."
    start = 0.0
    for place, (token, p) in enumerate(zip(tokens, probabilities, strict=True)):
        is_hit = start <= u < start + p
        colour = HIGHLIGHT if is_hit else (PALE, PALER)[place % 2]
        axes.barh(0, p, left=start, color=colour, height=0.8)
        if p > 0.014 * (len(token) + 1):  # wide enough for its text
            _inside(axes, token, start + p / 2, colour=CARD if is_hit else INK)
        if is_hit:
            span = f"{start:.3f} to {start + p:.3f}"
            words = f"{title}: u = {u:.3f} falls on {token}, which lies from {span}."
        start += p
    axes.plot([u, u], [-0.4, 0.55], color=HIGHLIGHT, lw=2)
    axes.text(u, 0.6, f"u = {u:.3f}", color=HIGHLIGHT, weight="bold", ha="center")
    axes.set(xlim=(0, 1), ylim=(-0.4, 1.0), yticks=[], xlabel="cumulative probability")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    return Plot(figure, words)


@_styled
def token_columns(
    tokens: Sequence[str], values: Sequence[float], *, title: str, y_label: str
) -> Plot:
    """Draw one column for each token of a text, such as its surprise.

    The three highest are marked and labelled with their value.

    Args:
        tokens: visible pieces in reading order.
        values: one for each token, at least 0.
        title: stands above the picture.
        y_label: what the values are, with their unit.
    """
    figure, axes = _card(title, height=3.4)
    places = range(len(tokens))
    highest = sorted(places, key=lambda place: -values[place])[:3]
    colours = [HIGHLIGHT if place in highest else ACCENT for place in places]
    axes.bar(places, values, color=colours, width=0.72)
    for place in highest:
        spot = (place, values[place])
        axes.annotate(
            f"{values[place]:.1f}",
            spot,
            (0, 3),
            textcoords="offset points",
            ha="center",
        )
    axes.set_xticks(places, tokens, rotation=90, family="monospace", size=9, color=INK)
    axes.set(ylabel=y_label, xlim=(-0.7, len(tokens) - 0.3))
    axes.grid(visible=False, axis="x")
    mean = sum(values) / len(values)
    named = ", ".join(f"{tokens[place]} {values[place]:.1f}" for place in highest)
    words = f"{len(tokens)} tokens, mean {mean:.1f}; highest: {named}"
    return Plot(figure, f"{title} — {y_label}: {words}.")


@_styled
def count_columns(
    tokens: Sequence[str], counts: Sequence[int], *, title: str, y_label: str
) -> Plot:
    """Draw one column for each token of a text, such as how many might have come.

    The scale goes by powers of ten. A count of 1 is a stub in another colour.

    Args:
        tokens: visible pieces in reading order.
        counts: one for each token, at least 1.
        title: stands above the picture.
        y_label: what is counted.
    """
    figure, axes = _card(title, height=3.4)
    places = range(len(tokens))
    foot = 0.6  # on this scale a column from 1 to 1 has no height
    colours = [HIGHLIGHT if count == 1 else ACCENT for count in counts]
    tall = [count - foot for count in counts]
    axes.bar(places, tall, bottom=foot, color=colours, width=0.72)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xticks(places, tokens, rotation=90, family="monospace", size=9, color=INK)
    axes.set(ylabel=y_label, xlim=(-0.7, len(tokens) - 0.3), ylim=(foot, None))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.grid(visible=False, axis="x")
    alone = sum(count == 1 for count in counts)
    words = f"{len(tokens)} tokens; 1 at {alone} of them, otherwise"
    others = [count for count in counts if count > 1] or [1]
    span = f"{min(others):,} to {max(others):,}"
    return Plot(figure, f"{title} — {y_label}: {words} {span}.")


def _card(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _frames(axes: Axes, values: Sequence[float]) -> None:
    places = range(len(values))
    axes.barh(places, values, height=0.8, fill=False, edgecolor=MUTED, linewidth=1)


def _label(
    axes: Axes, text: str, spot: tuple[float, float], *, colour: str = INK
) -> None:
    """Write to the right of a spot."""
    points = "offset points"
    axes.annotate(text, spot, (6, 0), textcoords=points, va="center", color=colour)


def _inside(axes: Axes, token: str, middle: float, *, colour: str) -> None:
    axes.text(
        middle, 0, token, color=colour, family="monospace", ha="center", va="center"
    )


def _token_ticks(axes: Axes, tokens: Sequence[str]) -> None:
    axes.set_yticks(range(len(tokens)), tokens, family="monospace", color=INK)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()


def _name_lines(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    """Write each name at the end of its line, moved apart where they would touch."""
    low, high = axes.get_ylim()
    apart = 0.075 * (high - low)
    ends = {name: values[-1] for name, values in series.items()}
    colours = dict(zip(series, (colour for colour, _, _ in SERIES), strict=False))
    free = low
    for name in sorted(ends, key=lambda name: ends[name]):
        height = max(ends[name], free)
        spot = (1.0, (height - low) / (high - low))
        axes.annotate(
            name,
            spot,
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=colours[name],
            weight="bold",
        )
        free = height + apart


def _shares(tokens: Sequence[str], probabilities: Sequence[float]) -> str:
    pairs = zip(tokens, probabilities, strict=True)
    return ", ".join(f"{token} {100 * p:.1f} %" for token, p in pairs if p)
