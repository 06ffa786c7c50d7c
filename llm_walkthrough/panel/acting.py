"""The engine of every panel: one immutable moment, one table of actions, one lock.

Each action makes the next moment of the one before it, so an action that fails leaves
all as it was. Here alone an exception becomes a sentence. Knows nothing of what the
actions do, nor of HTML.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from llm_walkthrough.errors import InputError

_UNCHANGED = "nothing was changed: try something else, or run the cell again"


@dataclass(frozen=True)
class Notice:
    """One sentence for the learner."""

    text: str = ""  # the sentence
    kind: Literal["news", "problem", "hint"] = "news"  # a problem: it was not done


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a panel holds; never changes, each action makes the next."""

    notice: Notice = Notice()  # what there is to say of the last action
    running: bool = False  # whether steps go on by themselves
    file: Mapping[str, str] | None = None  # with its "text"; else it is the page


Now = TypeVar("Now", bound=Moment)


class Acting(Generic[Now]):
    """A moment, `first` one, and the actions on it; `lock` keeps page and cells out."""

    def __init__(self, first: Now, lock: threading.RLock | None = None) -> None:
        self.lock = threading.RLock() if lock is None else lock
        self._first = self._now = first
        self.is_hurried = False  # whether the next event waits for the snapshot
        self._actions = self.actions()
        self.settle()

    @property
    def now(self) -> Now:
        """What the last action has left."""
        return self._now

    def snapshot(self) -> Any:  # noqa: ANN401 - each panel has its own
        """Return everything that is to be shown."""
        return self._now

    def actions(self) -> Mapping[str, Callable[[Now, Any], Now]]:
        """Return what can be done, by name: from a moment and a value to the next."""
        return {
            "reset": lambda _now, _: self._first,
            "stop": lambda now, _: replace(now, running=False),
        }

    def settle(self) -> None:
        """Bring whatever stands beside the moment in line with it; here nothing."""

    def do(self, action: str, value: object = None) -> None:
        """Do one thing, for a cell; InputError if it is unknown or cannot be done."""
        with self.lock:
            if action not in self._actions:
                raise InputError(f"there is no action {action!r}; run the cell again")
            try:
                begun = replace(self._now, notice=Notice(), file=None)
                self._now = self._actions[action](begun, value)
            finally:
                self.settle()

    def act(self, action: str, value: object = None) -> None:
        """Do one thing, for a page; what goes wrong is said in the notice."""
        with self.lock:
            try:
                self.do(action, value)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no other place
                self._say_what_went_wrong(error, _UNCHANGED)

    def drawn(self, draw: Callable[[], str]) -> str | None:
        """Return what `draw` makes of the moment; None, and a notice, if it fails."""
        with self.lock:
            try:
                return draw()
            except Exception as error:  # noqa: BLE001 - likewise
                self._say_what_went_wrong(error, "run the cell again")
                return None

    def _say_what_went_wrong(self, error: BaseException, way_out: str) -> None:
        said = f"{type(error).__name__}: {error}; {way_out}"
        if isinstance(error, KeyboardInterrupt):
            said = "Interrupted: nothing was changed; try again."
        elif isinstance(error, InputError):
            said = str(error)
        problem = Notice(said, "problem")
        self._now = replace(self._now, notice=problem, running=False, file=None)


class Stepping(Acting[Now]):
    """A moment that goes on step by step, also by itself."""

    def actions(self) -> Mapping[str, Callable[[Now, Any], Now]]:
        """Return what can be done; a page that runs asks for a "tick" at a time."""
        return {
            **super().actions(),
            "step": lambda now, _: self.stepped(now),
            "run": lambda now, _: replace(now, running=True),
            "tick": lambda now, _: self.ticked(now) if now.running else self._now,
        }

    def stepped(self, now: Now) -> Now:
        """Return the moment after one more step; InputError if there is none."""
        raise NotImplementedError

    def ticked(self, now: Now) -> Now:
        """Return the moment after one step of a run; not asked for after Stop."""
        return self.stepped(now)
