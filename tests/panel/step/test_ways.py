from __future__ import annotations

import pytest

from llm_walkthrough.panel.step.ways import (
    Made,
    Memory,
    common,
    is_within,
    nth_name,
    ways,
)
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.sampling import Sampling


def made(log_probability: float) -> Made:
    return Made(Score(log_probability, 1), 1, "drawn", 0.5, Sampling(), 0)


def memory(*paths: tuple[int, ...]) -> Memory:
    """Remember each token of the paths; a token's log-probability is minus its id."""
    found = Memory()
    for path in paths:
        for length in range(1, len(path) + 1):
            found.note(path[:length], made(-path[length - 1]))
    return found


def test_what_was_noted_is_found_by_the_tokens_that_lead_to_it() -> None:
    known = memory((1, 2), (3, 2))
    known.note((3, 2), made(-9))
    assert known.along((1, 2)) == [made(-1), made(-2)]
    assert known.along((3, 2)) == [made(-3), made(-9)]
    assert known.along((1, 5, 2)) == [made(-1), None, None]


def test_each_way_begins_where_it_parts_and_has_its_log_probability() -> None:
    branches = {"A": (1, 2, 3), "B": (1, 4), "C": (1, 4, 5)}
    a, b, c = ways(branches, "C", "A", memory(*branches.values()))
    assert (a.parent, a.fork, a.log_probability) == (None, 0, -6)
    assert (b.parent, b.fork, b.log_probability) == (0, 1, -5)
    assert (c.parent, c.fork, c.log_probability) == (1, 2, -10)
    assert [way.is_active for way in (a, b, c)] == [False, False, True]


def test_a_token_that_was_made_elsewhere_leaves_the_log_probability_open() -> None:
    (way,) = ways({"A": (1, 2)}, "A", "", memory((1,)))
    assert way.log_probability is None


def test_a_place_on_another_way_is_not_a_way_of_its_own() -> None:
    branches = {"A": (1, 2, 3), "B": (1, 2)}
    (only,) = ways(branches, "B", "A", Memory())
    assert (only.name, only.is_active) == ("A", True)


def test_of_several_ways_it_is_on_the_one_that_was_left() -> None:
    branches = {"A": (1, 2, 3), "B": (1, 2, 4), "C": (1, 2)}
    for left, active in (("A", "A"), ("B", "B"), ("", "A")):
        shown = ways(branches, "C", left, Memory())
        assert [way.name for way in shown if way.is_active] == [active]


def test_the_empty_way_is_drawn_when_it_is_the_only_one() -> None:
    (only,) = ways({"A": ()}, "A", "", Memory())
    assert (only.tokens, only.log_probability, only.is_active) == ((), 0, True)


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [((), (1,), 0), ((1, 2), (1, 2), 2), ((1, 2, 3), (1, 2, 4), 2), ((5,), (6,), 0)],
)
def test_the_common_beginning_is_counted(
    one: tuple[int, ...], other: tuple[int, ...], length: int
) -> None:
    assert common(one, other) == common(other, one) == length


def test_a_beginning_is_found_in_others() -> None:
    assert is_within((1, 2), [(3,), (1, 2, 3)])
    assert is_within((1, 2), [(1, 2)])
    assert not is_within((1, 2), [(1,), (2, 1, 2)])


def test_names_never_repeat() -> None:
    names = [nth_name(number) for number in range(60)]
    assert names[:2] == ["A", "B"]
    assert names[25:27] == ["Z", "A1"]
    assert len(set(names)) == 60
