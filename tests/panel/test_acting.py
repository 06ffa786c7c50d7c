from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Moment, Stepping, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
        add = lambda now, value: replace(now, count=now.count + value)  # noqa: E731
        return {**super().actions(), "add": add}


def counter() -> Counter:
    return Counter(Count())


def test_an_action_makes_the_next_moment_and_leaves_the_old_one() -> None:
    one = counter()
    before = one.now
    one.act("add", 2)
    assert (before.count, one.now.count) == (0, 2)


def test_what_goes_wrong_is_said_and_leaves_all_as_it_was() -> None:
    one = counter()
    one.act("add", 3)
    one.act("run")
    one.act("tick")
    assert one.now.count == 3
    assert not one.now.running
    assert one.now.notice.kind == "problem"
    assert one.now.notice.text == "three is the highest; press Reset"


def test_the_next_action_takes_the_sentence_away() -> None:
    one = counter()
    one.act("nonsense")
    assert one.now.notice.text == "there is no action 'nonsense'; run the cell again"
    one.act("step")
    assert one.now.notice.text == ""
    assert one.now.count == 1


def test_a_cell_gets_the_error_itself() -> None:
    one = counter()
    one.do("add", 3)
    with pytest.raises(InputError, match="three is the highest"):
        one.do("step")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; nothing was chan"),
        (KeyboardInterrupt(), "Interrupted: nothing was changed"),
    ],
)
def test_any_exception_is_said_in_a_sentence(error: BaseException, said: str) -> None:
    one = counter()
    one.error = error
    one.act("step")
    assert one.now.count == 0
    assert one.now.notice.text.startswith(said)
    assert sentence(error) == one.now.notice.text


def test_a_run_goes_on_with_each_tick_until_it_is_stopped() -> None:
    one = counter()
    one.act("run")
    one.act("tick")
    one.act("tick")
    one.act("stop")
    one.act("tick")
    assert one.now.count == 2


def test_a_late_tick_leaves_the_sentence_where_it_is() -> None:
    one = counter()
    one.act("nonsense")
    said = one.now
    one.act("tick")
    assert one.now == said


def test_reset_goes_back_to_the_first_moment() -> None:
    one = counter()
    one.act("run")
    one.act("step")
    one.act("reset")
    assert one.now == Count()


def test_actions_of_two_threads_come_one_after_the_other() -> None:
    inside, free = threading.Event(), threading.Event()

    class Slow(Counter):
        def stepped(self, now: Count) -> Count:
            inside.set()
            free.wait(10)
            return replace(now, count=now.count + 1)

    one = Slow(Count())
    first = threading.Thread(target=one.act, args=("step",))
    second = threading.Thread(target=one.act, args=("add", 10))
    first.start()
    assert inside.wait(10)
    second.start()
    free.set()
    first.join(10)
    second.join(10)
    assert one.now.count == 11
