from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy_model import TOYS, SharedToy, replayed
from walking import PROMPT, toy

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.step.trail import Trail
from llm_walkthrough.panel.step.ways import Made, is_within
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.stepper import Stepper

if TYPE_CHECKING:
    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache

MADE = Made(Score(-1, 1), 1, "drawn", 0.5, Sampling(), 0)


@pytest.fixture(params=TOYS)
def trail(request: pytest.FixtureRequest) -> Trail:
    return Trail(Stepper(toy(request.param), PROMPT))


def go(trail: Trail, *tokens: int) -> None:
    for token in tokens:
        trail.append(token, MADE)


def shown(trail: Trail) -> dict[str, tuple[int, ...]]:
    return {way.name: way.tokens for way in trail.look().ways}


def test_going_back_keeps_the_way_as_what_may_come_again(trail: Trail) -> None:
    go(trail, 1, 2, 3)
    trail.back(2)
    assert trail.here == (1,)
    assert trail.look().future == (2, 3)
    assert shown(trail) == {"A": (1, 2, 3)}


def test_the_same_tokens_again_lead_back_to_the_same_way(trail: Trail) -> None:
    go(trail, 1, 2, 3)
    trail.back(2)
    go(trail, 2, 3)
    assert trail.active == "A"
    assert len(trail.stepper.branches) == 1
    assert trail.look().future == ()


def test_another_token_makes_another_way_and_keeps_the_first(trail: Trail) -> None:
    go(trail, 1, 2, 3)
    trail.back(2)
    go(trail, 7)
    assert shown(trail) == {"A": (1, 2, 3), "B": (1, 7)}
    assert trail.active == "B"
    assert trail.look().future == ()


def test_switching_goes_to_the_end_of_the_other_way(trail: Trail) -> None:
    go(trail, 1, 2, 3)
    trail.back(2)
    go(trail, 7, 8)
    trail.switch("A")
    assert trail.here == (1, 2, 3)
    trail.switch("B")
    assert trail.here == (1, 7, 8)


def test_switching_away_from_a_place_on_a_way_leaves_nothing_behind(
    trail: Trail,
) -> None:
    go(trail, 1, 2, 3)
    trail.back(2)
    go(trail, 7, 8)
    trail.back(1)
    trail.switch("A")
    assert trail.branches() == {"A": (1, 2, 3), "B": (1, 7, 8)}


def test_the_name_of_a_dropped_way_is_given_anew(trail: Trail) -> None:
    go(trail, 1, 2)
    trail.back(1)
    go(trail, 2)
    trail.back(1)
    go(trail, 5)
    assert shown(trail) == {"A": (1, 2), "B": (1, 5)}


def test_reset_goes_back_to_the_prompt_and_forgets_all(trail: Trail) -> None:
    go(trail, 1, 2)
    trail.back(1)
    go(trail, 7)
    trail.reset()
    assert trail.branches() == {"A": ()}
    assert trail.look().made == ()
    go(trail, 3)
    assert shown(trail) == {"A": (3,)}


def test_what_is_known_of_a_token_is_found_again_on_the_way_back(trail: Trail) -> None:
    other = Made(Score(-2, 2), 0.5, "chosen", None, Sampling(), 3)
    trail.append(1, MADE)
    trail.append(2, other)
    trail.back(1)
    assert [*trail.look().made] == [MADE]
    go(trail, 9)
    trail.switch("A")
    assert [*trail.look().made] == [MADE, other]


def test_tokens_that_a_cell_made_are_shown_without_what_is_not_known(
    trail: Trail,
) -> None:
    go(trail, 1)
    trail.stepper.step(4)
    trail.stepper.fork()
    assert trail.look().made == (MADE, None)
    assert [*trail.branches()] == ["A", "B"]


def test_tokens_that_a_cell_appended_are_part_of_the_way(trail: Trail) -> None:
    go(trail, 1, 2)
    trail.stepper.extend(np.array([7, 8]))
    go(trail, 3)
    assert trail.here == (1, 2, 7, 8, 3)
    assert trail.look().made == (MADE, MADE, None, None, MADE)
    trail.back(2)
    assert trail.look().future == (2, 7, 8, 3)
    go(trail, 2, 3)  # without what stood between
    assert shown(trail) == {"A": (1, 2, 7, 8, 3), "B": (1, 2, 3)}


@pytest.mark.parametrize(("kept", "left"), [(4, 4), (3, 1), (2, 1), (1, 1), (0, 0)])
def test_going_back_to_an_appended_token_goes_to_the_step_before(
    trail: Trail, kept: int, left: int
) -> None:
    go(trail, 1, 2)
    trail.stepper.extend(np.array([7, 8]))
    go(trail, 3)
    trail.back_to(kept)
    assert len(trail.here) == left


@pytest.mark.parametrize("seed", range(6))
def test_any_walk_keeps_every_end_it_has_been_at_and_the_right_logits(
    trail: Trail, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    ends: set[tuple[int, ...]] = set()
    for _ in range(60):
        choice = chance.random()
        if choice < 0.6:
            go(trail, int(chance.integers(4)))
        elif choice < 0.9 and trail.here:
            ends.add(trail.here)
            trail.back(int(chance.integers(1, len(trail.here) + 1)))
        else:
            ends.add(trail.here)
            trail.switch(str(chance.choice([*trail.branches()])))
        branches = [*trail.branches().values()]
        assert all(is_within(end, branches) for end in ends)
        whole = [way.tokens for way in trail.look().ways]
        assert not any(is_within(a, [b]) for a, b in pairwise(sorted(whole)))
        stops = tuple(run.stop for run in trail.stepper.runs)
        np.testing.assert_array_equal(
            trail.stepper.logits,
            replayed(tuple(trail.stepper.tokens.tolist()), stops, 264),
        )


class Failing(SharedToy):
    """Fails at a run that is asked for."""

    fails = False

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.fails:
            raise InputError("the graph cannot be run")
        return super().run(unseen, cache)


def test_a_run_that_fails_leaves_the_way_as_it_was() -> None:
    model = Failing(vocab=264)
    trail = Trail(Stepper(model, PROMPT))
    go(trail, 1, 2)
    model.fails = True
    with pytest.raises(InputError, match="cannot be run"):
        trail.append(3, MADE)
    assert [*trail.here] == [1, 2]
    model.fails = False
    go(trail, 4)
    assert [*trail.here] == [1, 2, 4]


def test_impossible_wishes_are_refused_in_one_sentence(trail: Trail) -> None:
    with pytest.raises(InputError, match="no step to take back: this is the prompt"):
        trail.back(1)
    go(trail, 1)
    with pytest.raises(
        InputError, match="between 1 and 1 steps can be taken back, not 2"
    ):
        trail.back(2)
    with pytest.raises(InputError, match="there is no way 'Z'; there are A"):
        trail.switch("Z")
    assert shown(trail) == {"A": (1,)}
