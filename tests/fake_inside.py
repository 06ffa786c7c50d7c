"""A stand-in for `inside`: numbers of the right shapes, and of no meaning.

Where the newest token looks is drawn at random, with most of it on the first token, as
in a real model. What each layer says is random up to the last one, which is the model's
own row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
from toy_model import joined, logits_after, new_rows

from llm_walkthrough.arrays import Logits, LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache

NAME = "llm_walkthrough.inside"
LAYERS, HEADS = 30, 9
ON_FIRST = 0.6
"""How much every head looks at the first token, at least."""


@dataclass(frozen=True)
class FakeLook:
    """What `Inside.look` returns."""

    total: int  # positions
    row: Logits  # the model's own, after the last token

    def newest(self) -> np.ndarray:
        luck = np.random.default_rng(self.total)
        weights = luck.dirichlet(np.full(self.total, 0.3), (LAYERS, HEADS))
        weights = (1 - ON_FIRST) * weights
        weights[..., 0] += ON_FIRST
        return weights.astype(np.float32)

    def lens(self) -> LogitsRows:
        luck = np.random.default_rng(self.total)
        rows = luck.normal(scale=3, size=(LAYERS + 1, len(self.row)))
        rows[-1] = self.row
        return rows.astype(np.float32)


class FakeInside:
    """Opens whatever it is given, and keeps a list of what is looked at.

    Attributes:
        looked: how long the cache was and which tokens were fed, for each look.
    """

    looked: ClassVar[list[tuple[int, list[int]]]] = []
    opened: ClassVar[list[object]] = []

    def __init__(self, model: Any, *, is_exact: bool) -> None:  # noqa: ANN401 - a toy
        assert not is_exact  # the panel shows shares, and spares the memory
        self.opened.append(model)
        self._vocab = model.vocab

    def look(self, unseen: TokenIds, cache: KVCache) -> FakeLook:
        past = cache.arrays()
        self.looked.append((cache.length, unseen.tolist()))
        rows = logits_after(joined(past, new_rows(unseen, past)), self._vocab)
        return FakeLook(cache.length + len(unseen), rows[-1])


@contextmanager
def fake_inside() -> Iterator[type[FakeInside]]:
    """Put the stand-in where the panel finds what opens a model."""
    FakeInside.looked.clear()
    FakeInside.opened.clear()
    module: Any = ModuleType(NAME)
    module.Inside = FakeInside
    with patch.dict("sys.modules", {NAME: module}):
        yield FakeInside
