from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy_model import NAMES, TOYS, SharedToy, ToyModel

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.feeding import Feeding

if TYPE_CHECKING:
    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache

PROMPT = np.array([3, 1, 4, 1, 5])


class Failing(SharedToy):
    """Fails at the second run, once."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.num_runs == 1:
            self.num_runs += 1
            raise RuntimeError("out of memory")
        return super().run(unseen, cache)


def feeding(toy: type[ToyModel] = SharedToy, steps: int = 0) -> Feeding:
    one = Feeding(toy(), PROMPT)
    for _ in range(steps):
        one.do("step")
    return one


def test_the_first_run_is_fed_the_prompt_and_an_empty_past() -> None:
    (run,) = feeding().snapshot().shown
    assert run.feed.tokens == tuple(PROMPT)
    assert (run.start, run.stop, run.mask_width) == (0, 5, 5)
    shapes = {array.name: array.shape for array in run.feed.arrays}
    assert shapes["past_key_values.*"] == (1, 2, 0, 2)


def test_each_further_run_is_fed_the_likeliest_token_of_the_one_before() -> None:
    runs = feeding(steps=3).snapshot().shown
    for before, after in itertools.pairwise(runs):
        assert after.feed.tokens == (before.chosen,)
        assert (after.start, after.stop) == (before.stop, before.stop + 1)


def test_the_mask_covers_past_and_new_tokens() -> None:
    for run in feeding(steps=3).snapshot().shown:
        assert run.mask_width == run.start + len(run.feed.tokens)


@pytest.mark.parametrize("toy", TOYS)
def test_its_dictionary_is_the_one_that_was_fed(toy: type[ToyModel]) -> None:
    one, model = feeding(toy, steps=2), toy()
    cache, tokens = model.new_cache(), PROMPT
    for _ in range(3):
        wanted = {**model.feed(tokens, cache)}
        wanted = {name: array.copy() for name, array in wanted.items()}
        rows, cache = model.run(tokens, cache)
        tokens = rows[-1:].argmax(axis=-1)
    assert list(one.feed()) == ["input_ids", "attention_mask", *NAMES]
    for name, array in one.feed().items():
        np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.parametrize("toy", TOYS)
def test_back_shows_the_earlier_dictionary_and_runs_nothing(
    toy: type[ToyModel],
) -> None:
    model = toy()
    one = Feeding(model, PROMPT)
    first = {name: array.copy() for name, array in one.feed().items()}
    one.do("step")
    one.do("step")
    one.do("back")
    one.do("back")
    assert all(np.array_equal(first[n], array) for n, array in one.feed().items())
    one.do("step")
    assert model.num_runs == 3
    assert len(one.snapshot().shown) == 2


def test_there_is_nothing_before_the_first_run() -> None:
    one = feeding()
    one.act("back")
    assert one.now.num_shown == 1
    assert "it is the first" in one.now.notice.text


def test_a_run_that_fails_is_said_and_can_be_made_again() -> None:
    one = feeding(Failing)
    one.act("step")
    assert len(one.snapshot().shown) == 1
    assert one.now.notice.text.startswith("RuntimeError: out of memory")
    one.act("step")
    assert one.snapshot().shown == feeding(steps=1).snapshot().shown


def test_a_full_context_is_said() -> None:
    one = Feeding(SharedToy(capacity=6), PROMPT)
    one.do("step")
    with pytest.raises(InputError, match="the context is full: the model reads 6"):
        one.do("step")


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        Feeding(SharedToy(), np.array([], np.int64))
