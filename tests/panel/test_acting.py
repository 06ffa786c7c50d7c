from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Moment, Stepping


@dataclass(frozen=True, kw_only=True)
class Count(Moment):
    count: int = 0


class Counter(Stepping[Count]):
    """Counts to three, and can be made to fail in the middle of a step."""

    error: BaseException | None = None

    def stepped(self, now: Count) -> Count:
        if now.count == 3:
            raise InputError("three is the highest; press Reset")
        further = replace(now, count=now.count + 1)
        if self.error is not None:
            raise self.error
        return further

    def actions(self) -> Mapping[str, Callable[[Count, Any], Count]]:
        return {
            **super().actions(),
            "add": lambda now, value: replace(now, count=now.count + value),
        }


@pytest.fixture
def counter() -> Counter:
    return Counter(Count())


def test_an_action_makes_the_next_moment_and_leaves_the_old_one(
    counter: Counter,
) -> None:
    before = counter.now
    counter.act("add", 2)
    assert (before.count, counter.now.count) == (0, 2)


def test_what_goes_wrong_is_said_until_the_next_action_and_raised_in_a_cell(
    counter: Counter,
) -> None:
    counter.act("add", 3)
    counter.act("run")
    counter.act("tick")
    assert (counter.now.count, counter.now.running) == (3, False)
    assert counter.now.notice.kind == "problem"
    assert counter.now.notice.text == "three is the highest; press Reset"
    counter.act("nonsense")
    said = "there is no action 'nonsense'; run the cell again"
    assert counter.now.notice.text == said
    counter.act("tick")  # one that comes late leaves the sentence where it is
    assert counter.now.notice.text == said
    counter.act("add", 0)
    assert counter.now.notice.text == ""
    with pytest.raises(InputError, match="three is the highest"):
        counter.do("step")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; nothing was chan"),
        (KeyboardInterrupt(), "Interrupted: nothing was changed"),
    ],
)
def test_any_exception_is_said_in_a_sentence(
    counter: Counter, error: BaseException, said: str
) -> None:
    counter.error = error
    counter.act("step")
    assert counter.now.count == 0
    assert counter.now.notice.text.startswith(said)


def test_a_run_goes_on_with_each_tick_until_it_is_stopped(counter: Counter) -> None:
    for action in ("run", "tick", "tick", "stop", "tick"):
        counter.act(action)
    assert counter.now.count == 2
    counter.act("reset")
    assert counter.now == Count()
