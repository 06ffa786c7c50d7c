"""Medians, ratios and bars are what they say, and the table shows them."""

from __future__ import annotations

import pytest

from benchmarks.report import Bar, Report, Subject

ROUNDS = [(90.0, 100.0), (100.0, 100.0), (30.0, 25.0)]
FAST = Subject("decode", "tokens/s", "another engine", Bar("at least", 0.97))


def test_row_shows_the_median_of_each_side() -> None:
    row = FAST.row(ROUNDS)
    assert (row.ours, row.theirs) == (90.0, 100.0)


def test_ratio_is_the_median_of_the_rounds_and_not_that_of_the_medians() -> None:
    assert FAST.row(ROUNDS).ratio == 1.0  # of 0.9, 1.0 and 1.2


@pytest.mark.parametrize(
    ("bar", "below", "on_it", "above"),
    [
        (Bar("at least", 1.7), False, True, True),
        (Bar("at most", 1.03), True, True, False),
    ],
)
def test_bar_is_met_on_its_own_side_and_on_the_bar_itself(
    bar: Bar, *, below: bool, on_it: bool, above: bool
) -> None:
    ratios = (bar.ratio - 0.01, bar.ratio, bar.ratio + 0.01)
    assert [bar.is_met(ratio) for ratio in ratios] == [below, on_it, above]


def test_row_without_a_bar_is_neither_met_nor_missed() -> None:
    row = Subject("sampled decode", "tokens/s", "another engine").row(ROUNDS)
    assert row.bar is None
    assert row.is_met is None


def test_table_shows_each_row_with_its_ratio_and_whether_it_holds() -> None:
    slow = Subject("a step", "ms", "its bare run", Bar("at most", 1.03))
    rows = (FAST.row(ROUNDS), slow.row([(11.0, 10.0)]))
    head, _, names, first, second = str(Report("tiny", 2, 3, rows)).splitlines()
    assert head == "tiny, threads: 2, rounds: 3"
    assert names.split() == ["ours", "theirs", "against", "ours/theirs"]
    assert " ".join(first.split()) == (
        "decode 90.00 100.00 tokens/s another engine 1.000 at least 0.97: met"
    )
    assert second.endswith("1.100  at most 1.03: MISSED")
    assert first.index("100.00") + len("100.00") == second.index("10.00") + len("10.00")
