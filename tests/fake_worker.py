"""The worker of the model, played by the toy: it keeps rows and gives out numbers.

Of each run it keeps the rows that this run added and nothing else, so that a run which
was freed too early is missed at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from page_model import PageModel
from toy_model import HEAD_DIM, HEADS, joined, logits_after, new_rows, no_rows
from walking import tokenizer

from llm_walkthrough.arrays import KeyOrValue

CONFIG = {
    "vocab_size": tokenizer().vocab,
    "eos_token_id": [263],
    "decoder": {
        "num_hidden_layers": 2,
        "num_key_value_heads": HEADS,
        "head_size": HEAD_DIM,
    },
}
MILLISECONDS = 80.0  # that each run says it took


@dataclass(frozen=True)
class Kept:
    before: int
    start: int
    rows: Mapping[str, KeyOrValue]


class FakeWorker:
    """Answers as model_worker.js does.

    Attributes:
        kept: what is kept, by the number of the run.
        asked: how many tokens each run had.
        is_broken: whether the next run fails.
    """

    def __init__(self) -> None:
        self.kept: dict[int, Kept] = {}
        self.asked: list[int] = []
        self.is_broken = False

    async def ask(self, request: str) -> tuple[int, Any, float]:
        await asyncio.sleep(0)
        if self.is_broken:
            self.is_broken = False
            raise RuntimeError("out of memory")
        wanted = json.loads(request)
        past = self._past(wanted["id"], wanted["length"])
        new = new_rows(np.array(wanted["tokens"]), past)
        self.asked.append(len(wanted["tokens"]))
        number = len(self.asked)
        self.kept[number] = Kept(wanted["id"], wanted["length"], new)
        logits = logits_after(joined(past, new), CONFIG["vocab_size"])  # type: ignore[arg-type]
        return number, logits[-len(wanted["tokens"]) :].tobytes(), MILLISECONDS

    def free(self, number: int) -> None:
        del self.kept[number]

    def model(self) -> PageModel:
        return PageModel(CONFIG, self.ask, self.free)

    def _past(self, number: int, length: int) -> Mapping[str, KeyOrValue]:
        if not length:
            return no_rows()
        kept = self.kept[number]
        past = self._past(kept.before, min(kept.start, length))
        used = max(0, length - kept.start)
        return joined(past, {n: rows[:, :, :used] for n, rows in kept.rows.items()})
