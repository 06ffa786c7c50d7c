"""How is an action done whole or not at all, and what is said if it is not?

What a small panel holds is one value that never changes: each action makes the next one
of it, so an action that fails leaves all as it was. Knows nothing of what the actions
do, nor of HTML.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Notice:
    """One sentence for the learner.

    Attributes:
        text: the sentence.
        kind: "problem" if something that was asked for was not done, "hint" for what
            could be done next.
    """

    text: str = ""
    kind: Literal["news", "problem", "hint"] = "news"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a panel holds; never changes, each action makes the next.

    Attributes:
        notice: what there is to say of the last action.
        running: whether steps go on by themselves.
    """

    notice: Notice = field(default_factory=Notice)
    running: bool = False


Now = TypeVar("Now", bound=Moment)


class Acting(Generic[Now]):
    """A moment and the actions on it, one at a time.

    Args:
        first: the moment to begin with.
    """

    def __init__(self, first: Now) -> None:
        self._lock = threading.RLock()
        self._first = first
        self._now = first

    @property
    def now(self) -> Now:
        """What the last action has left."""
        return self._now

    def actions(self) -> Mapping[str, Callable[[Now, Any], Now]]:
        """Return what can be done, by name: from a moment and a value to the next."""
        return {
            "reset": lambda _now, _value: self._first,
            "stop": lambda now, _value: replace(now, running=False),
        }

    def do(self, action: str, value: object = None) -> None:
        """Do one thing, for a cell.

        Raises:
            InputError: there is no such action, or it cannot be done now.
        """
        with self._lock:
            actions = self.actions()
            if action not in actions:
                raise InputError(f"there is no action {action!r}; run the cell again")
            self._now = actions[action](replace(self._now, notice=Notice()), value)

    def act(self, action: str, value: object = None) -> None:
        """Do one thing, for a page; what goes wrong is said in the notice."""
        with self._lock:
            try:
                self.do(action, value)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no other place
                notice = Notice(sentence(error), "problem")
                self._now = replace(self._now, notice=notice, running=False)


class Stepping(Acting[Now]):
    """A moment that goes on step by step, also by itself."""

    def actions(self) -> Mapping[str, Callable[[Now, Any], Now]]:
        """Return what can be done; a page that runs asks for a "tick" at a time."""
        return {
            **super().actions(),
            "step": lambda now, _value: self.stepped(now),
            "run": lambda now, _value: replace(now, running=True),
            "tick": self._tick,
        }

    def stepped(self, now: Now) -> Now:
        """Return the moment after one more step.

        Raises:
            InputError: there is no further step.
        """
        raise NotImplementedError

    def _tick(self, now: Now, _value: object) -> Now:
        """Make a step of a run; one that was asked for before Stop does nothing."""
        return self.stepped(now) if now.running else self._now


def sentence(error: BaseException) -> str:
    """Say in one sentence what went wrong, that nothing was changed, and what to do."""
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted: nothing was changed; do it again."
    if isinstance(error, InputError):
        return str(error)
    return (
        f"{type(error).__name__}: {error}; nothing was changed: try something else, or "
        "run the cell again"
    )
