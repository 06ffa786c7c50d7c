from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_model import TOYS
from walking import PROMPT, Interrupted, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.step.branches import (
    Branches,
    Made,
    Notes,
    is_within,
    named_branches,
    nth_name,
)
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.stepper import Stepper

MADE = Made(Score(-1, 1), "drawn", 0.5, Sampling(), 0)


@pytest.fixture(params=TOYS)
def branches(request: pytest.FixtureRequest) -> Branches:
    return Branches(Stepper(toy(request.param), PROMPT))


def go(branches: Branches, *tokens: int) -> None:
    for token in tokens:
        branches.append(token, MADE)


def shown(branches: Branches) -> dict[str, tuple[int, ...]]:
    return {branch.name: branch.tokens for branch in branches.look()[2]}


def test_going_back_keeps_the_branch_as_what_may_come_again(branches: Branches) -> None:
    go(branches, 1, 2, 3)
    branches.back(2)
    _, future, _ = branches.look()
    assert (branches.here, future) == ((1,), (2, 3))
    assert shown(branches) == {"A": (1, 2, 3)}
    go(branches, 2, 3)  # the same again: the same branch
    assert branches.tokens() == {"A": (1, 2, 3)}


def test_another_token_makes_another_branch_and_a_click_goes_to_either_end(
    branches: Branches,
) -> None:
    go(branches, 1, 2, 3)
    branches.back(2)
    go(branches, 7, 8)
    assert shown(branches) == {"A": (1, 2, 3), "B": (1, 7, 8)}
    branches.switch("A")
    assert branches.here == (1, 2, 3)
    branches.switch("B")
    assert branches.here == (1, 7, 8)
    branches.back(1)
    branches.switch("A")  # a place along a branch leaves nothing behind
    assert branches.tokens() == {"A": (1, 2, 3), "B": (1, 7, 8)}


def test_the_name_of_a_dropped_branch_is_given_anew(branches: Branches) -> None:
    for token in (2, 5):
        go(branches, 1, 2) if token == 2 else None
        branches.back(1)
        go(branches, token)
    assert shown(branches) == {"A": (1, 2), "B": (1, 5)}


def test_reset_goes_back_to_the_prompt_and_forgets_all(branches: Branches) -> None:
    go(branches, 1, 2)
    branches.back(1)
    go(branches, 7)
    branches.reset()
    assert branches.tokens() == {"A": ()}
    assert branches.look()[0] == ()


def test_what_is_known_of_a_token_is_found_again_on_its_branch(
    branches: Branches,
) -> None:
    other = replace(MADE, how="chosen")
    branches.append(1, MADE)
    branches.append(2, other)
    branches.back(1)
    go(branches, 9)
    branches.switch("A")
    assert branches.look()[0] == (MADE, other)


def test_tokens_of_a_cell_are_part_of_the_branch_and_nothing_is_known_of_them(
    branches: Branches,
) -> None:
    go(branches, 1)
    branches.stepper.step(2)
    branches.stepper.extend(np.array([7, 8]))
    go(branches, 3)
    made, _, _ = branches.look()
    assert branches.here == (1, 2, 7, 8, 3)
    assert [*made] == [MADE, None, None, None, MADE]
    branches.back(2)
    assert branches.look()[1] == (2, 7, 8, 3)
    go(branches, 2, 3)  # without what stood between
    branches.stepper.fork()
    assert [*branches.tokens().values()] == [(1, 2, 7, 8, 3), (1, 2, 3), (1, 2, 3)]


@pytest.mark.parametrize(("kept", "left"), [(4, 4), (3, 1), (2, 1), (1, 1), (0, 0)])
def test_going_back_to_an_appended_token_goes_to_the_step_before(
    branches: Branches, kept: int, left: int
) -> None:
    go(branches, 1, 2)
    branches.stepper.extend(np.array([7, 8]))
    go(branches, 3)
    branches.back_to(kept)
    assert len(branches.here) == left


def test_a_run_that_fails_leaves_the_branch_as_it_was() -> None:
    model = Interrupted(vocab=264)
    branches = Branches(Stepper(model, PROMPT))
    go(branches, 1, 2)
    model.is_time = True
    with pytest.raises(KeyboardInterrupt):
        branches.append(3, MADE)
    assert branches.here == (1, 2)
    go(branches, 4)
    assert [*branches.here] == [1, 2, 4]


def test_impossible_wishes_are_refused_in_one_sentence(branches: Branches) -> None:
    with pytest.raises(InputError, match="no step to take back: this is the prompt"):
        branches.back(1)
    go(branches, 1)
    with pytest.raises(InputError, match="between 1 and 1 steps can be taken back, no"):
        branches.back(2)
    with pytest.raises(InputError, match="there is no branch 'Z'; there are A"):
        branches.switch("Z")
    assert shown(branches) == {"A": (1,)}


# --- as they are drawn -------------------------------------------------------------


def notes(*paths: tuple[int, ...]) -> Notes:
    """Note each token of the paths; a token's log-probability is minus its id."""
    found = Notes()
    for path in paths:
        for length, token in enumerate(path, start=1):
            found.note(path[:length], replace(MADE, score=Score(-token, 1)))
    return found


def test_each_branch_begins_where_it_parts_and_has_its_log_probability() -> None:
    tokens = {"A": (1, 2, 3), "B": (1, 4, 6), "C": (1, 4, 5)}
    a, b, c = named_branches(tokens, "C", "A", notes((1, 2, 3), (1, 4, 6)))
    assert (a.parent, a.fork, a.log_probability) == (None, 0, -6)
    assert (b.parent, b.fork, b.log_probability) == (0, 1, -11)
    assert (c.parent, c.fork, c.log_probability) == (1, 2, None)  # made elsewhere
    assert [one.is_active for one in (a, b, c)] == [False, False, True]


def test_a_place_along_other_branches_is_on_the_one_that_was_left() -> None:
    tokens = {"A": (1, 2, 3), "B": (1, 2, 4), "C": (1, 2)}
    for left, active in (("A", "A"), ("B", "B"), ("", "A")):
        drawn = named_branches(tokens, "C", left, Notes())
        assert [one.name for one in drawn] == ["A", "B"]
        assert [one.name for one in drawn if one.is_active] == [active]


def test_a_branch_that_a_cell_has_made_longer_is_drawn_once() -> None:
    tokens = {"A": (1,), "B": (1, 2), "C": (1, 2), "D": (3,)}
    for active, home in (("A", "B"), ("B", "B"), ("C", "B"), ("D", "D")):
        drawn = named_branches(tokens, active, "", Notes())
        assert [one.name for one in drawn] == ["B", "D"]
        assert [one.name for one in drawn if one.is_active] == [home]


def test_the_empty_branch_is_drawn_when_it_is_the_only_one() -> None:
    (only,) = named_branches({"A": ()}, "A", "", Notes())
    assert (only.tokens, only.log_probability, only.is_active) == ((), 0, True)


def test_a_beginning_is_found_in_others() -> None:
    assert is_within((1, 2), [(3,), (1, 2, 3)])
    assert is_within((1, 2), [(1, 2)])
    assert not is_within((1, 2), [(1,), (2, 1, 2)])


def test_names_never_repeat() -> None:
    names = [nth_name(number) for number in range(60)]
    assert (names[:2], names[25:27]) == (["A", "B"], ["Z", "A1"])
    assert len(set(names)) == 60
