"""What the plots tell, that they can be read, and that they are small."""

from __future__ import annotations

import base64
import html
import io
import re
import sys
import warnings
from itertools import combinations, pairwise
from subprocess import run
from typing import Literal

import matplotlib as mpl
import matplotlib.style
import pytest
from PIL import Image
from playwright.sync_api import Browser
from wcag import READABLE, contrast, numbers

from llm_walkthrough.plots import (
    CARD,
    DARK,
    HIGHLIGHT,
    INK,
    MUTED,
    PALE,
    PALER,
    Plot,
    candidate_bars,
    count_columns,
    cumulative_bar,
    lines,
    share_grid,
    stacked_bar,
    token_columns,
)

TOKENS = ["␣improve", "⏎", "$x_1$", "🧘"]
with matplotlib.style.context("llm_walkthrough.plots"):
    CYCLE = [*mpl.rcParams["axes.prop_cycle"]]
SHARES = [0.5, 0.25, 0.15, 0.05]
MEASURED = {"copied": [10.0, 20.0, 66.0], "shared": [9.0, 12.0, 33.0]}
LABELS = {"title": "Time", "x_label": "tokens in the cache", "y_label": "ms per token"}


def filtered() -> Plot:
    return candidate_bars(TOKENS, SHARES, [0.8, 0.2, 0, 0], chosen="⏎")


@pytest.fixture(scope="module")
def plots() -> dict[str, Plot]:
    """One of each kind; drawn when a test first looks at its `svg`, and once."""
    many = [1, 48_000, 9, 1] * 12
    return {
        "candidates": candidate_bars(TOKENS, SHARES),
        "filtered": filtered(),
        "lines": lines([128, 1024, 4096], MEASURED, **LABELS),
        "stacked": stacked_bar(
            {"feed-forward": 60.0, "norms": 0.1}, title="Weights", unit="MB"
        ),
        "cumulative": cumulative_bar(TOKENS, SHARES, u=0.6),
        "columns": token_columns(TOKENS * 20, range(80), title="T", y_label="nats"),
        "grid": share_grid(
            ["head 0", "head 1"], TOKENS, [SHARES, SHARES[::-1]], title="Where it looks"
        ),
        "counts": count_columns(TOKENS * 12, many, title="T", y_label="tokens"),
    }


@pytest.mark.parametrize("page", [{colour: colour for colour in DARK}, DARK])
def test_all_text_can_be_read_on_light_and_on_dark_pages(page: dict[str, str]) -> None:
    on_card = {(colour, CARD) for colour in [INK, MUTED, HIGHLIGHT]}
    on_card |= {(one["color"], CARD) for one in CYCLE}
    on_bars = {(INK, PALE), (INK, PALER), (CARD, HIGHLIGHT)}
    for ink, paper in on_card | on_bars:
        assert contrast(numbers(page[ink]), numbers(page[paper])) >= READABLE, ink


def test_no_series_is_told_by_its_colour_alone() -> None:
    assert len({one["marker"] for one in CYCLE}) == len(CYCLE) == 5


def test_no_colour_is_without_its_counterpart_on_the_other_page(
    plots: dict[str, Plot],
) -> None:
    for kind, plot in plots.items():
        rules, drawn = plot.svg.split("</style>", 1)
        assert not re.search("(fill|stroke): #", drawn), kind
        for name in set(re.findall(r"var\((--\w{6})\)", drawn)):
            assert rules.count(f"{name}:") == len(["light", "dark"]), (kind, name)


@pytest.mark.browser
@pytest.mark.parametrize("system", ["light", "dark"])
def test_a_picture_follows_the_page_or_the_system_where_the_page_says_nothing(
    chromium: Browser, plots: dict[str, Plot], system: Literal["light", "dark"]
) -> None:
    shown = plots["cumulative"]._repr_html_()
    for body, scheme in (
        ("style=color-scheme:light", "light"),  # as JupyterLab has it
        ("style=color-scheme:dark", "dark"),
        ("", system),
    ):
        page = chromium.new_page(color_scheme=system)
        page.set_content(f"<body {body}>{shown}")
        card = CARD if scheme == "light" else DARK[CARD]
        picture = Image.open(io.BytesIO(page.locator("img").screenshot()))
        middle_of_the_foot = (picture.width // 2, picture.height - 3)
        pixel = picture.convert("RGB").getpixel(middle_of_the_foot)
        assert pixel == tuple(numbers(card)), (body, system)
        page.close()


def test_each_picture_is_shown_with_its_text_alternative(
    plots: dict[str, Plot],
) -> None:
    for kind, plot in plots.items():
        shown = re.search(r'<img alt="([^"]+)" .*base64,([^"]+)"', plot._repr_html_())
        assert shown is not None, kind
        assert html.unescape(shown[1]) == plot.text == repr(plot)
        assert base64.b64decode(shown[2]).decode() == plot.svg


def test_each_picture_is_small_and_readable_on_a_card_of_its_own(
    plots: dict[str, Plot],
) -> None:
    for kind, plot in plots.items():
        assert len(plot._repr_html_()) <= 60_000, kind
        assert f"fill: var(--{CARD[1:]})" in plot.svg, kind
        points = map(float, re.findall(r"font-size: ([\d.]+)px", plot.svg))
        assert min(points) >= 9, kind


def test_the_same_numbers_give_the_same_picture(plots: dict[str, Plot]) -> None:
    assert filtered().svg == plots["filtered"].svg


def test_no_character_causes_a_warning_or_is_taken_for_mathematics() -> None:
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "🧘" in candidate_bars(["🧘"], [1.0]).svg
        assert ">$x_1$<" in candidate_bars(["$x_1$"], [1.0]).svg
    assert dict(mpl.rcParams) == before  # drawing leaves matplotlib as it was


def test_drawing_does_not_start_pyplot() -> None:
    code = "import sys, llm_walkthrough.plots as _; sys.exit('matplotlib.pyplot' in "
    code += "sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_candidates_are_told_before_and_after_and_with_the_choice(
    plots: dict[str, Plot],
) -> None:
    plot = candidate_bars(["a", "b"], [0.6, 0.4], [1.0, 0.0], chosen="a")
    assert plot.text == (
        "What may come next: a 60.0 %, b 40.0 %. After processing: a 100.0 %. "
        "Chosen: a."
    )
    assert ">out<" in plots["filtered"].svg
    assert "◀ chosen" in plots["filtered"].svg


def test_a_grid_names_its_largest_shares_and_writes_in_those_from_a_fifth(
    plots: dict[str, Plot],
) -> None:
    assert plots["grid"].text == (
        "Where it looks, in percent; the largest: "
        "head 1 × 🧘 50, head 0 × ␣improve 50, head 1 × $x_1$ 25."
    )
    assert [plots["grid"].svg.count(f">{n}<") for n in (50, 25, 15)] == [2, 2, 0]


def test_lines_are_told_by_where_they_begin_and_end(plots: dict[str, Plot]) -> None:
    assert plots["lines"].text == (
        "Time — ms per token, tokens in the cache from 128 to 4,096: copied from 10 "
        "to 66; shared from 9 to 33."
    )
    assert ">copied<" in plots["lines"].svg


def test_names_of_lines_that_end_together_do_not_touch() -> None:
    figure = lines([1, 2], {name: [0.0, 1.0] for name in "abc"}, **LABELS).figure
    heights = sorted(text.xy[1] for text in figure.axes[0].texts)  # type: ignore[attr-defined]
    assert min(b - a for a, b in pairwise(heights)) > 0.05


def test_a_stack_is_told_with_its_sum(plots: dict[str, Plot]) -> None:
    plot = plots["stacked"]
    assert plot.text == "Weights: feed-forward 60, norms 0.1; together 60.1 MB."
    assert "0.1 MB · 0.166 %" in plot.svg


def test_the_bar_tells_on_which_token_u_falls() -> None:
    for u, told in (
        (0.0, "falls on a, which lies from 0.000 to 0.500"),
        (0.5, "falls on b, which lies from 0.500 to 0.900"),
        (0.95, "falls on a token that is not named here"),
    ):
        assert told in cumulative_bar(["a", "b"], [0.5, 0.4], u).text


def test_columns_are_told_by_their_mean_and_the_three_highest() -> None:
    plot = token_columns("abcd", [1, 4, 3, 2], title="T", y_label="nats")
    assert plot.text == "T — nats: 4 tokens, mean 2.5; highest: b 4.0, c 3.0, d 2.0."


def test_counts_are_told_with_how_many_are_without_a_choice() -> None:
    plot = count_columns("abcd", [1, 40_000, 1, 12], title="T", y_label="tokens")
    assert plot.text == "T — tokens: 4 tokens; 1 at 2 of them, otherwise 12 to 40,000."
    low, _ = plot.figure.axes[0].get_ylim()
    assert low < 0.9  # a count of one is a column that can be seen


def test_names_of_columns_and_labels_of_neighbours_do_not_touch() -> None:
    for num_tokens in (20, 50, 80):
        figure = token_columns(
            ["Wg"] * num_tokens, range(num_tokens), title="T", y_label="nats"
        ).figure
        figure.draw_without_rendering()
        axes = figure.axes[0]
        names = sorted(label.get_window_extent().x0 for label in axes.get_xticklabels())
        in_points = 72 / figure.dpi
        assert min(b - a for a, b in pairwise(names)) * in_points > 9, num_tokens
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), num_tokens


def test_no_tick_stands_at_a_probability_above_one() -> None:
    axes = candidate_bars(["a", "b"], [0.9, 0.1], [1.0, 0.0]).figure.axes[0]
    assert max(axes.get_xticks()) == 100
