"""A panel without its library: an engine, the page of it, what an event makes of both.

Whoever shows it hands over the events of the page and passes on what stands here then:
a widget in a notebook, a server for a browser alone. Knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_walkthrough.panel.acting import Acting
from llm_walkthrough.panel.frame import export, part


class Board:
    """A page that is drawn anew after each event."""

    def __init__(
        self,
        engine: Acting[Any],  # holds the moment, and does what the page asks for
        draw: Callable[[Any, Any], str],  # the page of what the engine shows
        picture: Callable[[Any, Any], tuple[str, str]],  # without a kernel: HTML, words
        vocabulary: object,  # shows the tokens
    ) -> None:
        self.engine, self.lock = engine, engine.lock
        self.draw, self.picture, self.vocabulary = draw, picture, vocabulary
        self.frame = 0  # how many times it was drawn anew
        self.heard = ("", 0)  # the view that sent the last event, its number there
        self.page = self._drawn()  # HTML

    def state(self) -> dict[str, Any]:
        """Return what the page is told."""
        return {"page": self.page, "frame": self.frame, "heard": self.heard}

    def redraw(self, *, is_hurried: bool = False) -> None:
        """Draw the page anew; without what takes long, if another event waits."""
        with self.lock:
            self.engine.is_hurried = is_hurried
            self.page = self._drawn()
            self.frame += 1

    def hear(self, event: Mapping[str, Any]) -> dict[str, str] | None:
        """Deal with an event of the page; returns a file, if it has asked for one."""
        with self.lock:
            self.heard = (event.get("view", ""), event.get("number", 0))
            action, before = str(event.get("action")), self.engine.now
            if action == "tick" and event.get("frame") != self.frame:
                return None  # asked for by a page that is not shown any more
            try:
                self.engine.act(action, event.get("value"))
                more = event.get("more") and not self.engine.now.file
                self.redraw(is_hurried=bool(more))
            except BaseException:  # an unanswered page would wait for ever
                self.engine.act("stop")
                self.redraw()
                raise
            now = self.engine.now
            if now is before or now.file is None:
                return None
            if "text" in now.file:
                return {**now.file}
            return {**now.file, "text": export(self.page, now.file["title"])}

    def _drawn(self) -> str:
        engine = self.engine
        page = engine.drawn(lambda: self.draw(engine.snapshot(), self.vocabulary))
        # without one, the frame says what is wrong
        return page or part("framed", engine.now, title="a panel")
