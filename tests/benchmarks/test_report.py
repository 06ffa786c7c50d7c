"""Medians, ratios and bars are what they say, and the table shows them."""

from __future__ import annotations

from benchmarks.report import Bar, Report, Row, compared

ROUNDS = [(90.0, 100.0), (100.0, 100.0), (30.0, 25.0)]
FAST = compared("decode", "tokens/s", "a peer", ROUNDS, Bar("at least", 0.97))
SLOW = compared("a step", "ms", "its run", [(11.0, 10.0)], Bar("at most", 1.03))


def test_ratio_is_the_median_of_the_rounds_and_not_that_of_the_medians() -> None:
    assert (FAST.ours, FAST.theirs) == (90.0, 100.0)
    assert FAST.ratio == 1.0  # of 0.9, 1.0 and 1.2


def test_bar_is_met_on_its_own_side_and_on_the_bar_itself() -> None:
    figures = (0.9, 1.0, 1.1)
    low, high = Bar("at least", 1), Bar("at most", 1)
    assert [low.is_met(figure) for figure in figures] == [False, True, True]
    assert [high.is_met(figure) for figure in figures] == [True, True, False]


def test_table_shows_each_row_and_says_in_words_what_is_missed() -> None:
    head, names, _, first, second, missed = str(Report("tiny", (FAST, SLOW))).split(
        "\n"
    )
    assert head == "tiny"
    assert names.split() == ["ours", "theirs", "unit", "against", "ours/theirs", "bar"]
    assert " ".join(first.split()) == (
        "decode 90.00 100.00 tokens/s a peer 1.000 at least 0.97: met"
    )
    assert second.endswith("1.100  at most 1.03: MISSED")
    assert missed == "a step misses its bar: 1.100, wanted at most 1.03."


def test_figure_that_stands_alone_has_its_own_bar_and_no_empty_columns() -> None:
    report = Report("tiny", (Row("painted", "ms", 120.0, Bar("at most", 100)),))
    assert report.missed == ["painted misses its bar: 120.000, wanted at most 100."]
    assert str(report).splitlines()[1].split() == ["ours", "unit", "bar"]
