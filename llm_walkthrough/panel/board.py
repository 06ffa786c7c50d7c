"""A panel without its library: an engine, the page of it, what an event makes of both.

Whoever shows it hands over the events of the page and passes on what stands here then:
a widget in a notebook, a server for a browser alone. Knows nothing of either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from llm_walkthrough.panel.acting import Acting
from llm_walkthrough.panel.frame import framed


class Board:
    """A page that is drawn anew after each event.

    Attributes:
        engine: holds the moment, and does what the page asks for.
        vocabulary: shows the tokens.
        page: HTML.
        frame: how many times it was drawn anew.
        heard: which view sent the last event that was dealt with, and its number there.
    """

    def __init__(
        self,
        engine: Acting[Any],
        draw: Callable[[Any, Any], str],  # the page of what the engine shows
        picture: Callable[[Any, Any], tuple[str, str]],  # without a kernel: HTML, words
        vocabulary: object,
    ) -> None:
        self.engine, self.vocabulary = engine, vocabulary
        self._draw, self._picture = draw, picture
        self.page, self.frame, self.heard = self.drawn(), 0, ("", 0)

    @property
    def lock(self) -> threading.RLock:
        """Keeps events and cells out while it is held."""
        return self.engine.lock

    def redraw(self) -> None:
        """Draw the page anew."""
        with self.lock:
            self.page = self.drawn()
            self.frame += 1

    def hear(self, event: Mapping[str, Any]) -> dict[str, str] | None:
        """Deal with an event of the page; returns a file, if it has asked for one."""
        with self.lock:
            self.heard = (event.get("view", ""), event.get("number", 0))
            action = str(event.get("action"))
            if action == "tick" and event.get("frame") != self.frame:
                return None  # asked for by a page that is not shown any more
            try:
                self.engine.act(action, event.get("value"))
                file = self.file(action)
                self.redraw()
            except BaseException:  # an unanswered page would wait for ever
                self.engine.act("stop")
                self.redraw()
                raise
            return file

    def file(self, _action: str) -> dict[str, str] | None:
        """Return name, text and type of a file that the page has asked for."""
        return None  # here there is none

    def state(self) -> dict[str, Any]:
        """Return what the page is told: `page`, `frame` and `heard`."""
        with self.lock:
            return {"page": self.page, "frame": self.frame, "heard": self.heard}

    def picture(self) -> tuple[str, str]:
        """Return what a page without a kernel shows, as HTML and in words."""
        return self._picture(self.engine.snapshot(), self.vocabulary)

    def drawn(self) -> str:
        """Draw the page, or one that says why it cannot be drawn."""
        engine = self.engine
        page = engine.drawn(lambda: self._draw(engine.snapshot(), self.vocabulary))
        return page or framed(engine.now, title="a panel")
