from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from toy_model import NAMES, TOYS, ToyModel
from walking import PROMPT, Reader, tokenizer, toy

from llm_walkthrough.panel.small.feeding import FedRuns, Feeding, page, twin


def feeding(steps: int = 0) -> FedRuns:
    one = Feeding(toy(), PROMPT)
    for _ in range(steps):
        one.do("step")
    return one.now


def drawn(now: FedRuns) -> Reader:
    return Reader(page(now, tokenizer()))


def test_the_first_run_is_fed_the_prompt_and_an_empty_past() -> None:
    (run,) = feeding().shown
    assert run.feed.tokens == tuple(PROMPT)
    assert (run.start, run.stop, run.mask_width) == (0, 5, 5)
    shapes = {array.name: array.shape for array in run.feed.arrays}
    assert shapes["past_key_values.*"] == (1, 2, 0, 2)


def test_each_further_run_is_fed_the_likeliest_token_of_the_one_before() -> None:
    for before, after in itertools.pairwise(feeding(steps=3).shown):
        assert after.feed.tokens == (before.chosen,)
        assert (after.start, after.stop) == (before.stop, before.stop + 1)
        assert after.mask_width == after.start + 1


@pytest.mark.parametrize("kind", TOYS)
def test_its_dictionary_is_the_one_that_was_fed(kind: type[ToyModel]) -> None:
    one, model = Feeding(toy(kind), PROMPT), toy(kind)
    cache, tokens, fed = model.new_cache(), PROMPT, []
    for number in range(3):
        fed.append({n: array.copy() for n, array in model.feed(tokens, cache).items()})
        rows, cache = model.run(tokens, cache)
        tokens = rows[-1:].argmax(axis=-1)
        one.do("step" if number else "stop")
    for wanted in reversed(fed):
        assert list(one.feed()) == ["input_ids", "attention_mask", *NAMES]
        for name, array in one.feed().items():
            np.testing.assert_array_equal(array, wanted[name])
        one.act("back")


def test_a_run_that_was_made_is_not_made_again() -> None:
    model = toy()
    one = Feeding(model, PROMPT)
    for action in ("step", "step", "back", "back", "step"):
        one.do(action)
    assert (model.num_runs, len(one.now.shown)) == (3, 2)


def test_there_is_nothing_before_the_first_run() -> None:
    one = Feeding(toy(), PROMPT)
    one.act("back")
    assert one.now.num_shown == 1
    assert "it is the first" in one.now.notice.text


def test_the_dictionary_of_prefill_is_spelled_out() -> None:
    text = drawn(feeding()).text
    assert "run 1: prefill" in text
    assert "mask width 5 = 0 past + 5 new" in text
    assert "input_ids = [[40, 41, 262, 43, 44]]" in text
    assert "attention_mask = [[1, 1, 1, 1, 1]]" in text


def test_lengths_and_numbers_of_a_long_run_are_told_in_words_too() -> None:
    shown = drawn(feeding(2))
    (picture,) = shown.styled("lw-strips")
    assert picture["role"] == "img"
    assert picture["aria-label"] == (
        "mask width 7 = 6 past + 1 new; the cache grows from 6 to 7."
    )
    assert "cache length 6 → 7" in shown.text
    assert "attention_mask = [[1, 1, 1, 1, …, 1, 1]]" in shown.text


def test_what_is_new_since_the_run_before_is_marked_and_what_comes_out() -> None:
    now = feeding(1)
    text = drawn(now).text
    assert "run 2: decode" in text
    assert "float32 [1, 2, 5, 2]+5 wide" in text
    piece = tokenizer().piece(now.shown[-1].chosen)
    assert f"Highest in the last row, and fed next: {piece}" in text
    assert "logits [1, 1, 264]" in text


def test_a_graph_without_a_mask_has_none_drawn() -> None:
    now = feeding(1)
    runs = tuple(
        replace(
            run,
            feed=replace(run.feed, arrays=(run.feed.arrays[0], *run.feed.arrays[2:])),
        )
        for run in now.runs
    )
    text = drawn(replace(now, runs=runs)).text
    assert "5 past + 1 new = 6; no mask is needed" in text
    assert "attention_mask" not in text


def test_the_picture_tells_the_dictionary_also_in_words() -> None:
    shown, words = twin(feeding(2), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "Run 3, decode: the dictionary" in stored
        assert "mask width 7 = 6 past + 1 new" in stored
        assert "past_key_values.*" in stored
