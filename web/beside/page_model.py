"""The model as the stepper sees it: its runs are made in another worker.

Keys and values stay there; here are handles on them. A run whose answer is not there
yet raises `Pending`, and `settled` asks for it and does the action again: nothing has
to wait, so the page needs no special headers. Knows nothing of JavaScript.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.kv_cache import GrownCache

CAPACITY = 1024
"""Tokens in a context: each takes 46 KB, and reading one takes longer and longer."""

AHEAD = 128
"""Tokens of an opened run that are run together; a row of logits takes 197 KB."""

# from {"tokens": […], "id": of the run before, "length": how many tokens came before}
# to the number of the run, its logits as bytes, and its milliseconds
Ask = Callable[[str], Awaitable[tuple[int, Any, float]]]
Free = Callable[[int], object]
Done = TypeVar("Done")


class Pending(BaseException):
    """A run is wanted that has not been made; no `except Exception` takes it."""


class HeldRun:
    """One run in the worker, which forgets it when nobody here holds it any more."""

    def __init__(self, number: int, cache: PageCache, free: Free) -> None:
        self.number, self.start, self.before = number, cache.length, cache.run
        weakref.finalize(self, free, number)


@dataclass(frozen=True)
class PageCache(GrownCache):
    """A handle on what a run and those before it have seen; its arrays are blank.

    In the worker nothing is overwritten, so rows are held by the cache that has them.
    """

    run: HeldRun | None = None

    def truncated(self, length: int) -> Self:
        run = self.run
        while run and run.start >= length:  # what came later need not be held
            run = run.before
        return replace(super().truncated(length), run=run)

    def rows(self, _start: int) -> Any:  # noqa: ANN401 - as `with_rows` takes them
        return self

    def with_rows(self, rows: Any) -> Any:  # noqa: ANN401 - likewise
        return rows


class PageModel:
    """A language model for the stepper and the panel, of what its configuration says.

    Attributes:
        foreseen: tokens of a run that is opened, the prompt first.
    """

    def __init__(self, config: Mapping[str, Any], ask: Ask, free: Free) -> None:
        self.vocab: int = config["vocab_size"]
        self.foreseen: tuple[int, ...] = ()
        self._decoder, self._ask, self._free = config["decoder"], ask, free
        self._answers: dict[tuple[int, ...], tuple[LogitsRows, HeldRun, float]] = {}
        self._wanted = (0,), self.new_cache()
        self._seconds = 0.0  # that all runs took

    def perf_counter(self) -> float:
        """Return the seconds of a clock that a run moves on by what it took there."""
        return time.perf_counter() + self._seconds

    def new_cache(self, length: int = 0, run: HeldRun | None = None) -> PageCache:
        heads, dim = self._decoder["num_key_value_heads"], self._decoder["head_size"]
        blank = np.broadcast_to(np.float32(0), (1, heads, length, dim))
        layers = range(self._decoder["num_hidden_layers"])
        names = [f"{layer}.{part}" for layer in layers for part in ("key", "value")]
        held = {f"past_key_values.{name}": blank for name in names}
        return PageCache(held, CAPACITY, run)

    def feed(self, unseen: TokenIds, cache: PageCache) -> dict[str, Any]:
        mask = np.ones((1, cache.length + len(unseen)), np.int64)
        return {"input_ids": unseen[None], "attention_mask": mask, **cache.arrays()}

    def run(self, unseen: TokenIds, cache: PageCache) -> tuple[LogitsRows, PageCache]:
        key = (cache.run.number if cache.run else 0, cache.length, *unseen.tolist())
        if key not in self._answers:
            self._wanted = key, cache
            raise Pending
        rows, run, seconds = self._answers[key]
        self._seconds += seconds
        return rows, self.new_cache(cache.length + len(unseen), run)

    async def settled(self, action: Callable[[], Done]) -> Done:
        """Do an action, again and again until every run that it wants was made.

        When `Pending` comes out of it, it has left all as it was.
        """
        try:
            while True:
                try:
                    return action()
                except Pending:
                    await self._make(*self._wanted)
        finally:
            self._answers.clear()

    async def _make(self, key: tuple[int, ...], cache: PageCache) -> None:
        """Ask for a run; the tokens of one that is opened are all run at once."""
        number, length, *tokens = key
        if tokens == [*self.foreseen[length : length + 1]]:
            tokens = [*self.foreseen[length : length + AHEAD]]
        request = json.dumps({"tokens": tokens, "id": number, "length": length})
        made, logits, milliseconds = await self._ask(request)
        run = HeldRun(made, cache, self._free)
        rows = np.frombuffer(logits, np.float32).reshape(-1, self.vocab)
        self._answers[number, length, *tokens] = rows, run, milliseconds / 1000
        if key not in self._answers:  # as if each had been run by itself
            for i, token in enumerate(tokens):
                each = rows[i : i + 1], run, milliseconds / 1000 / len(tokens)
                self._answers[made if i else number, length + i, token] = each
