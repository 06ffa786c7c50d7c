from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fake_worker import MILLISECONDS, FakeWorker
from hypothesis import given, settings
from hypothesis import strategies as st
from page_model import AHEAD, CAPACITY, PageModel
from toy_model import GrownToy
from walking import PROMPT, made, now, toy, walk

from llm_walkthrough import stepper
from llm_walkthrough.panel.step.saved_run import SavedRun, SavedStep, read, written
from llm_walkthrough.panel.step.walk import Walk
from llm_walkthrough.sampling import Sampling

ACTIONS = st.one_of(
    st.just(("step", None)),
    st.just(("step", None)),
    st.just(("reset", None)),
    st.tuples(st.just("back"), st.integers(1, 4)),
    st.tuples(st.just("take"), st.integers(0, 3)),
    st.tuples(st.just("u"), st.floats(0, 0.99)),
    st.tuples(st.just("switch"), st.sampled_from("ABC")),
    st.tuples(st.just("ask"), st.sampled_from(["the", "a the"])),
)


def settled(model: PageModel, action: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the action
    return asyncio.run(model.settled(action))


def page_walk(worker: FakeWorker, **how: Any) -> tuple[Walk, PageModel]:  # noqa: ANN401 - as Walk
    model: Any = worker.model()
    return settled(model, lambda: walk(model, **how)), model


def do(one: Walk, action: str, value: object) -> None:
    if action == "take":
        token = now(one).rows[int(str(value))].token
        value = {"token": token, "position": one.stepper.position}
    one.act(action, value)


@settings(deadline=None, max_examples=30)
@given(st.lists(ACTIONS, max_size=14))
def test_a_walk_on_the_worker_goes_as_one_on_the_model_itself(
    actions: list[tuple[str, object]],
) -> None:
    here = walk(toy(GrownToy))
    there, model = page_walk(FakeWorker())
    for action, value in actions:
        do(here, action, value)
        settled(model, lambda a=action, v=value: do(there, a, v))  # type: ignore[misc]
        one, other = here.snapshot(), settled(model, there.snapshot)
        assert one.tokens == other.tokens
        assert one.made == other.made
        assert one.branches == other.branches
        assert one.read == other.read
        assert one.cache.length == other.cache.length
        assert [feed.arrays for feed in one.feeds] == [f.arrays for f in other.feeds]
        assert one.desk.notice == other.desk.notice


def test_the_worker_keeps_nothing_that_no_branch_needs() -> None:
    worker = FakeWorker()
    one, model = page_walk(worker)
    for _ in range(6):
        settled(model, lambda: one.act("step"))
    assert len(worker.kept) == 7
    settled(model, lambda: one.act("reset"))
    settled(model, lambda: one.act("step"))
    assert len(worker.kept) == 2


def test_a_branch_that_was_left_keeps_its_rows() -> None:
    worker = FakeWorker()
    one, model = page_walk(worker)
    for _ in range(6):
        settled(model, lambda: one.act("step"))
    settled(model, lambda: one.act("back", 3))
    settled(model, lambda: do(one, "take", 1))
    assert len(worker.kept) == 8
    settled(model, lambda: one.act("switch", "A"))
    settled(model, lambda: one.act("step"))
    assert len(made(one)) == 7
    assert one.now.notice.kind == "news"


def test_a_saved_run_is_opened_in_two_runs_of_the_graph() -> None:
    one, model = page_walk(FakeWorker(), seed=3)
    for _ in range(40):
        settled(model, lambda: one.act("step"))
    settled(model, lambda: one.act("back", 2))
    saved = written(one.saved())

    worker = FakeWorker()
    fresh, model = page_walk(worker)
    run = read(saved)
    model.foreseen = (*run.prompt, *(step.token for step in run.steps))
    settled(model, lambda: fresh.act("load", saved))
    assert made(fresh) == made(one)
    assert worker.asked == [5, 5, 38]  # its own prompt, that of the run, all its tokens
    settled(model, lambda: fresh.act("back", 5))
    settled(model, lambda: fresh.act("step"))
    assert made(fresh) == made(one)[:-4]


def test_a_long_saved_run_is_opened_in_parts() -> None:
    worker = FakeWorker()
    one, model = page_walk(worker)
    prompt, tokens = tuple(PROMPT.tolist()), tuple(range(40, 60)) * 10
    text = one.tokenizer.decode(prompt + tokens, show_special=True)
    steps = tuple(SavedStep(token, None, Sampling(), 0) for token in tokens)
    saved = written(SavedRun("toy", prompt, steps, text))
    model.foreseen = prompt + tokens
    settled(model, lambda: one.act("load", saved))
    assert tuple(made(one)) == tokens
    assert worker.asked[-2:] == [AHEAD, 200 - AHEAD]


def test_a_step_takes_the_time_that_the_worker_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = FakeWorker()
    one, model = page_walk(worker)
    monkeypatch.setattr(stepper, "time", model)
    settled(model, lambda: one.act("step"))
    seconds = one.stepper.runs[-1].seconds
    assert MILLISECONDS / 1000 <= seconds < MILLISECONDS / 1000 + 0.05


def test_what_goes_wrong_in_the_worker_changes_nothing_and_can_be_tried_again() -> None:
    worker = FakeWorker()
    one, model = page_walk(worker)
    worker.is_broken = True
    with pytest.raises(RuntimeError, match="out of memory"):
        settled(model, lambda: one.act("step"))
    assert made(one) == []
    settled(model, lambda: one.act("step"))
    assert len(made(one)) == 1


def test_more_tokens_than_there_is_room_for_are_refused() -> None:
    one, model = page_walk(FakeWorker())
    settled(model, lambda: one.act("ask", "a" * CAPACITY))
    assert "of 1024 places in the context" in one.now.notice.text
    assert one.now.notice.kind == "problem"
