from __future__ import annotations

import weakref

import numpy as np
import pytest

from llm_walkthrough.branch import (
    KEPT_LOGITS,
    Branch,
    KeptRows,
    Log,
    Run,
    Step,
    read_only,
)
from llm_walkthrough.kv_cache import Rows, SharedBuffer, SharedCache

VOCAB = 4


def rows_of(*numbers: int) -> Rows:
    row = np.array(numbers, np.float32).reshape(1, 1, -1, 1)
    return {"past.0.key": row, "past.0.value": -row}


def begun(prompt_length: int = 3) -> Branch:
    """A branch whose prompt was run; the rows of its cache are numbered."""
    buffer = SharedBuffer(rows_of(*[-1] * 300))
    empty = Branch.empty(SharedCache(buffer))
    return seen(empty.extended(np.arange(prompt_length)))


def seen(branch: Branch) -> Branch:
    """The branch after a run of what its cache has not seen."""
    start, stop = branch.cache.length, len(branch.tokens)
    run = Run(start, branch.tokens[start:], 0.5)
    longer = branch.cache.with_rows(rows_of(*range(start, stop)))
    return branch.ran(run, longer)


def stepped(branch: Branch, count: int, token: int = 1) -> Branch:
    for _ in range(count):
        step = Step(len(branch.tokens), token, 0.5)
        branch = seen(branch.stepped(step))
    return branch


def numbers(branch: Branch) -> list[int]:
    return [int(n) for n in branch.cache.arrays()["past.0.key"].ravel()]


def run_to(stop: int) -> Run:
    return Run(stop - 1, np.array([7]), 0.1)


def logits_of(*values: int) -> np.ndarray:
    """Rows of logits, each of one value throughout."""
    return np.repeat(np.array(values, np.float32)[:, np.newaxis], VOCAB, axis=1)


def test_a_branch_never_changes() -> None:
    branch = begun()
    before = (branch.tokens.tolist(), branch.steps, branch.runs, branch.cache)
    stepped(branch, 3).cut(4).with_u(0.5).extended(np.array([2]))
    after = (branch.tokens.tolist(), branch.steps, branch.runs, branch.cache)
    assert after == before
    assert branch.chosen_u == {}
    assert not branch.tokens.flags.writeable
    assert not stepped(branch, 1).tokens.flags.writeable


def test_cut_forgets_all_that_came_after() -> None:
    branch = stepped(begun(), 5).cut(5)
    assert branch.tokens.tolist() == [0, 1, 2, 1, 1]
    assert [step.position for step in branch.steps] == [3, 4]
    assert [run.stop for run in branch.runs] == [3, 4, 5]
    assert numbers(branch) == [0, 1, 2, 3, 4]


def test_rows_go_out_of_the_buffer_in_parts_and_come_back_whole() -> None:
    active = stepped(begun(), 4)
    resting = active.without_rows(5).without_rows(6).without_rows(2)
    lengths = [rows["past.0.key"].shape[2] for rows in resting.kept]
    assert (resting.cache.length, lengths) == (2, [3, 2])
    resting.cache.with_rows(rows_of(70, 71, 72, 73, 74))
    back = resting.with_rows().with_rows()
    assert (numbers(back), back.kept) == ([0, 1, 2, 3, 4, 5, 6], ())


def test_rows_before_the_write_stay_in_the_buffer() -> None:
    active = begun()
    assert active.without_rows(3) is active


def test_read_only_means_that_nobody_writes() -> None:
    array = read_only(np.arange(3))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5


# --- the log --------------------------------------------------------------------------


def test_a_log_that_is_made_longer_keeps_its_list_and_its_own_entries() -> None:
    short = Log[str]([]).with_entry("a")
    longer = short.with_entry("b").with_entry("c")
    assert (short.entries(), longer.entries()) == (("a",), ("a", "b", "c"))
    assert (short.last, longer.last) == ("a", "c")
    assert longer.shared is short.shared


def test_a_log_that_was_cut_back_does_not_write_over_what_was_there() -> None:
    whole = Log[str]([]).with_entry("a").with_entry("b")
    again = whole._replace(length=1).with_entry("c")
    assert (whole.entries(), again.entries()) == (("a", "b"), ("a", "c"))


# --- kept rows ------------------------------------------------------------------------


def test_the_rows_of_the_newest_runs_are_kept_and_that_of_the_prompt_for_good() -> None:
    rows, runs = KeptRows(3), [run_to(stop) for stop in range(3, 204)]
    for run in runs:
        rows.keep(run, logits_of(run.stop))
    kept = [run.stop for run in runs if rows.after(run) is not None]
    assert kept == [3, *range(203 - KEPT_LOGITS + 1, 204)]
    for run in runs:
        row = rows.after(run)
        assert row is None or row.tolist() == [run.stop] * VOCAB


def test_each_run_has_its_own_row_though_another_ends_at_the_same_place() -> None:
    rows, one, other = KeptRows(3), run_to(5), run_to(5)
    rows.keep(one, logits_of(1))
    assert rows.after(other) is None
    rows.keep(other, logits_of(2))
    found = [rows.after(one), rows.after(other)]
    assert [row is not None and row.tolist() for row in found] == [
        [1] * VOCAB,
        [2] * VOCAB,
    ]


@pytest.mark.parametrize("values", [(8,), (6, 7, 8)])
def test_the_last_row_is_kept_alone_and_read_only(values: tuple[int, ...]) -> None:
    rows, run = KeptRows(3), run_to(5)
    logits = logits_of(*values)
    row = rows.keep(run, logits)
    assert row is rows.after(run)
    assert row.tolist() == [8] * VOCAB
    assert not row.flags.writeable
    assert (row if row.base is None else row.base).nbytes == 4 * VOCAB


def test_prompt_rows_whose_run_no_branch_knows_do_not_heap_up() -> None:
    rows = KeptRows(3)
    rows_seen = [weakref.ref(rows.keep(run_to(3), logits_of(i))) for i in range(200)]
    assert sum(row() is not None for row in rows_seen) <= KEPT_LOGITS + 1
