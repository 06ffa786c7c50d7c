from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy_model import TOYS, GrownToy, SharedToy, ToyModel, replayed

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.race import Race

if TYPE_CHECKING:
    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache

PROMPT = np.array([3, 1, 4, 1, 5])


class Fickle(GrownToy):
    """Chooses token 7 whenever it is fed many tokens, token 8 for one."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        rows = np.zeros_like(rows)
        rows[:, 8 if len(unseen) == 1 else 7] = 1
        return rows, longer


class Failing(SharedToy):
    """Fails at the run of this number."""

    fails_at = 0

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.num_runs + 1 == self.fails_at:
            self.fails_at = 0
            raise RuntimeError("out of memory")
        return super().run(unseen, cache)


def steps(one: Race, count: int) -> None:
    for _ in range(count):
        one.do("step")


def greedy(count: int) -> list[int]:
    """Decode with single runs, as the cached way does."""
    tokens, stops = PROMPT.tolist(), [len(PROMPT)]
    for _ in range(count):
        tokens.append(int(replayed(tuple(tokens), tuple(stops), 23).argmax()))
        stops.append(len(tokens))
    return [int(token) for token in tokens]


@pytest.mark.parametrize("toy", TOYS)
def test_it_makes_the_tokens_of_greedy_decoding(toy: type[ToyModel]) -> None:
    one = Race(toy(), PROMPT)
    steps(one, 6)
    assert one.tokens.tolist() == greedy(6)


@pytest.mark.parametrize("toy", TOYS)
def test_the_cached_way_feeds_unseen_tokens_and_the_other_one_all(
    toy: type[ToyModel],
) -> None:
    one = Race(toy(), PROMPT)
    steps(one, 4)
    assert [r.cached.fed for r in one.now.rounds] == [5, 1, 1, 1]
    assert [r.plain.fed for r in one.now.rounds] == [5, 6, 7, 8]


def test_every_step_runs_the_model_twice_and_measures_both() -> None:
    model = SharedToy()
    one = Race(model, PROMPT)
    assert model.num_runs == 0
    steps(one, 3)
    assert model.num_runs == 6
    laps = [lap for r in one.now.rounds for lap in (r.cached, r.plain)]
    assert all(lap.seconds > 0 for lap in laps)


def test_both_ways_go_on_with_the_cached_token_and_it_is_told_where_they_differ() -> (
    None
):
    one = Race(Fickle(), PROMPT)
    steps(one, 3)
    assert one.tokens.tolist() == [*PROMPT, 7, 8, 8]
    assert [r.is_same for r in one.now.rounds] == [True, False, False]


def test_the_cache_holds_all_but_the_token_that_was_chosen_last() -> None:
    one = Race(SharedToy(), PROMPT)
    assert one.snapshot().cache.length == 0
    steps(one, 3)
    assert one.snapshot().cache.length == len(one.tokens) - 1


def test_a_run_ends_at_the_end_token_and_says_so() -> None:
    end = greedy(3)[-1]
    one = Race(GrownToy(), PROMPT, end_tokens=[end])
    one.act("run")
    for _ in range(10):
        one.act("tick")
    assert one.tokens[-1] == end
    assert not one.now.running
    assert "ended its answer" in one.now.notice.text


@pytest.mark.parametrize("fails_at", [3, 4])
def test_a_step_that_fails_in_either_way_leaves_the_race_as_it_was(
    fails_at: int,
) -> None:
    model = Failing()
    one = Race(model, PROMPT)
    steps(one, 1)
    before = one.now.rounds
    model.fails_at = fails_at
    one.act("step")
    assert one.now.rounds == before
    assert one.now.notice.text.startswith("RuntimeError: out of memory")
    steps(one, 3)
    assert one.tokens.tolist() == greedy(4)


def test_a_full_context_is_said() -> None:
    one = Race(SharedToy(capacity=6), PROMPT)
    steps(one, 2)
    with pytest.raises(InputError, match="the context is full: the model reads 6"):
        steps(one, 1)


def test_reset_begins_with_an_empty_cache() -> None:
    one = Race(SharedToy(), PROMPT)
    steps(one, 3)
    one.act("reset")
    assert one.tokens.tolist() == PROMPT.tolist()
    assert one.snapshot().cache.length == 0
    steps(one, 2)
    assert one.tokens.tolist() == greedy(2)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        Race(SharedToy(), np.array([], np.int64))
