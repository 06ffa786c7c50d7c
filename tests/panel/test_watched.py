from __future__ import annotations

import numpy as np
import pytest
from toy_model import GrownToy
from walking import PROMPT, toy

from llm_walkthrough.panel import watched as module
from llm_walkthrough.panel.watched import FedArray, Watched, scores, summary
from llm_walkthrough.sampling import likeliest_first, log_probability, softmax
from llm_walkthrough.stepper import Stepper


def test_a_watched_model_gives_what_the_model_gives() -> None:
    plain, seen = toy(), Watched(toy())
    rows, cache = plain.run(PROMPT, plain.new_cache())
    watched_rows, watched_cache = seen.run(PROMPT, seen.new_cache())
    np.testing.assert_array_equal(rows, watched_rows)
    assert watched_cache.length == cache.length == len(PROMPT)
    assert seen.vocab == plain.vocab


def test_it_counts_runs_and_keeps_what_each_was_fed() -> None:
    seen = Watched(toy(GrownToy))
    _, cache = seen.run(PROMPT, seen.new_cache())
    seen.run(PROMPT[:1], cache)
    assert seen.num_runs == 2
    first, second = seen.feeds[0, 5], seen.feeds[5, 1]
    assert [array.shape for array in first] == [(1, 5), (1, 5), (1, 2, 0, 2)]
    assert [array.shape for array in second] == [(1, 1), (1, 6), (1, 2, 5, 2)]
    assert second[2] == FedArray("past_key_values.*", "float32", (1, 2, 5, 2), 4, 320)


def test_tokens_of_one_run_are_scored_by_the_row_before_each() -> None:
    model = toy()
    rows, _ = model.run(PROMPT, model.new_cache())
    seen = Watched(toy())
    seen.run(PROMPT, seen.new_cache())
    assert sorted(seen.scores) == [1, 2, 3, 4]
    for place in range(1, 5):
        token, row = int(PROMPT[place]), rows[place - 1]
        expected = log_probability(row, token)
        assert seen.scores[place].log_probability == pytest.approx(expected, abs=1e-5)
        order = likeliest_first(softmax(row)).tolist()
        assert seen.scores[place].rank == 1 + order.index(token)


def test_the_first_token_of_a_chunk_is_scored_by_the_last_row_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm_walkthrough.stepper.CHUNK", 2)
    seen = Watched(toy())
    _ = Stepper(seen, PROMPT).logits
    assert sorted(seen.scores) == [1, 2, 3]  # 4 came alone, in a run of one token


def test_a_run_on_another_branch_is_not_scored_by_the_row_of_the_run_before() -> None:
    seen, fresh = Watched(toy()), Watched(toy())
    seen.run(PROMPT[1:4], seen.new_cache())
    for one in (seen, fresh):
        one.scores = {}
        one.run(PROMPT, one.new_cache())
    assert seen.scores == fresh.scores


def test_only_the_last_tokens_of_a_long_run_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SCORED", 2)
    seen = Watched(toy())
    seen.run(PROMPT, seen.new_cache())
    assert sorted(seen.scores) == [3, 4]


def test_a_run_that_fails_is_not_counted() -> None:
    seen = Watched(toy())
    with pytest.raises(Exception, match=r".+"):
        seen.run(PROMPT, object())  # type: ignore[arg-type]
    assert (seen.num_runs, seen.feeds, seen.scores) == (0, {}, {})


def test_scores_are_the_log_softmax_and_the_rank_with_ties_sharing_it() -> None:
    logits = np.array([1, 3, 3, 0], np.float32)
    found = scores(logits, [1, 2, 0])
    assert [score.rank for score in found] == [1, 1, 3]
    assert found[2].probability == pytest.approx(softmax(logits)[0])


def test_arrays_that_differ_in_shape_do_not_share_a_row() -> None:
    arrays = {
        "past.0.key": np.zeros((1, 2)),
        "past.1.key": np.zeros((1, 2)),
        "past.1.value": np.zeros((1, 3)),
    }
    assert [(a.shape, a.count, a.nbytes) for a in summary(arrays)] == [
        ((1, 2), 2, 32),
        ((1, 3), 1, 24),
    ]
