from __future__ import annotations

import numpy as np
import pytest

from llm_walkthrough.branch import KEPT_LOGITS, Branch, Run, Step, read_only
from llm_walkthrough.kv_cache import Rows, SharedBuffer, SharedCache

VOCAB = 4


def rows_of(*numbers: int) -> Rows:
    row = np.array(numbers, np.float32).reshape(1, 1, -1, 1)
    return Rows({"past.0.key": row, "past.0.value": -row})


def begun(prompt_length: int = 3) -> Branch:
    """A branch whose prompt was run; rows and logits tell the number of tokens."""
    buffer = SharedBuffer(rows_of(*[-1] * 300).arrays)
    empty = Branch(np.empty(0, np.int64), SharedCache(buffer))
    return seen(empty.extended(np.arange(prompt_length)))


def seen(branch: Branch) -> Branch:
    """The branch after a run of what its cache has not seen."""
    start, stop = branch.cache.length, len(branch.tokens)
    run = Run(start, branch.tokens[start:], 0.5)
    longer = branch.cache.with_rows(rows_of(*range(start, stop)))
    return branch.ran(run, longer, np.full(VOCAB, stop, np.float32))


def stepped(branch: Branch, count: int, token: int = 1) -> Branch:
    for _ in range(count):
        step = Step(len(branch.tokens), token, 0.5, -1.0)
        branch = seen(branch.stepped(step))
    return branch


def numbers(branch: Branch) -> list[int]:
    return [int(n) for n in branch.cache.arrays()["past.0.key"].ravel()]


def test_a_run_ends_behind_its_last_token() -> None:
    assert Run(5, np.array([7, 7, 7]), 0.1).stop == 8


def test_a_branch_never_changes() -> None:
    branch = begun()
    before = (branch.tokens.copy(), branch.steps, branch.runs, dict(branch.last_rows))
    stepped(branch, 3).cut(4).with_u(0.5).extended(np.array([2]))
    np.testing.assert_array_equal(branch.tokens, before[0])
    assert (branch.steps, branch.runs, branch.last_rows) == before[1:]
    assert branch.chosen_u == {}


def test_cut_forgets_all_that_came_after() -> None:
    branch = stepped(begun(), 5).cut(5)
    assert branch.tokens.tolist() == [0, 1, 2, 1, 1]
    assert [step.position for step in branch.steps] == [3, 4]
    assert [run.stop for run in branch.runs] == [3, 4, 5]
    assert sorted(branch.last_rows) == [3, 4, 5]
    assert numbers(branch) == [0, 1, 2, 3, 4]


def test_cut_leaves_unseen_tokens_unseen() -> None:
    branch = begun().extended(np.array([2, 2, 2])).cut(5)
    assert (len(branch.tokens), branch.cache.length) == (5, 3)


def test_the_newest_logits_are_kept_and_those_of_the_first_step_for_good() -> None:
    branch = stepped(begun(), 200)
    newest = list(range(203 - KEPT_LOGITS + 1, 204))
    assert sorted(branch.last_rows) == [3, *newest]
    for length, row in branch.last_rows.items():
        assert row.tolist() == [length] * VOCAB


def test_the_first_step_of_a_branch_may_come_after_a_second_prompt() -> None:
    branch = stepped(seen(begun().extended(np.array([2, 2]))), 100)
    assert min(branch.last_rows) == 5


def test_logits_after_an_undo_are_kept_as_new_ones() -> None:
    branch = stepped(stepped(begun(), 100).cut(60), 10)
    assert sorted(branch.last_rows) == [3, *range(103 - KEPT_LOGITS + 1, 71)]


def test_before_its_last_run_the_branch_has_the_same_tokens_unseen() -> None:
    branch = stepped(begun(), 2).before_last_run()
    assert (len(branch.tokens), branch.cache.length) == (5, 4)
    assert [run.stop for run in branch.runs] == [3, 4]


def test_a_number_is_set_for_the_next_position_and_taken_back_there() -> None:
    branch = begun().with_u(0.25)
    later = stepped(branch, 1).with_u(0.75)
    assert later.chosen_u == {3: 0.25, 4: 0.75}
    assert later.with_u(None).chosen_u == {3: 0.25}
    assert later.cut(3).chosen_u == {3: 0.25, 4: 0.75}
    assert later.cut(3).with_u(0.5).chosen_u == {3: 0.5, 4: 0.75}


def test_rows_go_out_of_the_buffer_in_parts_and_come_back_whole() -> None:
    active = stepped(begun(), 4)
    resting = active.without_rows(5).without_rows(6).without_rows(2)
    assert (resting.cache.length, [rows.length for rows in resting.kept]) == (2, [3, 2])
    resting.cache.with_rows(rows_of(70, 71, 72, 73, 74))
    back = resting.with_rows().with_rows()
    assert (numbers(back), back.kept) == ([0, 1, 2, 3, 4, 5, 6], ())


def test_rows_before_the_write_stay_in_the_buffer() -> None:
    active = begun()
    assert active.without_rows(3) is active


def test_a_copy_is_read_only_and_keeps_nothing_else_alive() -> None:
    whole = np.arange(1000)
    copied = read_only(whole[-1:])
    assert copied.base is None
    with pytest.raises(ValueError, match="read-only"):
        copied[0] = 5
    assert whole.flags.writeable
