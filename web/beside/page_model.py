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
from typing import Any, TypeVar

import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import checked_tokens

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

    def __init__(
        self, number: int, start: int, before: HeldRun | None, free: Free
    ) -> None:
        self.number, self.start, self.before = number, start, before
        weakref.finalize(self, free, number)


@dataclass(frozen=True)
class PageCache:
    """A handle on the first tokens that a run and those before it have seen.

    In the worker nothing is overwritten, so rows are held by the cache that has them.
    """

    decoder: Mapping[str, int]  # sizes, as genai_config.json names them
    run: HeldRun | None = None
    length: int = 0
    capacity: int = CAPACITY

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return arrays of the right shape and type; their numbers are not here."""
        heads, dim = (self.decoder[n] for n in ("num_key_value_heads", "head_size"))
        blank = np.broadcast_to(np.float32(0), (1, heads, self.length, dim))
        layers = range(self.decoder["num_hidden_layers"])
        names = [f"{layer}.{part}" for layer in layers for part in ("key", "value")]
        return {f"past_key_values.{name}": blank for name in names}

    def truncated(self, length: int) -> PageCache:
        """Return the handle on the first tokens; it holds no run that came later."""
        run = self.run
        while run and run.start >= length:
            run = run.before
        return replace(self, run=run, length=length)

    def rows(self, _start: int) -> PageCache:
        """Hold the rows from `_start` on."""
        return self

    def with_rows(self, rows: PageCache) -> PageCache:
        """Return the longer handle, which has been held."""
        return rows


class PageModel:
    """A language model for the stepper and the panel, of what its configuration says.

    Attributes:
        foreseen: tokens of a run that is opened, the prompt first.
        ahead: seconds that all runs took; here their answers are just found.
    """

    def __init__(self, config: Mapping[str, Any], ask: Ask, free: Free) -> None:
        self.vocab: int = config["vocab_size"]
        self.foreseen: tuple[int, ...] = ()
        self.ahead = 0.0
        self._decoder, self._ask, self._free = config["decoder"], ask, free
        self._answers: dict[tuple[int, ...], Any] = {}  # by run, length and tokens
        self._wanted: tuple[tuple[int, ...], HeldRun | None] = (), None

    def perf_counter(self) -> float:
        """Return the seconds of a clock that a run moves on by what it took."""
        return time.perf_counter() + self.ahead

    def new_cache(self) -> PageCache:
        """Return an empty cache."""
        return PageCache(self._decoder)

    def feed(
        self, unseen: TokenIds, cache: PageCache
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return what a run gives to the graph, the cache by shape and type only."""
        mask = np.ones((1, cache.length + len(unseen)), np.int64)
        return {"input_ids": unseen[None], "attention_mask": mask, **cache.arrays()}

    def run(self, unseen: TokenIds, cache: PageCache) -> tuple[LogitsRows, PageCache]:
        """Return the logits and the longer cache as `model.Model` does.

        Raises:
            Pending: the run has not been made.
            InputError: there is no room for the tokens, or the worker has failed.
        """
        tokens = checked_tokens(unseen, self.vocab)
        if (total := cache.length + len(tokens)) > CAPACITY:
            raise InputError(
                f"{total:,} tokens do not fit into the {CAPACITY:,} that this page has "
                "room for; take a shorter text"
            )
        key = (cache.run.number if cache.run else 0, cache.length, *tokens.tolist())
        self._wanted = key, cache.run
        match self._answers.get(key):
            case None:
                raise Pending
            case InputError() as error:
                raise error
            case rows, run, seconds:
                self.ahead += seconds
        return rows, replace(cache, run=run, length=total)

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

    async def _make(self, key: tuple[int, ...], before: HeldRun | None) -> None:
        """Ask for a run; the tokens of one that is opened are all run at once."""
        number, length, *tokens = key
        if tokens == [*self.foreseen[length : length + 1]]:
            tokens = [*self.foreseen[length : length + AHEAD]]
        request = json.dumps({"tokens": tokens, "id": number, "length": length})
        try:
            made, logits, milliseconds = await self._ask(request)
        except Exception as error:  # noqa: BLE001 - whatever happens over there
            self._answers[key] = InputError(
                f"the model could not run ({error}); try again, or load this page anew"
            )
            return
        run = HeldRun(made, length, before, self._free)
        rows = np.frombuffer(logits, np.float32).reshape(-1, self.vocab)
        self._answers[number, length, *tokens] = rows, run, milliseconds / 1000
        if key not in self._answers:  # as if each had been run by itself
            for i, token in enumerate(tokens):
                each = rows[i : i + 1], run, milliseconds / 1000 / len(tokens)
                self._answers[made if i else number, length + i, token] = each
