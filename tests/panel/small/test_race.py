from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_model import TOYS, GrownToy, ToyModel, replayed
from walking import PROMPT, Reader, numbers, tokenizer, toy

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.small.race import Lap, Race, Raced, Round, page, twin
from llm_walkthrough.panel.wording import quoted

ROUNDS = (
    Round(Lap(5, 0.020, 40), Lap(5, 0.020, 40)),
    Round(Lap(1, 0.010, 41), Lap(6, 0.040, 41)),
)


class Fickle(GrownToy):
    """Chooses token 7 whenever it is fed many tokens, token 8 for one."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        rows = np.zeros_like(rows)
        rows[:, 8 if len(unseen) == 1 else 7] = 1
        return rows, longer


def race(model: ToyModel | None = None, steps: int = 0) -> Race:
    one = Race(model or toy(), PROMPT)
    for _ in range(steps):
        one.do("step")
    return one


def measured(*rounds: Round) -> Raced:
    return replace(race().now, rounds=rounds)


def drawn(now: Raced) -> Reader:
    return Reader(page(now, tokenizer()))


def greedy(count: int) -> list[int]:
    """Decode with single runs, as the cached way does."""
    tokens, stops = PROMPT.tolist(), [len(PROMPT)]
    for _ in range(count):
        logits = replayed(tuple(tokens), tuple(stops), tokenizer().vocab)
        tokens.append(int(logits.argmax()))
        stops.append(len(tokens))
    return [int(token) for token in tokens]


@pytest.mark.parametrize("kind", TOYS)
def test_it_makes_the_tokens_of_greedy_decoding_in_both_ways(
    kind: type[ToyModel],
) -> None:
    model = toy(kind)
    one = race(model)
    assert model.num_runs == 0
    for _ in range(6):
        one.do("step")
    rounds = one.now.rounds
    assert one.now.tokens.tolist() == greedy(6)
    assert [r.cached.fed for r in rounds] == [5, 1, 1, 1, 1, 1]
    assert [r.plain.fed for r in rounds] == [5, 6, 7, 8, 9, 10]
    assert model.num_runs == 12
    assert all(r.cached.seconds > 0 and r.plain.seconds > 0 for r in rounds)
    assert one.now.cache.length == len(one.now.tokens) - 1


def test_both_ways_go_on_with_the_cached_token_and_it_is_told_where_they_differ() -> (
    None
):
    now = race(toy(Fickle), steps=3).now
    assert now.tokens.tolist() == [*PROMPT, 7, 8, 8]
    assert [r.is_same for r in now.rounds] == [True, False, False]


def test_a_run_ends_at_the_end_token_and_says_so() -> None:
    end = greedy(3)[-1]
    one = Race(toy(GrownToy), PROMPT, end_tokens=[end])
    one.act("run")
    for _ in range(10):
        one.act("tick")
    assert one.now.tokens[-1] == end
    assert not one.now.running
    assert "ended its answer" in one.now.notice.text


def test_reset_begins_with_an_empty_cache() -> None:
    one = race(steps=3)
    one.act("reset")
    assert (one.now.tokens.tolist(), one.now.cache.length) == (PROMPT.tolist(), 0)
    one.do("step")
    one.do("step")
    assert one.now.tokens.tolist() == greedy(2)


def test_tokens_and_milliseconds_stand_for_this_step_and_in_all() -> None:
    text = drawn(measured(*ROUNDS)).text
    assert "this stepwith the cache110.0without640.0" in text
    assert "in allwith the cache630.0without1160.0" in text
    assert "Without the cache: 1.8 times the tokens, 2.0 times the time." in text


def test_the_bars_are_as_long_as_the_numbers() -> None:
    shown = drawn(measured(*ROUNDS))
    bars = [a["style"] for t, a in shown.tags if t == "i" and a.get("style")]
    shares = [numbers(str(bar))[0] for bar in bars[:8]]
    # fed, then milliseconds: with the cache, without it; this step, then in all
    assert np.allclose(shares, [16.67, 25, 100, 100, 54.55, 50, 100, 100], atol=0.01)


def test_it_counts_where_both_chose_the_same_token() -> None:
    shown = drawn(measured(*ROUNDS, Round(Lap(1, 0.01, 42), Lap(7, 0.04, 43))))
    assert "the same in 2 of 3" in shown.text
    assert len(shown.styled("lw-held")) == 1
    a, b = (quoted(tokenizer().piece(token)) for token in (42, 43))
    assert f"With the cache {a} was the likeliest, without it {b}" in shown.text
    assert f"step 3: without the cache {b}" in shown.text


def test_the_map_is_empty_at_first_and_shows_the_slot_that_was_just_written() -> None:
    assert "Step feeds the 5 tokens of the prompt" in drawn(race().now).text
    for steps, said in ((0, "0 positions; the last run wrote nothing"), (3, "slot 6")):
        (picture,) = drawn(race(steps=steps).now).styled("lw-map")
        assert said in str(picture["aria-label"])


def test_the_picture_tells_the_numbers_also_in_words() -> None:
    shown, words = twin(measured(*ROUNDS), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "2 steps; both ways chose the same token in 2 of them" in stored
        assert "60.0 ms" in stored
